"""What cannot be written is the user's to mend: disk, permissions, or the folder's name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import InputError


@contextmanager
def writing(place: Path, setting: str) -> Iterator[None]:
    """Turn errors of the file system into the user's.

    Args:
        place: What is written.
        setting: Which setting names another place, e.g. `output=FOLDER`.

    Raises:
        InputError: Writing failed.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{place}: cannot be written ({error}); free disk space, check the permissions, or "
            f"give another {setting}"
        ) from error
