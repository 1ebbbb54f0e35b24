"""Log-mel spectrogram: the one description of sound that all networks share."""

from dataclasses import dataclass

import librosa
import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy import ndarray
from torch import Tensor, nn

FRAMES_PER_TOKEN = 4
"""Mel frames that one semantic token stands for."""

_POWER_OFFSET = 1e-9  # inside the square root, whose gradient at zero would be infinite


@dataclass(frozen=True)
class AudioConfig:
    """Geometry of the audio and of its mel spectrogram.

    The defaults are those of the public 24 kHz, 100-band vocoders (BigVGAN-v2 24khz_100band_256x).

    Raises:
        ValueError: a value is impossible or does not fit the others.
    """

    sample_rate_hz: int = 24000
    """Samples per second."""
    fft_samples: int = 1024
    """Length of the Fourier transform and of its Hann window, in samples."""
    hop_samples: int = 256
    """Samples from one frame to the next."""
    mel_channels: int = 100
    """Number of mel bands."""
    fmin_hz: float = 0.0
    """Lower edge of the lowest band."""
    fmax_hz: float = 12000.0
    """Upper edge of the highest band; at most half the sample rate."""
    floor: float = 1e-5
    """Smallest magnitude before the logarithm; padding has the value log(floor)."""
    mel_mean: float = -4.0
    """Mean that networks subtract from the mel, in natural-log units."""
    mel_std: float = 2.0
    """Standard deviation that networks divide the mel by, in natural-log units."""

    def __post_init__(self) -> None:
        for name in ("sample_rate_hz", "fft_samples", "hop_samples", "mel_channels"):
            if getattr(self, name) <= 0:
                raise ValueError(f"audio.{name} is {getattr(self, name)}; give a positive number")
        if self.hop_samples > self.fft_samples or (self.fft_samples - self.hop_samples) % 2:
            raise ValueError(
                f"audio.hop_samples={self.hop_samples} does not fit "
                f"audio.fft_samples={self.fft_samples}: the hop must be no longer than the window, "
                "and their difference even"
            )
        if not 0 <= self.fmin_hz < self.fmax_hz <= self.sample_rate_hz / 2:
            raise ValueError(
                f"audio.fmin_hz={self.fmin_hz} and audio.fmax_hz={self.fmax_hz} must satisfy "
                f"0 <= fmin < fmax <= {self.sample_rate_hz / 2} (half the sample rate)"
            )
        if self.floor <= 0:
            raise ValueError(f"audio.floor is {self.floor}; its logarithm needs a positive number")
        if self.mel_std <= 0:
            raise ValueError(f"audio.mel_std is {self.mel_std}; give a positive number")

    @property
    def frames_per_second(self) -> float:
        """Mel frames per second."""
        return self.sample_rate_hz / self.hop_samples

    @property
    def tokens_per_second(self) -> float:
        """Semantic tokens per second."""
        return self.frames_per_second / FRAMES_PER_TOKEN


class LogMel(nn.Module):
    """Natural-log mel magnitudes, framed as in BigVGAN (arXiv 2206.04658) and HiFi-GAN.

    The audio is padded by reflection with (fft - hop) / 2 samples on both sides, so that a frame
    is centred on the middle of its hop and `frames = samples // hop`. Bands are slaney-scaled and
    area-normalised. Computed in fp32, also under autocast: bf16 loses the quiet bands.
    """

    window: Tensor
    filterbank: Tensor

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.config = config
        filterbank = mel_filterbank(
            config.sample_rate_hz,
            config.fft_samples,
            config.mel_channels,
            config.fmin_hz,
            config.fmax_hz,
        )
        # Not persistent: both follow from the config, and a checkpoint must not override it.
        self.register_buffer("window", torch.hann_window(config.fft_samples), persistent=False)
        self.register_buffer("filterbank", torch.from_numpy(filterbank), persistent=False)

    @property
    def min_samples(self) -> int:
        """Shortest audio that can be padded by reflection and has a frame, in samples."""
        padding = (self.config.fft_samples - self.config.hop_samples) // 2
        return max(padding + 1, self.config.hop_samples)

    def forward(self, audio: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch mels frames"]:
        """Return the log-mel of each waveform.

        Args:
            audio: waveforms in [-1, 1].

        Returns:
            Natural-log mel with `samples // hop_samples` frames.

        Raises:
            ValueError: the audio is shorter than `min_samples`.
        """
        config = self.config
        if audio.shape[-1] < self.min_samples:
            raise ValueError(
                f"audio of {audio.shape[-1]} samples has no mel: "
                f"{self.min_samples} samples are the least"
            )
        padding = (config.fft_samples - config.hop_samples) // 2
        with torch.autocast(audio.device.type, enabled=False):
            padded = nn.functional.pad(audio.float()[:, None], (padding, padding), "reflect")[:, 0]
            spectrum = torch.stft(
                padded,
                config.fft_samples,
                hop_length=config.hop_samples,
                window=self.window.float(),
                center=False,
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            mel = self.filterbank.float() @ torch.sqrt(power + _POWER_OFFSET)
            return mel.clamp(min=config.floor).log()


def mel_filterbank(
    sample_rate_hz: int, fft_samples: int, mel_channels: int, fmin_hz: float, fmax_hz: float
) -> Float32[ndarray, "mels bins"]:
    """Return the weight of each Fourier bin in each band: slaney-scaled, area-normalised."""
    filterbank: ndarray = librosa.filters.mel(
        sr=sample_rate_hz,
        n_fft=fft_samples,
        n_mels=mel_channels,
        fmin=fmin_hz,
        fmax=fmax_hz,
        htk=False,
        norm="slaney",
    )
    return filterbank.astype(np.float32)
