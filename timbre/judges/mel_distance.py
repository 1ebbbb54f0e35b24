"""How far the sound is from a recording of the same words, after warping time."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.distance import cdist

from data.mel import AudioConfig, LogMel
from timbre.judges.clip import Clip, Measure

_POOLED_FRAMES = 2  # 21 ms: alignment at half the rate costs a quarter


class MelDistance:
    """`mel_distance`: mean absolute difference of natural-log mels, in nats, after time warping.

    Args:
        audio: Geometry of the mel.
        recordings: What clips of the same name are compared with; others are not measured.
    """

    def __init__(self, audio: AudioConfig, recordings: list[Clip]) -> None:
        self._audio = audio
        self._log_mel = LogMel(audio)
        self._mels = {clip.name: self._mel(clip) for clip in recordings}

    def __call__(self, clips: list[Clip]) -> dict[str, Measure]:
        """The distance of each clip to the recording of its name."""
        distances = [
            warped_distance(self._mel(clip), self._mels[clip.name])
            if clip.name in self._mels
            else math.nan
            for clip in clips
        ]
        return {"mel_distance": Measure(distances)}

    def _mel(self, clip: Clip) -> Float[ndarray, "frames mels"]:
        audio = torch.from_numpy(clip.at(self._audio.sample_rate_hz))[None]
        mel: ndarray = self._log_mel(audio)[0].numpy()
        frames = max(1, mel.shape[1] // _POOLED_FRAMES)
        pooled = mel[:, : frames * _POOLED_FRAMES].reshape(mel.shape[0], frames, -1).mean(axis=2)
        return np.ascontiguousarray(pooled.T)


def warped_distance(a: Float[ndarray, "a bands"], b: Float[ndarray, "b bands"]) -> float:
    """Mean cost a step of the cheapest path through the frames of both (dynamic time warping).

    Steps advance one sequence or both; the cost of a pair is the mean absolute difference of its
    bands. The path minimises the sum, which is then divided by the number of its pairs.
    """
    cost = cdist(a, b, "cityblock") / a.shape[1]
    rows, columns = cost.shape
    # Along an anti-diagonal no cell depends on another: one step of numpy for each.
    total = np.full((rows + 1, columns + 1), np.inf)
    length = np.zeros((rows + 1, columns + 1))
    total[0, 0] = 0.0
    for diagonal in range(2, rows + columns + 1):
        i = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        j = diagonal - i
        before = np.stack([total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]])
        lengths = np.stack([length[i - 1, j - 1], length[i - 1, j], length[i, j - 1]])
        best = before.argmin(axis=0)
        chosen = best, np.arange(len(i))
        total[i, j] = before[chosen] + cost[i - 1, j - 1]
        length[i, j] = lengths[chosen] + 1
    return float(total[rows, columns] / length[rows, columns])
