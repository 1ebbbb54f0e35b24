"""Clips whose length does not fit what is said in them."""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

LEAST_CLIPS = 20
"""Fewer clips of a speaker do not tell what is usual."""
_ROUNDS = 15
_MIN_EXPECTED_SECONDS = 0.2


def length_outliers(
    units: Float[ndarray, " clips"],
    seconds: Float[ndarray, " clips"],
    deviations: float,
    tolerance: float,
) -> Bool[ndarray, " clips"]:
    """Return which clips of one speaker are much longer or shorter than their text needs.

    A line, seconds = a + b · units, is fitted by least absolute relative deviations; a clip is an
    outlier if the logarithm of its length over the line's is off by more than `deviations` robust
    standard deviations and by more than the factor `tolerance`. With fewer than 20 clips there are
    no outliers.

    Args:
        units: letters or phonemes of each clip.
        seconds: length of each clip.
        deviations: limit in robust standard deviations.
        tolerance: factor that is never too much.
    """
    if len(units) < LEAST_CLIPS:
        return np.zeros(len(units), dtype=bool)
    error = _log_error(units, seconds)
    spread = 1.4826 * np.median(np.abs(error))
    outliers: ndarray = np.abs(error) > max(deviations * spread, np.log(tolerance))
    return outliers


def _log_error(
    units: Float[ndarray, " clips"], seconds: Float[ndarray, " clips"]
) -> Float[ndarray, " clips"]:
    """Logarithm of each length over the fitted one; the median is 0."""
    design = np.stack([np.ones_like(units), units], axis=1)
    expected = seconds
    weight = 1 / seconds
    for _ in range(_ROUNDS):
        line, *_ = np.linalg.lstsq(design * weight[:, None], seconds * weight, rcond=None)
        expected = np.maximum(design @ line, _MIN_EXPECTED_SECONDS)
        # Weights 1/|relative error| turn least squares into least absolute deviations.
        error = np.abs(seconds / expected - 1)
        weight = 1 / (expected * np.sqrt(np.maximum(error, 0.02)))
    log_ratio = np.log(seconds / expected)
    return log_ratio - np.median(log_ratio)
