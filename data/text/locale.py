"""How a language says what it writes short: what `data.text.european` needs to know.

Units are `forms gender`; the forms are one/other, in Slavic languages one/few/many/fraction, in
Romanian one/other (with *de* from 20 on), with commas between. Genders: m, f, n.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Locale:
    """The words of one language."""

    units: dict[str, str]
    """Units, currencies and % as `forms gender`; see above."""
    signs: dict[str, str]
    """Words of other signs."""
    abbreviations: dict[str, str]
    """Patterns (of points and letters as written; a space may be left out) and their words."""
    months: str = ""
    """Names of the months as a date has them, separated by spaces; empty: dates stay."""
    date: str = "{day} {month} {year}"
    """How a numeric date is said."""
    day_first: str = "."
    """Separators of dates that begin with the day."""
    hour: str = "{hour} {minute}"
    """How 14:30 is said; may hold {hours}."""
    full_hour: str = "{hour} {hours}"
    """How 14:00 is said."""
    hours: str = ", f"
    """The noun, as `forms gender`."""
    minute_zero: str = ""
    """Said before a single minute (14:05)."""
    minus: str = "minus"
    """Before a negative number."""
    range: str = ""
    """Between two numbers."""
    power: str = ""
    """Between a number and its exponent."""
    money_and: str = ""
    """Between whole money and hundredths."""
    ordinal: str = ""
    """Pattern of what follows the digits of an ordinal."""
    patterns: dict[str, str] = field(default_factory=dict)
    """Abbreviations that only their neighbours tell, as regular expressions."""
