"""Numbers with units, money, dates, times and abbreviations of European languages."""

import re
from collections.abc import Callable

from num2words import num2words

from data.text.agreement import agree, count_form, spell_whole
from data.text.fractions import fraction_rule
from data.text.full_stops import full_stop
from data.text.locale import Locale
from data.text.locales import LOCALES
from data.text.normalize import spell_numbers
from data.text.ordinals import german_ordinal, spell_ordinals

_WHOLE = r"(?P<whole>\d{1,3}(?:[. ]\d{3})+(?!\d)|\d+)"
_AMOUNT = _WHOLE + r"(?P<decimals>,\d+)?"
_FREE = r"(?<![\w.,])"
_CURRENCIES = ("R$", "€", "$", "£")
_ENDS_SENTENCE = frozenset(
    {"et cetera", "etcétera", "eccetera", "und so weiter", "enzovoort", "och så vidare"}
    | {"i tak dalej", "i tym podobne", "a tak dále", "a podobně", "так далее", "тому подобное"}
    | {"med mera", "și altele", "другие", "Estados Unidos", "usted", "ustedes"}
)
_CENTURIES = frozenset({"de", "nl", "sv"})
"""Languages that count the hundreds of the years 1100 to 1999, like English."""
_WRITTEN_DAYS = {"de": r"\.\s", "cs": r"\.\s", "sv": r"\s", "ru": r"\s"}
"""What stands between day and month where the day is said as an ordinal."""
_FIRST = {"fr": "premier", "it": "primo", "pt": "primeiro", "ro": "întâi"}
"""Languages whose days of the month are cardinals but for the first."""
_POLISH_AT = re.compile(r"\b(?:o|od|do|po|około)\s$", re.IGNORECASE)
_CZECH_DAYS = (
    "prvního druhého třetího čtvrtého pátého šestého sedmého osmého devátého desátého jedenáctého "
    "dvanáctého třináctého čtrnáctého patnáctého šestnáctého sedmnáctého osmnáctého devatenáctého"
)
_CZECH_TENS = {2: "dvacátého", 3: "třicátého"}

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


class EuropeanNormalizer:
    """Writes out what a language of `LOCALES` writes short; in others, whole numbers only.

    Knows per cent, money, units, temperatures, times, numeric dates, ranges, negative numbers,
    ordinals, signs and common abbreviations. Numbers agree with what they count. Decimal numbers
    stay digits, for espeak-ng reads them.
    """

    def __init__(self, language: str) -> None:
        self._language = language
        self._code = language.split("-")[0].lower()
        self._rules = self._make_rules(LOCALES[self._code]) if self._code in LOCALES else []

    def __call__(self, text: str) -> str:
        """Return clean text (see `clean_text`) with words for digits and signs."""
        for pattern, replacement in self._rules:
            text = pattern.sub(replacement, text)
        text = spell_ordinals(text, self._code)
        return " ".join(spell_numbers(text, self._language).split())

    def _make_rules(self, locale: Locale) -> list[Rule]:
        """Return rules, in the order in which one may rely on those before it."""
        units = _any(locale.units)
        currencies = _any([sign for sign in _CURRENCIES if sign in locale.units])
        rules: list[Rule] = [
            (re.compile(pattern), words) for pattern, words in locale.patterns.items()
        ]
        rules += [_abbreviation(*pair, self._code) for pair in locale.abbreviations.items()]
        if locale.months:
            rules += self._date_rules(locale)
        rules.append((_TIME, lambda match: self._time(match, locale)))
        if locale.ordinal:
            rules.append(
                (
                    re.compile(rf"{_FREE}(\d{{1,3}})(?:{locale.ordinal})(?!\w)"),
                    lambda match: self._num2words(int(match.group(1)), "ordinal"),
                )
            )
        rules += [
            fraction_rule(self._code),
            (re.compile(r"(?<=\d)\^(?=-?\d)"), f" {locale.power} "),
            (re.compile(r"(?<=\d)(?:[-–]|\s[-–]\s)(?=\d{1,6}(?![\d-]))"), f" {locale.range} "),
            (re.compile(r"(?<![\w-])[-\u2212](?=\d)"), f"{locale.minus} "),
            (
                re.compile(rf"(?P<unit>{currencies})\s?{_AMOUNT}(?![\w])"),
                lambda match: self._measure(match, locale),
            ),
            (
                re.compile(rf"{_FREE}{_AMOUNT}\s?(?P<unit>{units})(?!\w)"),
                lambda match: self._measure(match, locale),
            ),
            (
                re.compile(f"{currencies}|%|°"),
                lambda match: f" {count_form(locale.units[match.group()], 5, self._code)} ",
            ),
            (
                re.compile(f"[{re.escape(''.join(locale.signs))}]"),
                lambda match: f" {locale.signs[match.group()]} ",
            ),
        ]
        if self._code in _CENTURIES:
            year = rf"{_FREE}1[1-9]\d\d(?![\w%]|[.,:]\d)"
            rules.append((re.compile(year), lambda match: self._year(int(match.group()))))
        return rules

    def _date_rules(self, locale: Locale) -> list[Rule]:
        months = locale.months.split()
        mark = f"(?P<mark>[{re.escape(locale.day_first)}])"
        day, month, year = (
            r"(?P<day>[12]\d|3[01]|0?[1-9])",
            r"(?P<month>1[0-2]|0?[1-9])",
            r"(?P<year>[12]\d{3})",
        )

        def said(match: re.Match[str]) -> str:
            return locale.date.format(
                day=self._day(int(match.group("day")), match.string[: match.start()]),
                month=months[int(match.group("month")) - 1],
                year=self._year(int(match.group("year")), in_date=True),
            )

        rules: list[Rule] = [
            (re.compile(rf"{_FREE}{day}{mark}\s?{month}(?P=mark)\s?{year}(?!\w)"), said),
            (re.compile(rf"{_FREE}{year}-{month}-{day}(?!\w)"), said),
        ]
        if self._code == "ru":
            rules.append((_RUSSIAN_YEAR, self._russian_year))
        if self._code in _WRITTEN_DAYS:
            pattern = rf"{_FREE}{day}{_WRITTEN_DAYS[self._code]}(?=(?:{'|'.join(months)})\b)"
            rules.append(
                (
                    re.compile(pattern),
                    lambda m: self._day(int(m.group("day")), m.string[: m.start()]) + " ",
                )
            )
        return rules

    def _day(self, day: int, before: str) -> str:
        if day == 1 and self._code in _FIRST:
            return _FIRST[self._code]
        if self._code == "de":
            return german_ordinal(day, before)
        if self._code == "sv":
            return self._num2words(day, "ordinal")
        if self._code == "ru":
            return self._num2words(day, "ordinal", case="g")
        if self._code == "cs":
            tens, ones = divmod(day, 10) if day >= 20 else (0, day)
            words = [_CZECH_TENS[tens]] if tens else []
            return " ".join(words + ([_CZECH_DAYS.split()[ones - 1]] if ones else []))
        return spell_whole(str(day), self._code)

    def _year(self, year: int, in_date: bool = False) -> str:
        if self._code == "ru" and in_date:
            return self._num2words(year, "ordinal", case="g").removeprefix("одна ")
        if self._code in _CENTURIES and 1100 <= year <= 1999:
            hundred = {"de": "hundert", "nl": "honderd", "sv": "hundra"}[self._code]
            rest = spell_whole(str(year % 100), self._code) if year % 100 else ""
            return spell_whole(str(year // 100), self._code) + hundred + rest
        return spell_whole(str(year), self._code)

    def _russian_year(self, match: re.Match[str]) -> str:
        before, noun = match.group("before") or "", match.group("noun")
        within = before.strip().lower() in ("в", "о")
        if noun == "г.":
            noun = "году" if within else "года"
        case = {"год": "n", "года": "g", "году": "p" if within else "d"}[noun]
        year = self._num2words(int(match.group("year")), "ordinal", case=case)
        return f"{before}{year.removeprefix('одна ')} {noun}{full_stop(match, self._code)}"

    def _time(self, match: re.Match[str], locale: Locale) -> str:
        hour, minute = int(match.group("hour")), match.group("minute")
        if self._code == "pl":
            case = "ej" if _POLISH_AT.search(match.string[: match.start()]) else "a"
            spoken = _polish_hour(self._num2words(hour, "ordinal"), case) if hour else "zero"
        elif self._code == "ro" and hour == 1:
            spoken = "unu"
        else:
            spoken = agree(spell_whole(str(hour), self._code), locale.hours, self._code)
        hours = count_form(locale.hours, hour, self._code)
        if minute == "00":
            return locale.full_hour.format(hour=spoken, hours=hours)
        minutes = spell_whole(str(int(minute)), self._code)
        if minute[0] == "0" and locale.minute_zero:
            minutes = f"{locale.minute_zero} {minutes}"
        return locale.hour.format(hour=spoken, hours=hours, minute=minutes)

    def _measure(self, match: re.Match[str], locale: Locale) -> str:
        whole = re.sub(r"\D", "", match.group("whole"))
        decimals = (match.group("decimals") or "")[1:]
        unit = match.group("unit")
        forms = locale.units[unit]
        money = unit in _CURRENCIES and len(decimals) == 2
        point = full_stop(match, self._code)
        if decimals and not money:
            return f"{whole},{decimals} {count_form(forms, None, self._code)}{point}"
        spoken = agree(spell_whole(whole, self._code), forms, self._code)
        spoken = f"{spoken} {count_form(forms, int(whole), self._code)}"
        if not money or decimals == "00":
            return spoken + point
        return f"{spoken} {locale.money_and} {spell_whole(decimals.lstrip('0'), self._code)}"

    def _num2words(self, number: int, to: str, **options: str) -> str:
        return str(num2words(number, lang=self._code, to=to, **options)).replace("-", " ")


_RUSSIAN_YEAR = re.compile(
    r"(?<!\w)(?P<before>[А-Яа-я]+ )?(?<![\w.,])(?P<year>[12]\d{3}) ?(?P<noun>год(?:а|у)?\b|г\.)"
)
_TIME = re.compile(
    r"(?<![\w:.,])(?P<hour>[01]?\d|2[0-4])(?::|\s?h\s?)(?P<minute>[0-5]\d)(?![\w:])"
    r"(?:\s?(?:Uhr|uur|h|ч)\b)?"
)


def _any(signs: list[str] | dict[str, str]) -> str:
    return "|".join(re.escape(sign) for sign in sorted(signs, key=len, reverse=True))


def _abbreviation(written: str, words: str, code: str) -> Rule:
    """Return the rule for an abbreviation; its spaces may be left out, its first letter be big."""
    first, rest = re.escape(written[0]), re.escape(written[1:]).replace(r"\ ", r"\s?")
    if written[0].islower():
        first = f"[{written[0]}{written[0].upper()}]"

    def said(match: re.Match[str]) -> str:
        return words + (full_stop(match, code) if words in _ENDS_SENTENCE else "")

    return re.compile(rf"(?<![\w.]){first}{rest}(?!\w)"), said


def _polish_hour(ordinal: str, ending: str) -> str:
    """Return a Polish ordinal as hours have it: pierwszy, pierwsza (godzina), o pierwszej."""
    stems = [word.removesuffix("y") for word in ordinal.split()]
    stems = ["drug" if stem == "drugi" else stem for stem in stems]
    # drugi, drugiej; trzeci, trzeciej, trzecia
    return " ".join(
        f"{stem}i{ending}" if stem == "drug" and ending == "ej" else f"{stem}{ending}"
        for stem in stems
    )
