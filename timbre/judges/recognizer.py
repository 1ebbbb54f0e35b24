"""Word and character errors by a speech recogniser: Whisper, through faster-whisper."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapidfuzz.distance import Levenshtein

from data.errors import InputError
from data.text.words import WordList
from timbre.judges.clip import Clip, Measure
from timbre.judges.optional import NotAvailableError, import_optional

INSTALL = "pip install faster-whisper"
_SAMPLE_RATE_HZ = 16000


@dataclass(frozen=True)
class TranscribeConfig:
    """The speech recogniser."""

    model: str = "base"
    """A Whisper model: a name (tiny, base, small, …; downloaded once) or a local folder."""
    device: str = "cpu"
    """cpu or cuda (needs CTranslate2's CUDA libraries)."""
    beam: int = 5
    """Width of the beam search."""

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise ValueError(f"transcribe.beam is {self.beam}; give 1 or more")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"transcribe.device is {self.device!r}; give cpu or cuda")


class Recognizer:
    """Listens to clips; the same clip gives the same words every time.

    Measures `wer` and `cer`: edit distance to the text over its words or letters, both normalised
    by `WordList`; may exceed 1.

    Raises:
        InputError: The model is a folder without a model.
        NotAvailableError: faster-whisper is not installed, or the model cannot be fetched.
    """

    def __init__(self, config: TranscribeConfig, language: str) -> None:
        self._beam = config.beam
        self._language = language
        self._words = {language: WordList(language)}
        self._model = _load(config)

    def __call__(self, clips: list[Clip]) -> dict[str, Measure]:
        """Word and character error rates of the clips whose text is known."""
        word_errors, character_errors = [], []
        heard_texts, word_counts, character_counts = [], [], []
        for clip in clips:
            heard_text = self.transcribe(clip) if clip.text else ""
            words = self._words_of(clip.language or self._language)
            heard, expected = words(heard_text), words(clip.text)
            heard_texts.append(heard_text)
            word_counts.append(float(len(expected)))
            character_counts.append(float(len(" ".join(expected))))
            word_errors.append(_rate(heard, expected))
            character_errors.append(_rate(" ".join(heard), " ".join(expected)))
        return {
            "wer": Measure(word_errors, word_counts, heard_texts),
            "cer": Measure(character_errors, character_counts),
        }

    def _words_of(self, language: str) -> WordList:
        if language not in self._words:
            self._words[language] = WordList(language)
        return self._words[language]

    def transcribe(self, clip: Clip) -> str:
        """What is heard in a clip."""
        segments, _ = self._model.transcribe(
            clip.at(_SAMPLE_RATE_HZ),
            language=(clip.language or self._language).split("-")[0],
            beam_size=self._beam,
            # Without the fall-back to sampling at higher temperatures: the same answer every time.
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)


def _rate(heard: Any, expected: Any) -> float:
    return Levenshtein.distance(heard, expected) / len(expected) if expected else math.nan


def _load(config: TranscribeConfig) -> Any:
    folder = Path(config.model)
    # A name on the hub may have a slash too, so only what is plainly a path is checked as one.
    is_local = folder.is_dir() or config.model.startswith(("/", "./", "../"))
    if is_local and not (folder / "model.bin").is_file():
        raise InputError(
            f"transcribe.model={config.model}: no model.bin there; give a folder with a "
            "CTranslate2 Whisper model, or a name such as base"
        )
    faster_whisper = import_optional("faster_whisper", INSTALL)
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # it tells of every clip
    try:
        return faster_whisper.WhisperModel(
            config.model,
            device=config.device,
            compute_type="int8" if config.device == "cpu" else "float16",
        )
    # Whatever hub or network went wrong: huggingface_hub, requests and CTranslate2 share no base.
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise NotAvailableError(
            f"Whisper {config.model!r} could not be loaded ({reason}): check the name and the "
            "network, or give a local folder with transcribe.model=PATH"
        ) from error
