"""Files that appear complete or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Puts a whole file in place of what was there; a text as UTF-8."""
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    os.replace(unfinished, path)
