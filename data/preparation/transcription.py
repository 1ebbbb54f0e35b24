"""Step 3: the recogniser listens to windows of the recordings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import soxr

from data.preparation.activity import Region
from data.preparation.cache import StepCache, fingerprint
from data.preparation.config import TranscribeConfig
from data.preparation.decode import Decoded, decode
from data.preparation.recognizer import (
    SAMPLE_RATE_HZ,
    CreateRecognizer,
    Heard,
    Word,
    recognizer_fingerprint,
)

_MARGIN_SECONDS = 0.2


@dataclass(frozen=True)
class Window:
    """A part of a recording that is listened to at once."""

    path: Path
    """The recording."""
    digest: str
    """Of its content."""
    speech: Region
    """From the first to the last speech of the window."""
    language: str | None
    """Language code; None: to be detected."""


@dataclass(frozen=True)
class TranscribeWindows:
    """The step; a task is a `Window`."""

    config: TranscribeConfig
    """The recogniser."""
    sample_rate_hz: int
    """At which recordings are decoded."""
    threads: int
    """Threads of each recogniser."""
    create: CreateRecognizer
    """Makes a recogniser."""
    name: str = "transcribe"
    """Folder in the cache."""

    def key(self, task: Window, cache: StepCache, may_read: bool) -> str | None:
        """Content, place, language and recogniser."""
        place = (task.digest, task.speech.start, task.speech.end, task.language)
        model = (recognizer_fingerprint(self.config), self.create.__qualname__)
        return fingerprint(*place, *model, self.sample_rate_hz)

    def worker(self) -> Transcriber:
        """One for each chunk of windows."""
        return Transcriber(self)


class Transcriber:
    """Listens to one window after the other."""

    def __init__(self, step: TranscribeWindows) -> None:
        self._rate = step.sample_rate_hz
        self._recognizer = step.create(step.config, step.threads)
        self._files = LastFile(self._rate)

    def __call__(self, task: Window) -> Any:
        """Return language and words with their times in the recording, as plain data."""
        audio = self._files(task.path).audio
        start = max(0.0, task.speech.start - _MARGIN_SECONDS)
        end = task.speech.end + _MARGIN_SECONDS
        piece = audio[round(start * self._rate) : round(end * self._rate)]
        heard = self._recognizer(soxr.resample(piece, self._rate, SAMPLE_RATE_HZ), task.language)
        words = [
            {
                **asdict(word),
                "start": round(word.start + start, 3),
                "end": round(word.end + start, 3),
            }
            for word in heard.words
        ]
        return {"language": heard.language, "words": words}


class LastFile:
    """Decodes recordings and keeps the last one: tasks come sorted by recording."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._path: Path | None = None
        self._decoded: Decoded | None = None

    def __call__(self, path: Path) -> Decoded:
        """Return a recording, decoded."""
        if self._decoded is None or path != self._path:
            self._path, self._decoded = path, decode(path, self._rate)
        return self._decoded


def heard_of(plain: dict[str, Any]) -> Heard:
    """Return what was heard from the plain data that the step leaves."""
    return Heard(tuple(Word(**word) for word in plain["words"]), plain["language"])
