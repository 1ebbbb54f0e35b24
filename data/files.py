"""Files that appear complete or not at all, and what is said where they cannot be written."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import InputError


def write_whole(path: Path, content: str | bytes | None) -> None:
    """Puts a whole file in place of what was there; a text as UTF-8. None leaves no file.

    Several processes and threads may write the same file: the last one's stays.
    """
    if content is None:
        path.unlink(missing_ok=True)
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        unfinished.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def writing(
    place: Path | str, setting: str, what_failed: str = "cannot be written"
) -> Iterator[None]:
    """Turns errors of the file system into the user's: disk, permissions, or the place's name.

    Args:
        place: What is written.
        setting: What may name another place, as `output=FOLDER`.
        what_failed: Said of the place.

    Raises:
        InputError: Writing failed.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{place}: {what_failed} ({error}); free disk space, check the permissions, or give "
            f"another {setting}"
        ) from error
