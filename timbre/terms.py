"""What the terms of a module are, and those of tokenizer and vocoder."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from data.batch import Batch
from data.masks import length_mask, segments
from gpt.augmentation import augment
from losses.regression import reconstruction
from losses.spectral import MultiResolutionStftLoss, MultiScaleMelLoss
from timbre.config import RunConfig
from timbre.networks import Networks
from timbre.randomness import Draw


@dataclass
class Crops:
    """The same places cut from what was recorded and from what was generated."""

    real: Tensor
    """Mel segments `[batch, mels, frames]` or waveforms `[batch, samples]`."""
    fake: Tensor
    """The generated ones, same shape, with their gradient."""


@dataclass
class ModuleTerms:
    """What one module's part of the objective gives."""

    terms: dict[str, Tensor]
    """Scalar loss per term."""
    trained: dict[str, Tensor] = field(default_factory=dict)
    """Terms that are trained in another form than they are reported."""
    reports: dict[str, Tensor] = field(default_factory=dict)
    """Scalars to log, without gradient."""
    crops: Crops | None = None
    """Inputs of the module's adversary."""
    recovered: Crops | None = None
    """The target and what a generative decoder recovers of it (AcousticTerms only)."""
    mel: Tensor | None = None
    """Predicted mel `[batch, mels, frames]` (AcousticTerms only)."""


@dataclass
class Outputs:
    """What the generator side made of one batch."""

    terms: dict[str, Tensor] = field(default_factory=dict)
    """Scalar loss per term, unweighted."""
    trained: dict[str, Tensor] = field(default_factory=dict)
    """Terms that are trained in another form than they are reported."""
    reports: dict[str, Tensor] = field(default_factory=dict)
    """Further scalars to log."""
    mel: Crops | None = None
    """Real and predicted mel segments `[batch, mels, frames]`, for the mel adversary."""
    wave: Crops | None = None
    """Real and generated waveforms `[batch, samples]`, for the waveform adversary."""
    recovered: Crops | None = None
    """Real mel segments and what a generative decoder recovers of them, for a perceptual term."""
    predicted: Tensor | None = None
    """Predicted mel `[batch, mels, frames]`."""

    def add(self, terms: dict[str, Tensor], reports: dict[str, Tensor]) -> None:
        """Takes in what a part of the objective gives."""
        self.terms |= terms
        self.reports |= reports


class TokenizerTerms:
    """`ctc` and `tokenizer_rec`: tokens must carry the phonemes, and the sound but the voice."""

    def __init__(self, config: RunConfig) -> None:
        self.audio = config.audio
        self.augment = config.train.tokenizer_augmentation

    def __call__(self, networks: Networks, batch: Batch) -> dict[str, Tensor]:
        """Terms of one batch; needs mel and phonemes only."""
        tokenizer = networks.tokenizer
        augmented = None
        if self.augment and tokenizer.training:
            augmented = augment(batch.mel, batch.mel_lengths, torch.default_generator)
        outputs = tokenizer(batch.mel, batch.mel_lengths, augmented)
        ctc = torch.stack(
            [
                self._ctc(logits, outputs.ctc_lengths, batch)
                for logits in (outputs.ctc_logits, outputs.ctc_logits_quantized)
            ]
        ).mean()
        mask = length_mask(batch.mel_lengths, batch.mel.shape[2])[:, None]
        distance = reconstruction(outputs.reconstruction, batch.mel, mask)
        return {"ctc": ctc, "tokenizer_rec": distance / self.audio.mel_std}

    @staticmethod
    def _ctc(logits: Tensor, lengths: Tensor, batch: Batch) -> Tensor:
        """Mean CTC loss per phoneme in nats (Graves 2006); items too short for it count nothing."""
        losses = functional.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1),
            batch.phonemes,
            lengths,
            batch.phoneme_lengths,
            reduction="none",
            zero_infinity=True,
        )
        return (losses / batch.phoneme_lengths).mean()


class VocoderTerms(nn.Module):
    """`wave_mel`, `wave_stft` and the vocoder's own (`f0`), on random crops."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.config = config.objective
        self.hop_samples = config.audio.hop_samples
        self.floor = config.audio.floor
        self.mel_distance = MultiScaleMelLoss(config.audio.sample_rate_hz)
        self.stft_distance = MultiResolutionStftLoss()

    def forward(
        self, networks: Networks, batch: Batch, predicted: Tensor | None, draw: Draw
    ) -> ModuleTerms:
        """Terms of one batch.

        Args:
            networks: The vocoder is run.
            batch: Needs audio, mel and f0.
            predicted: The decoder's mel, for `objective.vocoder_input=predicted`; detached here, so
                that the waveform's terms train the vocoder only.
            draw: Randomness of the update.

        Raises:
            ValueError: The batch has no audio.
        """
        if batch.audio is None:
            raise ValueError("the batch has no audio: set data.with_audio=true")
        mel = batch.mel
        if self.config.vocoder_input == "predicted" and predicted is not None:
            mel = predicted.detach().float()
        size = min(self.config.wave_segment_frames, mel.shape[2])
        starts = random_starts(batch.mel_lengths, size, mel.shape[2], draw)
        mel = segments(mel, starts, size)
        f0 = segments(batch.f0[:, None], starts, size)[:, 0]
        hop = self.hop_samples
        real = segments(batch.audio[:, None], starts * hop, size * hop)[:, 0]
        if networks.vocoder.training:
            mel, real = self._at_random_gain(mel, real, draw)
        fake = networks.vocoder(mel, f0).float()
        lengths = (batch.mel_lengths - starts).clamp(max=size)
        terms = {
            "wave_mel": self.mel_distance(fake, real),
            "wave_stft": self.stft_distance(fake, real),
            **networks.vocoder.auxiliary_losses(mel, f0, lengths),
        }
        return ModuleTerms(terms, crops=Crops(real, fake))

    def _at_random_gain(self, mel: Tensor, audio: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """The same crops softer or louder: a vocoder must not know how loud its corpus was."""
        low, high = self.config.vocoder_gain_db
        log_gain = (low + (high - low) * draw.uniform(len(mel))) * math.log(10) / 20
        mel = (mel + log_gain[:, None, None]).clamp(min=math.log(self.floor))
        return mel, audio * log_gain.exp()[:, None]


def random_starts(lengths: Tensor, size: int, frames: int, draw: Draw) -> Tensor:
    """Where segments of `size` frames begin: inside the valid frames where these are long enough.

    Args:
        lengths: Valid frames per item, `[batch]`.
        size: Frames of a segment, at most `frames`.
        frames: Padded length of the batch.
        draw: Randomness of the update.
    """
    room = (lengths.clamp(min=size, max=frames) - size + 1).float()
    return (draw.uniform(len(lengths)) * room).long().clamp(max=frames - size)
