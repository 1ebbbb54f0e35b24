"""Writing systems: which one a character belongs to, and which language reads it."""

import unicodedata
from collections.abc import Iterator
from itertools import groupby

# Each script with the language that reads it in a text of another script, and the languages that
# are written in it. Latin is the script of all languages that are not listed.
_LANGUAGES = {
    "CYRILLIC": "ru uk bg be mk sr bs kk ky tt ba cv uz mn nog az",
    "GREEK": "el grc",
    "ARABIC": "ar fa ur sd ug ku",
    "HEBREW": "he",
    "DEVANAGARI": "hi mr ne kok",
    "BENGALI": "bn as bpy",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "ORIYA": "or",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "MYANMAR": "my shn",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy hyw",
    "ETHIOPIC": "am",
    "CHEROKEE": "chr",
    "HANGUL": "ko",
    "CJK": "zh cmn yue ja",
    "BOPOMOFO": "zh cmn",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
}
_LATIN_TOO = frozenset({"sr", "bs", "uz", "az", "ku", "yue"})
"""Of the languages above, those that are written in Latin letters as well."""
_KANA = frozenset({"HIRAGANA", "KATAKANA"})
_FOREIGN_LATIN = "en"
_SAME_SCRIPT = {"IDEOGRAPHIC": "CJK"}  # the signs 々 and 〇


def script_of(character: str) -> str:
    """Return the script of a letter as Unicode names it (LATIN, CJK ...); "" for other signs."""
    if unicodedata.category(character) not in ("Ll", "Lu", "Lt", "Lo", "Lm", "Nl"):
        return ""
    script = unicodedata.name(character, "").replace("-", " ").split(" ")[0]
    return _SAME_SCRIPT.get(script, script)


def is_han(character: str) -> bool:
    """Whether a character is a Chinese one."""
    return script_of(character) == "CJK"


def scripts_of(language: str) -> frozenset[str]:
    """Return the scripts that a language is written in."""
    base, _, variant = language.lower().partition("-")
    own = {script for script, codes in _LANGUAGES.items() if base in codes.split()}
    if not own or base in _LATIN_TOO or variant.startswith("latn"):
        own.add("LATIN")
    return frozenset(own)


def language_runs(text: str, language: str) -> Iterator[tuple[str, str]]:
    """Cut a text into runs that are each read in one language.

    Letters in a script of the text's own language are its own; others belong to the best known
    language of their script: Latin is English, Cyrillic Russian, Chinese characters are Japanese
    where kana are near and Mandarin elsewhere. Scripts that no language reads, lone Greek letters
    (names of quantities), digits and signs belong to the text's own language, and so do spaces
    and punctuation unless they stand between two letters of one foreign language.

    Args:
        text: clean text.
        language: code of the text's language.

    Yields:
        Language and run; joined, the runs give the text.
    """
    readers = _readers(text, language)
    owners: list[str | None] = [readers.get(script_of(c)) for c in text]
    _follow_letters(text, owners, language)
    _keep_lone_greek(text, owners, language)
    for owner, places in groupby(range(len(text)), key=lambda place: owners[place] or language):
        yield owner, "".join(text[place] for place in places)


def _readers(text: str, language: str) -> dict[str, str]:
    """Return the language that reads each script in this text."""
    readers = {script: codes.split()[0] for script, codes in _LANGUAGES.items()}
    readers["LATIN"] = _FOREIGN_LATIN
    if any(script_of(character) in _KANA for character in text):
        readers["CJK"] = "ja"
    return readers | dict.fromkeys(scripts_of(language), language)


def _follow_letters(text: str, owners: list[str | None], language: str) -> None:
    """Give every character that is not a letter an owner, in place."""
    before = language
    start = 0
    while start < len(text):
        if owners[start] is not None:
            before = owners[start] or language
            start += 1
            continue
        end = start
        while end < len(text) and owners[end] is None:
            end += 1
        # Marks belong to the letter before them.
        while start < end and unicodedata.category(text[start])[0] == "M":
            owners[start] = before
            start += 1
        after = owners[end] if end < len(text) else language
        speaks = any(c.isalnum() or script_of(c) for c in text[start:end])
        filler = before if before == after and not speaks else language
        owners[start:end] = [filler] * (end - start)
        start = end


def _keep_lone_greek(text: str, owners: list[str | None], language: str) -> None:
    """Give letters that name quantities (5 μm, 2π) to the text's own language, in place."""
    if "GREEK" in scripts_of(language):
        return
    greek = [script_of(character) == "GREEK" for character in text]
    padded = [False, *greek, False]
    for i, (before, here, after) in enumerate(zip(padded, padded[1:], padded[2:], strict=False)):
        if here and not before and not after:
            owners[i] = language
