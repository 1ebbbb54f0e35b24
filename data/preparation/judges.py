"""Judges of a clip's sound and of whose voice it is; those that are not installed are skipped."""

import importlib
import importlib.util
import warnings
from typing import Any, Protocol, runtime_checkable

import numpy as np
import soxr
import swift_f0
from jaxtyping import Float32, Float64
from numpy import ndarray

from data.preparation.spectrum import band_levels, power_spectra

_SAMPLE_RATE_HZ = 16_000
_SHORTEST_SAMPLES = 4800  # Resemblyzer's own activity detector may leave less
_BANDS = 32
_HIGHEST_HZ = 5000.0
_PITCH_WEIGHT = 4.0
_SPREAD_WEIGHT = 0.3  # how levels vary depends on the words of a short clip more than on the voice
DNSMOS_INSTALL = "pip install --no-deps speechmos requests tqdm"
RESEMBLYZER_INSTALL = "pip install --no-deps resemblyzer webrtcvad-wheels 'setuptools<81'"


@runtime_checkable
class VoiceEmbedding(Protocol):
    """Tells voices apart."""

    name: str
    """Which one; results of different ones do not compare."""

    def __call__(
        self, audio: Float32[ndarray, " samples"], rate_hz: int
    ) -> Float64[ndarray, " channels"]:
        """Return the voice of a clip."""


class Resemblyzer:
    """GE2E speaker vectors (arXiv 1710.10467, Apache-2.0, weights in the package).

    Raises:
        ImportError: it is not installed.
    """

    name = "resemblyzer"

    def __init__(self) -> None:
        self._package = _import("resemblyzer")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._encoder = self._package.VoiceEncoder("cpu", verbose=False)

    def __call__(
        self, audio: Float32[ndarray, " samples"], rate_hz: int
    ) -> Float64[ndarray, " channels"]:
        """Return the voice of a clip, a unit vector."""
        resampled = np.clip(soxr.resample(audio, rate_hz, _SAMPLE_RATE_HZ), -1.0, 1.0)
        speech = self._package.preprocess_wav(resampled)
        heard = speech if len(speech) >= _SHORTEST_SAMPLES else resampled
        return np.asarray(self._encoder.embed_utterance(heard), dtype=np.float64)


class PitchAndTimbre:
    """A coarse voice vector that needs no model: mean and spread of band levels, and the pitch.

    It tells a man from a woman, and voices from unlike rooms, but not two alike voices: of clips of
    another speaker among 10 to 40 it finds a third, and takes one own clip in 1000 for one.
    """

    name = "pitch and timbre"
    weights = np.repeat([1.0, _SPREAD_WEIGHT, 1.0], [_BANDS, _BANDS, 1])
    """Of the values in a distance; they sum to 1."""
    weights /= weights.sum()

    def __init__(self) -> None:
        self._pitch = swift_f0.SwiftF0(threads=1, spin=False)

    def __call__(
        self, audio: Float32[ndarray, " samples"], rate_hz: int
    ) -> Float64[ndarray, " channels"]:
        """Return the voice of a clip; distances are in units of the voice's own spread."""
        levels = band_levels(power_spectra(audio, rate_hz), rate_hz, _BANDS, _HIGHEST_HZ)
        energy = levels.max(axis=1)
        loud = levels[energy > np.quantile(energy, 0.9) - 6.0]
        timbre = loud.mean(axis=0)
        result = self._pitch.detect(
            soxr.resample(audio, rate_hz, _SAMPLE_RATE_HZ), _SAMPLE_RATE_HZ, fmin=60.0, fmax=500.0
        )
        voiced = result.pitch_hz[result.confidence >= 0.5]
        pitch = np.median(np.log(voiced)) if len(voiced) else np.log(150.0)
        parts = [timbre - timbre.mean(), loud.std(axis=0), [_PITCH_WEIGHT * pitch]]
        return np.concatenate(parts).astype(np.float64)


class SoundQuality:
    """DNSMOS P.835 (arXiv 2110.01763, MIT): overall opinion score, 1 to 5.

    Raises:
        ImportError: speechmos is not installed.
    """

    def __init__(self) -> None:
        self._package = _import("speechmos.dnsmos")

    def __call__(self, audio: Float32[ndarray, " samples"], rate_hz: int) -> float:
        """Return the score of a clip."""
        resampled = np.clip(soxr.resample(audio, rate_hz, _SAMPLE_RATE_HZ), -1.0, 1.0)
        return float(self._package.run(resampled, sr=_SAMPLE_RATE_HZ)["ovrl_mos"])


def is_installed(judge: type[Resemblyzer] | type[SoundQuality]) -> bool:
    """Whether an optional judge's package is there, found out without importing it."""
    package = "resemblyzer" if judge is Resemblyzer else "speechmos"
    return importlib.util.find_spec(package) is not None


def _import(module: str) -> Any:
    with warnings.catch_warnings():
        # These packages are old: they import what their own dependencies deprecate.
        warnings.simplefilter("ignore")
        return importlib.import_module(module)
