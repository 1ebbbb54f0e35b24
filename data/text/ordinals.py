"""Ordinals that are written as digits with a point, as in `19. Jahrhundert`."""

import re

from num2words import num2words

from data.text.full_stops import starts_sentence
from data.text.normalize import NUM2WORDS

_SPELLED = frozenset({"da", "de", "fi", "hu", "nb", "no", "pl", "sl"})
_POINTED = _SPELLED | {"bs", "cs", "et", "hr", "is", "lv", "sk", "sr", "tr"}
"""Languages that write them so; those that num2words cannot spell lose the point, which is no
pause, and are said as cardinals."""
_ORDINAL = re.compile(r"(?<![\w.,:/])(?P<digits>[1-9]\d{0,2})\.(?=\s(?P<next>[^\W\d_]+))")
_WEAK = re.compile(
    r"\b(?:am|im|vom|zum|zur|beim|dem|den|des|bis|ab|seit|einem|einer|eines"
    r"|(?:in|an|auf|aus|bei|mit|nach|seit|von|vor|während|zu) der)\s$",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"\b(?:der|die|das)\s$", re.IGNORECASE)


def spell_ordinals(text: str, language: str) -> str:
    """Write out the digits with a point that do not end a sentence; see `starts_sentence`.

    Args:
        text: clean text.
        language: without region.
    """
    if language not in _POINTED:
        return text

    def said(match: re.Match[str]) -> str:
        if starts_sentence(match.group("next"), language):
            return match.group()
        number = int(match.group("digits"))
        if language == "de":
            return german_ordinal(number, text[: match.start()])
        if language in _SPELLED:
            return str(num2words(number, lang=NUM2WORDS[language], to="ordinal"))
        return match.group("digits")

    return _ORDINAL.sub(said, text)


def german_ordinal(number: int, before: str) -> str:
    """Return a German ordinal with the ending that the words before it ask for."""
    ending = "n" if _WEAK.search(before) else "" if _ARTICLE.search(before) else "r"
    return str(num2words(number, lang="de", to="ordinal")) + ending
