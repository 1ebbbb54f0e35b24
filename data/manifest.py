"""Manifests: the list of a voice's utterances, one JSON object a line."""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.files import write_whole

SPLITS = ("train", "validation")
MARK = b"\xef\xbb\xbf"
"""What some editors write before UTF-8 text."""
LANGUAGE_CODE = re.compile(r"[a-z]{2,8}(-[A-Za-z0-9]+)*")
"""What a language code looks like (BCP 47); espeak-ng has some of four letters."""
_ROUNDING_SECONDS = 1e-6  # sums of decimal numbers: 0.1 + 0.2 is within 0.3
_REQUIRED = ("id", "audio", "text", "speaker", "language", "seconds", "split")
_OPTIONAL = ("source", "licence")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Utterance:
    """One recording and what is said in it."""

    id: str
    """Name, unique within the manifest; letters, digits, dot, dash and underscore."""
    audio: Path
    """Audio file. In the file on disk it is relative to the manifest's folder."""
    text: str
    """What is said, as written language."""
    speaker: str
    """Name of the voice."""
    language: str
    """Language code, e.g. `en`, `cs`, `en-us`."""
    seconds: float
    """Length of the recording."""
    split: str
    """`train` or `validation`."""
    source: str = ""
    """Where the recording comes from."""
    licence: str = ""
    """Licence of the recording, as an SPDX identifier where there is one."""


def read_manifest(path: Path | str, *, check_audio: bool = True) -> list[Utterance]:
    """Read and validate a manifest; blank lines are skipped.

    Args:
        path: JSON-lines file.
        check_audio: also refuse rows whose audio file does not exist.

    Returns:
        The utterances in file order, `audio` joined to the manifest's folder.

    Raises:
        InputError: the file is missing or empty, or a row is wrong; names file and line.
    """
    path = Path(path)
    utterances: list[Utterance] = []
    line_of_id: dict[str, int] = {}
    for number, _, line in numbered_lines(path):
        where = f"{path}:{number}"
        utterance = parse_row(line, path.parent, where)
        if utterance.id in line_of_id:
            raise InputError(
                f"{where}: id {utterance.id!r} is already used in line {line_of_id[utterance.id]}; "
                "give every row its own id"
            )
        line_of_id[utterance.id] = number
        if check_audio and not os.path.isfile(utterance.audio):
            raise InputError(
                f"{where}: audio file {utterance.audio} does not exist; audio paths are relative "
                "to the folder of the manifest"
            )
        utterances.append(utterance)
    if not utterances:
        raise InputError(f"{path}: the manifest holds no utterances; prepare the voice again")
    return utterances


def training_rows(utterances: Iterable[Utterance], most_seconds: float) -> list[Utterance]:
    """Return the recordings that are trained on, in their order.

    Args:
        utterances: of a voice, all splits.
        most_seconds: only the first recordings, up to so many seconds in all; 0 takes all.
    """
    rows = [utterance for utterance in utterances if utterance.split == "train"]
    return rows[: count_within([row.seconds for row in rows], most_seconds)]


def count_within(seconds: Sequence[float], most_seconds: float) -> int:
    """Return how many of the first recordings last `most_seconds` in all, one at the least.

    Args:
        seconds: length of each recording.
        most_seconds: they may last so long together; 0 takes all.
    """
    if not most_seconds:
        return len(seconds)
    fitting = sum(total <= most_seconds + _ROUNDING_SECONDS for total in accumulate(seconds))
    return min(len(seconds), max(1, fitting))


def write_manifest(path: Path | str, utterances: Iterable[Utterance]) -> None:
    """Write a manifest; the file appears complete or not at all.

    Args:
        path: JSON-lines file; its folder is created.
        utterances: rows; audio below the manifest's folder is written relative to it.

    Raises:
        InputError: a row would not be readable again, or two rows share an id.
    """
    path = Path(path)
    rows: list[str] = []
    seen: set[str] = set()
    for number, utterance in enumerate(utterances, start=1):
        where = f"{path}:{number}"
        if utterance.id in seen:
            raise InputError(f"{where}: two utterances have the id {utterance.id!r}")
        seen.add(utterance.id)
        row = {name: getattr(utterance, name) for name in (*_REQUIRED, *_OPTIONAL)}
        row["audio"] = _stored_audio_path(utterance.audio, path.parent)
        line = json.dumps(row, ensure_ascii=False)
        parse_row(line, path.parent, where)
        rows.append(line + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(rows))


def numbered_lines(path: Path) -> Iterator[tuple[int, int, str]]:
    """Yield the number, the place in bytes and the text of each line that is not blank.

    Raises:
        InputError: the file cannot be read as UTF-8 text.
    """
    place = 0
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                text = (raw.removeprefix(MARK) if number == 1 else raw).decode()
                if text.strip():
                    yield number, place, text
                place += len(raw)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such manifest; run scripts/prepare.py to make one") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}:{number}: not UTF-8 text ({error.reason}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot read the manifest ({error})") from error


def _stored_audio_path(audio: Path, folder: Path) -> str:
    absolute, root = audio.absolute(), folder.absolute()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)


def parse_row(line: str, folder: Path, where: str) -> Utterance:
    """Check one line of a manifest.

    Args:
        line: JSON object.
        folder: of the manifest.
        where: file and line, for messages.

    Raises:
        InputError: the row is wrong.
    """
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON object ({error}); one object a line") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(row).__name__}")
    known = (*_REQUIRED, *_OPTIONAL)
    for name in _REQUIRED:
        if name not in row:
            raise InputError(f"{where}: field {name!r} is missing; rows need {', '.join(known)}")
    for name in row:
        if name not in known:
            raise InputError(f"{where}: unknown field {name!r}; known are {', '.join(known)}")
    for name, (accepts, rule) in _RULES.items():
        if name in row and not accepts(row[name]):
            raise InputError(f"{where}: field {name!r} is {row[name]!r}; it must be {rule}")
    return Utterance(**{**row, "audio": folder / row["audio"], "seconds": float(row["seconds"])})


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _is_seconds(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "id": (
        lambda v: isinstance(v, str) and _ID.fullmatch(v) is not None,
        "letters, digits, '.', '-' and '_', beginning with a letter or digit",
    ),
    "audio": (_is_text, "a path to an audio file"),
    "text": (_is_text, "the words that are said"),
    "speaker": (_is_text, "the name of the voice"),
    "language": (
        lambda v: isinstance(v, str) and LANGUAGE_CODE.fullmatch(v) is not None,
        "a language code like 'en' or 'pt-br'",
    ),
    "seconds": (_is_seconds, "a positive number of seconds"),
    "split": (lambda v: v in SPLITS, f"one of {', '.join(SPLITS)}"),
    "source": (lambda v: isinstance(v, str), "text"),
    "licence": (lambda v: isinstance(v, str), "text"),
}
