"""`report.html` and `report.json`: what was kept, what was dropped and why."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from data.audio import read
from data.files import writing
from data.manifest import Utterance
from data.preparation.checks import REASONS
from data.preparation.clips import Clip
from data.preparation.config import PrepareConfig
from data.preparation.coverage import Coverage, coverage
from data.preparation.inspection import Inspection
from data.preparation.voice import voice_of

_MELS = 3
_MOST_ROWS = 2000
_LARGE_DC = 0.01
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}"
    "img{max-width:100%}.note{background:#fff3cd;padding:.5em 1em}"
)


@dataclass(frozen=True)
class Outcome:
    """What a preparation came to; the lists have one entry a clip."""

    config: PrepareConfig
    """What was asked for."""
    clips: Sequence[Clip]
    """All clips."""
    reasons: Sequence[str]
    """Why each would be dropped; empty for good ones."""
    kept: Sequence[bool]
    """Whether it was kept; with keep=all also in spite of a reason."""
    ids: Sequence[str]
    """Names."""
    utterances: Sequence[Utterance]
    """The manifest; empty if there was too little good speech."""
    notes: Sequence[str]
    """What the user should know."""
    spent_seconds: float
    """Time that it took."""

    @property
    def kept_seconds(self) -> float:
        """Speech that was kept."""
        return sum((c.seconds for c, kept in zip(self.clips, self.kept, strict=True) if kept), 0.0)

    @property
    def dropped(self) -> Counter[str]:
        """How many clips were dropped for each reason."""
        pairs = zip(self.reasons, self.kept, strict=True)
        return Counter(reason for reason, kept in pairs if not kept)


def write_report(outcome: Outcome) -> None:
    """Write both reports into the voice's folder."""
    voice = voice_of(outcome.config)
    text = json.dumps(_facts(outcome), ensure_ascii=False, indent=1)
    page = "\n".join(_page(outcome))
    with writing(voice.folder, "output=FOLDER"):
        voice.folder.mkdir(parents=True, exist_ok=True)
        voice.facts.write_text(text + "\n", encoding="utf-8")
        voice.report.write_text(page + "\n", encoding="utf-8")


def _facts(outcome: Outcome) -> dict[str, Any]:
    """Everything but the time it took: equal runs leave equal files."""
    rows = zip(outcome.ids, outcome.clips, outcome.reasons, outcome.kept, strict=True)
    return {
        "name": outcome.config.speaker,
        "kept_seconds": round(outcome.kept_seconds, 3),
        "kept": sum(outcome.kept),
        "dropped": dict(sorted(outcome.dropped.items())),
        "notes": list(outcome.notes),
        "recordings": {
            str(path): remarks for path, remarks in _remarks(outcome.clips).items() if remarks
        },
        "clips": [_row(*row) for row in rows],
    }


def _row(name: str, clip: Clip, reason: str, kept: bool) -> dict[str, Any]:
    measures = clip.measures
    row: dict[str, Any] = {
        "id": name,
        "recording": str(clip.recording.path),
        "kept": kept,
        "reason": reason,
        "detail": clip.detail,
        "text": clip.text,
        "heard": clip.heard if clip.given else None,
        "error_rate": clip.error_rate,
    }
    if measures is not None:
        row |= {
            "start": measures.start,
            "end": measures.end,
            "loudness_lufs": measures.loudness_lufs,
            "snr_db": measures.snr_db,
            "clipped": measures.clipped,
            "bandwidth_hz": measures.bandwidth_hz,
            "dnsmos": measures.dnsmos,
        }
    return row


def _remarks(clips: Sequence[Clip]) -> dict[Any, list[str]]:
    """What was mended silently in each recording."""
    return {clip.recording.path: _of_recording(clip.inspection) for clip in clips}


def _of_recording(facts: Inspection) -> list[str]:
    remarks = []
    if facts.silent_channels:
        remarks.append(f"{facts.silent_channels} of {facts.channels} channels silent, left out")
    if abs(facts.dc) > _LARGE_DC:
        remarks.append(f"DC offset {facts.dc:.3f} taken away")
    if facts.truncated:
        remarks.append("the file ends before its header says")
    return remarks


def _page(outcome: Outcome) -> Iterator[str]:
    name = escape(outcome.config.speaker)
    yield f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}</title>"
    yield f"<style>{_STYLE}</style><h1>Voice <code>{name}</code></h1>"
    held = sum(utterance.split == "validation" for utterance in outcome.utterances)
    yield (
        f"<p><b>{sum(outcome.kept)}</b> of {len(outcome.clips)} clips kept, "
        f"<b>{outcome.kept_seconds / 60:.1f} minutes</b>; {held} held out for validation. "
        f"Prepared in {outcome.spent_seconds:.0f} s.</p>"
    )
    for note in outcome.notes:
        yield f"<p class=note>{escape(note)}</p>"
    if not outcome.utterances:
        yield "<p class=note><b>Too little good speech: no voice was made.</b></p>"
    yield from _reason_table(outcome)
    yield from _pictures(outcome)
    remarks = {path: found for path, found in _remarks(outcome.clips).items() if found}
    if remarks:
        yield "<h2>Mended</h2>"
        rows = [(path.name, "; ".join(found)) for path, found in remarks.items()]
        yield from _table(("recording", "what"), rows)
    yield from _clip_tables(outcome)


def _reason_table(outcome: Outcome) -> Iterator[str]:
    if outcome.dropped:
        yield "<h2>Dropped</h2>"
        counted = [(reason, str(outcome.dropped[reason]), text) for reason, text in REASONS.items()]
        yield from _table(
            ("reason", "clips", "what it means"), [row for row in counted if row[1] != "0"]
        )


def _pictures(outcome: Outcome) -> Iterator[str]:
    # Here, since drawing needs torch and matplotlib, and a run that fails early needs neither.
    from data.mel import AudioConfig
    from data.preparation import pictures

    measured = [
        (clip.seconds, clip.measures.loudness_lufs, clip.measures.snr_db, kept)
        for clip, kept in zip(outcome.clips, outcome.kept, strict=True)
        if clip.measures is not None
    ]
    if measured:
        names = ("seconds", "loudness before, LUFS", "SNR, dB")
        groups: dict[str, tuple[Sequence[float], Sequence[float]]] = {
            name: ([m[k] for m in measured if m[3]], [m[k] for m in measured if not m[3]])
            for k, name in enumerate(names)
        }
        yield "<h2>Clips</h2>" + _image(pictures.histograms(groups))
    rate = outcome.config.sample_rate_hz
    audio = AudioConfig(sample_rate_hz=rate, fmax_hz=min(AudioConfig.fmax_hz, rate / 2))
    for utterance in outcome.utterances[:: max(1, len(outcome.utterances) // _MELS)][:_MELS]:
        picture = pictures.mel(read(utterance.audio, rate), audio)
        yield f"<p><code>{utterance.id}</code>: {escape(utterance.text)}</p>{_image(picture)}"
    for found in _coverages(outcome):
        yield f"<h2>Phonemes of <code>{escape(found.language)}</code></h2>"
        yield f"<p>{found.share:.0%} of the language's phonemes occur." + (
            f" Missing: {escape(' '.join(found.missing))}." if found.missing else ""
        )
        yield "</p>" + _image(pictures.phonemes(found))


def _coverages(outcome: Outcome) -> Iterator[Coverage]:
    kept = [clip for clip, is_kept in zip(outcome.clips, outcome.kept, strict=True) if is_kept]
    for language in sorted({clip.language for clip in kept}):
        own = [clip for clip in kept if clip.language == language]
        yield coverage(language, [clip.text for clip in own], [clip.symbols for clip in own])


def _clip_tables(outcome: Outcome) -> Iterator[str]:
    rows = list(zip(outcome.clips, outcome.reasons, outcome.kept, outcome.ids, strict=True))
    dropped = [
        (reason, _place(clip), clip.detail or _told(clip), clip.text)
        for clip, reason, kept, _ in rows
        if not kept
    ]
    for title, head, body in (
        ("Every dropped clip", ("reason", "recording", "detail", "text"), dropped),
        (
            "Every kept clip",
            ("clip", "recording", "measured", "text"),
            [(name, _place(clip), _told(clip), clip.text) for clip, _, kept, name in rows if kept],
        ),
    ):
        if body:
            yield f"<h2>{title}</h2>"
            yield from _table(head, body[:_MOST_ROWS])
            if len(body) > _MOST_ROWS:
                yield f"<p>… and {len(body) - _MOST_ROWS} more in report.json.</p>"


def _place(clip: Clip) -> str:
    place = clip.measures or clip.speech
    return f"{clip.recording.path.name} {place.start:.2f}–{place.end:.2f} s"


def _told(clip: Clip) -> str:
    """The figures of a clip in one line."""
    parts = []
    if (m := clip.measures) is not None:
        parts = [f"{m.loudness_lufs:.0f} LUFS", f"SNR {m.snr_db:.0f} dB"]
        parts += [f"clipped {m.clipped:.2%}", f"up to {m.bandwidth_hz / 1000:.1f} kHz"]
        parts += [f"DNSMOS {m.dnsmos:.1f}"] if m.dnsmos is not None else []
    if clip.error_rate is not None:
        parts.append(f"{clip.error_rate:.0%} of the letters differ; heard: {clip.heard}")
    return ", ".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</table>"


def _image(png: bytes) -> str:
    return f'<p><img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt=""></p>'
