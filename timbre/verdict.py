"""In plain words: did fine-tuning help, by how much, and how far is it from the human?"""

from __future__ import annotations

from collections.abc import Sequence

from timbre.config import ValidationConfig

Row = dict[str, float]

_DOUBTFUL = 0.3
"""Share of errors on human recordings from which on the report doubts the judge."""

_SHOWN = (
    # measure, title, factor, unit, decimals
    ("phoneme_error", "phoneme errors", 100, " %", 1),
    ("wer", "word errors", 100, " %", 1),
    ("similarity", "similarity", 1, "", 3),
    ("dnsmos", "DNSMOS", 1, "", 2),
    ("mel_distance", "mel distance", 1, "", 2),
    ("f0_error", "pitch error, semitones", 1, "", 1),
    ("rate_ratio", "pace against the speaker's", 1, "", 2),
    ("silence", "silence", 100, " %", 0),
    ("score", "score", 1, "", 3),
)


def verdict(rows: list[Row], best: Sequence[int], config: ValidationConfig) -> list[str]:
    """What listening during a run found, as Markdown.

    Args:
        rows: Of metrics.csv; the first holds the un-tuned baseline.
        best: Update whose weights the bundle has, 0 for the un-tuned ones; several: it has their
            mean.
        config: How the best was chosen.
    """
    heard = [row for row in rows if "val/error_rate" in row]
    baseline = heard[0]
    named = [(_name(int(row["update"])), row) for row in heard]
    voice = _name(best[0])
    if len(best) > 1:
        voice = f"the mean of updates {', '.join(map(str, best))}"
        named.append((voice, _of_mean(rows)))
    chosen = next(row for name, row in named if name == voice)
    helped = chosen is not baseline
    sentences = _helped(baseline, chosen, voice) if helped else _did_not_help(heard, config)
    return [*sentences, *_doubt(baseline), "", *_table(named, voice)]


def error_limit(baseline: Row, config: ValidationConfig, prefix: str = "") -> float:
    """Highest error rate at which a voice counts as understood.

    Args:
        baseline: What was heard of the un-tuned voice and of the human recordings.
        config: `tolerance` above the one, `lenience` times the other.
        prefix: Of the names.
    """
    own = baseline[f"{prefix}error_rate"]
    human = baseline.get(f"{prefix}human_error_rate", 0.0)
    return max(own, config.lenience * human) + config.tolerance


def seconds_spent(rows: list[Row]) -> float:
    """Time that validation took in all."""
    return sum(row.get("val/seconds", 0.0) for row in rows)


def _name(update: int) -> str:
    return f"update {update}" if update else "un-tuned"


def _of_mean(rows: list[Row]) -> Row:
    """What was measured of the mean of the best checkpoints, named as in other rows."""
    measured = [row for row in rows if "average/score" in row][-1]
    return {
        name.replace("average/", "val/"): v for name, v in measured.items() if "average/" in name
    }


def _helped(baseline: Row, best: Row, voice: str) -> list[str]:
    before, after = baseline["val/score"], best["val/score"]
    lines = [
        f"**Fine-tuning helped.** The voice is that of {voice}: its score is {after:.3f}, the "
        f"un-tuned voice's {before:.3f}."
    ]
    for name, title, factor, unit, digits in _SHOWN[:4]:
        if f"val/{name}" in best and f"val/{name}" in baseline:
            change = (
                f"{baseline[f'val/{name}'] * factor:.{digits}f} → "
                f"{best[f'val/{name}'] * factor:.{digits}f}{unit}"
            )
            human = baseline.get(f"val/human_{name}")
            ceiling = "" if human is None else f" (human recordings {human * factor:.{digits}f})"
            lines.append(f"- {title}: {change}{ceiling}{_share(baseline, best, name)}")
    return lines


def _share(baseline: Row, best: Row, name: str) -> str:
    """How much of the way from the un-tuned voice to the human one was gone, for similarity."""
    human = baseline.get(f"val/human_{name}")
    if name != "similarity" or human is None:
        return ""
    before, after = baseline[f"val/{name}"], best[f"val/{name}"]
    way = human - before
    return f": {(after - before) / way:.0%} of the way" if way > 0 else ""


def _did_not_help(heard: list[Row], config: ValidationConfig) -> list[str]:
    baseline, tuned = heard[0], heard[1:]
    if not tuned:
        return [
            "**Nothing was compared:** the run ended before its first validation. The voice in "
            "`voice/` has the un-tuned weights."
        ]
    limit = error_limit(baseline, config, prefix="val/")
    understood = [row for row in tuned if row["val/error_rate"] <= limit]
    lines = [
        "**Fine-tuning did not help.** The voice in `voice/` has the un-tuned weights, given the "
        "speaker by the mean of the training recordings."
    ]
    if not understood:
        least = min(row["val/error_rate"] for row in tuned)
        lines.append(
            f"- It was never understood as well: at least {least:.1%} were errors, and "
            f"{limit:.1%} are allowed (the un-tuned voice {baseline['val/error_rate']:.1%})."
        )
    else:
        highest = max(row.get("val/score", float("-inf")) for row in understood)
        lines.append(
            f"- No score was above the un-tuned voice's {baseline['val/score']:.3f}; the highest "
            f"was {highest:.3f}."
        )
    return [
        *lines,
        "- Lower the learning rates (`optimizer.rates.gpt`, `optimizer.rates.sovits`), listen to "
        "`samples/`, and check the recordings and their texts.",
    ]


def _doubt(baseline: Row) -> list[str]:
    """A word about the judge, where it hardly understands the human."""
    human = baseline.get("val/human_error_rate", 0.0)
    if human <= _DOUBTFUL:
        return []
    return [
        f"- Take the errors with care: their judge misunderstands {human:.0%} of the human "
        "recordings. A speech recogniser is a better one: `pip install faster-whisper`, "
        "`validation.judges=[resemblyzer,recogniser]`."
    ]


def _table(named: list[tuple[str, Row]], voice: str) -> list[str]:
    shown = [each for each in _SHOWN if any(f"val/{each[0]}" in row for _, row in named)]
    lines = [
        "| | " + " | ".join(title for _, title, *_ in shown) + " |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for name, row in named:
        shown_name = f"**{name}**" if name == voice else name
        lines.append(f"| {shown_name} | " + " | ".join(_cells(row, shown, "val/")) + " |")
    lines.append("| human | " + " | ".join(_cells(named[0][1], shown, "val/human_")) + " |")
    return lines


def _cells(row: Row, shown: list[tuple[str, str, int, str, int]], prefix: str) -> list[str]:
    return [
        f"{row[prefix + name] * factor:.{digits}f}{unit}" if prefix + name in row else "–"
        for name, _, factor, unit, digits in shown
    ]
