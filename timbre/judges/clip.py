"""What judges hear (`Clip`) and what they answer (`Measure`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import soxr
from jaxtyping import Float32
from numpy import ndarray

from data.text.frontend import Phonemes

_RESAMPLES = 1000  # of the bootstrap: the interval's ends move by less than they are shown with


@dataclass(frozen=True)
class Clip:
    """One recording or one synthesised sentence."""

    name: str
    """What it is called in reports."""
    audio: Float32[ndarray, " samples"]
    """Waveform in [-1, 1]."""
    sample_rate_hz: int
    """Of the waveform."""
    text: str = ""
    """What should be heard; empty where it is not known."""
    phonemes: Phonemes | None = None
    """The same as phonemes; None where the text is not known."""
    language: str = ""
    """Of the text; empty where it is the one that is judged."""
    recording: str = ""
    """The reference recording that this clip is, or is a copy of; empty for free speech."""
    speaker: str = ""
    """Whose voice it is or should be; empty where all clips have one."""
    spent_seconds: float | None = None
    """Time that making it took."""

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.audio) / self.sample_rate_hz

    def at(self, sample_rate_hz: int) -> Float32[ndarray, " resampled"]:
        """The waveform at another sample rate."""
        if sample_rate_hz == self.sample_rate_hz:
            return self.audio
        resampled: ndarray = soxr.resample(self.audio, self.sample_rate_hz, sample_rate_hz)
        return resampled


@dataclass(frozen=True)
class Measure:
    """One quantity, measured on each clip.

    A rate such as word errors per word is a mean weighted by the number of words.
    """

    values: list[float]
    """One a clip; NaN where it cannot be measured."""
    weights: list[float] = field(default_factory=list)
    """One a clip; empty: all alike."""
    details: list[str] = field(default_factory=list)
    """What the judge understood of each clip, where that is text."""

    @property
    def mean(self) -> float:
        """Weighted mean over the clips that could be measured; NaN where there are none."""
        values, weights = self._measured()
        return float(np.average(values, weights=weights)) if weights.sum() > 0 else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the mean over the clips; the same at every call."""
        values, weights = self._measured()
        if weights.sum() <= 0:
            return math.nan, math.nan
        drawn = np.random.default_rng(0).integers(len(values), size=(_RESAMPLES, len(values)))
        totals = weights[drawn].sum(axis=1)
        means = (values * weights)[drawn].sum(axis=1)[totals > 0] / totals[totals > 0]
        low, high = np.quantile(means, (0.025, 0.975))
        return float(low), float(high)

    def capped(self, limit: float) -> Measure:
        """The same with no value above a limit."""
        return replace(self, values=[min(value, limit) for value in self.values])

    def _measured(self) -> tuple[ndarray, ndarray]:
        values = np.array(self.values, dtype=np.float64)
        weights = np.array(self.weights or [1.0] * len(values), dtype=np.float64)
        known = np.isfinite(values)
        return values[known], weights[known]


@runtime_checkable
class Judge(Protocol):
    """Measures named quantities of clips."""

    def __call__(self, clips: list[Clip]) -> dict[str, Measure]:
        """One measure, of as many values as there are clips, for each quantity."""
