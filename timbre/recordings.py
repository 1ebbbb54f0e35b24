"""Recordings of a speaker as judges hear them: from a manifest, a folder or a single file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeVar

import numpy as np

from data.audio import AUDIO_ENDINGS, read
from data.errors import InputError
from data.manifest import Utterance, read_manifest, training_rows
from data.text.frontend import TextFrontend
from timbre.judges.clip import Clip

Item = TypeVar("Item")

_LOG = logging.getLogger(__name__)


def read_recordings(
    path: Path,
    sample_rate_hz: int,
    frontend: TextFrontend,
    split: str,
    limit: int,
    speaker: str | None = None,
    most_seconds: float = 0.0,
) -> list[Clip]:
    """Reads a speaker's recordings, with their texts where there is a manifest.

    Args:
        path: A manifest (.jsonl), a folder that holds `manifest.jsonl` or else audio files, or an
            audio file.
        sample_rate_hz: Wanted sample rate.
        frontend: Phonemizes the texts, if they are in its language; others have their own.
        split: Of a manifest with both splits, the one that is read; one without rows to validate
            with is read whole, with a warning.
        limit: At most so many, taken evenly.
        speaker: Of a manifest in which this speaker occurs, only the rows of that voice.
        most_seconds: Of a manifest, only what a run with this `data.train_seconds` trains on.

    Raises:
        InputError: There is nothing to read, or something cannot be read.
    """
    if (path / "manifest.jsonl").is_file():
        path = path / "manifest.jsonl"
    if path.suffix == ".jsonl":
        rows = read_manifest(path)
        rows = training_rows(rows, most_seconds) if most_seconds else rows
        rows = [row for row in rows if row.speaker == speaker] or rows
        rows = evenly(_of_split(rows, split, path), limit)
        frontends = {frontend.language: frontend}
        for language in {row.language for row in rows} - frontends.keys():
            frontends[language] = TextFrontend(language)
        return [clip_of(row, sample_rate_hz, frontends[row.language]) for row in rows]
    files = [path] if path.is_file() else sorted(path.glob("**/*"))
    files = [file for file in files if file.suffix.lower() in AUDIO_ENDINGS]
    if not files:
        raise InputError(
            f"{path}: no recordings there; give a manifest (.jsonl), a folder with audio files "
            f"({', '.join(AUDIO_ENDINGS)}), or one such file"
        )
    return [
        Clip(file.stem, read(file, sample_rate_hz), sample_rate_hz, recording=str(file))
        for file in evenly(files, limit)
    ]


def _of_split(rows: list[Utterance], split: str, path: Path) -> list[Utterance]:
    if chosen := [row for row in rows if row.split == split]:
        return chosen
    if split == "validation":
        _LOG.warning(
            "%s has no validation rows, so all are taken: a voice that was trained on them is "
            "judged by what it knows; give recordings that it does not",
            path,
        )
    return rows


def clip_of(row: Utterance, sample_rate_hz: int, frontend: TextFrontend) -> Clip:
    """One row of a manifest as judges hear it."""
    return Clip(
        name=row.id,
        audio=read(row.audio, sample_rate_hz),
        sample_rate_hz=sample_rate_hz,
        text=row.text,
        phonemes=frontend(row.text),
        language=row.language,
        recording=row.id,
        speaker=row.speaker,
    )


def evenly(items: list[Item], limit: int) -> list[Item]:
    """At most so many of the items, spread over all of them."""
    chosen = np.linspace(0, len(items) - 1, min(limit, len(items)), dtype=int)
    return [items[index] for index in np.unique(chosen)]
