"""What the curves say about the learning itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from timbre.doctor.curves import Curves

if TYPE_CHECKING:
    from timbre.config import RunConfig

_TERMS = ("rec", "semantic", "flow", "ctc", "tokenizer_rec", "wave_mel")
"""Terms that fall in every healthy run: no adversary and no annealing pushes them."""
_RISEN = 1.15
"""A term so many times above its lowest is going the wrong way; batches of one voice differ by some
per cent, and in its healthy runs none of these ever rose by more than 6."""
_NOTICEABLE = 0.05
"""Of where the term began: what has fallen to a hundredth may double without harm."""
_CLEAR = 4.5
"""Times the noise that a term must rise by: where batches hold few of many voices, the medians of
three rows differ by up to 4 with no learning at all."""
_PHASE = 2
"""Medians of three rows in a row that this must last, unless it is the newest."""
_WORSE_THAN_UNTUNED = 1.05
"""A fine-tune whose every validation is so much worse than its start has lost what the base knew
in the first updates; over-fitting makes held-out terms better before it makes them worse."""
_STUCK = 0.8
"""The seed guide's rec of a start; a run that stays above it learns nothing."""
_STUCK_UPDATES = 60
_STUCK_FALL = 0.97
"""A rec that over the last half fell less than this is not on its way down."""
_HELD_OUT_RISEN = 1.1
"""Held-out terms rise by some per cent in good fine-tunes too: measured, semantic by 3 %."""
_TRAINED_FALLEN = 0.95


def non_finite(curves: Curves, config: RunConfig) -> str | None:
    """A loss that is no number, or updates skipped because of one."""
    broken = [
        (int(row["update"]), name)
        for row in curves.rows
        for name, value in row.items()
        if name.startswith("train/") and not math.isfinite(value)
    ]
    if broken:
        return f"{broken[0][1]} is no number from update {broken[0][0]} on"
    skipped = curves.series("train/skipped")
    if len(skipped) and skipped.values.any():
        first = int(skipped.updates[skipped.values > 0][0])
        share = skipped.values.mean()
        return f"{share:.1%} of the updates were skipped as not finite, the first before {first}"
    return None


def learning_rate_too_high(curves: Curves, config: RunConfig) -> str | None:
    """A term that only ever falls in a healthy run has risen, or all was better before training."""
    seen = []
    for term in _TERMS:
        series = curves.series(f"train/{term}")
        if len(series) < 4 or series.lowest <= 0:
            continue
        smooth = series.smooth
        lowest = np.minimum.accumulate(smooth)
        least_rise = max(_NOTICEABLE * smooth[0], _CLEAR * series.noise)
        risen = (smooth > _RISEN * lowest) & (smooth - lowest > least_rise)
        if (np.convolve(risen, np.ones(_PHASE), mode="valid") == _PHASE).any() or risen[-1]:
            peak = int(np.where(risen, smooth / lowest, 0).argmax())
            seen.append(f"train/{term} rose from {lowest[peak]:.3g} to {smooth[peak]:.3g}")
    for term in ("rec", "flow", "semantic"):
        held_out = curves.series(f"val/{term}")
        if len(held_out) < 3 or held_out.updates[0] > 0:
            continue
        first, best = held_out.values[0], held_out.values[1:].min()
        if best > _WORSE_THAN_UNTUNED * first:
            seen.append(
                f"held-out {term} was {first:.3g} before any training, and never below "
                f"{best:.3g} since"
            )
    return "; ".join(seen) or None


def rec_stuck(curves: Curves, config: RunConfig) -> str | None:
    """The mel stays as far from the truth as it was at the start."""
    rec = curves.series("train/rec")
    if len(rec) < 6 or rec.updates[-1] < _STUCK_UPDATES or rec.now <= _STUCK:
        return None
    halfway = rec.at((rec.updates[0] + rec.updates[-1]) / 2)
    if rec.now < _STUCK_FALL * halfway:
        return None
    return (
        f"train/rec is still {rec.now:.2f} at update {curves.update} (halfway it was {halfway:.2f})"
    )


def overfitting(curves: Curves, config: RunConfig) -> str | None:
    """Held-out terms rise while training's own go on falling."""
    seen = []
    for term in _TERMS:
        held_out, trained = curves.series(f"val/{term}"), curves.series(f"train/{term}")
        if len(held_out) < 2 or len(trained) < 4:
            continue
        lowest = int(held_out.values.argmin())
        least, now = held_out.values[lowest], held_out.values[-1]
        falls = trained.now < _TRAINED_FALLEN * trained.at(held_out.updates[lowest])
        if now > _HELD_OUT_RISEN * least and falls:
            seen.append(
                f"held-out {term} rose from {least:.3g} (update {int(held_out.updates[lowest])}) "
                f"to {now:.3g} while training's fell to {trained.now:.3g}"
            )
    return "; ".join(seen) or None
