"""Sound effects that turn one synthesised voice into many: rate, formants, equaliser."""

from dataclasses import dataclass

import numpy as np
import soxr
from jaxtyping import Float, Float32
from numpy import ndarray
from scipy.signal import fftconvolve, istft, stft

_FFT_SAMPLES = 1024
_HOP_SAMPLES = 256
_ENVELOPE_SECONDS = 0.0016
"""Cepstrum below this quefrency is the spectral envelope: half the period of a 300 Hz voice."""
_MAX_WARP_GAIN = np.log(10.0)
_FILTER_TAPS = 511
_MAX_EQUALIZER_DB = 12.0


@dataclass(frozen=True)
class Equalizer:
    """A smooth frequency response: a tilt, some broad bumps, and possibly an upper limit."""

    tilt_db: float
    """Slope per octave, 0 dB at 1 kHz."""
    centres_hz: tuple[float, ...]
    """Centres of the bumps."""
    widths_octaves: tuple[float, ...]
    """Standard deviations of the bumps."""
    gains_db: tuple[float, ...]
    """Heights of the bumps."""
    cutoff_hz: float = 0.0
    """Sound above is removed, as in a recording at a lower sample rate; 0 = no limit."""

    def gain_db(self, frequency_hz: Float[ndarray, " bins"]) -> Float[ndarray, " bins"]:
        """Gain at each frequency, within 12 dB, or -80 dB above the cutoff."""
        octaves = np.log2(np.maximum(frequency_hz, 50.0) / 1000.0)
        gain = self.tilt_db * octaves
        bumps = zip(self.centres_hz, self.widths_octaves, self.gains_db, strict=True)
        for centre, width, height in bumps:
            distance = (octaves - np.log2(centre / 1000.0)) / width
            gain = gain + height * np.exp(-0.5 * distance**2)
        gain = np.clip(gain, -_MAX_EQUALIZER_DB, _MAX_EQUALIZER_DB)
        if self.cutoff_hz:
            gain = np.where(frequency_hz > self.cutoff_hz, -80.0, gain)
        return gain


def random_equalizer(generator: np.random.Generator, cutoff_hz: float = 0.0) -> Equalizer:
    """Draw a microphone-like response: tilt up to 1.5 dB an octave and four bumps of about 3 dB."""
    return Equalizer(
        tilt_db=float(generator.uniform(-1.5, 1.0)),
        centres_hz=tuple(np.exp(generator.uniform(np.log(120), np.log(9000), 4)).tolist()),
        widths_octaves=tuple(generator.uniform(0.3, 1.0, 4).tolist()),
        gains_db=tuple(generator.normal(0.0, 3.0, 4).tolist()),
        cutoff_hz=cutoff_hz,
    )


def equalize(
    audio: Float32[ndarray, " samples"], equalizer: Equalizer, sample_rate_hz: int
) -> Float32[ndarray, " samples"]:
    """Filter with a linear-phase FIR of the equaliser's response; length and timing stay."""
    frequency_hz = np.fft.rfftfreq(_FILTER_TAPS + 1, 1 / sample_rate_hz)
    magnitude = 10 ** (equalizer.gain_db(frequency_hz) / 20)
    impulse = np.roll(np.fft.irfft(magnitude), _FILTER_TAPS // 2)[:_FILTER_TAPS]
    impulse *= np.hanning(_FILTER_TAPS)
    return fftconvolve(audio, impulse, mode="full")[
        _FILTER_TAPS // 2 : _FILTER_TAPS // 2 + len(audio)
    ].astype(np.float32)


def change_rate(
    audio: Float32[ndarray, " samples"], rate: float, from_hz: int, to_hz: int
) -> Float32[ndarray, " resampled"]:
    """Play audio `rate` times as fast, at a new sample rate: pitch and formants rise by `rate`."""
    return np.asarray(soxr.resample(audio, from_hz * rate, to_hz), dtype=np.float32)


def warp_formants(
    audio: Float32[ndarray, " samples"], ratio: float, sample_rate_hz: int
) -> Float32[ndarray, " samples"]:
    """Move the formants by a factor and leave the pitch.

    The spectral envelope (low quefrencies of each frame's cepstrum) is stretched along frequency,
    and the frame multiplied with new envelope / old envelope, at most 20 dB up or down.
    """
    if ratio == 1.0:
        return audio
    _, _, spectrum = stft(
        audio, nperseg=_FFT_SAMPLES, noverlap=_FFT_SAMPLES - _HOP_SAMPLES, padded=True
    )
    log_magnitude = np.log(np.abs(spectrum) + 1e-7)
    cepstrum = np.fft.irfft(log_magnitude, axis=0)
    kept = int(_ENVELOPE_SECONDS * sample_rate_hz)
    lifter = np.zeros(_FFT_SAMPLES)
    lifter[: kept + 1] = 0.5 + 0.5 * np.cos(np.pi * np.arange(kept + 1) / (kept + 1))
    lifter[-kept:] = lifter[kept:0:-1]
    envelope = np.fft.rfft(cepstrum * lifter[:, None], axis=0).real
    gain = _stretch(envelope, ratio) - envelope
    spectrum *= np.exp(np.clip(gain, -_MAX_WARP_GAIN, _MAX_WARP_GAIN))
    _, warped = istft(spectrum, nperseg=_FFT_SAMPLES, noverlap=_FFT_SAMPLES - _HOP_SAMPLES)
    return warped[: len(audio)].astype(np.float32)


def _stretch(
    envelope: Float[ndarray, "bins frames"], ratio: float
) -> Float[ndarray, "bins frames"]:
    """Value at bin k taken from bin k / ratio; beyond the top the last bin is repeated."""
    position = np.minimum(np.arange(len(envelope)) / ratio, len(envelope) - 1)
    below = np.minimum(position.astype(int), len(envelope) - 2)
    weight = (position - below)[:, None]
    return (1 - weight) * envelope[below] + weight * envelope[below + 1]
