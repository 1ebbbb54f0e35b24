"""`scripts/detect.py`: tells synthetic speech that carries the mark from what does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.audio import read
from timbre.marking import Watermark
from timbre.voices import recordings_of

UNMARKED = 3
"""Exit code when some recording carries no mark."""
_SAMPLE_RATE_HZ = 32_000
"""That of the detector."""


@dataclass(frozen=True)
class DetectionConfig:
    """What `scripts/detect.py` listens to."""

    input: str
    """Recordings and folders of recordings, separated by commas."""


def detect(config: DetectionConfig) -> tuple[list[str], int]:
    """Listens to each recording.

    Returns:
        A line for each, and the exit code: 0 if all are marked, 3 if some are not.

    Raises:
        InputError: One of them cannot be read.
    """
    paths = [Path(part) for part in config.input.split(",")]
    files = [file for path in paths for file in recordings_of(path, "input")]
    watermark = Watermark()
    sure = [watermark.certainty(read(file, _SAMPLE_RATE_HZ), _SAMPLE_RATE_HZ) for file in files]
    found = [certainty > Watermark.CERTAIN for certainty in sure]
    lines = [
        f"{file}: {'marked as synthetic' if is_marked else 'no mark'} ({certainty:.2f})"
        for file, certainty, is_marked in zip(files, sure, found, strict=True)
    ]
    return lines, 0 if all(found) else UNMARKED
