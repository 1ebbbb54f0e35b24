"""Terms that compare voices and contents by a network: contrastive, consistency, perceptual."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from data.batch import Batch
from data.masks import length_mask, segments
from losses.consistency import content_consistency, speaker_consistency
from losses.contrastive import CONTRASTIVE_KINDS, ContrastiveParameters, contrastive
from sovits.speaker_encoder import SpeakerPosterior
from timbre.adversary import frozen
from timbre.networks import Networks

FEATURES = ("tokenizer", "discriminator")


@dataclass(frozen=True)
class ContrastiveConfig:
    """Clips of one speaker together, others apart; nothing with a single speaker."""

    kind: str = "info_nce"
    """info_nce, nt_xent, triplet or circle (losses/contrastive.py)."""
    parameters: ContrastiveParameters = field(default_factory=ContrastiveParameters)
    """Temperature, margins."""

    def __post_init__(self) -> None:
        if self.kind not in CONTRASTIVE_KINDS:
            raise ValueError(
                f"objective.contrastive.kind is {self.kind!r}; give one of "
                f"{', '.join(CONTRASTIVE_KINDS)}"
            )


@dataclass(frozen=True)
class PerceptualConfig:
    """How the mel that a generative decoder recovers is compared with the recording's."""

    features: str = "tokenizer"
    """tokenizer (what is said), or discriminator (how it sounds; needs `adv.enabled`)."""

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise ValueError(
                f"objective.perceptual.features is {self.features!r}; give tokenizer or "
                "discriminator"
            )


def contrast(
    networks: Networks, batch: Batch, posterior: SpeakerPosterior, config: ContrastiveConfig
) -> Tensor:
    """z_spk of the reference against that of the utterance itself, another clip of the speaker.

    The utterance is cut to the length of the longest reference, so that length tells nothing.

    Args:
        networks: Their speaker encoder is run.
        batch: Needs mel and speaker.
        posterior: Of the references.
        config: Kind and parameters.
    """
    size = min(batch.reference.shape[2], batch.mel.shape[2])
    own = segments(batch.mel, torch.zeros_like(batch.mel_lengths), size)
    positive = networks.sovits.speaker_encoder(own, batch.mel_lengths.clamp(max=size))
    return contrastive(
        posterior.z_spk, positive.z_spk, batch.speaker, config.kind, config.parameters
    )


def same_content(networks: Networks, mel: Tensor, batch: Batch) -> Tensor:
    """How far the tokenizer's features of a mel are from those of the recording.

    Args:
        networks: The tokenizer is run; its weights take no gradient.
        mel: `[batch, mels, frames]`, frame by frame that of the batch.
        batch: Needs mel.
    """
    with frozen(networks.tokenizer):
        generated, lengths = networks.tokenizer.features(mel, batch.mel_lengths)
        with torch.no_grad():
            target, _ = networks.tokenizer.features(batch.mel, batch.mel_lengths)
    return content_consistency(generated, target, length_mask(lengths, generated.shape[1]))


def same_speaker(networks: Networks, mel: Tensor, batch: Batch) -> Tensor:
    """How far z_spk of a mel is from that of the reference recording.

    Args:
        networks: The speaker encoder is run; as a judge its weights take no gradient.
        mel: `[batch, mels, frames]`, frame by frame that of the batch.
        batch: Needs the references.
    """
    encoder = networks.sovits.speaker_encoder
    with frozen(encoder):
        generated = encoder(mel, batch.mel_lengths)
        with torch.no_grad():
            reference = encoder(batch.reference, batch.reference_lengths)
    return speaker_consistency(generated.z_spk, reference.z_spk)
