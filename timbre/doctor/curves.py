"""The curves of a run as rules see them: one column, its beginning, its lowest, and now."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from timbre.metrics import Row, curve

_RECENT = 3
"""Rows whose median is "now": one odd row is no finding."""


@dataclass(frozen=True)
class Series:
    """The finite values of one column."""

    updates: Float64[ndarray, " rows"]
    """Update of each value."""
    values: Float64[ndarray, " rows"]
    """The values."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def smooth(self) -> Float64[ndarray, " windows"]:
        """Median of each window of three rows, or the values where there are fewer."""
        if len(self) < _RECENT:
            return self.values
        windows = np.lib.stride_tricks.sliding_window_view(self.values, _RECENT)
        return np.asarray(np.median(windows, axis=1))

    @property
    def noise(self) -> float:
        """Standard deviation of a value between neighbouring rows: what batches differ by."""
        steps = np.abs(np.diff(self.values))
        return float(1.4826 * np.median(steps) / math.sqrt(2)) if len(steps) else 0.0

    @property
    def now(self) -> float:
        """Median of the newest three rows."""
        return float(self.smooth[-1])

    @property
    def lowest(self) -> float:
        """The lowest median of three rows in a row."""
        return float(self.smooth.min())

    @property
    def highest(self) -> float:
        """The highest median of three rows in a row."""
        return float(self.smooth.max())

    def at(self, update: float) -> float:
        """The median of three rows that ends nearest to `update`."""
        ends = self.updates[len(self) - len(self.smooth) :]
        return float(self.smooth[np.abs(ends - update).argmin()])

    def since(self, update: float) -> Series:
        """The part after `update`."""
        chosen = self.updates > update
        return Series(self.updates[chosen], self.values[chosen])


@dataclass(frozen=True)
class Curves:
    """All columns of a run.

    Args:
        rows: Of metrics.csv, ascending.
    """

    rows: list[Row]

    @property
    def update(self) -> int:
        """The newest row's update; 0 without rows."""
        return int(self.rows[-1]["update"]) if self.rows else 0

    @property
    def columns(self) -> list[str]:
        """All columns but `update`."""
        return [name for name in dict.fromkeys(n for r in self.rows for n in r) if name != "update"]

    def series(self, name: str) -> Series:
        """The finite values of one column; empty where there is no such column."""
        updates, values = curve(self.rows, name)
        pairs = np.array([updates, values], dtype=np.float64).reshape(2, -1)
        finite = np.isfinite(pairs[1])
        return Series(pairs[0, finite], pairs[1, finite])

    def since(self, update: int) -> Curves:
        """The rows after `update`; facts about the data are kept."""
        facts = {n: v for row in self.rows for n, v in row.items() if n.startswith("data/")}
        later = [row for row in self.rows if row["update"] > update]
        return Curves([later[0] | facts, *later[1:]] if later else [])
