"""How alike a clip and a speaker's recordings are, by what a judge knows of voices."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from timbre.judges.clip import Clip, Measure

Embed = Callable[[Clip], Float[ndarray, " channels"]]
Likeness = Callable[[Float[ndarray, " channels"], Float[ndarray, " channels"]], float]


def cosine(one: Float[ndarray, " channels"], other: Float[ndarray, " channels"]) -> float:
    """Cosine of the angle between two vectors; 0 if one of them is 0."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0


class Similarity:
    """Likeness of a clip to the mean of a speaker's recordings.

    A clip is compared with the recordings of its speaker; if it is one of them, or a copy of it,
    with the others only: otherwise it would be compared with itself.

    Args:
        name: What the measure is called.
        embed: Vector of a clip's voice.
        recordings: Held-out recordings of the speakers; never the ones that a voice was made from.
        likeness: Of two vectors.

    Raises:
        ValueError: There are no recordings.
    """

    def __init__(
        self, name: str, embed: Embed, recordings: list[Clip], likeness: Likeness = cosine
    ) -> None:
        if not recordings:
            raise ValueError("similarity needs at least one recording to compare with")
        self._name = name
        self._embed = embed
        self._likeness = likeness
        self._known = [(clip.speaker, clip.recording, embed(clip)) for clip in recordings]

    def __call__(self, clips: list[Clip]) -> dict[str, Measure]:
        """The likeness of each clip; NaN where there is nothing to compare it with."""
        return {self._name: Measure([self._of(clip) for clip in clips])}

    def _of(self, clip: Clip) -> float:
        others = [
            vector
            for speaker, recording, vector in self._known
            if speaker == clip.speaker and recording != clip.recording
        ]
        if not others:
            return math.nan
        return self._likeness(self._embed(clip), np.mean(others, axis=0))
