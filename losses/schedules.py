"""Schedules of loss weights and learning rates: pure functions of the update.

An update is one optimizer step of the generator, counted from 0, so that a resumed run continues
where it was without any state.
"""

import math
from dataclasses import dataclass

ANNEALING_KINDS = ("constant", "linear", "cyclical", "sigmoid")
RATE_KINDS = ("constant", "exponential", "cosine", "cosine_restarts")


@dataclass(frozen=True)
class Annealing:
    """Weight that grows from `low` to `high`, as for the KL term.

    With t = clamp((update - start) / updates, 0, 1):

    - constant: high from `start` on.
    - linear: low + (high - low) t; Bowman et al., arXiv 1511.06349, section 3.1.
    - sigmoid: the logistic curve of the same paper, over 12 units of its argument, scaled so that
      it begins at `low` and ends at `high` exactly.
    - cyclical: `cycles` equal cycles over `updates`, in each a linear ramp over the first
      `ramp_share` and `high` for the rest; after the last one `high`. Fu et al., arXiv 1903.10145,
      eqs. 6-7 (M = cycles, R = ramp_share, T = updates). Each restart lets the latent be used anew;
      the choice when linear annealing still collapses.

    Raises:
        ValueError: An impossible field.
    """

    kind: str = "linear"
    """One of `ANNEALING_KINDS`."""
    start: int = 0
    """Updates that pass at `low` before the growth begins."""
    updates: int = 1000
    """Updates that the growth (all cycles together) takes; unused by `constant`."""
    low: float = 0.0
    """Weight before and at the beginning."""
    high: float = 1.0
    """Weight at the end."""
    cycles: int = 4
    """Number of cycles of `cyclical`."""
    ramp_share: float = 0.5
    """Part of each cycle of `cyclical` that grows, in (0, 1]."""

    def __post_init__(self) -> None:
        if self.kind not in ANNEALING_KINDS:
            raise ValueError(f"unknown annealing kind {self.kind!r}: use one of {ANNEALING_KINDS}")
        if self.start < 0 or self.updates < 1 or self.cycles < 1:
            raise ValueError("annealing needs start >= 0, updates >= 1 and cycles >= 1")
        if not 0 < self.ramp_share <= 1:
            raise ValueError(f"ramp_share is {self.ramp_share}: give a number in (0, 1]")

    def at(self, update: int | float) -> float:
        """Return the weight at `update`, or after so many epochs if `updates` counts those."""
        return self.low + (self.high - self.low) * self._progress(update)

    def _progress(self, update: int | float) -> float:
        if update < self.start:
            return 0.0
        if self.kind == "constant" or update >= self.start + self.updates:
            return 1.0
        share = (update - self.start) / self.updates
        if self.kind == "linear":
            return share
        if self.kind == "sigmoid":
            edge = _logistic(-6.0)
            return (_logistic(12.0 * share - 6.0) - edge) / (1 - 2 * edge)
        return min(share * self.cycles % 1.0 / self.ramp_share, 1.0)


@dataclass(frozen=True)
class RateSchedule:
    """Multiplier of the learning rate, with warm-up.

    During the first `warmup` updates the multiplier grows linearly, (update + 1) / (warmup + 1), so
    that the first step is not lost. Then, with n = update - warmup:

    - constant: 1.
    - exponential: max(final, decay^(n / decay_updates)).
    - cosine: final + (1 - final) (1 + cos(pi n / updates)) / 2 until n = updates, then `final`.
    - cosine_restarts: the same, begun anew each time it ends, every period `growth` times as long
      as the one before. Loshchilov & Hutter (SGDR), arXiv 1608.03983, eq. 5 (T_0 = updates,
      T_mult = growth).

    Raises:
        ValueError: An impossible field.
    """

    kind: str = "cosine"
    """One of `RATE_KINDS`."""
    warmup: int = 0
    """Updates of linear warm-up."""
    updates: int = 1000
    """Updates after the warm-up until the end of the cosine, or of its first period."""
    final: float = 0.0
    """Multiplier that decay ends at, in [0, 1]."""
    decay: float = 0.999
    """Factor of `exponential` per `decay_updates`, in (0, 1]."""
    decay_updates: int = 1
    """Updates over which `exponential` multiplies by `decay` once."""
    growth: float = 1.0
    """Factor by which each period of `cosine_restarts` is longer than the last, at least 1."""

    def __post_init__(self) -> None:
        if self.kind not in RATE_KINDS:
            raise ValueError(f"unknown rate kind {self.kind!r}: use one of {RATE_KINDS}")
        if self.warmup < 0 or self.updates < 1 or self.decay_updates < 1:
            raise ValueError("a rate needs warmup >= 0, updates >= 1 and decay_updates >= 1")
        if not 0 <= self.final <= 1:
            raise ValueError(f"final is {self.final}: give a multiplier in [0, 1]")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay is {self.decay}: give a factor in (0, 1]")
        if self.growth < 1:
            raise ValueError(f"growth is {self.growth}: give a factor of at least 1")

    def at(self, update: int) -> float:
        """Return the multiplier for the optimizer step number `update`."""
        if update < self.warmup:
            return (update + 1) / (self.warmup + 1)
        elapsed = update - self.warmup
        if self.kind == "constant":
            return 1.0
        if self.kind == "exponential":
            return max(self.final, self.decay ** (elapsed / self.decay_updates))
        if self.kind == "cosine":
            return self._cosine(min(elapsed / self.updates, 1.0))
        return self._cosine(self._share_of_period(elapsed))

    def _cosine(self, share: float) -> float:
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))

    def _share_of_period(self, elapsed: int) -> float:
        if self.growth == 1:
            return elapsed % self.updates / self.updates
        # The end of period k is updates * (growth^k - 1) / (growth - 1): solve for k, round down.
        ratio = 1 + elapsed * (self.growth - 1) / self.updates
        period = math.floor(math.log(ratio, self.growth) + 1e-9)
        length = self.updates * self.growth**period
        begin = self.updates * (self.growth**period - 1) / (self.growth - 1)
        return min(max((elapsed - begin) / length, 0.0), 1.0)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
