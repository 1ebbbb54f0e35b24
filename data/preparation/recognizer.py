"""Step 3: what is said and when, by Whisper through faster-whisper."""

import importlib
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float32
from numpy import ndarray

from data.errors import InputError
from data.preparation.config import TranscribeConfig

SAMPLE_RATE_HZ = 16_000
RECOGNIZER_VERSION = "faster-whisper greedy fallback off, 1"
INSTALL = "pip install 'timbre-voice[prepare]'"


@dataclass(frozen=True)
class Word:
    """A recognised word."""

    text: str
    """As written, with its punctuation and the space before it, if the script has any."""
    start: float
    """Seconds."""
    end: float
    """Seconds."""
    probability: float
    """How sure the recogniser is."""


@dataclass(frozen=True)
class Heard:
    """What a recogniser heard in a piece of audio."""

    words: tuple[Word, ...]
    """In order."""
    language: str
    """Language code, given or detected."""


@runtime_checkable
class Recognizer(Protocol):
    """Listens."""

    def __call__(self, audio: Float32[ndarray, " samples"], language: str | None) -> Heard:
        """Return the words in at most 30 s of 16 kHz audio; None detects the language."""


CreateRecognizer = Callable[[TranscribeConfig, int], Recognizer]
"""Makes a recogniser that uses so many threads; travels to other processes."""


class RecognizerMissing(Exception):  # noqa: N818 - a state of this machine, not a fault
    """There is no recogniser here; the message says why and what to do."""


class Whisper:
    """Whisper without the fall-back to sampling: the same audio gives the same words.

    Raises:
        InputError: the model is a folder without a model.
        RecognizerMissing: faster-whisper is not installed, or the model cannot be fetched.
    """

    def __init__(self, config: TranscribeConfig, threads: int) -> None:
        self._config = config
        # It tells the length of every piece of audio.
        logging.getLogger("faster_whisper").setLevel(logging.WARNING)
        self._model = _load(config, threads)

    def __call__(self, audio: Float32[ndarray, " samples"], language: str | None) -> Heard:
        """Return the words in at most 30 s of 16 kHz audio; None detects the language."""
        code = language.split("-")[0] if language else None
        segments, info = self._model.transcribe(
            audio,
            language=code if code in self._model.supported_languages else None,
            beam_size=self._config.beam,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        words = tuple(
            Word(word.word, float(word.start), float(word.end), float(word.probability))
            for segment in segments
            for word in segment.words or ()
            if word.word.strip()
        )
        return Heard(words, info.language)


def recognizer_fingerprint(config: TranscribeConfig) -> str:
    """Return a text that changes whenever the same audio may give other words."""
    model = Path(config.model) / "model.bin"
    size = model.stat().st_size if model.is_file() else 0
    return f"{RECOGNIZER_VERSION}; {config.model} {size}; {config.device}; beam {config.beam}"


def main_language(heard: Iterable[Heard]) -> str | None:
    """Return the language that most words were heard in."""
    votes: Counter[str] = Counter()
    for one in heard:
        votes[one.language] += len(one.words)
    return votes.most_common(1)[0][0] if votes else None


def _load(config: TranscribeConfig, threads: int) -> Any:
    folder = Path(config.model)
    # A name on the hub may have a slash too, so only what is plainly a path is checked as one.
    is_local = folder.is_dir() or config.model.startswith(("/", "./", "../"))
    if is_local and not (folder / "model.bin").is_file():
        raise InputError(
            f"transcribe.model={config.model}: no model.bin there; give a folder with a "
            "CTranslate2 Whisper model, or a name such as base"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            faster_whisper = importlib.import_module("faster_whisper")
    except ImportError as error:
        raise RecognizerMissing(f"faster-whisper is not installed ({error}): {INSTALL}") from error
    try:
        return faster_whisper.WhisperModel(
            config.model,
            device=config.device,
            compute_type="int8" if config.device == "cpu" else "float16",
            cpu_threads=threads,
        )
    # Whatever hub or network went wrong: huggingface_hub, requests and CTranslate2 share no base.
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RecognizerMissing(
            f"Whisper {config.model!r} could not be loaded ({reason}): check the name and the "
            "network, or give a local folder with transcribe.model=PATH"
        ) from error
