"""Pronunciations that people write: IPA with stress marks and tone digits."""

import re

from data.text.phonemizer import Phone
from data.text.symbols import (
    FIRST_TONE,
    STRESS_NONE,
    STRESS_PRIMARY,
    STRESS_SECONDARY,
    is_nucleus,
    split_ipa,
)

STRESS_OF_SIGN = {"ˈ": STRESS_PRIMARY, "ˌ": STRESS_SECONDARY}
_SPACERS = re.compile("[\\s._\u0361\u035c]")
_SPELLINGS = (("'", "ˈ"), (":", "ː"), ("g", "ɡ"))
"""What keyboards have instead of signs of IPA."""


def parse_ipa(ipa: str) -> tuple[Phone, ...]:
    """Return the phones of a pronunciation.

    A stress mark counts for the next vowel or syllabic consonant, a digit 1 to 7 (the tone) for
    the one before it. Spaces, points, ties and `_` only separate.

    Raises:
        ValueError: it has no phones, or a sign that is not IPA; the message names it.
    """
    ipa = _SPACERS.sub("", ipa)
    for typed, sign in _SPELLINGS:
        ipa = ipa.replace(typed, sign)
    symbols: list[str] = []
    marks: list[int] = []
    pending = STRESS_NONE
    for part in re.findall("[ˈˌ]|[1-7]|[^ˈˌ1-7]+", ipa):
        if part in STRESS_OF_SIGN:
            pending = STRESS_OF_SIGN[part]
        elif part.isdigit():
            nuclei = [i for i, symbol in enumerate(symbols) if is_nucleus(symbol)]
            if not nuclei:
                raise ValueError(f"the tone {part} in {ipa!r} follows no vowel")
            marks[nuclei[-1]] = FIRST_TONE + int(part) - 1
        else:
            for symbol in split_ipa(part):
                symbols.append(symbol)
                marks.append(pending if is_nucleus(symbol) else STRESS_NONE)
                pending = STRESS_NONE if is_nucleus(symbol) else pending
    if not symbols:
        raise ValueError("there are no phonemes")
    return tuple(Phone(symbol, mark) for symbol, mark in zip(symbols, marks, strict=True))
