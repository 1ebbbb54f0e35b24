"""Recordings of the demo voice in every condition, and a recogniser that knows their texts."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from data.audio import read
from data.preparation.config import TranscribeConfig
from data.preparation.packing import GAP_SECONDS
from data.preparation.recognizer import CreateRecognizer, Heard, Word
from data.preparation.spectrum import fingerprint, power_spectra

RATE = 24_000
_VOICE = Path(__file__).parents[3] / "assets" / "myvoice"
_LEAST_ALIKE = 0.3


@dataclass(frozen=True)
class Spoken:
    """A real recording and its text."""

    name: str
    audio: np.ndarray
    text: str


def _spoken(count: int) -> list[Spoken]:
    """The first so many clips of the demo voice that are 2 to 8 s long."""
    rows = [json.loads(line) for line in (_VOICE / "manifest.jsonl").read_text().splitlines()]
    rows = [row for row in rows if 2.0 < row["seconds"] < 8.0][:count]
    return [Spoken(r["id"], read(_VOICE / r["audio"], RATE), r["text"]) for r in rows]


def _knows(clips: list[Spoken], **other: str) -> CreateRecognizer:
    """Makes recognisers that know the clips by their sound.

    Args:
        clips: what they know.
        other: texts that they hear instead of the true ones, by name.
    """
    names = [clip.name for clip in clips]
    pictures = np.stack([_picture(clip.audio, RATE) for clip in clips])

    def words_of(audio: np.ndarray, start: float) -> list[Word]:
        alike = pictures @ _picture(audio, 16_000)
        best = int(alike.argmax())
        if alike[best] < _LEAST_ALIKE:
            return []
        text = other.get(names[best], clips[best].text).split()
        step = len(audio) / 16_000 / len(text)
        return [
            Word(f" {w}", start + k * step, start + (k + 0.9) * step, 0.9)
            for k, w in enumerate(text)
        ]

    class Knowing:
        def __call__(self, audio: np.ndarray, language: str | None) -> Heard:
            words = [word for piece, start in _pieces(audio) for word in words_of(piece, start)]
            return Heard(tuple(words), language or "en")

    def create(config: TranscribeConfig, threads: int) -> Knowing:
        return Knowing()

    return create


def _pieces(audio: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """The clips of a pack and where they begin: what stands between gaps of digital silence."""
    gap = round(GAP_SECONDS * 16_000)
    sounding = np.flatnonzero(audio)
    if not len(sounding):
        return
    breaks = np.flatnonzero(np.diff(sounding) > 0.95 * gap)
    for first, last in zip([0, *(breaks + 1)], [*breaks, len(sounding) - 1], strict=True):
        yield audio[sounding[first] : sounding[last] + 1], sounding[first] / 16_000


def _picture(audio: np.ndarray, rate: int) -> np.ndarray:
    # The outer silence is cut off as the preparation does, so that the pictures match.
    loud = np.flatnonzero(np.abs(audio) > 0.1 * np.abs(audio).max()) if audio.any() else [0]
    return fingerprint(power_spectra(audio[loud[0] : loud[-1] + 1], rate), rate)


def _dirty_set(folder: Path, good: list[Spoken], victims: list[Spoken]) -> dict[str, str]:
    """Write good clips, and one clip with each fault; returns the expected reason of each file.

    Args:
        folder: where to.
        good: clips that stay as they are; ten at least.
        victims: eight more, each of which gets a fault.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    expected: dict[str, str] = {}

    def put(name: str, audio: np.ndarray, text: str, reason: str, rate: int = RATE) -> Path:
        path = folder / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, audio, rate, subtype="PCM_16")
        path.with_suffix(".txt").write_text(text, encoding="utf-8")
        expected[f"{name}.wav"] = reason
        return path

    for clip in good[:-2]:
        put(clip.name, clip.audio, clip.text, "")
    put("with spaces 和中文/a b", good[-2].audio, good[-2].text, "")
    stereo = np.stack([np.zeros_like(good[-1].audio), good[-1].audio], axis=1)
    put("one-silent-channel", stereo, good[-1].text, "")

    a, b, c, d, e, f, g, h = victims
    level = np.sqrt(np.mean(np.square(a.audio[np.abs(a.audio) > 0.02])))
    put("noise", 0.5 * (a.audio + level * rng.standard_normal(len(a.audio))), a.text, "noisy")
    loudest = np.abs(b.audio).max()
    put("clipped", np.clip(b.audio, -0.2 * loudest, 0.2 * loudest), b.text, "clipped")
    wrong = "Completely different words were written down for this recording by mistake."
    put("wrong-text", c.audio, wrong, "transcript mismatch")
    lower = soxr.resample(d.audio, RATE, round(RATE * 1.45))
    put("another-voice", lower, d.text, "another speaker")
    put("silence", np.zeros(3 * RATE), "Nothing is said here.", "silent")
    middle = len(e.audio) // 2
    blip = np.pad(e.audio[middle : middle + RATE // 5], RATE // 2)
    put("blip", blip, e.text, "too short")
    cut_short = put("truncated", f.audio, f.text, "truncated")
    cut_short.write_bytes(cut_short.read_bytes()[: -len(f.audio) // 2])
    telephone = soxr.resample(g.audio, RATE, 8000)
    put("telephone", telephone, g.text, "narrow band", rate=8000)
    put("copy", good[0].audio, good[0].text, "duplicate")
    put("hum", 0.1 * np.sin(2 * np.pi * 50 * np.arange(3 * RATE) / RATE), h.text, "no speech")
    for name, content in (("words", b"This is a text file."), ("nothing", b"")):
        (folder / f"{name}.wav").write_bytes(content)
        expected[f"{name}.wav"] = "unreadable"
    return expected


@pytest.fixture(scope="session")
def clips() -> list[Spoken]:
    """Twenty clips of the demo voice."""
    return _spoken(20)


@pytest.fixture(scope="session")
def knows() -> Callable[..., CreateRecognizer]:
    """`knows(clips)` makes a recogniser that knows the clips."""
    return _knows


@pytest.fixture(scope="session")
def recognizer(clips: list[Spoken]) -> CreateRecognizer:
    """A recogniser that knows all clips."""
    return _knows(clips)


@pytest.fixture
def dirty_set() -> Callable[[Path, list[Spoken], list[Spoken]], dict[str, str]]:
    """Writes a folder with every fault."""
    return _dirty_set
