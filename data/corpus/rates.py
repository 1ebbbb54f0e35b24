"""Clips whose length does not fit their text, found per speaker."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from data.manifest import Utterance
from data.speaking_rate import length_outliers


def misfits(utterances: Sequence[Utterance], deviations: float, tolerance: float) -> set[str]:
    """Ids of the clips that are much longer or shorter than their speaker needs for the text.

    Speakers with fewer than 20 clips have none; see `length_outliers` for the limits.
    """
    by_speaker: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker].append(utterance)
    found: set[str] = set()
    for clips in by_speaker.values():
        letters = np.array([sum(map(str.isalnum, clip.text)) for clip in clips], dtype=np.float64)
        seconds = np.array([clip.seconds for clip in clips])
        wrong = length_outliers(letters, seconds, deviations, tolerance)
        found |= {clip.id for clip, is_wrong in zip(clips, wrong, strict=True) if is_wrong}
    return found
