"""Clips whose length does not fit their text, found per speaker."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from data.manifest import Utterance

_MIN_CLIPS = 20
_ROUNDS = 15
_MIN_EXPECTED_SECONDS = 0.2


def misfits(utterances: Sequence[Utterance], deviations: float, tolerance: float) -> set[str]:
    """Ids of the clips that are much longer or shorter than their speaker needs for the text.

    For every speaker with at least 20 clips a line, seconds = a + b · letters, is fitted by least
    absolute relative deviations; a clip is a misfit if the logarithm of its length over the line's
    is off by more than `deviations` robust standard deviations and by more than the factor
    `tolerance`.
    """
    by_speaker: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker].append(utterance)
    found: set[str] = set()
    for clips in by_speaker.values():
        if len(clips) < _MIN_CLIPS:
            continue
        letters = np.array([sum(map(str.isalnum, clip.text)) for clip in clips], dtype=np.float64)
        seconds = np.array([clip.seconds for clip in clips])
        error = _log_error(letters, seconds)
        spread = 1.4826 * np.median(np.abs(error))
        wrong = np.abs(error) > max(deviations * spread, np.log(tolerance))
        found |= {clip.id for clip, is_wrong in zip(clips, wrong, strict=True) if is_wrong}
    return found


def _log_error(
    letters: Float[ndarray, " clips"], seconds: Float[ndarray, " clips"]
) -> Float[ndarray, " clips"]:
    """Logarithm of each length over the fitted one; the median is 0."""
    design = np.stack([np.ones_like(letters), letters], axis=1)
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
