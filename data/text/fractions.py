"""Halves, thirds and quarters of European languages, alone and after whole numbers."""

import re
from collections.abc import Callable

from data.text.agreement import agree, spell_whole

# Alone: 1/2, 1/4, 3/4, 1/3, 2/3; then the same after a whole number, which takes the place of {}.
_WORDS = {
    "de": (
        "ein halb,ein Viertel,drei Viertel,ein Drittel,zwei Drittel",
        "{}einhalb,{}einviertel,{}dreiviertel,{}eindrittel,{}zweidrittel",
    ),
    "nl": (
        "een half,een kwart,drie kwart,een derde,twee derde",
        "{} en een half,{} en een kwart,{} en drie kwart,{} en een derde,{} en twee derde",
    ),
    "sv": (
        "en halv,en fjärdedel,tre fjärdedelar,en tredjedel,två tredjedelar",
        "{} och en halv,{} och en fjärdedel,{} och tre fjärdedelar,{} och en tredjedel,"
        "{} och två tredjedelar",
    ),
    "fr": (
        "un demi,un quart,trois quarts,un tiers,deux tiers",
        "{} et demi,{} un quart,{} trois quarts,{} un tiers,{} deux tiers",
    ),
    "es": (
        "medio,un cuarto,tres cuartos,un tercio,dos tercios",
        "{} y medio,{} y un cuarto,{} y tres cuartos,{} y un tercio,{} y dos tercios",
    ),
    "it": (
        "mezzo,un quarto,tre quarti,un terzo,due terzi",
        "{} e mezzo,{} e un quarto,{} e tre quarti,{} e un terzo,{} e due terzi",
    ),
    "pt": (
        "meio,um quarto,três quartos,um terço,dois terços",
        "{} e meio,{} e um quarto,{} e três quartos,{} e um terço,{} e dois terços",
    ),
    "ro": (
        "o jumătate,un sfert,trei sferturi,o treime,două treimi",
        "{} și jumătate,{} și un sfert,{} și trei sferturi,{} și o treime,{} și două treimi",
    ),
    "pl": (
        "pół,jedna czwarta,trzy czwarte,jedna trzecia,dwie trzecie",
        "{} i pół,{} i jedna czwarta,{} i trzy czwarte,{} i jedna trzecia,{} i dwie trzecie",
    ),
    "cs": (
        "půl,čtvrt,tři čtvrtě,třetina,dvě třetiny",
        "{} a půl,{} a čtvrt,{} a tři čtvrtě,{} a třetina,{} a dvě třetiny",
    ),
    "ru": (
        "половина,четверть,три четверти,треть,две трети",
        "{} с половиной,{} с четвертью,{} и три четверти,{} с третью,{} и две трети",
    ),
}
_WRITTEN = ("1/2", "1/4", "3/4", "1/3", "2/3")
_ONE_AND_A_HALF = {"pl": "półtora", "ru": "полтора", "de": "eineinhalb"}
_AGREEING = frozenset({"de", "sv", "cs", "pl"})
"""Languages whose one before `and a half` has the form of what is counted."""


def fraction_rule(code: str) -> tuple[re.Pattern[str], Callable[[re.Match[str]], str]]:
    """Return the rule for the fractions of a language without region."""
    alone, mixed = (words.split(",") for words in _WORDS[code])

    def said(match: re.Match[str]) -> str:
        place = _WRITTEN.index(match.group("fraction"))
        whole = match.group("whole")
        if not whole:
            return alone[place]
        if (whole, place) == ("1", 0) and code in _ONE_AND_A_HALF:
            return _ONE_AND_A_HALF[code]
        number = spell_whole(whole, code)
        return mixed[place].format(agree(number, ", m", code) if code in _AGREEING else number)

    fraction = rf"(?:(?P<whole>\d{{1,3}}) )?(?P<fraction>{'|'.join(_WRITTEN)})"
    return re.compile(rf"(?<![\w.,/-]){fraction}(?![\w/]|[.,]\d)"), said
