"""Numbers, abbreviations and signs, written out as words."""

import re
from collections.abc import Callable

from num2words import num2words

from data.text.full_stops import full_stop

_MAX_DIGITS = 15  # longer ones are said digit by digit in every language
_SERIAL_DIGITS = (
    7  # in English, so long a number without commas is one of a telephone or an article
)

_ABBREVIATIONS = {
    r"Mr\.?": "Mister",
    r"Mrs\.?": "Missis",
    r"Ms\.?": "Miz",
    r"Dr\.?": "Doctor",
    r"Prof\.": "Professor",
    r"Jr\.": "Junior",
    r"Sr\.": "Senior",
    r"Gen\.": "General",
    r"Capt\.": "Captain",
    r"Lt\.": "Lieutenant",
    r"Sgt\.": "Sergeant",
    r"Col\.": "Colonel",
    r"Rev\.": "Reverend",
    r"Gov\.": "Governor",
    r"Mt\.": "Mount",
    r"Ave\.": "Avenue",
    r"Blvd\.": "Boulevard",
    r"Rd\.": "Road",
    r"Inc\.": "Incorporated",
    r"Ltd\.?": "Limited",
    r"Corp\.": "Corporation",
    r"Dept\.": "Department",
    r"[Ee]\. ?g\.": "for example",
    r"[Ii]\. ?e\.": "that is",
    r"[Ee]tc\.": "et cetera",
    r"[Vv]s\.?": "versus",
    r"[Aa]pprox\.": "approximately",
    r"[Ee]st\.": "established",
    r"[Ff]ig\.(?= ?\d)": "figure",
    r"[Nn]o\.(?= ?\d)": "number",
    r"[Vv]ol\.(?= ?\d)": "volume",
    r"[Pp]p\.(?= ?\d)": "pages",
    r"Ph\.D\.?": "P H D",
    r"a\.m\.": "A M",
    r"p\.m\.": "P M",
}
_ENDS_SENTENCE = frozenset(
    {"et cetera", "Incorporated", "Limited", "Corporation", "A M", "P M", "P H D", "Junior"}
    | {"Senior", "Avenue", "Boulevard", "Road", "Department"}
)
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
_UNITS = {
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "km2": ("square kilometer", "square kilometers"),
    "m2": ("square meter", "square meters"),
    "km": ("kilometer", "kilometers"),
    "kg": ("kilogram", "kilograms"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "ml": ("milliliter", "milliliters"),
    "mph": ("mile per hour", "miles per hour"),
    "lbs": ("pound", "pounds"),
    "lb": ("pound", "pounds"),
    "ft": ("foot", "feet"),
    "mi": ("mile", "miles"),
    "oz": ("ounce", "ounces"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "sec": ("second", "seconds"),
    "kW": ("kilowatt", "kilowatts"),
    "TB": ("terabyte", "terabytes"),
    "GHz": ("gigahertz", "gigahertz"),
    "MHz": ("megahertz", "megahertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "Hz": ("hertz", "hertz"),
    "GB": ("gigabyte", "gigabytes"),
    "MB": ("megabyte", "megabytes"),
    "kB": ("kilobyte", "kilobytes"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
}
_UNIT = "|".join(map(re.escape, _UNITS))
_FRACTIONS = {"1/2": "one half", "1/4": "one quarter", "3/4": "three quarters"}
_MONTHS = "January February March April May June July August September October November December"
_MONTH = rf"(?:{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in _MONTHS.split())}|Sept)"
_SHORT_MONTHS = "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec"
_MONTH_POINT = rf"(?:(?:{'|'.join(f'(?<={name})' for name in _SHORT_MONTHS.split())})\.)?"
_DAY = r"(?:[12]\d|3[01]|0?[1-9])"
_SIGNS = {"&": "and", "@": "at", "%": "percent", "+": "plus", "=": "equals", "#": "hash"}
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_MAGNITUDE = r"thousand|million|billion|trillion"
_LETTERS = {"k": "thousand", "K": "thousand", "M": "million", "bn": "billion", "B": "billion"}
_TELEPHONE = (
    r"\b(?i:call|dial|fax|phone|ring|tel|telephone|text|number)\b[.:]*(?: (?i:at|is|me|on|us)\b)* ?"
)
_FREE = r"(?<![\w.,])"  # not in the middle of a word or of a number

_DECIMAL_POINT = frozenset({"he", "ja", "ko"})
"""Of the languages below, those that write 1,234.5 where the others write 1.234,5."""

_SPELLED = "cs nl ro es ru fr it de pt pl sv fi hu uk ar da sk sl sr lt lv he ca eo id ko ja"
NUM2WORDS = {code: code for code in _SPELLED.split()} | {"nb": "no", "no": "no"}
"""Languages whose whole numbers num2words spells without fault, and its code for them (it fails
on some numbers of Turkish and Amharic, and does not know Greek, Hindi and Bulgarian)."""


def normalize_english(text: str, day_first: bool = False) -> str:
    """Write out what English text abbreviates; text without such things comes back unchanged.

    Knows titles and common abbreviations, initialisms with points, money, percent, dates, times,
    years, decades, ordinals, decimals, ranges, fractions, powers, units and the signs & @ % + = #.
    A point that ends a sentence as well as an abbreviation stays. Digit strings of 7 and more, or
    with a leading zero, are read digit by digit.

    Args:
        text: clean text (see `clean_text`).
        day_first: whether 3/5/2024 is in May, as it is outside America.
    """
    text = _ENGLISH_DATE.sub(lambda match: _numeric_date(match, day_first), text)
    for pattern, replacement in _ENGLISH_RULES:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def spell_numbers(text: str, language: str) -> str:
    """Write out whole numbers in a language that num2words speaks well; see `NUM2WORDS`.

    Thousands are grouped by points or spaces (by commas where that is the custom). Decimals lose
    their grouping and stay digits, for espeak-ng reads them: num2words drops the decimals of
    some languages. Numbers in other languages stay as they are.
    """
    code = language.split("-")[0].lower()
    if code not in NUM2WORDS:
        return text
    group = "," if code in _DECIMAL_POINT else ". "

    def spell(match: re.Match[str]) -> str:
        whole = re.sub(r"\D", "", match.group(1))
        if match.group(2):
            return whole + match.group(2)
        if len(whole) > _MAX_DIGITS or (len(whole) > 1 and whole[0] == "0"):
            return " ".join(_spell(int(digit), NUM2WORDS[code]) for digit in whole)
        return _spell(int(whole), NUM2WORDS[code])

    number = rf"(?<![\w.,])(\d{{1,3}}(?:[{group}]\d{{3}})+(?!\d)|\d+)([.,]\d+)?(?![\w]|[.,]\d)"
    return re.sub(number, spell, text)


def _spell(number: int, code: str) -> str:
    return num2words(number, lang=code).replace("-", " ").replace(",", "").strip()


def _cardinal(digits: str) -> str:
    """Spell digits, with optional thousands commas and decimals, as English does."""
    whole, _, decimals = digits.replace(",", "").partition(".")
    serial = len(whole) >= _SERIAL_DIGITS and "," not in digits
    if serial or len(whole) > _MAX_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        spoken = _digit_by_digit(whole)
    else:
        spoken = _spell(int(whole), "en")
    return f"{spoken} point {_digit_by_digit(decimals)}" if decimals else spoken


def _digit_by_digit(digits: str) -> str:
    return " ".join(_spell(int(digit), "en") for digit in digits)


def _plural(amount: str, singular: str, plural: str) -> str:
    return singular if amount == "1" else plural


def _money(match: re.Match[str]) -> str:
    names = _CURRENCIES[match.group("sign")]
    amount, magnitude = match.group("amount"), match.group("magnitude")
    magnitude = _LETTERS.get(match.group("letter") or "", magnitude)
    whole, _, cents = amount.partition(".")
    if magnitude:
        return f"{_cardinal(amount)} {magnitude} {names[1]}"
    if len(cents) != 2:
        return f"{_cardinal(amount)} {_plural(amount, names[0], names[1])}"
    parts = []
    if whole != "0" or cents == "00":
        parts.append(f"{_cardinal(whole)} {_plural(whole, names[0], names[1])}")
    if cents != "00":
        count = cents.lstrip("0")
        parts.append(f"{_cardinal(count)} {_plural(count, names[2], names[3])}")
    return " and ".join(parts)


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match.group("hour")), match.group("minute")
    spoken = _spell(hour, "en")
    half = match.group("half")
    suffix = f" {half[0].upper()} M{full_stop(match, 'en')}" if half else ""
    if second := match.group("second"):
        suffix = f" and {_spell(int(second), 'en')} seconds{suffix}"
    if minute == "00":
        return spoken + (suffix or (" o'clock" if 1 <= hour <= 12 else " hundred"))
    tens = "oh " if minute[0] == "0" else ""
    return f"{spoken} {tens}{_spell(int(minute), 'en')}{suffix}"


def _telephone(match: re.Match[str]) -> str:
    return (match.group("word") or "") + _digit_by_digit(re.sub(r"\D", "", match.group("digits")))


def _hour(match: re.Match[str]) -> str:
    spoken = f"{_spell(int(match.group(1)), 'en')} {match.group(2).upper()} M"
    return spoken + full_stop(match, "en")


def _numeric_date(match: re.Match[str], day_first: bool) -> str:
    if match.group("iso_year"):
        year, month, day = match.group("iso_year", "iso_month", "iso_day")
    else:
        first, second, year = match.group("first", "second", "year")
        # 25/12 can only be the 25th of December, whatever the custom.
        day, month = (first, second) if day_first or int(first) > 12 else (second, first)
    if int(month) > 12:
        day, month = month, day
    if int(month) > 12:
        return match.group()
    name = _MONTHS.split()[int(month) - 1]
    return f"{name} {_spell_ordinal(int(day))}, {year}"


def _month_day(match: re.Match[str]) -> str:
    return f"{_full_month(match)} {_spell_ordinal(int(match.group('day')))}"


def _day_month(match: re.Match[str]) -> str:
    day = _spell_ordinal(int(match.group("day")))
    article = match.group("article") or "the "
    return f"{article}{day} of {_full_month(match)}{full_stop(match, 'en')}"


def _full_month(match: re.Match[str]) -> str:
    return next(name for name in _MONTHS.split() if name[:3] == match.group("month")[:3])


def _spell_ordinal(number: int) -> str:
    return str(num2words(number, lang="en", to="ordinal")).replace("-", " ").replace(",", "")


def _fraction(match: re.Match[str]) -> str:
    whole, above, below, unit = match.group("whole", "above", "below", "unit")
    spoken = _FRACTIONS.get(f"{above}/{below}")
    if spoken is None:
        spoken = f"{_spell(int(above), 'en')} {_spell_ordinal(int(below))}"
        spoken += "" if above == "1" else "s"
    if whole:
        spoken = f"{_cardinal(whole)} and {re.sub('^one (?=half|quarter)', 'a ', spoken)}"
    return f"{spoken} {_UNITS[unit][bool(whole)]}" if unit else spoken


def _power(match: re.Match[str]) -> str:
    named = {"2": " squared", "3": " cubed"}.get(match.group(1))
    return named or f" to the power of {match.group(1)}"


def _year(match: re.Match[str]) -> str:
    year = int(match.group(1))
    if 2000 <= year <= 2009:
        return _spell(year, "en")
    return num2words(year, lang="en", to="year").replace("-", " ")


def _decade(match: re.Match[str]) -> str:
    words = _year(match) if len(match.group(1)) == 4 else _spell(int(match.group(1)), "en")
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def _ordinal(match: re.Match[str]) -> str:
    digits = match.group(1).replace(",", "")
    if len(digits) > _MAX_DIGITS:
        return _digit_by_digit(digits) + " " + match.group(2)
    return _spell_ordinal(int(digits))


def _unit(match: re.Match[str]) -> str:
    amount = match.group(1)
    return f"{_cardinal(amount)} {_plural(amount, *_UNITS[match.group(2)])}"


def _abbreviation(words: str) -> Callable[[re.Match[str]], str]:
    def expand(match: re.Match[str]) -> str:
        return words + (full_stop(match, "en") if words in _ENDS_SENTENCE else "")

    return expand


def _initials(match: re.Match[str]) -> str:
    ends = re.match(r"$|\s+[A-Z][a-z]", match.string[match.end() :])
    return " ".join(match.group().replace(".", "")) + ("." if ends else "")


def _saint_or_street(match: re.Match[str]) -> str:
    if re.match(r"\s+[A-Z]", match.string[match.end() :]):
        return "Saint"
    return "Street" + full_stop(match, "en")


_ENGLISH_DATE = re.compile(
    rf"(?<![\w.,/-])(?:(?P<iso_year>[12]\d{{3}})-(?P<iso_month>1[0-2]|0[1-9])-(?P<iso_day>{_DAY})"
    rf"|(?P<first>{_DAY})/(?P<second>{_DAY})(?<!00)/(?P<year>[12]\d{{3}}))(?![\w/-])"
)
_ENGLISH_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile("[\u2018\u2019\u02bc]"), "'"),
    *(
        (re.compile(rf"(?<![\w.]){pattern}(?!\w)"), _abbreviation(words))
        for pattern, words in _ABBREVIATIONS.items()
    ),
    (re.compile(r"(?<!\w)St\."), _saint_or_street),
    (
        re.compile(
            rf"{_FREE}(?P<month>{_MONTH}){_MONTH_POINT} (?P<day>{_DAY})(?:st|nd|rd|th)?"
            r"(?![\w/:%]|[.,-]\d)"
        ),
        _month_day,
    ),
    (
        re.compile(
            rf"{_FREE}(?P<article>[Tt]he )?(?P<day>{_DAY})(?:st|nd|rd|th)? (?:of )?"
            rf"(?P<month>{_MONTH})\b{_MONTH_POINT}(?! \d\b)"
        ),
        _day_month,
    ),
    (re.compile(r"(?<![\w/])(\d)'\s?(\d{1,2})\"(?!\w)"), r"\1 foot \2"),
    (
        re.compile(
            rf"(?P<word>{_TELEPHONE})?{_FREE}"
            r"(?P<digits>(?:1-(?:\d{3}-)?|\d{3}-|(?(word)|(?!)))\d{3}-\d{4})(?![\w-])"
        ),
        _telephone,
    ),
    (re.compile(r"\d+(?:\.\d+){2,}"), lambda match: match.group().replace(".", " point ")),
    (re.compile(r"(?<!\d)\.(?=\d)"), " point "),
    (re.compile(r"(?<=\d)\s*[-–]\s*(?=\d{1,4}\b)(?!\d+-)"), " to "),
    (
        re.compile(
            rf"{_FREE}(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)"
            r"(?::(?P<second>[0-5]\d))?(?!:?\d)"
            r"(?: ?(?P<half>[AaPp])\.? ?[Mm]\b\.?(?!\w))?"
        ),
        _time,
    ),
    (re.compile(rf"{_FREE}(1[0-2]|[1-9]) ?([AaPp])\.?[Mm]\b\.?(?!\w)"), _hour),
    (re.compile(r"\b(?:[A-Z]\.){2,}|\b[A-Z]\.[A-Z]\b"), _initials),
    (re.compile(r"(?<=\d)\^(-?\d+)(?!\w)"), _power),
    (re.compile(r"(?<!\S)[-\u2212](?=[$£€¥₹]?\d)"), "minus "),
    (re.compile(rf"{_FREE}({_NUMBER}) ?([€£])(?![\d.])"), r"\2\1"),
    (
        re.compile(
            rf"(?P<sign>[$£€¥₹]) ?(?P<amount>{_NUMBER})(?: (?P<magnitude>{_MAGNITUDE})\b"
            rf"|(?P<letter>{'|'.join(_LETTERS)})(?!\w))?(?!\d)"
        ),
        _money,
    ),
    (re.compile(rf"{_FREE}(?<!/)24/7(?![\w/])"), "twenty four seven"),
    (
        re.compile(
            rf"{_FREE}(?<!/)(?:(?P<whole>\d{{1,3}}) )?(?P<above>\d)/"
            r"(?P<below>(?<=1/)2|[3-9]|1[0-9]|[23]2|64|100)"
            rf"(?: ?(?P<unit>{_UNIT}))?(?![\w/])"
        ),
        _fraction,
    ),
    (re.compile(rf"{_FREE}({_NUMBER}) ?({_UNIT})(?!\w)"), _unit),
    (re.compile(r"#(?=\d)"), "number "),
    (re.compile(r"\b(\d{1,3}(?:,\d{3})+|\d+)(st|nd|rd|th)\b"), _ordinal),
    (re.compile(rf"{_FREE}(1[1-9]\d0|20\d0|[2-9]0)'?s\b"), _decade),
    (re.compile(rf"{_FREE}(1[1-9]\d\d|20\d\d)(?![\w%]|[.,]\d)"), _year),
    (re.compile(_NUMBER), lambda match: f" {_cardinal(match.group())} "),
    (re.compile(r"(?<=[A-Za-z])\.(?=[A-Za-z]{2,})"), " dot "),
    (re.compile(f"[{re.escape(''.join(_SIGNS))}]"), lambda match: f" {_SIGNS[match.group()]} "),
)
"""In this order: a rule may rely on what those before it have taken away."""
