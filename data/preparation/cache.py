"""Results of the steps, found again by what they were made from."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from data.files import write_whole, writing

_BLOCK = 1 << 20


def fingerprint(*parts: Any) -> str:
    """Return 32 hexadecimal digits that change whenever a part does; parts are plain JSON data."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


class StepCache:
    """A folder with one small JSON file a result.

    Files appear complete or not at all, so that several processes may share the folder and a killed
    run leaves only whole results. It may be deleted at any time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, step: str, key: str) -> Any | None:
        """Return a result, or None if there is none."""
        try:
            return json.loads(self._file(step, key).read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            return None

    def put(self, step: str, key: str, result: Any) -> None:
        """Keep a result.

        Raises:
            InputError: the folder cannot be written.
        """
        file = self._file(step, key)
        with writing(self.folder, "cache=FOLDER"):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps(result, ensure_ascii=False))

    def known_digest(self, path: Path) -> str | None:
        """Return the digest of a file that has not changed since it was last read, or None."""
        status = path.stat()
        key = fingerprint(os.fsencode(path).hex(), status.st_size, status.st_mtime_ns)
        digest = self.get("digest", key)
        return digest if isinstance(digest, str) else None

    def digest(self, path: Path) -> str:
        """Return the digest of a file's content, read only if size or time have changed."""
        if (known := self.known_digest(path)) is not None:
            return known
        status = path.stat()
        content = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                content.update(block)
        key = fingerprint(os.fsencode(path).hex(), status.st_size, status.st_mtime_ns)
        self.put("digest", key, content.hexdigest()[:32])
        return content.hexdigest()[:32]

    def _file(self, step: str, key: str) -> Path:
        return self.folder / step / key[:2] / f"{key}.json"
