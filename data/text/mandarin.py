"""Mandarin: words, their tones in company, and the phones of their syllables."""

import re

from data.text.espeak import split_words
from data.text.hanzi import HanziReader
from data.text.normalize_chinese import normalize_chinese
from data.text.optional import package_versions
from data.text.phonemizer import SpokenWord
from data.text.pinyin import syllable_phones
from data.text.scripts import is_han
from data.text.tone_sandhi import Word, apply_sandhi


class MandarinPhonemizer:
    """Standard Mandarin, simplified or traditional.

    The dictionary of words is loaded (a second) with the first Chinese word, not before. May be
    shared between threads, and can be pickled.

    Raises:
        InputError: pypinyin or jieba is not installed.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._reader = HanziReader()
        self.version = f"mandarin-2/{package_versions('pypinyin', 'jieba')}"

    def __reduce__(self) -> tuple[type["MandarinPhonemizer"], tuple[str]]:
        return type(self), (self.language,)

    def normalize(self, text: str) -> str:
        """Write out numbers, dates, money, units and signs in Chinese."""
        return normalize_chinese(text)

    def phrase(self, text: str) -> list[SpokenWord]:
        """Return the words of a phrase; see `Phonemizer.phrase`."""
        words: list[tuple[str, Word]] = []
        for run in split_words(text):
            for part in _parts(run):
                words += self._reader.words(part) if is_han(part[0]) else [(part, [])]
        spoken = [syllables for _, syllables in words if syllables]
        changed = iter(apply_sandhi(spoken, self._reader.is_word))
        return [
            SpokenWord(
                word,
                tuple(p for s in next(changed) for p in syllable_phones(s)) if syllables else (),
                self.language,
            )
            for word, syllables in words
        ]


def _parts(run: str) -> list[str]:
    """Cut where Chinese characters begin or end."""
    marked = "".join("x" if is_han(character) else "-" for character in run)
    return [run[m.start() : m.end()] for m in re.finditer("x+|-+", marked)]
