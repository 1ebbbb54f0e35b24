"""How alike a clip and a speaker's recordings are: cosine to the mean of their voice vectors."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from timbre.judges.clip import Clip, Measure

Embed = Callable[[Clip], Float[ndarray, " channels"]]


class Similarity:
    """Utterance-to-centroid cosine.

    A clip is compared with the recordings of its speaker; if it is one of them, or a copy of it,
    with the others only: otherwise it would be compared with itself.

    Args:
        name: What the measure is called.
        embed: Voice vector of a clip.
        recordings: Held-out recordings of the speakers; never the ones that a voice was made from.

    Raises:
        ValueError: There are no recordings.
    """

    def __init__(self, name: str, embed: Embed, recordings: list[Clip]) -> None:
        if not recordings:
            raise ValueError("similarity needs at least one recording to compare with")
        self._name = name
        self._embed = embed
        self._known = [(c.speaker, c.recording, _unit(embed(c))) for c in recordings]

    def __call__(self, clips: list[Clip]) -> dict[str, Measure]:
        """The similarity of each clip, from -1 to 1."""
        return {self._name: Measure([self._of(clip) for clip in clips])}

    def _of(self, clip: Clip) -> float:
        others = [
            vector
            for speaker, recording, vector in self._known
            if speaker == clip.speaker and recording != clip.recording
        ]
        if not others:
            return math.nan
        vector, centroid = _unit(self._embed(clip)), _unit(np.mean(others, axis=0))
        return float(vector @ centroid)


def _unit(vector: Float[ndarray, " channels"]) -> Float[ndarray, " channels"]:
    unit: ndarray = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return unit
