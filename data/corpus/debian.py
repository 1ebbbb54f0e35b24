"""Debian packages as a source of data: fetched by name, checked by apt, unpacked unprivileged."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from data.errors import InputError


@contextmanager
def unpacked(packages: Sequence[str], cache: Path) -> Iterator[Path]:
    """Fetch packages and unpack them into a folder that lives as long as the context.

    apt verifies every file against the signed package lists. Nothing is installed.

    Args:
        packages: names of Debian packages.
        cache: folder where the fetched packages stay, so that a second run fetches nothing.

    Yields:
        Folder with the packages' files, e.g. `usr/share/...`.

    Raises:
        InputError: apt-get is missing or cannot get a package.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="corpus-") as name:
        folder = Path(name)
        for package in packages:
            files = list(cache.glob(f"{package}_*.deb"))
            if not files:
                _run(["apt-get", "download", "-q", package], cache)
                files = list(cache.glob(f"{package}_*.deb"))
            _run(["dpkg-deb", "-x", str(files[0].absolute()), name], cache)
        yield folder


def _run(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except FileNotFoundError as error:
        raise InputError(
            f"the command {command[0]} is missing; build the corpus on Debian or Ubuntu"
        ) from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()
        raise InputError(
            f"`{' '.join(command)}` failed ({reason[-1] if reason else error.returncode}); "
            "run apt-get update and check the network"
        ) from error
