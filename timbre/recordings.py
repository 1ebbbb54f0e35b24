"""Recordings of a speaker as judges hear them: from a manifest, a folder or a single file."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np

from data.audio import read
from data.errors import InputError
from data.manifest import Utterance, read_manifest
from data.text.frontend import TextFrontend
from timbre.judges.clip import Clip

Item = TypeVar("Item")

AUDIO_ENDINGS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a")


def read_recordings(
    path: Path,
    sample_rate_hz: int,
    frontend: TextFrontend,
    split: str,
    limit: int,
    speaker: str | None = None,
) -> list[Clip]:
    """Reads a speaker's recordings, with their texts where there is a manifest.

    Args:
        path: A manifest (.jsonl), a folder that holds `manifest.jsonl` or else audio files, or an
            audio file.
        sample_rate_hz: Wanted sample rate.
        frontend: Phonemizes the texts, if they are in its language; others have their own.
        split: Of a manifest with both splits, the one that is read.
        limit: At most so many, taken evenly.
        speaker: Of a manifest in which this speaker occurs, only the rows of that voice.

    Raises:
        InputError: There is nothing to read, or something cannot be read.
    """
    if (path / "manifest.jsonl").is_file():
        path = path / "manifest.jsonl"
    if path.suffix == ".jsonl":
        rows = read_manifest(path)
        rows = [row for row in rows if row.speaker == speaker] or rows
        rows = [row for row in rows if row.split == split] or rows
        rows = evenly(rows, limit)
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
