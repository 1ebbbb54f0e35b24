"""Transcript lists of other tools: LJSpeech, Piper, F5-TTS, GPT-SoVITS, JSON lines."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import InputError

_LANGUAGES = {"jp": "ja", "cn": "zh", "kr": "ko", "chinese": "zh", "english": "en"}
"""Names that GPT-SoVITS lists use, and their codes."""
_AUDIO_KEYS = (
    "audio",
    "audio_file",
    "audio_filepath",
    "audio_path",
    "path",
    "wav",
    "file_name",
)
_TEXT_KEYS = ("text", "transcript", "transcription", "sentence")


@dataclass(frozen=True)
class Transcript:
    """One row of a list."""

    audio: str
    """The recording, as the list names it."""
    text: str
    """What is said."""
    where: str
    """File and line."""
    speaker: str = ""
    """Who speaks; empty if the list does not say."""
    language: str | None = None
    """Language code; None if the list does not say."""


def read_transcripts(path: Path) -> list[Transcript]:
    """Read a transcript list; its name tells which kind.

    - `.jsonl`, `.json`: an object a line with `audio` and `text`, and maybe `speaker` and
      `language` (usual other names of the first two are understood).
    - `.list` (GPT-SoVITS): `path|speaker|language|text`.
    - others, `metadata.csv` (LJSpeech, Piper, F5-TTS): `audio|text`, `audio|text|normalised text`
      or, if every second column is a word repeated over the rows, Piper's `audio|speaker|text`.
      A first line `audio_file|text` is a header.

    Raises:
        InputError: the file cannot be read, or a row is wrong; names file and line.
    """
    lines = list(_numbered_lines(path))
    suffix = path.suffix.lower()
    if suffix in {".jsonl", ".json", ".ndjson"}:
        parse: Callable[[str, str], Transcript] = _json_row
    elif suffix == ".list":
        parse = _list_row
    else:
        lines = _without_header(lines)
        parse = _piper_row if _is_piper(lines) else _text_row
    rows = [parse(line, f"{path}:{number}") for number, line in lines]
    if not rows:
        raise InputError(f"{path}: the list is empty; write a line for each recording")
    return rows


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read the transcripts ({error})") from error
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8").strip("\r")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}:{number}: not UTF-8 text ({error.reason}); save the list as UTF-8"
            ) from error
        if line.strip():
            yield number, line


def _without_header(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    if lines:
        first = [part.strip().lower() for part in lines[0][1].split("|")]
        if first[0] in _AUDIO_KEYS and first[-1] in _TEXT_KEYS:
            return lines[1:]
    return lines


def _is_piper(lines: list[tuple[int, str]]) -> bool:
    """`audio|speaker|text` rather than LJSpeech's `audio|text|normalised text`.

    Speakers are short and come back; texts do not. A single row is taken for LJSpeech's unless
    its second column is much shorter than its third.
    """
    rows = [line.split("|") for _, line in lines]
    if not rows or any(len(row) != 3 for row in rows):
        return False
    names = [row[1].strip() for row in rows]
    if any(not name or len(name.split()) > 2 for name in names):
        return False
    shorter = sum(map(len, names)) < 0.5 * sum(len(row[2].strip()) for row in rows)
    return shorter and (len(rows) == 1 or len(set(names)) <= len(rows) / 2)


def _text_row(line: str, where: str) -> Transcript:
    parts = [part.strip() for part in line.split("|")]
    if len(parts) not in (2, 3):
        raise InputError(
            f"{where}: {len(parts)} columns; expected `audio|text` or `audio|text|normalised text`"
        )
    # LJSpeech's third column is the text written out; it may be empty.
    return _checked(Transcript(parts[0], parts[-1] or parts[1], where))


def _piper_row(line: str, where: str) -> Transcript:
    audio, speaker, text = (part.strip() for part in line.split("|"))
    return _checked(Transcript(audio, text, where, speaker))


def _list_row(line: str, where: str) -> Transcript:
    parts = [part.strip() for part in line.split("|", 3)]
    if len(parts) != 4:
        raise InputError(f"{where}: {len(parts)} columns; expected `path|speaker|language|text`")
    audio, speaker, language, text = parts
    return _checked(Transcript(audio, text, where, speaker, _code(language, where)))


def _json_row(line: str, where: str) -> Transcript:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON object ({error}); one object a line") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(row).__name__}")

    def take(names: tuple[str, ...], what: str) -> str:
        for name in names:
            if isinstance(row.get(name), str):
                return str(row[name]).strip()
        raise InputError(f"{where}: no {what}; give it as text under {names[0]!r}")

    for name in ("speaker", "language"):
        if not isinstance(row.get(name) or "", str):
            raise InputError(f"{where}: {name!r} is {row[name]!r}; it must be text")
    language = _code(row["language"], where) if row.get("language") else None
    audio, text = take(_AUDIO_KEYS, "audio file"), take(_TEXT_KEYS, "text")
    return _checked(Transcript(audio, text, where, row.get("speaker") or "", language))


def _code(language: str, where: str) -> str:
    code = language.strip().lower()
    code = _LANGUAGES.get(code, code)
    if not code or not all(part.isalnum() for part in code.split("-")):
        raise InputError(f"{where}: language {language!r}; give a code such as en, zh or pt-br")
    return code


def _checked(row: Transcript) -> Transcript:
    if not row.audio:
        raise InputError(f"{row.where}: the first column is empty; it must name the recording")
    if not row.text:
        raise InputError(
            f"{row.where}: {row.audio!r} has no text; write what is said, or delete the line"
        )
    return row
