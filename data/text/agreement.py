"""Numbers that agree with what they count."""

from num2words import num2words

_MAX_DIGITS = 15  # longer ones are said digit by digit
_AGREEING = {
    "de": {"eins": ("ein", "eine", "ein")},
    "fr": {"un": ("un", "une", "un")},
    "es": {"veintiuno": ("veintiún", "veintiuna", "veintiún"), "uno": ("un", "una", "un")},
    "it": {" uno": (" un", " una", " un")},
    "pt": {"um": ("um", "uma", "um"), "dois": ("dois", "duas", "dois")},
    "sv": {"ett": ("en", "en", "ett")},
    "pl": {" jeden": (" jeden", " jedna", " jedno"), " dwa": (" dwa", " dwie", " dwa")},
    "cs": {" jedna": (" jeden", " jedna", " jedno"), " dva": (" dva", " dvě", " dvě")},
    "ru": {"один": ("один", "одна", "одно"), "два": ("два", "две", "два")},
    "ro": {" unu": (" un", " o", " un"), "doi": ("doi", "două", "două")},
}
"""Endings of numbers that take the gender (m, f, n) of what they count; after a space, words that
are the whole number."""


def spell_whole(digits: str, code: str) -> str:
    """Spell a whole number of digits without separators; very long ones digit by digit."""
    if len(digits) > _MAX_DIGITS or (len(digits) > 1 and digits[0] == "0"):
        return " ".join(spell_whole(digit, code) for digit in digits)
    return str(num2words(int(digits), lang=code)).replace("-", " ").replace(",", "").strip()


def agree(number: str, forms: str, code: str) -> str:
    """Return a spelled number in the gender of a noun given as `forms gender`."""
    gender = "mfn".index(forms[-1])
    padded = f" {number}"
    for ending, genders in _AGREEING.get(code, {}).items():
        whole = ending[0] == " "
        if padded == ending if whole else padded.endswith(ending):
            return (padded.removesuffix(ending) + genders[gender]).strip()
    return number


def count_form(forms: str, number: int | None, code: str) -> str:
    """Return the form of a noun after a number; None is a decimal number.

    Args:
        forms: `one,other gender`, or `one,few,many,fraction gender` in Slavic languages.
        number: what is counted.
        code: language.
    """
    names = forms.rsplit(" ", 1)[0].split(",")
    if number is None:
        return names[-1]
    if len(names) > 2:
        return names[_slavic(number, code)]
    if code == "ro" and number != 1 and not 0 < number % 100 < 20 and number:
        return f"de {names[1]}" if names[0] != names[1] or names[1] == "euro" else names[1]
    one = number < 2 if code == "fr" else number == 1
    return names[0 if one else 1]


def _slavic(number: int, code: str) -> int:
    if code == "ru" and number % 10 == 1 and number % 100 != 11:
        return 0
    if code == "cs":
        return 0 if number == 1 else 1 if 2 <= number <= 4 else 2
    if number == 1:
        return 0
    few = 2 <= number % 10 <= 4 and not 12 <= number % 100 <= 14
    return 1 if few else 2
