"""Whether a voice says what it should, on sentences that are hard to say."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.audio import write_wav
from data.text.frontend import TextFrontend
from timbre.bundle import find_bundle, load_bundle
from timbre.judges.clip import Clip
from timbre.judges.optional import NotAvailableError
from timbre.judges.phonemes import PhonemeErrors
from timbre.judges.recognizer import Recognizer, TranscribeConfig
from timbre.measuring.hard_sentences import hard_sentences
from timbre.measuring.measurement import Measurement, PeakMemory, measurement
from timbre.synthesizer import Manner, Synthesizer

_LOG = logging.getLogger(__name__)
_EASY = "plain"


@dataclass(frozen=True)
class RobustnessConfig:
    """Which voice says the hard sentences."""

    voice: str = "base"
    """A bundle, a run, `base`, or the name of a trained voice."""
    speaker: str | None = None
    """Which voice of a bundle that has several; None: the first."""
    per_kind: int = 20
    """Sentences of each of the ten kinds, at most 20."""
    candidates: int = 1
    """See `Manner.candidates`."""
    folder: str | None = None
    """Where to keep what was said; None: nowhere."""


def measure_robustness(
    config: RobustnessConfig, transcribe: TranscribeConfig
) -> Iterator[Measurement]:
    """Phoneme errors of each kind of sentence, beside plain ones; `more` has the word errors.

    Phoneme errors are those that the voice's own CTC judge hears, word errors those of Whisper,
    left out where it is not installed. Neither knows Chinese well: `mixed` shows mainly that
    nothing is skipped without a trace.
    """
    bundle = load_bundle(find_bundle(config.voice))
    speaker = config.speaker or bundle.speakers[0]
    voice = Synthesizer(bundle, speaker=speaker)
    frontend = TextFrontend("en", bundle.lexicon)
    judge = PhonemeErrors(bundle.networks.tokenizer, bundle.audio)
    listener = _recognizer(transcribe)
    errors: dict[str, float] = {}
    manner = Manner(candidates=config.candidates)
    for kind, texts in sorted(hard_sentences().items(), key=lambda item: item[0] != _EASY):
        memory = PeakMemory(torch.device("cpu"))
        clips = [_say(voice, text, manner, frontend) for text in texts[: config.per_kind]]
        for number, clip in enumerate(clips):
            if config.folder is not None:
                path = Path(config.folder) / f"{kind}-{number:02d}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_wav(path, clip.audio, clip.sample_rate_hz)
        heard = judge(clips)["phoneme_error"]
        errors[kind] = heard.mean
        more = {"worst": max(heard.values), "seconds": sum(clip.seconds for clip in clips)}
        if listener is not None:
            more |= {name: value.mean for name, value in listener(clips).items()}
        yield measurement(
            f"robust/{kind}",
            errors[kind],
            "errors/phoneme",
            (max(errors[_EASY], 1e-3), "plain sentences"),
            memory.megabytes(),
            torch.device("cpu"),
            more=more,
        )


def _say(voice: Synthesizer, text: str, manner: Manner, frontend: TextFrontend) -> Clip:
    audio = np.concatenate([spoken.audio for spoken in voice.sentences(text, manner, "en")])
    phonemes = frontend(text)
    words = " ".join(phonemes.words)
    return Clip("", audio, voice.sample_rate_hz, words, phonemes)


def _recognizer(config: TranscribeConfig) -> Recognizer | None:
    try:
        return Recognizer(config, "en")
    except NotAvailableError as error:
        _LOG.info("without word errors: %s", error)
        return None
