"""Step 5: a clip's edges, and everything about it that can be measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from data.loudness import loudness_lufs
from data.preparation.activity import Region
from data.preparation.cache import StepCache, fingerprint
from data.preparation.decode import CLIPPING_FRAME_SECONDS, Decoded
from data.preparation.judges import PitchAndTimbre, Resemblyzer, SoundQuality, VoiceEmbedding
from data.preparation.sound import edges, levels_db, snr_db
from data.preparation.spectrum import bandwidth_hz, power_spectra
from data.preparation.spectrum import fingerprint as picture_of
from data.preparation.transcription import LastFile

_VERSION = 1
_LOUDNESS_SECONDS = 0.4  # shorter audio has no loudness


@dataclass(frozen=True)
class Piece:
    """A clip before it is measured."""

    path: Path
    """The recording."""
    digest: str
    """Of its content."""
    speech: Region
    """From the first to the last speech of the clip."""
    room: Region
    """How far the clip may reach on either side."""
    noise_db: float
    """Level of the noise in the recording."""


@dataclass(frozen=True)
class Measures:
    """What is measured of a clip."""

    start: float
    """Where it begins in the recording, in seconds."""
    end: float
    """Where it ends."""
    loudness_lufs: float
    """Before it was set; -70 for what is too short or too quiet to have one."""
    snr_db: float
    """Speech over noise."""
    clipped: float
    """Share of samples in flattened peaks."""
    bandwidth_hz: float
    """Highest frequency that carries sound."""
    dnsmos: float | None
    """Predicted opinion score; None if speechmos is not installed."""
    voice: tuple[float, ...]
    """Voice vector."""
    picture: tuple[float, ...]
    """Spectral fingerprint."""


@dataclass(frozen=True)
class MeasurePieces:
    """The step; a task is a `Piece`."""

    sample_rate_hz: int
    """At which recordings are decoded."""
    margin_seconds: float
    """Silence kept at either end."""
    quality: bool
    """Whether DNSMOS is asked."""
    embedding: str
    """Name of the voice embedding."""
    name: str = "measure"
    """Folder in the cache."""

    def key(self, task: Piece, cache: StepCache, may_read: bool) -> str | None:
        """Content, place and settings."""
        place = (task.digest, *vars(task.speech).values(), *vars(task.room).values(), task.noise_db)
        settings = (self.sample_rate_hz, self.margin_seconds, self.quality, self.embedding)
        return fingerprint(_VERSION, *place, *settings)

    def worker(self) -> Measurer:
        """One for each chunk of pieces."""
        return Measurer(self)


class Measurer:
    """Measures one piece after the other."""

    def __init__(self, step: MeasurePieces) -> None:
        self._step = step
        self._rate = step.sample_rate_hz
        self._files = LastFile(self._rate)
        self._measured: Decoded | None = None
        self._levels: Float64[ndarray, " frames"] | None = None
        self._quality = SoundQuality() if step.quality else None
        self._embed: VoiceEmbedding = (
            Resemblyzer() if step.embedding == Resemblyzer.name else PitchAndTimbre()
        )

    def __call__(self, task: Piece) -> Any:
        """Return the measures as plain data."""
        decoded = self._files(task.path)
        if self._levels is None or decoded is not self._measured:
            self._measured, self._levels = decoded, levels_db(decoded.audio, self._rate)
        levels = self._levels
        margin = self._step.margin_seconds
        place = edges(levels, task.speech, task.room, task.noise_db, margin)
        audio = decoded.audio[round(place.start * self._rate) : round(place.end * self._rate)]
        spectra = power_spectra(audio, self._rate)
        seconds = len(audio) / self._rate
        first = round(place.start / CLIPPING_FRAME_SECONDS)
        flat = decoded.clipped[first : round(place.end / CLIPPING_FRAME_SECONDS)].sum()
        loudness = loudness_lufs(audio, self._rate) if seconds >= _LOUDNESS_SECONDS else -70.0
        voice = self._embed(audio, self._rate)
        return asdict(
            Measures(
                start=round(place.start, 3),
                end=round(place.end, 3),
                loudness_lufs=round(max(loudness, -70.0), 2),
                snr_db=round(snr_db(levels_db(audio, self._rate), task.noise_db), 2),
                clipped=round(float(flat) / (seconds * decoded.source_rate_hz), 6),
                bandwidth_hz=round(bandwidth_hz(spectra, self._rate), 1),
                dnsmos=round(self._quality(audio, self._rate), 3) if self._quality else None,
                voice=tuple(np.round(voice, 4).tolist()),
                picture=tuple(np.round(picture_of(spectra, self._rate), 4).tolist()),
            )
        )
