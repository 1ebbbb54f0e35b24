"""Packed arrays on disk: many rows of different lengths in a few memory-mapped files.

A store is a folder with, for each field, `<field>.bin` (all rows behind one another) and
`<field>.ends` (int64, where each row ends), and `index.json`. It is built under another name and
renamed when complete: a folder with the final name is always whole.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy import ndarray

from data.files import writing

_LOG = logging.getLogger(__name__)
_COMMIT_ROWS = 64  # rows between two syncs; at most so many are made again after a kill

Row = Mapping[str, ndarray]


@dataclass(frozen=True)
class PackedField:
    """One field of every row: an array of any length along its first axis."""

    name: str
    """Name of the field and of its files."""
    dtype: str
    """numpy name of the element type, e.g. `float16`."""
    shape: tuple[int, ...] = ()
    """Sizes of the axes after the first."""

    @property
    def item_bytes(self) -> int:
        """Bytes of one position along the first axis."""
        return np.dtype(self.dtype).itemsize * int(np.prod(self.shape, dtype=np.int64))


class PackedArrays:
    """A complete store, opened for reading.

    Files are mapped on first use and paged in by the system: opening takes milliseconds and no
    memory, whatever the size. Pickles to its path, so that worker processes map the files anew.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.extra: dict[str, Any] = index["extra"]
        self.fingerprint: str = index["fingerprint"]
        self._rows: int = index["rows"]
        self._fields = {
            name: PackedField(name, dtype, tuple(shape)) for name, dtype, shape in index["fields"]
        }
        self._open: dict[str, tuple[ndarray, ndarray]] = {}

    def __getstate__(self) -> Path:
        return self.folder

    def __setstate__(self, folder: Path) -> None:
        self.__init__(folder)  # type: ignore[misc]

    def __len__(self) -> int:
        return self._rows

    def row(self, index: int, name: str) -> ndarray:
        """Return one field of one row: a read-only view of the file, `[length, *shape]`."""
        if not 0 <= index < self._rows:
            raise IndexError(f"row {index} of {self._rows} in {self.folder}")
        data, ends = self._field(name)
        return data[int(ends[index - 1]) if index else 0 : int(ends[index])]

    def column(self, name: str) -> ndarray:
        """Return one field of all rows behind one another, as a read-only view of the file."""
        return self._field(name)[0]

    def lengths(self, name: str) -> ndarray:
        """Return the length of one field in every row, int64 `[rows]`."""
        return np.diff(self._field(name)[1], prepend=0)

    def _field(self, name: str) -> tuple[ndarray, ndarray]:
        if name not in self._open:
            field = self._fields[name]
            ends = _map(self.folder / f"{name}.ends", np.dtype(np.int64), (self._rows,))
            length = int(ends[-1]) if self._rows else 0
            shape = (length, *field.shape)
            self._open[name] = _map(self.folder / f"{name}.bin", np.dtype(field.dtype), shape), ends
        return self._open[name]


def open_or_build_packed(
    folder: Path,
    fingerprint: str,
    fields: tuple[PackedField, ...],
    rows: int,
    make_rows: Callable[[int], Iterator[Row]],
    extra: Callable[[], dict[str, Any]],
) -> PackedArrays:
    """Open the store at `folder`, building it first if it is not there.

    A build that was killed goes on where it stopped. Processes that want the same store at the
    same time wait for the first one.

    Args:
        folder: final place of the store; its name must change with the fingerprint.
        fingerprint: identifies the content, kept in the store.
        fields: what each row holds.
        rows: most rows that `make_rows` yields in all, for progress messages.
        make_rows: called with the number of rows already there, yields the others in order.
        extra: JSON-able facts about the whole store, asked for after the last row.

    Raises:
        InputError: the folder cannot be written.
    """
    if not (folder / "index.json").is_file():
        with _writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_name(f"{folder.name}.lock"))
            lock.acquire()
        try:
            if not (folder / "index.json").is_file():
                _build(folder, fingerprint, fields, rows, make_rows, extra)
        finally:
            lock.release()
    return PackedArrays(folder)


def _build(
    folder: Path,
    fingerprint: str,
    fields: tuple[PackedField, ...],
    rows: int,
    make_rows: Callable[[int], Iterator[Row]],
    extra: Callable[[], dict[str, Any]],
) -> None:
    with _writing(folder):
        writer = _PackedWriter(folder.with_name(f"{folder.name}.unfinished"), fields)
    try:
        source = make_rows(writer.rows)
        while chunk := list(islice(source, _COMMIT_ROWS)):
            with _writing(folder):
                writer.append(chunk)
            _LOG.info("%s: %d of %d", folder.name, writer.rows, rows)
        index = {
            "fingerprint": fingerprint,
            "rows": writer.rows,
            "fields": [[field.name, field.dtype, list(field.shape)] for field in fields],
            "extra": extra(),
        }
        with _writing(folder):
            writer.finish(folder, index)
    finally:
        writer.close()


class _PackedWriter:
    """Appends rows to an unfinished store; what was appended survives a kill."""

    def __init__(self, folder: Path, fields: tuple[PackedField, ...]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._fields = fields
        self._progress = folder / "progress.json"
        self.rows = json.loads(self._progress.read_text()) if self._progress.exists() else 0
        self._ends: dict[str, int] = {}
        self._files = {}
        for field in fields:
            ends, data = folder / f"{field.name}.ends", folder / f"{field.name}.bin"
            ends.touch()
            data.touch()
            # Rows behind the last commit may be torn.
            os.truncate(ends, self.rows * 8)
            last = np.fromfile(ends, dtype=np.int64)[-1:]
            self._ends[field.name] = int(last[0]) if len(last) else 0
            os.truncate(data, self._ends[field.name] * field.item_bytes)
            self._files[field.name] = (data.open("ab"), ends.open("ab"))

    def append(self, rows: list[Row]) -> None:
        for row in rows:
            for field in self._fields:
                array = np.ascontiguousarray(row[field.name])
                if array.dtype != field.dtype or array.shape[1:] != field.shape:
                    raise ValueError(
                        f"field {field.name} must be {field.dtype} [length, {field.shape}], "
                        f"not {array.dtype} {array.shape}"
                    )
                self._ends[field.name] += len(array)
                data, ends = self._files[field.name]
                data.write(array.tobytes())
                ends.write(np.int64(self._ends[field.name]).tobytes())
        for files in self._files.values():
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        self.rows += len(rows)
        _write_synced(self._progress, json.dumps(self.rows))

    def finish(self, target: Path, index: dict[str, Any]) -> None:
        self.close()
        _write_synced(self._folder / "index.json", json.dumps(index, ensure_ascii=False))
        self._progress.unlink(missing_ok=True)
        _sync_folder(self._folder)
        os.replace(self._folder, target)
        _sync_folder(target.parent)

    def close(self) -> None:
        for files in self._files.values():
            for file in files:
                file.close()


def _map(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> ndarray:
    if not shape[0]:
        return np.zeros(shape, dtype)  # an empty file cannot be mapped
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)


def _write_synced(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open folders; it writes renames through by itself
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _writing(folder: Path) -> AbstractContextManager[None]:
    return writing(folder, "cache folder", "cannot write the feature cache")
