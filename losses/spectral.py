"""Spectral distances between waveforms: multi-resolution STFT and multi-scale mel."""

import librosa
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from losses.reduction import at_least_float32, masked_mean, zero_padding

DEFAULT_STFTS = ((2048, 512), (1024, 256), (512, 128), (128, 32))
DEFAULT_MELS = ((2048, 512, 100), (1024, 256, 100), (512, 128, 64), (256, 64, 40))

_MAGNITUDE_FLOOR = 10**-4.5
"""Its square is added under the square root: its derivative at digital silence is infinite."""


class MultiResolutionStftLoss(nn.Module):
    """Spectral convergence plus log-magnitude L1, averaged over several STFT resolutions.

    L = 1/M sum_m [ ||S - S'||_F / ||S||_F + mean |log S - log S'| ] with S and S' the magnitudes of
    target and prediction; Yamamoto et al., arXiv 1910.11480, eqs. 4-6. Spectral convergence looks
    at the loud parts and the logarithm at the quiet ones. Differences: magnitudes are
    sqrt(S^2 + floor^2), so that digital silence does not dominate, and the Frobenius norms are
    taken over the valid frames of the whole batch.

    Use it for vocoder training, beside or instead of the mel distance. Runs in fp32 even under
    autocast; windows are buffers and are not saved.
    """

    def __init__(
        self,
        resolutions: tuple[tuple[int, int], ...] = DEFAULT_STFTS,
        floor: float = _MAGNITUDE_FLOOR,
    ) -> None:
        """Build the windows.

        Args:
            resolutions: Pairs (fft_samples, hop_samples).
            floor: Smallest magnitude: that of digital silence.

        Raises:
            ValueError: A hop longer than its window, no resolution, or a floor that is not above 0.
        """
        super().__init__()
        if not floor > 0:
            raise ValueError(f"floor is {floor}; its logarithm needs a positive number")
        _check_resolutions(resolutions)
        self.resolutions = tuple((fft, hop) for fft, hop in resolutions)
        self.floor = floor
        for index, (fft_samples, _) in enumerate(self.resolutions):
            self.register_buffer(
                f"window_{index}", torch.hann_window(fft_samples), persistent=False
            )

    def forward(
        self,
        prediction: Float[Tensor, "batch samples"],
        target: Float[Tensor, "batch samples"],
        mask: Bool[Tensor, "batch samples"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the distance; `mask` is True where there is audio."""
        prediction = zero_padding(at_least_float32(prediction), mask)
        target = zero_padding(at_least_float32(target), mask)
        terms = []
        for index, (fft_samples, hop_samples) in enumerate(self.resolutions):
            window = getattr(self, f"window_{index}")
            predicted = _magnitude(prediction, window, hop_samples, self.floor)
            true = _magnitude(target, window, hop_samples, self.floor)
            frames = _frame_mask(mask, fft_samples, hop_samples)
            difference = zero_padding(predicted - true, _like(frames, true))
            energy = zero_padding(true, _like(frames, true))
            convergence = difference.norm() / energy.norm().clamp(min=self.floor)
            log_distance = predicted.log() - true.log()
            terms.append(convergence + masked_mean(log_distance.abs(), _like(frames, true)))
        return torch.stack(terms).mean()


class MultiScaleMelLoss(nn.Module):
    """L1 between natural-log mel spectrograms, averaged over several resolutions.

    L = 1/M sum_m mean |log max(F_m S_m, floor) - log max(F_m S'_m, floor)| with F_m slaney mel
    filters; Kumar et al. (DAC), arXiv 2306.06546, section 3.5, after the single-scale mel loss of
    HiFi-GAN, arXiv 2010.05646, eq. 5. Differences: means instead of sums over scales, so that the
    weight (15 in DAC) does not change with their number, and fewer bands at short windows, where
    narrow filters would hold no bin.

    Use it as the main reconstruction term of a vocoder. Runs in fp32 even under autocast; windows
    and filterbanks are buffers and are not saved.
    """

    def __init__(
        self,
        sample_rate_hz: int,
        scales: tuple[tuple[int, int, int], ...] = DEFAULT_MELS,
        fmin_hz: float = 0.0,
        fmax_hz: float | None = None,
        floor: float = 1e-5,
    ) -> None:
        """Build windows and filterbanks.

        Args:
            sample_rate_hz: Rate of the audio.
            scales: Triples (fft_samples, hop_samples, mel_channels).
            fmin_hz: Lower edge of the lowest band.
            fmax_hz: Upper edge of the highest band; None: half the sample rate.
            floor: Smallest mel magnitude that the logarithm sees.

        Raises:
            ValueError: A hop longer than its window, or no scale.
        """
        super().__init__()
        _check_resolutions(tuple((fft, hop) for fft, hop, _ in scales))
        self.scales = tuple((fft, hop, channels) for fft, hop, channels in scales)
        self.floor = floor
        for index, (fft_samples, _, mel_channels) in enumerate(self.scales):
            filters = _mel_filters(sample_rate_hz, fft_samples, mel_channels, fmin_hz, fmax_hz)
            window = torch.hann_window(fft_samples)
            self.register_buffer(f"window_{index}", window, persistent=False)
            self.register_buffer(f"filters_{index}", filters, persistent=False)

    def forward(
        self,
        prediction: Float[Tensor, "batch samples"],
        target: Float[Tensor, "batch samples"],
        mask: Bool[Tensor, "batch samples"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the distance in natural-log units; `mask` is True where there is audio."""
        prediction = zero_padding(at_least_float32(prediction), mask)
        target = zero_padding(at_least_float32(target), mask)
        terms = []
        for index, (fft_samples, hop_samples, _) in enumerate(self.scales):
            window = getattr(self, f"window_{index}")
            filters = getattr(self, f"filters_{index}")
            distance = (
                self._log_mel(prediction, window, hop_samples, filters)
                - self._log_mel(target, window, hop_samples, filters)
            ).abs()
            frames = _frame_mask(mask, fft_samples, hop_samples)
            terms.append(masked_mean(distance, _like(frames, distance)))
        return torch.stack(terms).mean()

    def _log_mel(self, audio: Tensor, window: Tensor, hop_samples: int, filters: Tensor) -> Tensor:
        magnitude = _magnitude(audio, window, hop_samples, _MAGNITUDE_FLOOR)
        with torch.autocast(audio.device.type, enabled=False):
            mel = filters.to(magnitude.dtype) @ magnitude
        return mel.clamp(min=self.floor).log()


def _check_resolutions(resolutions: tuple[tuple[int, int], ...]) -> None:
    if not resolutions:
        raise ValueError("give at least one resolution (fft_samples, hop_samples)")
    for fft_samples, hop_samples in resolutions:
        if not 0 < hop_samples <= fft_samples:
            raise ValueError(f"hop {hop_samples} must be in 1..{fft_samples} (the window)")


def _mel_filters(
    sample_rate_hz: int,
    fft_samples: int,
    mel_channels: int,
    fmin_hz: float,
    fmax_hz: float | None,
) -> Tensor:
    filters = librosa.filters.mel(
        sr=sample_rate_hz, n_fft=fft_samples, n_mels=mel_channels, fmin=fmin_hz, fmax=fmax_hz
    )
    # Filters narrower than a bin are empty: they would only add constant zeros to the mean.
    return torch.from_numpy(filters[filters.max(axis=1) > 0]).float()


def _magnitude(audio: Tensor, window: Tensor, hop_samples: int, floor: float) -> Tensor:
    """Return [batch, bins, 1 + samples // hop]; zero padding, so that silence may follow."""
    spectrum = torch.stft(
        audio,
        n_fft=window.shape[0],
        hop_length=hop_samples,
        window=window.to(audio.dtype),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return (spectrum.real.square() + spectrum.imag.square() + floor**2).sqrt()


def _frame_mask(mask: Tensor | None, fft_samples: int, hop_samples: int) -> Tensor | None:
    """Return [batch, frames], True where the frame's centre stands on or at the end of the audio.

    An item alone has 1 + samples // hop frames; the same frames are valid in a padded batch.
    """
    if mask is None:
        return None
    frames = 1 + mask.sum(dim=1, keepdim=True) // hop_samples
    positions = torch.arange(1 + mask.shape[1] // hop_samples, device=mask.device)
    return positions < frames


def _like(frames: Tensor | None, spectrogram: Tensor) -> Tensor | None:
    return None if frames is None else frames.unsqueeze(1).expand_as(spectrogram)
