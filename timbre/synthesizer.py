"""`Synthesizer`: a loaded voice that speaks any text."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from data.errors import InputError
from data.text.frontend import TextFrontend
from gpt.sampling import SamplingConfig
from timbre.bundle import Bundle
from timbre.finishing import SilenceTrimmer, leveled
from timbre.reading import Piece, read_aloud
from timbre.speech import Speech, speak_all
from timbre.streaming import PieceStream
from timbre.timestamps import Timing, timing_of
from timbre.voices import known_voice, referred_voice

SPEEDS = (0.25, 4.0)
_BATCH = 8
"""Pieces that GPT writes at once; more hold more memory, and two cores gain nothing by them."""


@dataclass(frozen=True)
class Manner:
    """How a text is said."""

    speed: float = 1.0
    """2 speaks twice as fast, at the same pitch."""
    pause: float = 0.35
    """Seconds of silence between sentences; after a paragraph 1.75 times that."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """How GPT samples."""
    seed: int = 1
    """Equal seeds give equal speech."""
    candidates: int = 1
    """Each sentence is said so many times, and the tokenizer's CTC head picks the clearest."""
    level: bool = True
    """Whether all sentences are brought to one loudness; chunks of a stream are not."""

    def __post_init__(self) -> None:
        if not SPEEDS[0] <= self.speed <= SPEEDS[1]:
            raise ValueError(f"speed is {self.speed}; give {SPEEDS[0]} to {SPEEDS[1]}")
        if not 0 <= self.pause <= 10:
            raise ValueError(f"pause is {self.pause}; give 0 to 10 seconds")
        if not 1 <= self.candidates <= 32:
            raise ValueError(f"candidates is {self.candidates}; give 1 to 32")


@dataclass(frozen=True, kw_only=True)
class MannerSettings:
    """How a text is said, as the words of a command or the fields of a request."""

    speed: float = 1.0
    """2 speaks twice as fast."""
    pause: float = 0.35
    """Seconds of silence between sentences; after an empty line 1.75 times that."""
    temperature: float = 0.6
    """Of the tokens; 0 is always the same, higher is livelier."""
    seed: int = 1
    """Equal seeds give equal speech."""
    candidates: int = 1
    """Each sentence is said so many times, and the tokenizer's CTC head picks the clearest."""

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}; give 0 or more")
        _ = self.manner  # which refuses what is out of range

    @property
    def manner(self) -> Manner:
        """The manner that they describe."""
        return Manner(
            speed=self.speed,
            pause=self.pause,
            sampling=SamplingConfig(temperature=self.temperature),
            seed=self.seed,
            candidates=self.candidates,
        )


@dataclass(frozen=True)
class Spoken:
    """One piece of a text, as it is said."""

    text: str
    """The sentence."""
    audio: Float[ndarray, " samples"]
    """Waveform in [-1, 1], the silence after it included."""
    timing: Timing | None
    """When its words are said; None with `layout: plain`, which does not know."""
    phoneme_error: float
    """What the judge of the candidates heard; NaN where there was one only."""


class Synthesizer:
    """A voice that speaks.

    Args:
        bundle: The voice; its networks are packed for speaking.
        reference: Recordings (files, folders, saved vectors) whose mean voice to take instead of
            the bundle's.
        speaker: Which of the bundle's voices, or a mixture of them such as `a:0.7+b:0.3`; None:
            the only one.
        lexicon: A file of words and how they are said; see `data.text.lexicon.Lexicon`. None: the
            bundle's own.
        weights: What GPT's weights are kept in (see `gpt.packed.pack_linear`); None: the fastest
            that rounds nothing of a bundle's.

    Raises:
        InputError: No such speaker, several to choose from, or an unusable reference.
    """

    def __init__(
        self,
        bundle: Bundle,
        reference: Path | list[Path] | None = None,
        speaker: str | None = None,
        lexicon: Path | None = None,
        weights: str | None = None,
    ) -> None:
        self.bundle = bundle
        self.networks = bundle.networks
        self.networks.vocoder.fold_weight_norm()
        self.networks.gpt.prepare(weights)
        self.sample_rate_hz = bundle.audio.sample_rate_hz
        if reference is None:
            self.z_spk = known_voice(bundle, speaker)
        else:
            paths = [reference] if isinstance(reference, Path) else reference
            self.z_spk = referred_voice(bundle, paths)
        self._lexicon = lexicon or bundle.lexicon
        self._frontends: dict[str, TextFrontend] = {}

    def as_speaker(self, speaker: str | None) -> Synthesizer:
        """Another of the bundle's voices, by the same networks; see `speaker` of the class.

        Raises:
            InputError: No such speaker, or several to choose from.
        """
        other = copy(self)
        other.z_spk = known_voice(self.bundle, speaker)
        return other

    def speak(
        self,
        text: str,
        *,
        language: str | None = None,
        speed: float = 1.0,
        sampling: SamplingConfig | None = None,
        seed: int = 1,
    ) -> Float[ndarray, " samples"]:
        """Speaks a text of a few sentences; `sentences` is for long ones.

        Args:
            text: What to say.
            language: Of the text; None: the voice's language, or English.
            speed: 2 speaks twice as fast, at the same pitch.
            sampling: How GPT samples.
            seed: Equal seeds give equal speech.

        Returns:
            Waveform in [-1, 1] at `sample_rate_hz`.

        Raises:
            InputError: The text holds nothing that can be said, or the lexicon cannot be used.
        """
        manner = Manner(speed=speed, sampling=sampling or SamplingConfig(), seed=seed)
        return np.concatenate([s.audio for s in self.sentences(text, manner, language)])

    def sentences(self, text: str, manner: Manner, language: str | None = None) -> Iterator[Spoken]:
        """Speaks a text of any length, piece by piece; memory does not grow with it.

        The n-th piece says the same whatever stands before it, as long as it is the n-th.

        Args:
            text: What to say; see `timbre.reading.read_aloud` for pauses in it, and
                `data.text.inline.InlineWords` for pronunciations.
            manner: How to say it.
            language: Of the text; None: the voice's language, or English.

        Raises:
            InputError: The text holds nothing that can be said, or the lexicon cannot be used.
        """
        pieces = enumerate(self._pieces(text, manner, language))
        while batch := list(islice(pieces, _BATCH)):
            speeches = speak_all(
                self.networks,
                [piece.phonemes for _, piece in batch],
                self.z_spk.expand(len(batch), -1),
                manner.sampling,
                [_generator(manner.seed, number) for number, _ in batch],
                manner.speed,
                manner.candidates,
            )
            for (_, piece), speech in zip(batch, speeches, strict=True):
                yield self._finished(piece, speech, manner)

    def stream(
        self, text: str, manner: Manner, language: str | None = None
    ) -> Iterator[Float[ndarray, " samples"]]:
        """Speaks a text while GPT is still writing it: chunks as soon as they can be heard.

        The chunks joined are what `sentences` says with `level=False`, up to the look-ahead of
        `timbre.streaming`. `candidates` must be 1: a judge hears whole sentences.

        Raises:
            InputError: The text holds nothing that can be said, or several candidates are asked.
        """
        if manner.candidates != 1:
            raise InputError("a stream cannot choose among candidates; leave candidates at 1")
        for number, piece in enumerate(self._pieces(text, manner, language)):
            generator = _generator(manner.seed, number)
            stream = PieceStream(
                self.networks,
                piece.phonemes,
                self.z_spk,
                manner.sampling,
                generator,
                manner.speed,
            )
            trimmer = SilenceTrimmer(self.sample_rate_hz)
            for chunk in stream.chunks():
                ready = trimmer.push(chunk)
                if len(ready):
                    yield ready
            yield np.concatenate([trimmer.finish(), self._silence(piece)])

    def _pieces(self, text: str, manner: Manner, language: str | None) -> Iterator[Piece]:
        frontend = self._frontend(language or self.bundle.language or "en")
        return read_aloud(text, frontend, manner.pause)

    def _finished(self, piece: Piece, speech: Speech, manner: Manner) -> Spoken:
        trimmer = SilenceTrimmer(self.sample_rate_hz)
        audio = np.concatenate([trimmer.push(speech.audio.cpu().numpy()), trimmer.finish()])
        if manner.level:
            audio = leveled(audio, self.sample_rate_hz)
        timing = None
        if speech.durations is not None:
            timing = timing_of(
                piece.text,
                piece.phonemes,
                speech.durations.cpu().numpy(),
                1 / self.bundle.audio.tokens_per_second / manner.speed,
                trimmer.cut_samples / self.sample_rate_hz,
                len(audio) / self.sample_rate_hz,
            )
        audio = np.concatenate([audio, self._silence(piece)])
        return Spoken(piece.text, audio, timing, speech.phoneme_error)

    def _silence(self, piece: Piece) -> Float[ndarray, " samples"]:
        return np.zeros(round(piece.pause_seconds * self.sample_rate_hz), dtype=np.float32)

    def _frontend(self, language: str) -> TextFrontend:
        if language not in self._frontends:
            self._frontends[language] = TextFrontend(language, self._lexicon, inline=True)
        return self._frontends[language]


def _generator(seed: int, number: int) -> torch.Generator:
    """What the n-th piece draws, whatever is drawn for the others."""
    return torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63)
