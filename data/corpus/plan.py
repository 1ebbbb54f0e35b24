"""The list of clips that a configuration asks for, before any is made."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float32
from numpy import ndarray

from data.audio import read
from data.corpus.conditioning import UnusableClip
from data.corpus.config import CorpusConfig
from data.corpus.guard import EvaluationGuard
from data.corpus.human import HumanSource, Recording
from data.corpus.teachers import Teacher
from data.corpus.texts import clip_texts
from data.corpus.voices import PseudoVoice, pseudo_voices, render, seed_of
from data.errors import InputError

_WORDS_PER_SECOND = 2.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedClip:
    """One clip of the corpus: what it is, and how to get its sound."""

    id: str
    """Name in the manifest; it depends on everything that the sound depends on."""
    speaker: str
    """Voice."""
    language: str
    """Language code."""
    text: str
    """What is said."""
    split: str
    """`train` or `validation`."""
    source: str
    """Package or synthesiser."""
    licence: str
    """SPDX identifier."""
    make: Callable[[], Float32[ndarray, " samples"]]
    """Gives the raw sound at the corpus's sample rate."""


class Planner:
    """Makes the plan; ids, texts and splits are a pure function of the configuration.

    Args:
        config: the recipe.
        guard: refuses evaluation voices (an error) and sentences (left out).
    """

    def __init__(self, config: CorpusConfig, guard: EvaluationGuard) -> None:
        self._config, self._guard = config, guard
        self._rate_hz = config.condition.sample_rate_hz
        self._clips_of: Counter[str] = Counter()
        self._ids: set[str] = set()

    def human(self, name: str, source: HumanSource, root: Path) -> list[PlannedClip]:
        """Plan the recordings of a source whose packages are unpacked in `root`."""
        for package in source.packages:
            self._refuse_voice(package)
        clips: list[PlannedClip] = []
        for recording in source.recordings(root):
            self._refuse_voice(recording.speaker)
            clips += self._admit(
                f"{recording.speaker}-{recording.key}",
                recording.speaker,
                recording.language,
                recording.text,
                name,
                source.licence,
                _reader(recording, self._rate_hz),
            )
        return clips

    def english(
        self, examples: Sequence[str], teacher_of: Callable[[str, str], Teacher]
    ) -> list[PlannedClip]:
        """Plan the teachers' clips: every voice in turn says the next text, none is said twice.

        Args:
            examples: sentences in dictionary order.
            teacher_of: gives a synthesiser's voice by name and base; called when a clip is made,
                and once a teacher for its licence.
        """
        config = self._config
        texts = iter(clip_texts(examples, config.text, config.refused_words, config.seed))
        clips: list[PlannedClip] = []
        for entry in self._config.all_teachers:
            voices = pseudo_voices(entry, self._config.seed)
            licence = teacher_of(entry.teacher, voices[0].base).licence
            mean_seconds = self._config.text.clip_words_median / _WORDS_PER_SECOND
            for _ in range(round(60 * entry.minutes / mean_seconds)):
                for voice in voices:
                    clips += self._synthetic(voice, _next(texts), licence, teacher_of)
        return clips

    def _synthetic(
        self,
        voice: PseudoVoice,
        text: str,
        licence: str,
        teacher_of: Callable[[str, str], Teacher],
    ) -> list[PlannedClip]:
        digest = hashlib.sha1(f"{self._config.seed}{voice.recipe}{text}".encode()).hexdigest()[:12]
        name = f"{voice.name}-{digest}"
        self._refuse_voice(voice.name)

        def make() -> Float32[ndarray, " samples"]:
            teacher = teacher_of(voice.teacher, voice.base)
            return render(voice, teacher, text, seed_of(name), self._rate_hz)

        return self._admit(name, voice.name, "en", text, voice.teacher, licence, make)

    def _admit(
        self,
        name: str,
        speaker: str,
        language: str,
        text: str,
        source: str,
        licence: str,
        make: Callable[[], Float32[ndarray, " samples"]],
    ) -> list[PlannedClip]:
        """The clip with its split; nothing if it holds an evaluation sentence or is there."""
        if self._guard.refuses_text(text):
            _log.info("%s: left out, it holds an evaluation sentence: %s", name, text)
            return []
        if name in self._ids:
            return []
        self._ids.add(name)
        number = self._clips_of[speaker]
        self._clips_of[speaker] += 1
        every = self._config.validation_every
        held_out = number % every == every // 2 or speaker in self._config.development_voices
        split = "validation" if held_out else "train"
        return [PlannedClip(name, speaker, language, text, split, source, licence, make)]

    def _refuse_voice(self, name: str) -> None:
        if self._guard.refuses_voice(name):
            raise InputError(
                f"{name} is an evaluation voice: it must not be in the corpus; take it out of the "
                "configuration"
            )

    def check_development_voices(self) -> None:
        """Refuse a configuration whose development voices do not exist.

        Raises:
            InputError: names the unknown ones; to be called when everything is planned.
        """
        unknown = set(self._config.development_voices) - set(self._clips_of)
        if unknown:
            raise InputError(
                f"development_voices: no speaker {', '.join(sorted(unknown))}; the speakers are "
                f"{', '.join(sorted(self._clips_of))}"
            )


def select(names: Sequence[str], known: Mapping[str, HumanSource]) -> dict[str, HumanSource]:
    """The named sources.

    Raises:
        InputError: a name is unknown.
    """
    for name in names:
        if name not in known:
            raise InputError(f"unknown source {name!r}; known are {', '.join(sorted(known))}")
    return {name: known[name] for name in names}


def _reader(recording: Recording, rate_hz: int) -> Callable[[], Float32[ndarray, " samples"]]:
    def make() -> Float32[ndarray, " samples"]:
        if not recording.is_plain:
            raise UnusableClip("digits or symbols in the text")
        try:
            return read(recording.path, rate_hz)
        except InputError as error:
            # Some packages hold empty files; they cost a clip, not the build.
            raise UnusableClip("unreadable") from error

    return make


def _next(texts: Iterator[str]) -> str:
    text = next(texts, None)
    if text is None:
        raise InputError("the dictionary has too few examples: ask for fewer voices or minutes")
    return text
