"""Manifests of any size: rows are read from the file when they are asked for."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from data.errors import InputError
from data.manifest import MARK, Utterance, numbered_lines, parse_row


class ManifestRows(Sequence[Utterance]):
    """The utterances of a manifest, checked once and then read one by one.

    Of each row only its place in the file is kept: 8 bytes, where an `Utterance` takes a kilobyte.
    Slices are such sequences as well, and share the file.

    Args:
        path: JSON-lines file, as `data.manifest.read_manifest` takes it.
        check_audio: also refuse rows whose audio file does not exist.

    Raises:
        InputError: the file is missing or empty, or a row is wrong; names file and line.
    """

    def __init__(self, path: Path | str, *, check_audio: bool = True) -> None:
        self._path = Path(path)
        places, names = array("q"), array("q")
        languages: set[str] = set()
        for number, place, line in numbered_lines(self._path):
            where = f"{self._path}:{number}"
            utterance = parse_row(line, self._path.parent, where)
            if check_audio and not os.path.isfile(utterance.audio):
                raise InputError(
                    f"{where}: audio file {utterance.audio} does not exist; audio paths are "
                    "relative to the folder of the manifest"
                )
            places.append(place)
            names.append(hash(utterance.id))
            languages.add(utterance.language)
        if not places:
            raise InputError(
                f"{self._path}: the manifest holds no utterances; prepare the voice again"
            )
        self._places: Int64[ndarray, " rows"] = np.frombuffer(places, dtype=np.int64)
        self._check_names(np.frombuffer(names, dtype=np.int64))
        self.languages = sorted(languages)
        """Codes of all languages in the file."""

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> ManifestRows: ...
    def __getitem__(self, index: int | slice) -> Utterance | ManifestRows:
        if isinstance(index, slice):
            part = object.__new__(ManifestRows)
            part._path, part._places = self._path, self._places[index]
            part.languages = self.languages
            return part
        place = int(self._places[index])
        with self._path.open("rb") as file:
            file.seek(place)
            line = file.readline()
        return self._parsed(line, place)

    def __iter__(self) -> Iterator[Utterance]:
        with self._path.open("rb") as file:
            for place in self._places.tolist():
                file.seek(place)
                yield self._parsed(file.readline(), place)

    def _parsed(self, line: bytes, place: int) -> Utterance:
        where = f"{self._path}, byte {place}"
        return parse_row(line.removeprefix(MARK).decode(), self._path.parent, where)

    def _check_names(self, hashes: Int64[ndarray, " rows"]) -> None:
        """Refuse rows that share an id; texts are compared only where their hashes are equal."""
        values, counts = np.unique(hashes, return_counts=True)
        suspects = np.isin(hashes, values[counts > 1])
        line_of: dict[str, int] = {}
        for number, place, line in numbered_lines(self._path) if suspects.any() else ():
            row = int(np.searchsorted(self._places, place))
            if not suspects[row]:
                continue
            where = f"{self._path}:{number}"
            name = parse_row(line, self._path.parent, where).id
            if name in line_of:
                raise InputError(
                    f"{where}: id {name!r} is already used in line {line_of[name]}; give every "
                    "row its own id"
                )
            line_of[name] = number
