"""Pitch from a mel spectrogram, so that a vocoder needs nothing but the mel."""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from data.masks import length_mask
from data.mel import AudioConfig
from losses.binary import BINARY_KINDS, BinaryParameters, binary
from losses.reduction import masked_mean

_PEAK_BINS = 4  # bins on either side of the peak whose centroid is the estimate


@dataclass(frozen=True)
class PitchConfig:
    """Sizes of the pitch predictor.

    Raises:
        ValueError: a value is impossible.
    """

    channels: int = 192
    """Width of every convolution."""
    layers: int = 5
    """Convolutions in sequence; with 5 frames each, 5 layers see 21 frames (0.22 s)."""
    kernel_frames: int = 5
    """Taps of every convolution, in frames; odd."""
    bins: int = 192
    """Pitch classes, equally spaced in log frequency."""
    fmin_hz: float = 45.0
    """Lowest pitch class; lower targets are cut to it."""
    fmax_hz: float = 1000.0
    """Highest pitch class; higher targets are cut to it."""
    blur_bins: float = 1.2
    """Standard deviation of the soft target around the true pitch, in bins."""
    voicing_kind: str = "bce"
    """Loss of voiced or not, per frame: bce, hinge, squared_hinge, exponential, focal, dice or
    dice_bce (losses/binary.py)."""
    voicing: BinaryParameters = field(default_factory=BinaryParameters)
    """Parameters of that loss."""

    def __post_init__(self) -> None:
        for name in ("channels", "layers", "kernel_frames", "bins", "blur_bins"):
            if getattr(self, name) <= 0:
                raise ValueError(f"pitch.{name} is {getattr(self, name)}; give a positive number")
        if self.kernel_frames % 2 == 0:
            raise ValueError(f"pitch.kernel_frames is {self.kernel_frames}; give an odd number")
        if self.voicing_kind not in BINARY_KINDS:
            raise ValueError(
                f"pitch.voicing_kind is {self.voicing_kind!r}; give one of "
                f"{', '.join(BINARY_KINDS)}"
            )
        if not 0 < self.fmin_hz < self.fmax_hz:
            raise ValueError(
                f"pitch.fmin_hz={self.fmin_hz} and pitch.fmax_hz={self.fmax_hz} must satisfy "
                "0 < fmin < fmax"
            )


class PitchPredictor(nn.Module):
    """Residual convolutions from mel to a distribution over pitch classes and a voicing logit.

    The pitch is read as the centroid of the classes around the most likely one, as CREPE does
    (arXiv 1802.06182, eq. 2), in log frequency.

    Args:
        config: sizes.
        audio: geometry and normalisation of the mel.
    """

    log_hz: Tensor

    def __init__(self, config: PitchConfig, audio: AudioConfig) -> None:
        super().__init__()
        self.config = config
        self.mel_mean, self.mel_std = audio.mel_mean, audio.mel_std
        inputs = [audio.mel_channels] + [config.channels] * (config.layers - 1)
        self.convs = nn.ModuleList(
            nn.Conv1d(channels, config.channels, config.kernel_frames, padding="same")
            for channels in inputs
        )
        self.classes = nn.Conv1d(config.channels, config.bins, 1)
        self.voicing = nn.Conv1d(config.channels, 1, 1)
        log_hz = torch.linspace(math.log(config.fmin_hz), math.log(config.fmax_hz), config.bins)
        self.register_buffer("log_hz", log_hz, persistent=False)

    def forward(
        self,
        mel: Float[Tensor, "batch mels frames"],
        mel_lengths: Int[Tensor, " batch"] | None = None,
    ) -> tuple[Float[Tensor, "batch bins frames"], Float[Tensor, "batch frames"]]:
        """Return logits over pitch classes, and the logit of being voiced, per frame.

        Args:
            mel: natural-log mel.
            mel_lengths: frames of each item; None: all items fill the batch.
        """
        mask = None
        if mel_lengths is not None:
            mask = length_mask(mel_lengths, mel.shape[2])[:, None]
        x = (mel - self.mel_mean) / self.mel_std
        for index, conv in enumerate(self.convs):
            if mask is not None:
                x = x * mask
            y = F.gelu(conv(x))
            x = y if index == 0 else x + y
        return self.classes(x), self.voicing(x)[:, 0]

    def loss(
        self,
        mel: Float[Tensor, "batch mels frames"],
        f0: Float[Tensor, "batch frames"],
        mel_lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return cross-entropy of the pitch (voiced frames) plus `voicing_kind` (all frames).

        Both are means, the first in nats; the pitch target is a Gaussian of `blur_bins` around the
        true class.

        Args:
            mel: natural-log mel.
            f0: true pitch in Hz, 0 = unvoiced.
            mel_lengths: frames of each item; None: all items fill the batch.
        """
        logits, voicing = self(mel, mel_lengths)
        logits, voicing = logits.float(), voicing.float()
        valid = torch.ones_like(f0, dtype=torch.bool)
        if mel_lengths is not None:
            valid = length_mask(mel_lengths, f0.shape[1])
        voiced = (f0 > 0) & valid
        target = self._soft_classes(f0)
        pitch_term = -(target * logits.log_softmax(1)).sum(1)
        kind, parameters = self.config.voicing_kind, self.config.voicing
        voicing_term = binary(voicing, voiced, valid, kind, parameters)
        return masked_mean(pitch_term, voiced) + voicing_term

    @torch.no_grad()
    def predict(
        self,
        mel: Float[Tensor, "batch mels frames"],
        mel_lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch frames"]:
        """Return the pitch in Hz, 0 where unvoiced and beyond `mel_lengths`. No gradient."""
        logits, voicing = self(mel, mel_lengths)
        probability = logits.float().softmax(1)
        peak = probability.argmax(1, keepdim=True)
        index = torch.arange(self.config.bins, device=mel.device)[None, :, None]
        # fp64: rounding a logarithm to fp32 moves the pitch by 1e-4 Hz, and phases add that up.
        weight = probability.double() * ((index - peak).abs() <= _PEAK_BINS)
        log_f0 = (weight * self.log_hz.double()[None, :, None]).sum(1) / weight.sum(1)
        voiced = voicing > 0
        if mel_lengths is not None:
            voiced = voiced & length_mask(mel_lengths, mel.shape[2])
        return log_f0.exp().float() * voiced

    def _soft_classes(self, f0: Tensor) -> Tensor:
        """Return targets [batch, bins, frames] that sum to 1 over the bins."""
        log_hz = self.log_hz.float()
        log_f0 = f0.float().clamp(self.config.fmin_hz, self.config.fmax_hz).log()
        step = (log_hz[-1] - log_hz[0]) / (self.config.bins - 1)
        distance = (log_hz[None, :, None] - log_f0[:, None]) / (step * self.config.blur_bins)
        return (-0.5 * distance.square()).softmax(1)
