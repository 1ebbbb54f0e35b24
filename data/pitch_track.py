"""F0 targets: the pitch of a recording, one value a mel frame."""

from importlib import metadata

import numpy as np
import soxr
import swift_f0
from jaxtyping import Float32
from numpy import ndarray

from data.mel import AudioConfig

PITCH_MIN_HZ = 50.0
PITCH_MAX_HZ = 1000.0
"""Range searched: from creaky bass voices to children who shout."""

_VOICED_CONFIDENCE = 0.5  # the detector's own calibration: voiced from here on


def pitch_method() -> str:
    """Return a text that changes whenever `PitchTracker` may answer differently."""
    version = metadata.version("swift-f0")
    return f"swift-f0 {version}, {PITCH_MIN_HZ}-{PITCH_MAX_HZ} Hz, log-linear to mel frames, 1"


class PitchTracker:
    """SwiftF0 (arXiv 2508.18440), its 16 ms frames interpolated to the frames of our mel.

    Frame t of the mel is centred at sample `t * hop + hop / 2`; frame i of SwiftF0 at 16 kHz
    sample `256 * i` (checked with chirps: within 1 ms). On one core it runs at about 180 times
    real time, resampling included.
    """

    def __init__(self, config: AudioConfig) -> None:
        self._config = config
        # One thread: features are made by one process a core.
        self._detector = swift_f0.SwiftF0(threads=1, spin=False)

    def __call__(self, audio: Float32[ndarray, " samples"]) -> Float32[ndarray, " frames"]:
        """Return the pitch in Hz of each mel frame, 0 where it is unvoiced.

        Args:
            audio: waveform at the configured sample rate, with at least one hop of samples.
        """
        config = self._config
        resampled = soxr.resample(audio, config.sample_rate_hz, swift_f0.SAMPLE_RATE)
        result = self._detector.detect(
            resampled, swift_f0.SAMPLE_RATE, fmin=PITCH_MIN_HZ, fmax=PITCH_MAX_HZ
        )
        frames = len(audio) // config.hop_samples
        seconds = (np.arange(frames) + 0.5) * config.hop_samples / config.sample_rate_hz
        voiced = result.confidence >= _VOICED_CONFIDENCE
        if not voiced.any():
            return np.zeros(frames, dtype=np.float32)
        # Only voiced neighbours: a guess in silence would bend the pitch at the edges of a vowel.
        log_hz = np.interp(seconds, result.timestamps[voiced], np.log(result.pitch_hz[voiced]))
        confidence = np.interp(seconds, result.timestamps, result.confidence)
        return np.where(confidence >= _VOICED_CONFIDENCE, np.exp(log_hz), 0.0).astype(np.float32)
