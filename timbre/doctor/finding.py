"""What a rule is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from timbre.doctor.curves import Curves

if TYPE_CHECKING:
    from timbre.config import RunConfig


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a run."""

    id: str
    """Name of the diagnosis, e.g. `posterior_collapse`."""
    evidence: str
    """What was seen, with numbers."""
    meaning: str
    """What it means, in plain words."""
    overrides: list[str] = field(default_factory=list)
    """What to paste behind `python scripts/train.py …` for the next run, best first."""
    advice: str = ""
    """What to do that is no override."""

    @property
    def line(self) -> str:
        """One line, beginning with the id."""
        return f"{self.id}: {self.evidence}"


@dataclass(frozen=True)
class Rule:
    """One diagnosis."""

    id: str
    """Name of the diagnosis."""
    meaning: str
    """What it means and what comes of it, in plain words."""
    sees: Callable[[Curves, RunConfig], str | None]
    """The evidence, or None where all is well."""
    overrides: Callable[[Curves, RunConfig], list[str]]
    """What to change, best first, with the run's own numbers."""
    shows: tuple[str, ...] = ()
    """Columns to look at."""
    advice: str = ""
    """What to do that is no override."""
    remedy: str = ""
    """What `doctor.act=true` does about it, a name of timbre/doctor/treatment.py; empty: nothing is
    safe to do during a run."""

    def __call__(self, curves: Curves, config: RunConfig) -> Finding | None:
        """The finding, if this rule has one."""
        evidence = self.sees(curves, config)
        if evidence is None:
            return None
        overrides = self.overrides(curves, config)
        return Finding(self.id, evidence, self.meaning, overrides, self.advice)
