"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Puts a whole file in place of what was there; a text as UTF-8.

    Several processes and threads may write the same file: the last one's stays.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        unfinished.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
