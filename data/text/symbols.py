"""The symbol table: every phone that a front end can write, and the marks beside each phone.

Checkpoints store `SYMBOL_TABLE_VERSION` and refer to symbols, languages and marks by index.
So all tables here are append-only: a new entry goes to the end of the last group, nothing is
moved or removed, and the version is raised.
"""

import re
import unicodedata

SYMBOL_TABLE_VERSION = 1
"""Raised with every appended symbol, language or mark value."""

BLANK = "<blank>"
SILENCE = "<sil>"

_VOWELS = "a e i o u y ɑ ɐ ɒ æ ɔ ə ɘ ɚ ɛ ɜ ɝ ɞ ɤ ɨ ɪ ɯ ɵ ø œ ɶ ʉ ʊ ʌ ʏ ᵻ"
_CONSONANTS = (
    "p b t d k ɡ c ɟ q ɢ ʔ ʡ ʈ ɖ m n ŋ ɲ ɳ ɴ ɱ r ɾ ʀ ɹ ɻ ɽ ɺ l ɫ ɭ ʎ ʟ ɬ ɮ f v θ ð s z ʃ ʒ ʂ ʐ "
    "ɕ ʑ ç ʝ x ɣ χ ʁ ħ ʕ h ɦ β ɸ ʋ j w ʍ ɥ ɰ ɧ ʜ ʢ ɓ ɗ ʄ ɠ ʛ ǀ ǁ ǂ ǃ ʘ"
)
# Alone they are symbols only after a phone that has no unit of its own below.
_MODIFIERS = (
    "ː ˑ ʰ ʱ ʲ ʷ ˠ ˤ ʼ ˞ ⁿ ᵐ ᵑ ᶮ ᶯ ᵝ ˥ ˦ ˧ ˨ ˩ "
    "\u0303 \u0329 \u032f \u0325 \u030a \u032a \u033a \u033b \u031d \u031e \u031f \u0320 "
    "\u0306 \u0308 \u031a \u0339 \u031c \u0330 \u0324 \u032c \u0334"
)
_LONG_VOWELS = "aː eː iː oː uː yː ɑː ɐː ɒː æː ɔː əː ɛː ɜː ɨː ɪː ɯː øː œː ʉː ʊː ʌː"
_DIPHTHONGS = (
    "aɪ eɪ oʊ aʊ ɔɪ əʊ iə ʊə eə ɛə ɪə aɪə aɪɚ aʊə ai ei oi ui au eu ou iu əi əu ie uo ia ea oa ɛɪ "
    "ɔʊ ʌʊ ɛʊ eʊ iʊ æʊ æi oɪ uɪ ʌɪ əɪ ɑɪ ɑʊ œy ɔø øy ey iy yi uə io ue"
)
_NASAL_VOWELS = "ã ẽ ĩ õ ũ ɑ̃ ɐ̃ ɔ̃ ɛ̃ œ̃ ʌ̃ ɪ̃ ʊ̃ ãː ẽː ĩː õː ũː ɑ̃ː ɔ̃ː ɛ̃ː ɐ̃ʊ̃ õɪ̃"
_AFFRICATES = "tʃ dʒ ts dz tɕ dʑ ʈʂ ɖʐ pf tɬ tʃʰ dʒʱ tsʰ tɕʰ ʈʂʰ tʃʲ dʒʲ tsʲ dzʲ tʃʼ tsʼ"
_LONG_CONSONANTS = (
    "pː bː tː dː kː ɡː cː ɟː mː nː ŋː ɲː rː lː ʎː fː vː sː zː ʃː ʒː xː hː jː wː tʃː dʒː tsː dzː"
)
_PALATALISED = "pʲ bʲ tʲ dʲ kʲ ɡʲ mʲ nʲ rʲ ɾʲ lʲ fʲ vʲ sʲ zʲ ʃʲ ʒʲ xʲ ɣʲ hʲ wʲ"
_ASPIRATED = "pʰ bʰ tʰ dʰ kʰ ɡʰ cʰ ɟʰ ʈʰ ɖʰ pʼ tʼ kʼ qʼ"
_DENTAL_AND_PHARYNGEAL = "t̪ d̪ n̪ s̪ l̪ tˤ dˤ sˤ zˤ ðˤ s̺ s̻"
_SYLLABIC = "r̩ l̩ m̩ n̩ ŋ̩ r̝ r̝̊"

_GROUPS = (
    _VOWELS,
    _CONSONANTS,
    _MODIFIERS,
    _LONG_VOWELS,
    _DIPHTHONGS,
    _NASAL_VOWELS,
    _AFFRICATES,
    _LONG_CONSONANTS,
    _PALATALISED,
    _ASPIRATED,
    _DENTAL_AND_PHARYNGEAL,
    _SYLLABIC,
)


def normalize_ipa(ipa: str) -> str:
    """Return the one spelling of an IPA string that the table uses (decomposed, but ç whole)."""
    return unicodedata.normalize("NFD", ipa).replace("c\u0327", "ç")


SYMBOLS: tuple[str, ...] = (
    BLANK,
    SILENCE,
    *(normalize_ipa(symbol) for group in _GROUPS for symbol in group.split()),
)
"""All symbols; the index is the id. Id 0 is blank and padding, id 1 a pause."""

BLANK_ID = 0
SILENCE_ID = 1

CHARACTERS = frozenset(symbol for symbol in SYMBOLS if len(symbol) == 1)
"""The characters out of which every IPA string that can be split is made."""

VOWELS = frozenset(_VOWELS.split())
"""Letters that a syllable can be built on."""

_LANGUAGES = (
    "und en cs nl ro es ru fr el bg it de pt pl sv fi hu tr uk hi ar zh ja yue ko da nb sk sl "
    "hr sr bs mk sq lt lv et ga cy is ca eu la eo he fa ur bn ta te ml kn gu mr pa ne vi th id "
    "ms sw ka"
)
LANGUAGES: tuple[str, ...] = tuple(_LANGUAGES.split())
"""Languages with a mark of their own; all others share `und`."""

MARKS = ("stress", "word_start", "punctuation", "language")
"""The columns beside each phone."""

MARK_SIZES = {"stress": 10, "word_start": 2, "punctuation": 8, "language": 64}
"""Number of values of each mark; the tables of `LANGUAGES` and tones may grow into the rest."""

STRESS_NONE, STRESS_PRIMARY, STRESS_SECONDARY = 0, 1, 2
FIRST_TONE = 3
"""Value of tone 1 in the stress column; tones 1 to 7 have the values 3 to 9."""

PUNCTUATION = {
    "none": 0,
    "comma": 1,
    "full_stop": 2,
    "question": 3,
    "exclamation": 4,
    "colon": 5,
    "dash": 6,
    "quote": 7,
}
"""Values of the punctuation mark, set on pauses only."""

_IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}
_LANGUAGE_IDS = {language: index for index, language in enumerate(LANGUAGES)}
_LONGEST_FIRST = re.compile(
    "|".join(re.escape(s) for s in sorted(SYMBOLS[2:], key=len, reverse=True)) + "|(.)", re.DOTALL
)


def symbol_id(symbol: str) -> int:
    """Return the id of a symbol.

    Raises:
        ValueError: the symbol is not in the table.
    """
    try:
        return _IDS[symbol]
    except KeyError:
        raise ValueError(
            f"{describe(symbol)} is not in symbol table {SYMBOL_TABLE_VERSION}"
        ) from None


def language_id(language: str) -> int:
    """Return the language mark of a code like `en` or `en-us`; that of `und` for others."""
    return _LANGUAGE_IDS.get(language.split("-")[0].lower(), 0)


def split_ipa(ipa: str) -> list[str]:
    """Cut an IPA string into symbols, each as long as possible.

    The string holds phones only: stress marks, tone digits and separators are the front end's.
    Joining the result gives the (normalised) string again, so nothing is lost.

    Raises:
        ValueError: a character is not in the table; the message names it.
    """
    symbols = []
    for match in _LONGEST_FIRST.finditer(normalize_ipa(ipa)):
        if match.group(1):
            raise ValueError(f"{describe(match.group(1))} in {ipa!r} is not an IPA symbol we know")
        symbols.append(match.group())
    return symbols


def is_nucleus(symbol: str) -> bool:
    """Whether a symbol can carry a syllable: a vowel or a syllabic consonant."""
    return symbol[0] in VOWELS or "\u0329" in symbol


def describe(text: str) -> str:
    """Return a text with its code points, for messages about unknown characters."""
    points = " ".join(f"U+{ord(character):04X}" for character in text)
    return f"{text!r} ({points})"
