"""Step 3: the recogniser listens to windows of the recordings, short ones several at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import soxr
from jaxtyping import Float32
from numpy import ndarray

from data.preparation.activity import Region
from data.preparation.cache import StepCache, fingerprint
from data.preparation.config import TranscribeConfig
from data.preparation.decode import Decoded, decode
from data.preparation.packing import joined, separated
from data.preparation.recognizer import (
    SAMPLE_RATE_HZ,
    CreateRecognizer,
    Heard,
    Word,
    recognizer_fingerprint,
)

_VERSION = 2
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

    @property
    def start(self) -> float:
        """Where listening begins, in seconds: a little before the speech."""
        return max(0.0, self.speech.start - _MARGIN_SECONDS)

    @property
    def end(self) -> float:
        """Where it ends; the recording may end before."""
        return self.speech.end + _MARGIN_SECONDS


Pack = tuple[Window, ...]
"""Windows of one language that are listened to together; mostly one."""


@dataclass(frozen=True)
class TranscribeWindows:
    """The step; a task is a `Pack`."""

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

    def key(self, task: Pack, cache: StepCache, may_read: bool) -> str | None:
        """Content, place, language and recogniser."""
        places = [(w.digest, w.speech.start, w.speech.end, w.language) for w in task]
        model = (recognizer_fingerprint(self.config), self.create.__qualname__)
        return fingerprint(_VERSION, places, *model, self.sample_rate_hz)

    def worker(self) -> Transcriber:
        """One for each chunk of packs."""
        return Transcriber(self)


class Transcriber:
    """Listens to one pack after the other."""

    def __init__(self, step: TranscribeWindows) -> None:
        self._rate = step.sample_rate_hz
        self._recognizer = step.create(step.config, step.threads)
        self._files = LastFile(self._rate)

    def __call__(self, task: Pack) -> Any:
        """Return language and words of each window, with times in its recording, as plain data."""
        pieces = [self._piece(window) for window in task]
        heard = self._recognizer(joined(pieces), task[0].language)
        shares = separated(heard, [len(piece) / SAMPLE_RATE_HZ for piece in pieces])
        return [
            {"language": heard.language, "words": [_plain(word, window.start) for word in words]}
            for window, words in zip(task, shares, strict=True)
        ]

    def _piece(self, window: Window) -> Float32[ndarray, " samples"]:
        audio = self._files(window.path).audio
        piece = audio[round(window.start * self._rate) : round(window.end * self._rate)]
        resampled: ndarray = soxr.resample(piece, self._rate, SAMPLE_RATE_HZ)
        return resampled


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


def _plain(word: Word, offset: float) -> dict[str, Any]:
    times = {"start": round(word.start + offset, 3), "end": round(word.end + offset, 3)}
    return {**asdict(word), **times}


def heard_of(plain: dict[str, Any]) -> Heard:
    """Return what was heard from the plain data that the step leaves."""
    return Heard(tuple(Word(**word) for word in plain["words"]), plain["language"])
