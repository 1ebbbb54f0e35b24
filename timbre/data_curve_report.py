"""The data curve as `curve.json`, as a table and as a picture."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from data.errors import InputError
from data.files import write_whole
from timbre.evaluation_report import COLUMNS, Row
from timbre.plots import save_figure

_KEPT = ("wer", "phoneme_error", "similarity", "dnsmos")
_PANELS = (("similarity", "similarity"), ("wer", "word errors, %"))
_ZERO_DECADES = 0.5  # how far left of the smallest amount 0 stands: a logarithm has no place for it


@dataclass(frozen=True)
class Estimate:
    """A measure over all sentences; null in the file where it could not be taken."""

    mean: float | None
    """Its mean."""
    low: float | None
    """Lower end of the mean's 95 % interval."""
    high: float | None
    """Upper end."""


@dataclass(frozen=True)
class Point:
    """What one amount of speech gave."""

    seconds: float
    """Asked for; 0: not trained."""
    used_seconds: float
    """Length of the recordings that were trained on."""
    clips: int
    """Their number."""
    minutes: float
    """That training took."""
    updates: int
    """After which the voice is taken; 0: no training made it better."""
    measures: dict[str, Estimate]
    """What the judges say."""


@dataclass
class Curve:
    """Results so far."""

    settings: dict[str, Any]
    """What all amounts have in common; results under others do not belong here."""
    human: dict[str, Estimate]
    """What the judges say of the speaker's held-out recordings."""
    points: list[Point] = field(default_factory=list)
    """By amount."""
    trained: list[float] = field(default_factory=list)
    """Amounts whose training has ended, judged or not."""

    def add(self, point: Point) -> None:
        """Enters one result."""
        self.points = sorted([*self.points, point], key=lambda each: each.seconds)

    def save(self, path: Path) -> None:
        """Writes the file; it appears complete or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(path, text + "\n")

    @classmethod
    def load(cls, path: Path) -> Curve:
        """Reads the file.

        Raises:
            InputError: It is no such file.
        """
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            points = [
                Point(**{**point, "measures": _read_estimates(point["measures"])})
                for point in saved["points"]
            ]
            human = _read_estimates(saved["human"])
            return cls(saved["settings"], human, points, list(saved["trained"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} cannot be read ({error}); name another folder with output=DIR, or delete "
                "the file to judge every amount anew"
            ) from error


def estimates(row: Row) -> dict[str, Estimate]:
    """The measures of a judged row that a curve shows."""
    return {
        key: Estimate(*(_known(value) for value in (measure.mean, *measure.interval)))
        for key, measure in row.measures.items()
        if key in _KEPT
    }


def table(curve: Curve) -> str:
    """The curve as a Markdown table; intervals in brackets."""
    rows = [point.measures for point in curve.points] + [curve.human]
    columns = [c for c in COLUMNS if c[0] in _KEPT and any(_measured(row, c[0]) for row in rows)]
    titles = ["seconds", "used", "clips", "minutes", *(title for _, title, *_ in columns)]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for point in curve.points:
        facts = [f"{point.used_seconds:.1f}", f"{point.clips}", f"{point.minutes:.1f}"]
        cells = [f"{point.seconds:g}", *facts]
        cells += [_cell(point.measures.get(c[0]), c[2], c[3]) for c in columns]
        lines.append("| " + " | ".join(cells) + " |")
    human = [_cell(curve.human.get(c[0]), c[2], c[3]) for c in columns]
    lines.append("| " + " | ".join(["human", "", "", "", *human]) + " |")
    return "\n".join(lines)


def write_report(folder: Path, curve: Curve) -> None:
    """Writes `data_curve.md` and `curve.png`."""
    lines = [
        f"# How much speech does `{curve.settings['data']}` need?",
        "",
        table(curve),
        "",
        "Each row but 0 and human is a fine-tune of its own, of the first recordings that last so",
        "long. 0: the un-tuned start, given the voice by the mean of its recordings. human: the",
        "speaker's held-out recordings. In brackets: 95 % intervals over the sentences.",
        "",
        "![similarity and word errors over seconds of speech](curve.png)",
    ]
    write_whole(folder / "data_curve.md", "\n".join(lines) + "\n")
    plot(folder / "curve.png", curve)


def plot(path: Path, curve: Curve) -> None:
    """Draws similarity and word errors over the seconds, with what humans reach as a dashed line.

    Args:
        path: PNG file.
        curve: With one point or more.
    """
    amounts = [point.seconds for point in curve.points]
    where = positions(amounts)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, (key, title) in zip(axes, _PANELS, strict=True):
        _draw(axis, curve, key, where)
        axis.set_title(title, fontsize=10)
        axis.set_xticks(where, [f"{amount:g}" for amount in amounts])
        axis.minorticks_off()
        axis.set_xlabel("seconds of speech")
        axis.grid(alpha=0.3)
    save_figure(figure, path, dpi=110)


def positions(amounts: list[float]) -> list[float]:
    """Where amounts stand on the axis: by their logarithm, and 0 left of the smallest."""
    positive = [amount for amount in amounts if amount > 0]
    zero = math.log10(min(positive, default=1.0)) - _ZERO_DECADES
    return [math.log10(amount) if amount > 0 else zero for amount in amounts]


def _draw(axis: Axes, curve: Curve, key: str, where: list[float]) -> None:
    factor = next(c[2] for c in COLUMNS if c[0] == key)
    known = [
        (x, estimate.mean * factor, (estimate.low or 0.0) * factor, (estimate.high or 0.0) * factor)
        for x, point in zip(where, curve.points, strict=True)
        if (estimate := point.measures.get(key)) is not None and estimate.mean is not None
    ]
    if not known:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center")
        return
    x, mean, low, high = zip(*known, strict=True)
    bars = [
        # A bootstrap interval need not hold the mean to the last digit.
        [max(0.0, m - end) for m, end in zip(mean, low, strict=True)],
        [max(0.0, end - m) for m, end in zip(mean, high, strict=True)],
    ]
    axis.errorbar(x, mean, yerr=bars, fmt="o-", capsize=3, markersize=4, label="voice")
    human = curve.human.get(key)
    if human is not None and human.mean is not None:
        axis.axhline(human.mean * factor, linestyle="--", color="grey", label="human recordings")
    axis.legend(fontsize=8)


def _measured(row: dict[str, Estimate], key: str) -> bool:
    return key in row and row[key].mean is not None


def _cell(estimate: Estimate | None, factor: int, digits: int) -> str:
    if estimate is None or estimate.mean is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean * factor:.{digits}f}"
    ends = (f"{end * factor:.{digits}f}" for end in (estimate.low, estimate.high))
    return f"{estimate.mean * factor:.{digits}f} ({' to '.join(ends)})"


def _known(value: float) -> float | None:
    """JSON has no NaN: null."""
    return value if math.isfinite(value) else None


def _read_estimates(saved: dict[str, dict[str, Any]]) -> dict[str, Estimate]:
    return {key: Estimate(**values) for key, values in saved.items()}
