"""From written text to the phonemes and marks that the networks read."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from data.errors import InputError, NothingToSayError
from data.text.inline import InlineWords
from data.text.lexicon import Entry, Lexicon
from data.text.mixed import MixedPhonemizer
from data.text.phonemizer import SpokenWord
from data.text.punctuation import clean_text, split_phrases, stronger
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
_CLOSING = " \"'”’»)]」』"
_INITIALS = re.compile(r"(?<![\w.])(?:[^\W\d_]\.)+$")
_SENTENCE_ENDS = frozenset(".!?。।؟")

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
    """Text to phonemes in one language, with words in other scripts in theirs.

    Holds phonemizers, which are costly to make: create one front end for a language and keep it.
    """

    def __init__(self, language: str, lexicon: Path | None = None, *, inline: bool = False) -> None:
        """Make the front end of a language code like `en`, `en-gb` or `cs`.

        Args:
            language: of the texts.
            lexicon: a file of words and how they are said; see `Lexicon`.
            inline: whether `/həˈloʊ/` in a text is a pronunciation; see `InlineWords`.

        Raises:
            InputError: no phonemizer knows the language or a package for it is not installed, or
                the lexicon cannot be used.
        """
        self.language = language
        self._phonemizer = MixedPhonemizer(language)
        self._lexicon = None if lexicon is None else Lexicon(lexicon)
        self._inline = inline

    @property
    def version(self) -> str:
        """Changes whenever the same text may give other phones; for fingerprints of caches."""
        lexicon = f"/lexicon-{self._lexicon.fingerprint}" if self._lexicon else ""
        return f"{self._phonemizer.version}/symbols-{SYMBOL_TABLE_VERSION}{lexicon}"

    def __call__(self, text: str) -> Phonemes:
        """Return the phonemes of a text.

        Punctuation becomes pauses; words that the language cannot say are logged and left out.

        Raises:
            InputError: the text is empty or holds nothing that can be said, or holds words of
                another language whose package is not installed.
        """
        ids: list[int] = []
        marks: list[tuple[int, int, int, int]] = []
        words: list[str] = []
        spans: list[tuple[int, int]] = []
        unspoken: list[str] = []

        def add(
            symbol: str, stress: int, word_start: bool, punctuation: int, language: str
        ) -> None:
            ids.append(symbol_id(symbol))
            marks.append((stress, int(word_start), punctuation, language_id(language)))

        def add_pause(punctuation: int) -> None:
            if ids and ids[-1] == symbol_id(SILENCE):
                # The phrase between two pauses had no phones: they are one pause.
                merged = stronger(marks.pop()[MARKS.index("punctuation")], punctuation)
                ids.pop()
                punctuation = merged
            add(SILENCE, STRESS_NONE, False, punctuation, self.language)

        inline = self._inline_words(text)
        add_pause(PUNCTUATION["none"])
        for phrase in split_phrases(self._normalize(inline), self.language):
            for word in self._words(phrase.text, inline):
                if not word.phones:
                    unspoken.append(word.text)
                    continue
                words.append(word.text)
                spans.append((len(ids), len(ids) + len(word.phones)))
                for position, phone in enumerate(word.phones):
                    add(
                        phone.symbol,
                        phone.stress,
                        position == 0,
                        PUNCTUATION["none"],
                        word.language,
                    )
            add_pause(phrase.pause)
        if not words:
            raise NothingToSayError(_nothing_to_say(text, self.language))
        if unspoken:
            logger.warning("%s has no sound for %s; left out", self.language, unspoken)
        return Phonemes(
            np.array(ids, dtype=np.int64), np.array(marks, dtype=np.int64), words, spans
        )

    def ends_sentence(self, text: str, following: str = "") -> bool:
        """Whether the end of a text ends a sentence, and is not that of an abbreviation.

        Single letters with points are taken for initials (J. Smith), unless they are small and the
        language writes them out (p.m.).

        Args:
            text: all of the sentence so far.
            following: what comes after it; `No.` and `3.` end none before `5` and `Oktober`.
        """
        normalized = self._normalize(self._inline_words(text))
        initials = _INITIALS.search(text)
        if initials and (initials.group().isupper() or normalized.endswith(initials.group())):
            return False
        if normalized.rstrip(_CLOSING)[-1:] not in _SENTENCE_ENDS:
            return False
        if not (following and normalized.rstrip(_CLOSING).endswith(".")):
            return True
        return self._normalize(self._inline_words(f"{text} {following}")).startswith(normalized)

    def _inline_words(self, text: str) -> InlineWords:
        return InlineWords(clean_text(text), self.language, self._inline)

    def _normalize(self, inline: InlineWords) -> str:
        if self._lexicon is not None:
            return self._phonemizer.normalize(self._lexicon.mark(inline.text))
        normalized = self._phonemizer.normalize(inline.text)
        # Cleaning would take the placeholders out.
        return normalized if inline.words else clean_text(normalized)

    def _words(self, phrase: str, inline: InlineWords) -> Iterator[SpokenWord]:
        for piece in inline.split(phrase):
            if isinstance(piece, SpokenWord):
                yield piece
            else:
                yield from self._written(piece)

    def _written(self, phrase: str) -> Iterator[SpokenWord]:
        if self._lexicon is None:
            yield from self._phonemizer.phrase(phrase)
            return
        for piece in self._lexicon.split(phrase):
            if isinstance(piece, Entry):
                yield self._respelled(piece)
            else:
                yield from self._phonemizer.phrase(piece)

    def _respelled(self, entry: Entry) -> SpokenWord:
        phones = entry.phones
        if not phones:
            said = clean_text(self._phonemizer.normalize(clean_text(entry.respelling)))
            phones = tuple(phone for word in self._phonemizer.phrase(said) for phone in word.phones)
        if not phones:
            raise InputError(
                f"{entry.where}: {self.language} has no sound for {entry.respelling!r}; respell "
                f"{entry.word!r} with other letters, or give its phonemes in IPA"
            )
        return SpokenWord(entry.word, phones, self.language)


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
