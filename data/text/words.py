"""Written text as the words that a listener compares: no case, no punctuation, numbers spelled."""

import re
import unicodedata

from rapidfuzz.distance import Levenshtein

from data.text.punctuation import clean_text
from data.text.registry import create_phonemizer
from data.text.scripts import script_of

_APOSTROPHES = re.compile("['\u2019\u02bc]")

_BEFORE_NUMBER = re.compile(r"(?<=[^\W\d_])-?(?=\d)")
_UNSPACED = frozenset({"CJK", "HIRAGANA", "KATAKANA"})


class WordList:
    """Splits text of one language into comparable words.

    Numbers, abbreviations and signs are written out as the text front end says them, so that a
    recogniser may write "7:30" or "seven thirty", "F-22" or "F22". Chinese characters and kana
    count as words, one each, for their writers part no words.

    Raises:
        InputError: No phonemizer knows the language.
    """

    def __init__(self, language: str) -> None:
        self._normalize = create_phonemizer(language).normalize

    def __call__(self, text: str) -> list[str]:
        """The words of a text, in order."""
        parted = _BEFORE_NUMBER.sub(" ", clean_text(text))
        written = self._normalize(parted).casefold()
        written = _APOSTROPHES.sub("", written)
        return "".join(_spaced(c) if _is_letter(c) else " " for c in written).split()


def letter_errors(expected: list[str], heard: list[str]) -> tuple[int, int]:
    """Return the edit distance between two word lists in letters, and the letters expected.

    Spaces do not count: a recogniser that writes "any one" for "anyone" heard well.
    """
    wanted = "".join(expected)
    return Levenshtein.distance(wanted, "".join(heard)), len(wanted)


def _spaced(letter: str) -> str:
    return f" {letter} " if script_of(letter) in _UNSPACED else letter


def _is_letter(character: str) -> bool:
    """Letters, digits, and the marks that scripts such as Devanagari put on letters."""
    return unicodedata.category(character)[0] in "LNM"
