"""Cleaning of raw text, and the pauses that its punctuation makes."""

import logging
import re
import unicodedata
from dataclasses import dataclass

from data.text.symbols import PUNCTUATION, describe

_STRENGTH = ("none", "quote", "comma", "colon", "dash", "full_stop", "exclamation", "question")
"""Of punctuation marks in a row, the last in this list names the pause."""

_MARKS = {
    "comma": ",،、､፣՝",
    "full_stop": "。｡।॥۔։።",
    "question": "?؟՞⁇",
    "exclamation": "!՜‼",
    "colon": ":;؛፤፥·",
    "dash": "—–―‒…",
    "quote": '"“”„‟«»‹›()[]{}「」『』《》〈〉【】',
}
_KIND_OF = {mark: kind for kind, marks in _MARKS.items() for mark in marks}
# A point is a pause at the end of a word only, a comma or colon not inside a number; a hyphen
# is one if it stands alone or doubled.
_PAUSE = re.compile(
    r"\.{2,}|(?<!\S)\.(?=\S)|\.(?=[\W_]|$)|-{2,}|(?<=\s)-(?=\s)|(?<!\d)[,:]|[,:](?!\d)|["
    + re.escape("".join(mark for mark in _KIND_OF if mark not in ",:"))
    + "]"
)
_EXPONENT = re.compile(r"(?<=\d)([⁺⁻]?[⁰¹²³⁴-⁹]+)")
_VULGAR = "\u00bc-\u00be\u2150-\u215e\u2189"  # fractions of one character, such as ½
_BESIDE_FRACTION = re.compile(rf"(?<=\d)(?=[{_VULGAR}])|(?<=[{_VULGAR}])(?=\d)")
_UNSPEAKABLE = frozenset({"Cs", "Co", "Cn"})
_JOINERS = frozenset("\u200c\u200d")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phrase:
    """Words without a pause between them, and the pause that follows."""

    text: str
    pause: int
    """Value of the punctuation mark of the pause after the phrase."""


def clean_text(text: str) -> str:
    """Return text in form NFKC, with ASCII digits, single spaces, no invisible characters.

    1½ becomes 1 1/2, and 10⁶ becomes 10^6: by NFKC alone they would be eleven halves and 106.
    Lone surrogates, private and unassigned code points stand for nothing speakable; they are
    dropped and logged.
    """
    dropped = set()
    characters = []
    for character in unicodedata.normalize("NFKC", _part_from_digits(text)):
        category = unicodedata.category(character)
        if category in _UNSPEAKABLE:
            dropped.add(character)
        elif category == "Nd":
            characters.append(str(unicodedata.digit(character)))
        elif character.isspace() or category == "Cc":
            characters.append(" ")
        elif character == "\u2044":  # the slash of ½
            characters.append("/")
        elif category != "Cf" or character in _JOINERS:
            characters.append(character)
    if dropped:
        logger.warning("no speech for %s; dropped", ", ".join(map(describe, sorted(dropped))))
    return " ".join("".join(characters).split())


def _part_from_digits(text: str) -> str:
    text = _BESIDE_FRACTION.sub(" ", text)
    return _EXPONENT.sub(lambda match: "^" + match.group().translate({0x207B: "-"}), text)


def split_phrases(text: str, language: str) -> list[Phrase]:
    """Cut clean text at its pauses.

    The first phrase may be empty, if the text begins with punctuation (its pause is then that of
    the opening silence); other phrases are not. In Greek the semicolon is a question mark.
    """
    phrases: list[Phrase] = []
    position = 0
    for match in _PAUSE.finditer(text):
        words = text[position : match.start()].strip()
        position = match.end()
        pause = PUNCTUATION[_kind(match.group(), language)]
        if words or not phrases:
            phrases.append(Phrase(words, pause))
        else:
            phrases[-1] = Phrase(phrases[-1].text, stronger(phrases[-1].pause, pause))
    rest = text[position:].strip()
    if rest:
        phrases.append(Phrase(rest, PUNCTUATION["none"]))
    return phrases


def stronger(pause: int, other: int) -> int:
    """Return the one of two punctuation values that names a pause they share."""
    return max(pause, other, key=[PUNCTUATION[kind] for kind in _STRENGTH].index)


def _kind(mark: str, language: str) -> str:
    if mark == ";" and language.split("-")[0].lower() == "el":
        return "question"
    if mark == ".":
        return "full_stop"
    return _KIND_OF.get(mark, "dash")
