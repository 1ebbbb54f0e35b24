"""Loudness of a clip (ITU-R BS.1770)."""

import warnings

import numpy as np
from jaxtyping import Float32
from numpy import ndarray


def loudness_lufs(audio: Float32[ndarray, " samples"], rate_hz: int) -> float:
    """Return the integrated loudness; minus infinity for silence.

    Args:
        audio: at least 0.4 s.
        rate_hz: sample rate.
    """
    import pyloudnorm

    with warnings.catch_warnings():
        # The logarithm of silence is minus infinity, and that is the answer.
        warnings.simplefilter("ignore")
        return float(pyloudnorm.Meter(rate_hz).integrated_loudness(audio))


def set_loudness(
    audio: Float32[ndarray, " samples"], rate_hz: int, lufs: float, peak: float
) -> Float32[ndarray, " samples"]:
    """Scale to a loudness, or less where a sample would pass `peak`.

    Raises:
        ValueError: the audio is silent.
    """
    loudness = loudness_lufs(audio, rate_hz)
    if not np.isfinite(loudness):
        raise ValueError("silence has no loudness that could be set")
    gain = min(10 ** ((lufs - loudness) / 20), peak / float(np.abs(audio).max()))
    return (audio * gain).astype(np.float32)
