"""What a clip looks like: band energies, bandwidth, and a fingerprint that finds duplicates."""

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

_FFT_SECONDS = 0.032
_LOWEST_HZ = 60.0
_BANDWIDTH_DB = 60.0
_FINGERPRINT = 16
_FLOOR = 1e-12


def power_spectra(
    audio: Float32[ndarray, " samples"], rate_hz: int
) -> Float64[ndarray, "frames bins"]:
    """Return the power spectra of 32 ms Hann windows, every 16 ms."""
    size = round(rate_hz * _FFT_SECONDS)
    padded = np.pad(audio.astype(np.float64), (0, max(0, size - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2]
    return np.square(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)))


def bandwidth_hz(spectra: Float64[ndarray, "frames bins"], rate_hz: int) -> float:
    """Return the highest frequency within 60 dB of the strongest.

    Each frequency counts with its loudest frames: a single /s/ shows what the channel can carry.
    """
    loudest = np.quantile(spectra, 0.98, axis=0)
    # Three bins on average: single bins of a silent band stick out by chance.
    smooth = np.convolve(loudest, np.ones(3) / 3, mode="same")
    high = np.flatnonzero(smooth > smooth.max() * 10 ** (-_BANDWIDTH_DB / 10))
    return float(high[-1] * rate_hz / 2 / (spectra.shape[1] - 1)) if len(high) else 0.0


def band_levels(
    spectra: Float64[ndarray, "frames bins"], rate_hz: int, bands: int, highest_hz: float
) -> Float64[ndarray, "frames bands"]:
    """Return the natural log of the energy in bands of equal width in log frequency.

    Args:
        spectra: of `power_spectra`.
        rate_hz: sample rate.
        bands: how many.
        highest_hz: where the last band ends.
    """
    frequencies = np.linspace(0, rate_hz / 2, spectra.shape[1])
    edges = np.geomspace(_LOWEST_HZ, highest_hz, bands + 1)
    centres = np.searchsorted(frequencies, np.sqrt(edges[1:] * edges[:-1]))
    energies = np.stack(
        [
            # Low bands are narrower than a bin: the nearest bin stands for them.
            spectra[:, inside].mean(axis=1) if inside.any() else spectra[:, centre]
            for inside, centre in (
                ((frequencies >= low) & (frequencies < high), centre)
                for low, high, centre in zip(edges[:-1], edges[1:], centres, strict=True)
            )
        ],
        axis=1,
    )
    levels: ndarray = np.log(energies + _FLOOR)
    return levels


def fingerprint(
    spectra: Float64[ndarray, "frames bins"], rate_hz: int
) -> Float64[ndarray, " values"]:
    """Return a picture of 16 times 16 band levels, with mean 0 and norm 1.

    The dot product of two fingerprints is the correlation of the pictures.
    """
    levels = band_levels(spectra, rate_hz, _FINGERPRINT, 7000.0)
    levels = np.maximum(levels, levels.max() - 12.0)
    blocks = np.array_split(levels, _FINGERPRINT)
    picture = np.stack(
        [block.mean(axis=0) if len(block) else levels[-1] for block in blocks]
    ).reshape(-1)
    picture = picture - picture.mean()
    unit: ndarray = picture / max(float(np.linalg.norm(picture)), 1e-9)
    return unit
