"""What the user has: recordings, and what is said in them where somebody wrote it down."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from data.audio import AUDIO_ENDINGS
from data.errors import InputError
from data.preparation.config import PrepareConfig
from data.preparation.transcripts import Transcript, read_transcripts

_LIST_NAMES = ("metadata.csv", "metadata.txt", "*.list", "metadata.jsonl", "transcripts.jsonl")
_SIDECARS = (".txt", ".lab")


@dataclass(frozen=True)
class Recording:
    """One audio file."""

    path: Path
    """The file."""
    speaker: str
    """Who speaks."""
    text: str | None = None
    """What is said; None if nobody wrote it down."""
    language: str | None = None
    """Language of the text, if the transcripts name it."""
    where: str = ""
    """File and line that the text is from."""


def find_recordings(config: PrepareConfig) -> list[Recording]:
    """List the recordings with their transcripts, in a fixed order.

    Raises:
        InputError: there are none, or the transcripts cannot be used.
    """
    source = Path(config.input)
    if not os.path.exists(source):
        raise InputError(f"input={source}: no such file or folder; check the path")
    listed = _transcript_list(config, source)
    if listed is not None:
        found = list(_from_list(listed, source, config.speaker))
    else:
        found = list(_from_folder(source, config.speaker))
    if not found:
        raise InputError(
            f"input={source}: no recordings there; give an audio file or a folder with some "
            f"({' '.join(AUDIO_ENDINGS)})"
        )
    if config.speakers_by_folder:
        found = [replace(recording, speaker=recording.path.parent.name) for recording in found]
    return found


def _transcript_list(config: PrepareConfig, source: Path) -> Path | None:
    if config.transcripts is not None:
        path = Path(config.transcripts)
        if not os.path.isfile(path):
            raise InputError(f"transcripts={path}: no such file; check the path")
        return path
    if not source.is_dir():
        return None
    lists = [path for name in _LIST_NAMES for path in sorted(source.glob(name))]
    if len(lists) > 1:
        raise InputError(
            f"input={source}: several transcript lists ({', '.join(p.name for p in lists)}); name "
            "one with transcripts=FILE"
        )
    return lists[0] if lists else None


def _from_list(listed: Path, source: Path, speaker: str) -> Iterator[Recording]:
    """The recordings of a list; those of the folder that it does not mention are left alone."""
    folder = source if source.is_dir() else source.parent
    seen: dict[Path, str] = {}
    for row in read_transcripts(listed):
        path = _locate(row, folder, listed.parent)
        if source.is_file() and path.resolve() != source.resolve():
            continue
        if (before := seen.get(path.resolve())) is not None:
            raise InputError(f"{row.where}: {row.audio} is already listed in {before}")
        seen[path.resolve()] = row.where
        yield Recording(path, row.speaker or speaker, row.text, row.language, row.where)


def _locate(row: Transcript, folder: Path, beside: Path) -> Path:
    """The audio file that a list means: lists give paths, names, or names without an ending."""
    name = Path(row.audio)
    places = [beside / name, folder / name, folder / "wavs" / name]
    # Lists are moved together with their audio, but keep the paths of the machine they are from.
    places += [folder / name.name, folder / "wavs" / name.name]
    for place in places:
        # Not Path.is_file, which raises for names that are too long: texts in swapped columns.
        if os.path.isfile(place):
            return place
        for ending in AUDIO_ENDINGS:
            candidate = Path(f"{place}{ending}")
            if os.path.isfile(candidate):
                return candidate
    raise InputError(
        f"{row.where}: audio file {row.audio!r} does not exist; it was looked for in "
        f"{', '.join(dict.fromkeys(str(place.parent) for place in places))}"
    )


def _from_folder(source: Path, speaker: str) -> Iterator[Recording]:
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    for path in files:
        if source.is_dir() and path.suffix.lower() not in AUDIO_ENDINGS:
            continue
        sidecars = [path.with_suffix(ending) for ending in _SIDECARS]
        text_file = next((file for file in sidecars if file.is_file()), None)
        text = _read_sidecar(text_file) if text_file else ""
        yield Recording(path, speaker, text or None, None, str(text_file) if text else "")


def _read_sidecar(path: Path) -> str:
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:1: not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path}: cannot read the transcript ({error})") from error
