"""Last step: the clips' audio files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from data.audio import write_flac
from data.preparation.activity import Region
from data.preparation.cache import StepCache
from data.preparation.config import SoundConfig
from data.preparation.decode import Decoded
from data.preparation.sound import denoise, finish
from data.preparation.transcription import LastFile

RENDER_VERSION = 1


@dataclass(frozen=True)
class Rendering:
    """A clip and its file."""

    path: Path
    """The recording."""
    place: Region
    """Where the clip is in it."""
    regions: tuple[Region, ...]
    """Speech in the whole recording, for the denoiser; empty if that is off."""
    target: Path
    """File to write; its name holds a fingerprint of everything that it depends on."""


@dataclass(frozen=True)
class RenderClips:
    """The step; a task is a `Rendering`. Its results are the files, so the cache holds none."""

    sample_rate_hz: int
    """Of recordings and clips."""
    sound: SoundConfig
    """Loudness and denoising."""
    name: str = "render"
    """What the progress bar is called."""

    def key(self, task: Rendering, cache: StepCache, may_read: bool) -> str | None:
        """None: what is done is seen by the file."""
        return None

    def worker(self) -> Renderer:
        """One for each chunk of clips."""
        return Renderer(self)


class Renderer:
    """Writes one file after the other."""

    def __init__(self, step: RenderClips) -> None:
        self._step = step
        self._files = LastFile(step.sample_rate_hz)
        self._decoded: Decoded | None = None
        self._audio = np.zeros(0, dtype=np.float32)

    def __call__(self, task: Rendering) -> Any:
        """Write the file; returns its length in seconds."""
        rate = self._step.sample_rate_hz
        audio = self._whole(task)
        clip = audio[round(task.place.start * rate) : round(task.place.end * rate)]
        write_flac(task.target, finish(clip, rate, self._step.sound), rate)
        return len(clip) / rate

    def _whole(self, task: Rendering) -> Float32[ndarray, " samples"]:
        """The recording of a clip; it is denoised once for all of its clips."""
        decoded = self._files(task.path)
        if decoded is not self._decoded:
            self._decoded, self._audio = decoded, decoded.audio
            if self._step.sound.denoise:
                rate = self._step.sample_rate_hz
                self._audio = denoise(decoded.audio, rate, list(task.regions))
        return self._audio
