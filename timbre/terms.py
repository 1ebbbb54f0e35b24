"""The loss terms of each module: a batch in, named scalars out. The adversaries' are elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from data.batch import Batch
from data.masks import length_mask, segments
from gpt.augmentation import augment
from losses.classification import cross_entropy
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
    reports: dict[str, Tensor] = field(default_factory=dict)
    """Scalars to log, without gradient."""
    crops: Crops | None = None
    """Inputs of the module's adversary."""
    mel: Tensor | None = None
    """Predicted mel `[batch, mels, frames]` (AcousticTerms only)."""


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


class AcousticTerms:
    """GPT and SoVITS: `semantic`, `rec`, `kl`, `speaker`, and what the decoder adds (`flow`)."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config.objective
        self.audio = config.audio

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
            gpt.latents, batch.token_lengths, posterior.z_spk, batch.mel, batch.mel_lengths
        )
        mask = length_mask(batch.mel_lengths, batch.mel.shape[2])[:, None]
        rec = self.config.rec
        terms = {
            "semantic": cross_entropy(
                gpt.logits, gpt.targets, self.config.semantic.label_smoothing
            ),
            # In units of mel_std: the seed guide's table (0.1 to 0.25 when converged) has it so.
            "rec": reconstruction(
                decoded.mel / self.audio.mel_std,
                batch.mel / self.audio.mel_std,
                mask,
                rec.kind,
                rec.parameters,
            ),
            "kl": posterior.kl.mean() / posterior.mean.shape[1],
            **decoded.terms,
        }
        if classifier is not None:
            terms["speaker"] = cross_entropy(classifier(posterior.z_spk), batch.speaker)
        return ModuleTerms(
            terms,
            reports={"token_accuracy": _accuracy(gpt.logits, gpt.targets)},
            crops=self._crops(batch, decoded.mel, draw),
            mel=decoded.mel,
        )

    def _crops(self, batch: Batch, mel: Tensor, draw: Draw) -> Crops:
        """Segments inside each item's valid frames; short items bring some padding along."""
        size = min(self.config.mel_segment_frames, mel.shape[2])
        starts = random_starts(batch.mel_lengths, size, mel.shape[2], draw)
        return Crops(segments(batch.mel, starts, size), segments(mel.float(), starts, size))


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


def _accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Share of targets that GPT finds most likely, over valid positions."""
    valid = targets >= 0
    return ((logits.detach().argmax(-1) == targets) & valid).sum() / valid.sum().clamp(min=1)
