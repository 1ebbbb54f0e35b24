"""The terms of GPT and SoVITS: a batch in, named scalars out."""

from __future__ import annotations

from torch import Tensor, nn

from data.batch import Batch
from data.masks import length_mask, segments
from gpt.model import GPTOutputs
from losses.classification import classification
from losses.regression import reconstruction
from sovits.decoder import Decoded
from sovits.speaker_encoder import SpeakerPosterior
from timbre.config import RunConfig
from timbre.kl import trained_kl
from timbre.likeness import contrast, same_content, same_speaker
from timbre.networks import Networks
from timbre.randomness import Draw
from timbre.semantic import SemanticLoss
from timbre.terms import Crops, ModuleTerms, random_starts


class AcousticTerms:
    """GPT and SoVITS: `semantic`, `rec`, `kl`, `speaker`, and what the decoder adds (`flow`).

    Args:
        config: The run.
        semantic: GPT's loss, with its teacher where there is one.
    """

    def __init__(self, config: RunConfig, semantic: SemanticLoss) -> None:
        self.config = config.objective
        self.audio = config.audio
        self.semantic = semantic

    def __call__(
        self,
        networks: Networks,
        classifier: nn.Module | None,
        batch: Batch,
        draw: Draw,
        sample: bool = True,
    ) -> ModuleTerms:
        """Terms of one batch.

        Args:
            networks: GPT and SoVITS are run.
            classifier: Speaker classifier, or None with a single speaker.
            batch: Needs tokens and durations.
            draw: Randomness of the update.
            sample: Draw z_spk from its posterior; False: take the mean, as when speaking.

        Raises:
            ValueError: The batch has no tokens.
        """
        if batch.tokens is None or batch.token_lengths is None or batch.durations is None:
            raise ValueError(
                "the batch has no tokens: the datamodule was set up without TokenStore"
            )
        channels = networks.gpt.config.speaker_channels
        noise = draw.normal(len(batch.ids), channels) if sample else None
        posterior = networks.sovits.speaker_encoder(batch.reference, batch.reference_lengths, noise)
        gpt = networks.gpt(
            batch.phonemes,
            batch.marks,
            batch.phoneme_lengths,
            batch.tokens,
            batch.token_lengths,
            batch.durations,
            posterior.z_spk,
        )
        decoded = networks.sovits.decoder(
            gpt.latents,
            batch.token_lengths,
            posterior.z_spk,
            batch.mel,
            batch.mel_lengths,
            batch.f0,
        )
        terms = {
            "semantic": self.semantic(gpt, batch),
            "rec": self._rec(decoded, batch),
            "kl": posterior.kl.mean() / posterior.mean.shape[1],
            **decoded.terms,
        }
        if classifier is not None:
            speaker = self.config.speaker
            logits = classifier(posterior.z_spk)
            terms["speaker"] = classification(
                logits, batch.speaker, speaker.kind, speaker.parameters
            )
        terms |= self._by_networks(networks, batch, posterior, decoded)
        starts, size = self._places(batch, decoded.mel, draw)
        real = segments(batch.mel, starts, size)
        recovered = None
        if self._compares_features("discriminator") and decoded.recovered is not None:
            recovered = Crops(real, segments(decoded.recovered, starts, size))
        return ModuleTerms(
            terms,
            trained={"kl": trained_kl(posterior, self.config.kl)},
            reports={"token_accuracy": _accuracy(gpt), **self.semantic.reports(gpt)},
            crops=Crops(real, segments(decoded.mel.float(), starts, size)),
            recovered=recovered,
            mel=decoded.mel,
        )

    def _rec(self, decoded: Decoded, batch: Batch) -> Tensor:
        """In units of mel_std: the seed guide's table (0.1 to 0.25 when converged) has it so."""
        std, rec = self.audio.mel_std, self.config.rec
        mask = length_mask(batch.mel_lengths, batch.mel.shape[2])[:, None]
        return reconstruction(decoded.mel / std, batch.mel / std, mask, rec.kind, rec.parameters)

    def _by_networks(
        self, networks: Networks, batch: Batch, posterior: SpeakerPosterior, decoded: Decoded
    ) -> dict[str, Tensor]:
        """The terms that cost a network of their own, where they are trained on."""
        weights = self.config.weights
        terms: dict[str, Tensor] = {}
        if weights.contrastive:
            terms["contrastive"] = contrast(networks, batch, posterior, self.config.contrastive)
        if weights.content_consistency:
            terms["content_consistency"] = same_content(networks, decoded.mel, batch)
        if weights.speaker_consistency:
            terms["speaker_consistency"] = same_speaker(networks, decoded.mel, batch)
        if self._compares_features("tokenizer") and decoded.recovered is not None:
            terms["perceptual"] = same_content(networks, decoded.recovered, batch)
        return terms

    def _compares_features(self, of: str) -> bool:
        return bool(self.config.weights.perceptual) and self.config.perceptual.features == of

    def _places(self, batch: Batch, mel: Tensor, draw: Draw) -> tuple[Tensor, int]:
        """Segments inside each item's valid frames; short items bring some padding along."""
        size = min(self.config.mel_segment_frames, mel.shape[2])
        return random_starts(batch.mel_lengths, size, mel.shape[2], draw), size


def _accuracy(gpt: GPTOutputs) -> Tensor:
    """Share of targets that GPT finds most likely, over valid positions."""
    valid = gpt.targets >= 0
    right = (gpt.logits.detach().argmax(-1) == gpt.targets) & valid
    return right.sum() / valid.sum().clamp(min=1)
