"""From written text to the phonemes and marks that the networks read."""

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from data.errors import InputError
from data.text.punctuation import clean_text, split_phrases, stronger
from data.text.registry import create_phonemizer
from data.text.symbols import (
    MARKS,
    PUNCTUATION,
    SILENCE,
    STRESS_NONE,
    SYMBOL_TABLE_VERSION,
    language_id,
    symbol_id,
)

_EXCERPT_CHARACTERS = 60

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phonemes:
    """A text as the networks read it; begins and ends with a pause."""

    ids: Int64[ndarray, " phonemes"]
    """Symbols, by their index in the symbol table."""
    marks: Int64[ndarray, "phonemes 4"]
    """Stress or tone, word start, punctuation and language of each phoneme; see `MARKS`."""
    words: list[str]
    """The spoken words, numbers and abbreviations written out."""
    word_spans: list[tuple[int, int]]
    """First and one-past-last phoneme of each word; never empty."""


class TextFrontend:
    """Text to phonemes in one language.

    Holds a phonemizer, which is costly to make: create one front end for a language and keep it.
    """

    def __init__(self, language: str) -> None:
        """Make the front end of a language code like `en`, `en-gb` or `cs`.

        Raises:
            InputError: no phonemizer knows the language.
        """
        self.language = language
        self._phonemizer = create_phonemizer(language)
        self._language_id = language_id(language)

    @property
    def version(self) -> str:
        """Changes whenever the same text may give other phonemes; for fingerprints of caches."""
        return f"{self._phonemizer.version}/symbols-{SYMBOL_TABLE_VERSION}"

    def __call__(self, text: str) -> Phonemes:
        """Return the phonemes of a text.

        Punctuation becomes pauses; words that the language cannot say are logged and left out.

        Raises:
            InputError: the text is empty or holds nothing that can be said.
        """
        ids: list[int] = []
        marks: list[tuple[int, int, int, int]] = []
        words: list[str] = []
        spans: list[tuple[int, int]] = []
        unspoken: list[str] = []

        def add(symbol: str, stress: int, word_start: bool, punctuation: int) -> None:
            ids.append(symbol_id(symbol))
            marks.append((stress, int(word_start), punctuation, self._language_id))

        def add_pause(punctuation: int) -> None:
            if ids and ids[-1] == symbol_id(SILENCE):
                # The phrase between two pauses had no phones: they are one pause.
                merged = stronger(marks.pop()[MARKS.index("punctuation")], punctuation)
                ids.pop()
                punctuation = merged
            add(SILENCE, STRESS_NONE, False, punctuation)

        add_pause(PUNCTUATION["none"])
        normalized = clean_text(self._phonemizer.normalize(clean_text(text)))
        for phrase in split_phrases(normalized, self.language):
            for word in self._phonemizer.phrase(phrase.text):
                if not word.phones:
                    unspoken.append(word.text)
                    continue
                words.append(word.text)
                spans.append((len(ids), len(ids) + len(word.phones)))
                for position, phone in enumerate(word.phones):
                    add(phone.symbol, phone.stress, position == 0, PUNCTUATION["none"])
            add_pause(phrase.pause)
        if not words:
            raise InputError(_nothing_to_say(text, self.language))
        if unspoken:
            logger.warning("%s has no sound for %s; left out", self.language, unspoken)
        return Phonemes(
            np.array(ids, dtype=np.int64), np.array(marks, dtype=np.int64), words, spans
        )


def phonemize(text: str, language: str) -> Phonemes:
    """Return the phonemes of one text; for many texts keep a `TextFrontend`.

    Raises:
        InputError: the language is unknown, or the text holds nothing that can be said.
    """
    return TextFrontend(language)(text)


def _nothing_to_say(text: str, language: str) -> str:
    if not text.strip():
        return "the text is empty; give at least one word"
    excerpt = text[:_EXCERPT_CHARACTERS] + ("…" if len(text) > _EXCERPT_CHARACTERS else "")
    return f"{excerpt!r} holds nothing that can be said in language {language!r}; give words"
