"""The evaluation as a table, `report.md` and `report.json`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files import write_whole
from timbre.judges.clip import Clip, Measure

_WORST = 5

COLUMNS = (
    # measure, title, factor, decimals, meaning
    ("wer", "WER %", 100, 1, "wrong words per word, heard by the speech recogniser"),
    ("cer", "CER %", 100, 1, "the same in letters"),
    ("phoneme_error", "phonemes %", 100, 1, "wrong phonemes, heard by the tokenizer's CTC head"),
    ("similarity", "similarity", 1, 3, "Resemblyzer, cosine to the held-out recordings' mean"),
    ("similarity_spectrum", "spectrum", 1, 3, "likeness of the long-term spectra, 0 to 1"),
    ("similarity_z_spk", "z_spk", 1, 3, "as similarity, by our own speaker encoder (no verifier)"),
    ("dnsmos", "DNSMOS", 1, 2, "predicted opinion of the sound, 1 to 5"),
    ("f0", "F0 Hz", 1, 0, "median pitch"),
    ("f0_range", "range st", 1, 1, "5th to 95th percentile of pitch in semitones"),
    ("rate", "phonemes/s", 1, 1, "speaking rate, outer silence left out"),
    ("silence", "silence %", 100, 1, "share of the time more than 40 dB below speech"),
    ("rtf", "RTF", 1, 3, "seconds of computing per second of speech"),
)
ABOUT = {
    "voice": "the judged voice speaks the sentences",
    "human": "the speaker's own recordings: the ceiling",
    "copy-synthesis": "their mels through the vocoder: what the vocoder costs",
    "copy through tokens": "their tokens through GPT's latents, decoder and vocoder: adds what the "
    "decoder costs; what the voice lacks beyond is GPT's",
    "zero-shot": "the un-tuned base clones the training recordings: what fine-tuning starts from",
    "another speaker": "other people: the floor of similarity",
}


@dataclass(frozen=True)
class Row:
    """One row of the comparison."""

    name: str
    """A key of `ABOUT`."""
    clips: list[Clip]
    """What was judged."""
    measures: dict[str, Measure]
    """What the judges say."""


def table(rows: list[Row], absent: dict[str, str]) -> str:
    """The comparison as a Markdown table, and which judges and rows are missing, and why."""
    columns = [c for c in COLUMNS if any(not math.isnan(_mean(row, c[0])) for row in rows)]
    lines = [
        "| | " + " | ".join(title for _, title, *_ in columns) + " | n |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for row in rows:
        cells = [_cell(_mean(row, key) * factor, digits) for key, _, factor, digits, _ in columns]
        lines.append(f"| {row.name} | " + " | ".join(cells) + f" | {len(row.clips)} |")
    if absent:
        lines += ["", *(f"- without {what}: {why}" for what, why in absent.items())]
    return "\n".join(lines)


def write_reports(
    folder: Path, voice: str, seed: int, rows: list[Row], absent: dict[str, str]
) -> None:
    """Writes report.md and report.json.

    Args:
        folder: Where.
        voice: Name of the judged voice.
        seed: Of its first sentence.
        rows: The first is the voice.
        absent: Judges and rows that are missing, and why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        "voice": voice,
        "seed": seed,
        "absent": absent,
        "rows": {row.name: _row_values(row) for row in rows},
    }
    text = json.dumps(_without_nan(report), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(folder / "report.json", text + "\n")
    lines = [
        f"# Evaluation of `{voice}`",
        "",
        table(rows, absent),
        "",
        *_intervals(rows[0]),
        "",
        *(f"- **{row.name}** ({len(row.clips)}): {ABOUT[row.name]}." for row in rows),
        "",
        *(f"- **{title}**: {meaning}." for _, title, _, _, meaning in COLUMNS),
        *_worst(rows[0]),
    ]
    write_whole(folder / "report.md", "\n".join(lines) + "\n")


def _row_values(row: Row) -> dict[str, Any]:
    measures = {}
    for key, measure in row.measures.items():
        low, high = measure.interval
        measures[key] = {"mean": measure.mean, "low": low, "high": high}
    clips = []
    for index, clip in enumerate(row.clips):
        values = {key: measure.values[index] for key, measure in row.measures.items()}
        wer = row.measures.get("wer")
        heard = {} if wer is None else {"heard": wer.details[index]}
        clips.append(
            {"name": clip.name, "text": clip.text, **heard, "seconds": clip.seconds, **values}
        )
    return {"n": len(row.clips), "measures": measures, "clips": clips}


def _intervals(row: Row) -> list[str]:
    """The uncertainty that so few sentences leave."""
    parts = []
    for key, title, factor, digits, _ in COLUMNS:
        if key in ("wer", "phoneme_error", "similarity", "dnsmos") and key in row.measures:
            low, high = (_cell(end * factor, digits) for end in row.measures[key].interval)
            parts.append(f"{title} {low} to {high}")
    return [f"95 % intervals of the voice, over its sentences: {'; '.join(parts)}."]


def _worst(row: Row) -> list[str]:
    """The sentences that were understood worst, to listen to."""
    wer = row.measures.get("wer")
    if wer is None:
        return []
    order = sorted(range(len(row.clips)), key=lambda index: -wer.values[index])
    wrong = [index for index in order if wer.values[index] > 0][:_WORST]
    if not wrong:
        return ["", "Every sentence was understood."]
    folder = row.name.replace(" ", "-")
    lines = ["", "Understood worst:", "", "| sound | text | heard |", "|---|---|---|"]
    for index in wrong:
        name = row.clips[index].name
        link = f"[{name}]({folder}/{name}.wav)"
        lines.append(f"| {link} | {row.clips[index].text} | {wer.details[index]} |")
    return lines


def _mean(row: Row, key: str) -> float:
    return row.measures[key].mean if key in row.measures else math.nan


def _cell(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
