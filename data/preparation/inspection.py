"""Steps 1 and 2: what is in a recording and where somebody speaks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from data.errors import InputError, MachineError
from data.preparation.activity import (
    ACTIVITY_VERSION,
    SAMPLE_RATE_HZ,
    Region,
    SileroActivity,
    speech_regions,
)
from data.preparation.cache import StepCache, fingerprint
from data.preparation.decode import decode
from data.preparation.running import Unkept
from data.preparation.sound import levels_db, noise_level_db

_VERSION = 4
_FRAME_SECONDS = 0.01
_AUDIBLE_DB = 30.0
_BLIP_SECONDS = 0.4


@dataclass(frozen=True)
class Inspection:
    """What is known of a recording."""

    digest: str = ""
    """Of the file's content; empty if it could not be read."""
    problem: str = ""
    """Why the recording cannot be used at all; empty if it can."""
    detail: str = ""
    """The problem in more words."""
    seconds: float = 0.0
    """Length."""
    source_rate_hz: int = 0
    """Sample rate of the file."""
    channels: int = 0
    """Channels of the file."""
    silent_channels: int = 0
    """Of those, channels without sound, which were left out."""
    dc: float = 0.0
    """Mean of the samples, which was taken away."""
    peak_db: float = 0.0
    """Highest sample in dB of full scale."""
    noise_db: float = 0.0
    """Level of the noise between the speech, in dB of full scale."""
    truncated: bool = False
    """Whether the file ends before its header says."""
    regions: tuple[Region, ...] = ()
    """Speech."""


@dataclass(frozen=True)
class InspectRecordings:
    """The step; a task is the path of a recording."""

    sample_rate_hz: int
    """Of everything that follows."""
    activity: float
    """Probability from which on it is speech."""
    name: str = "inspect"
    """Folder in the cache."""

    def key(self, task: Path, cache: StepCache, may_read: bool) -> str | None:
        """Content of the file and settings."""
        try:
            digest = cache.digest(task) if may_read else cache.known_digest(task)
        except OSError:
            return None
        settings = (_VERSION, ACTIVITY_VERSION, self.sample_rate_hz, self.activity)
        # The ending counts: it tells libsndfile and ffmpeg what to expect.
        return fingerprint(digest, task.suffix, *settings) if digest else None

    def worker(self) -> Inspector:
        """One for each chunk of recordings."""
        return Inspector(self)


class Inspector:
    """Decodes a recording and listens for speech."""

    def __init__(self, step: InspectRecordings) -> None:
        self._step = step
        self._activity = SileroActivity()

    def __call__(self, task: Path) -> Any:
        """Return the inspection as plain data; a file that is not audio is a result as well."""
        try:
            return asdict(self._inspect(task))
        except InputError as error:
            found = asdict(Inspection(problem="unreadable", detail=str(error)))
            # With ffmpeg installed, the next run may read the file.
            return Unkept(found) if isinstance(error, MachineError) else found

    def _inspect(self, path: Path) -> Inspection:
        rate = self._step.sample_rate_hz
        decoded = decode(path, rate)
        audio, seconds = decoded.audio, len(decoded.audio) / rate
        facts = Inspection(
            seconds=round(seconds, 3),
            source_rate_hz=decoded.source_rate_hz,
            channels=decoded.channels,
            silent_channels=decoded.silent_channels,
            dc=round(decoded.dc, 5),
            peak_db=round(20 * float(np.log10(np.abs(audio).max() + 1e-9)), 1),
            truncated=decoded.truncated,
        )
        if decoded.is_silent:
            detail = f"{path}: nothing in it is louder than {facts.peak_db:.0f} dB"
            return Inspection(**{**vars(facts), "problem": "silent", "detail": detail})
        # The detector judges by level as well: quiet recordings are turned up for it.
        loud = audio * (0.5 / float(np.quantile(np.abs(audio), 0.9999) + 1e-9))
        speech = self._activity(soxr.resample(np.clip(loud, -1, 1), rate, SAMPLE_RATE_HZ))
        regions = speech_regions(speech, seconds, self._step.activity)
        levels = levels_db(audio, rate)
        if not regions:
            audible = _FRAME_SECONDS * int((levels > levels.max() - _AUDIBLE_DB).sum())
            detail = f"{path}: the voice activity detector hears nobody speak"
            if audible < _BLIP_SECONDS:
                detail = f"{path}: {audible:.2f} s of sound, too little to know speech by"
            problem = "no speech" if audible >= _BLIP_SECONDS else "too short"
            return Inspection(**{**vars(facts), "problem": problem, "detail": detail})
        noise = noise_level_db(levels, regions)
        found = {"regions": tuple(regions), "noise_db": round(noise, 2)}
        return Inspection(**{**vars(facts), **found})


def inspection_of(plain: dict[str, Any], digest: str) -> Inspection:
    """Return an inspection from the plain data that the step leaves."""
    regions = tuple(Region(**region) for region in plain["regions"])
    return Inspection(**{**plain, "regions": regions, "digest": digest})
