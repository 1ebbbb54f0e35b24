"""What the adversarial terms say about the balance of generator and discriminators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from timbre.doctor.curves import Curves, Series

if TYPE_CHECKING:
    from timbre.config import RunConfig
    from timbre.objective import AdversaryConfig

_UNDECIDED = {"lsgan": 0.5, "hinge": 2.0, "bce": 1.386, "wasserstein": 0.0}
"""The discriminators' loss where they only guess (losses/adversarial.py)."""
_LEAST_ROWS = 5
_SURE = 0.7
"""Share of the undecided loss below which discriminators are sure: healthy fine-tunes never came
below 0.97 of it; a rate that was 20 times too high brought 0.55."""
_ADV_RISEN = 1.15
"""A generator whose adversarial term is so many times above its lowest before loses the tug of
war; in healthy runs it falls until it rests."""
_PHASE = 3
"""Rows in a row that this must last."""
_UNDECIDED_LONG = 300
"""Updates after which discriminators that still guess have learned nothing; ours guess for the
first 100 to 200 of a fine-tune, which is healthy."""
_GUESSES = 0.53
"""Accuracy of a coin, with what batches differ by."""
_ERRATIC = 1.6
"""Times the undecided loss: worse than guessing is only who jumps from one wrong answer to the
other."""


@dataclass(frozen=True)
class Contest:
    """The curves of one adversary."""

    name: str
    """`adv` or `wave_adv`: the key of its configuration."""
    prefix: str
    """Of its columns: empty or `wave_`."""
    config: AdversaryConfig
    """Of the run."""
    disc: Series
    """The discriminators' loss."""
    adv: Series
    """The generator's adversarial loss."""
    accuracies: list[Series]
    """Of each sub-discriminator."""


def contests(curves: Curves, config: RunConfig) -> Iterator[Contest]:
    """The adversaries of a run that have something to show."""
    for prefix in ("", "wave_"):
        disc, adv = (curves.series(f"train/{prefix}{name}") for name in ("disc", "adv"))
        if min(len(disc), len(adv)) < _LEAST_ROWS:
            continue
        name = f"{prefix}adv"
        names = [n for n in curves.columns if n.startswith(f"train/{prefix}accuracy/")]
        accuracies = [curves.series(each) for each in names]
        yield Contest(name, prefix, getattr(config.objective, name), disc, adv, accuracies)


def dominates(contest: Contest) -> str | None:
    """The discriminators are, or were for long, sure of everything while the generator lost."""
    undecided = _UNDECIDED[contest.config.kind]
    rows = min(len(contest.disc), len(contest.adv))
    # Wasserstein's scores have no scale on which "sure" could be read.
    if not undecided or rows < _LEAST_ROWS:
        return None
    disc, adv = contest.disc.smooth[-rows:], contest.adv.smooth[-rows:]
    lowest = np.minimum.accumulate(contest.adv.values)[-len(adv) :]
    losing = (disc < _SURE * undecided) & (adv > _ADV_RISEN * lowest)
    runs = np.convolve(losing, np.ones(_PHASE), mode="valid") == _PHASE
    if not runs.any():
        return None
    last = int(np.flatnonzero(losing)[-1])
    updates = contest.disc.updates[-len(disc) :]
    return (
        f"train/{contest.prefix}disc fell to {disc[: last + 1].min():.2g} ({undecided:g} is "
        f"guessing) while train/{contest.name} rose from {lowest[losing][0]:.2g} to "
        f"{adv[losing].max():.2g}, until update {updates[last]:.0f}"
    )


def discriminator_dominance(curves: Curves, config: RunConfig) -> str | None:
    """The discriminators win, and the generator cannot answer."""
    seen = [dominates(contest) for contest in contests(curves, config)]
    return "; ".join(each for each in seen if each) or None


def degenerates(contest: Contest) -> str | None:
    """The discriminators still guess after long, or are worse than guessing."""
    undecided = _UNDECIDED[contest.config.kind]
    disc = contest.disc
    learned = disc.updates[-1] - disc.updates[0]
    if undecided and len(disc) >= 2 * _LEAST_ROWS:
        later = disc.since(disc.updates[0] + learned / 2)
        if len(later) >= _LEAST_ROWS and later.now > _ERRATIC * undecided:
            return (
                f"train/{contest.prefix}disc is {later.now:.2g}, worse than guessing "
                f"({undecided:g})"
            )
    shares = [accuracy.now for accuracy in contest.accuracies if len(accuracy)]
    if learned < _UNDECIDED_LONG or not shares or max(shares) > _GUESSES:
        return None
    return (
        f"after {learned:.0f} updates no sub-discriminator of {contest.name} is right more often "
        f"than {max(shares):.0%}"
    )


def discriminator_degenerate(curves: Curves, config: RunConfig) -> str | None:
    """What the discriminators teach is no use."""
    seen = [degenerates(contest) for contest in contests(curves, config)]
    return "; ".join(each for each in seen if each) or None
