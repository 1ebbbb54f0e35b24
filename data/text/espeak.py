"""Phones by espeak-ng, for every language it has a voice for."""

import logging
import re
import threading
import unicodedata
from collections.abc import Iterator

import espeakng_loader
from phonemizer.backend.espeak.wrapper import EspeakWrapper

from data.errors import InputError
from data.text.european import EuropeanNormalizer
from data.text.phonemizer import Phone, SpokenWord
from data.text.symbols import (
    CHARACTERS,
    FIRST_TONE,
    STRESS_NONE,
    STRESS_PRIMARY,
    STRESS_SECONDARY,
    describe,
    is_nucleus,
    normalize_ipa,
    split_ipa,
)
from data.text.word_alignment import label_phones

_VOICES = {"en": "en-us", "fr": "fr-fr", "no": "nb"}
"""Language codes that are not the name of a voice."""

_TONAL = frozenset({"chr", "cmn", "hak", "my", "shn", "th", "vi", "yue"})
"""Languages whose digits 1 to 7 are tones; tone 3 comes out as the letter ɜ after the vowel."""

# espeak writes IPA except where a phoneme of some language has no IPA name; then its own
# ASCII mnemonic shows through. In this order, applied to each phone:
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        ("tS", "tʃ"),
        ("dZ", "dʒ"),
        ("ʦ", "ts"),
        (r"ts\.h", "ʈʂʰ"),
        (r"ts\.", "ʈʂ"),
        (r"s\.", "ʂ"),
        (r"z\.", "ʐ"),
        (r"r\.", "ɽ"),
        (r"l\.", "ɭ"),
        (r"n\.", "ɳ"),
        (r"t\.", "ʈ"),
        (r"d\.", "ɖ"),
        (r"i\.", "ɨ"),
        ("(?<=[ptkcsɕ])h", "ʰ"),
        ("(?<=[aeiou])n[gɡ]", "ŋ"),
        (":", "ː"),
        ("g", "ɡ"),
        (r"\?", "ʔ"),
        ("ε", "ɛ"),
        ("A", "ɑ"),
        ("N", "ŋ"),
        ("S", "ʃ"),
        ("X", "χ"),
        ("Z", "ʒ"),
        ("Φ", "ɸ"),
        ("K", "ɬ"),
        (r"\[", "\u032a"),
        ('u"', "ʉ"),
        ('i"', "ɨ"),
        ('"', "\u0308"),
        (r"\+", "\u031f"),
        (r"\^", "ʲ"),
        ("(?<=[aeiouyɑɐəɛɔ])`", "˞"),
        ("`", "ʼ"),
        ("^1$", ""),  # Persian: the place of a vowel that is not said
        ("ʲʲ+", "ʲ"),
        ("ːː+", "ː"),
        ("[\u0361\u035c.#!=/%$<>|\\\\-]", ""),  # ties, and marks of variants with the same sound
    )
)
_LANGUAGE_SWITCH = re.compile(r"\([A-Za-z][A-Za-z0-9-]*\)")
_STRESS = {"ˈ": STRESS_PRIMARY, "ˌ": STRESS_SECONDARY}
_CHUNK_WORDS = 24  # the alignment of words costs the square of this
_CHUNK_CHARACTERS = 240  # espeak cuts a clause at 800 bytes, also inside a word
_PIECE_CHARACTERS = 40  # and drops the end of a word beyond 160 bytes
_SPOKEN_PUNCTUATION = frozenset("@&%#§")
_APOSTROPHES = frozenset("'’")
_JOINERS = frozenset("\u200c\u200d")  # shape letters in Persian and Indic scripts

logger = logging.getLogger(__name__)


class EspeakPhonemizer:
    """One espeak-ng voice.

    espeak hears a whole phrase, since its sounds depend on the neighbours (`the apple`, French
    liaison). Where it runs words together ("of the" -> ʌvðə), the border is found by aligning the
    phrase with the words said alone.

    Every instance has its own copy of the library; instances are costly (40 ms) and may be shared
    between threads, and can be pickled.
    """

    version = "espeak-3"

    def __init__(self, language: str) -> None:
        EspeakWrapper.set_library(espeakng_loader.get_library_path())
        EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
        self.language = language.lower()
        self._normalize = EuropeanNormalizer(language)
        self._tonal = self.language.split("-")[0] in _TONAL
        self._lock = threading.Lock()  # the library keeps its state in globals
        self._espeak = EspeakWrapper()
        voices = {v.language.lower(): v.language for v in self._espeak.available_voices()}
        voice = voices.get(_VOICES.get(self.language, self.language))
        if voice is None:
            raise InputError(
                f"language {language!r} has no espeak-ng voice; known are "
                f"{', '.join(sorted({*_VOICES, *voices}))}"
            )
        self._espeak.set_voice(voice)

    def __reduce__(self) -> tuple[type["EspeakPhonemizer"], tuple[str]]:
        return type(self), (self.language,)

    def normalize(self, text: str) -> str:
        """Write out what we know of the language's numbers and signs; espeak reads the others."""
        return self._normalize(text)

    def phrase(self, text: str) -> list[SpokenWord]:
        """Return the words of a phrase; see `Phonemizer.phrase`."""
        return [
            word for chunk in _chunks(split_words(text)) for word in self._pronounce_words(chunk)
        ]

    def _pronounce_words(self, words: list[str]) -> list[SpokenWord]:
        alone = [self._pronounce_alone(word) for word in words]
        together = alone
        if len(words) > 1 and max(map(len, words)) <= _PIECE_CHARACTERS:
            groups = self._groups(" ".join(words))
            together = groups if len(groups) == len(words) else _regroup(groups, alone)
            # A word must not vanish, whatever espeak makes of its neighbours.
            if any(said and not heard for said, heard in zip(alone, together, strict=True)):
                together = alone
        return [
            SpokenWord(word, tuple(phones), self.language)
            for word, phones in zip(words, together, strict=True)
        ]

    def _pronounce_alone(self, word: str) -> list[Phone]:
        pieces = [
            word[start : start + _PIECE_CHARACTERS]
            for start in range(0, len(word), _PIECE_CHARACTERS)
        ]
        return [phone for piece in pieces for group in self._groups(piece) for phone in group]

    def _groups(self, text: str) -> list[list[Phone]]:
        """Return espeak's phones of a text, one list for each group that it writes together."""
        with self._lock:
            ipa = self._espeak.text_to_phonemes(text)
        ipa = normalize_ipa(_LANGUAGE_SWITCH.sub("", ipa))
        return [phones for group in ipa.split() if (phones := self._parse_group(group))]

    def _parse_group(self, group: str) -> list[Phone]:
        """Parse phones joined by `_`.

        espeak writes a stress mark before the syllable or before its vowel. We put it on the next
        nucleus (vowel or syllabic consonant), for there it is heard; if none follows, on the next
        phone. Of two marks before one nucleus the stronger counts.
        """
        symbols: list[str] = []
        stress: list[int] = []
        pending, pending_at = STRESS_NONE, 0
        for part in re.findall("[ˈˌ]|[^ˈˌ_]+", group):
            if part in _STRESS:
                if pending != STRESS_PRIMARY:
                    pending, pending_at = _STRESS[part], len(symbols)
                continue
            ipa, tone = self._take_tone(part)
            for symbol in split_ipa(_to_table_ipa(ipa)):
                symbols.append(symbol)
                stress.append(STRESS_NONE)
                if pending and is_nucleus(symbol):
                    stress[-1], pending = pending, STRESS_NONE
            if tone and symbols:
                nuclei = [i for i, symbol in enumerate(symbols) if is_nucleus(symbol)]
                stress[nuclei[-1] if nuclei else -1] = tone
        if pending and pending_at < len(symbols):
            stress[pending_at] = pending
        return [Phone(symbol, mark) for symbol, mark in zip(symbols, stress, strict=True)]

    def _take_tone(self, part: str) -> tuple[str, int]:
        if not self._tonal:
            return part, STRESS_NONE
        match = re.fullmatch(r"(.*?)([1-7]|(?<=[^ɜ])ɜ)", part)
        if match is None:
            return part, STRESS_NONE
        tone = 3 if match.group(2) == "ɜ" else int(match.group(2))
        return match.group(1), FIRST_TONE + tone - 1


def split_words(phrase: str) -> list[str]:
    """Cut a phrase into what espeak gets as words.

    A word is a run of letters, marks and digits, with apostrophes and hyphens between them, and
    points and commas between digits. A sign that has a name (`&`, `€`, an emoji) is a word of its
    own. Other characters (`*`, `/`, `_`, `|` ...) part words and are not spoken.
    """
    words, word = [], ""
    padded = f" {phrase} "
    for before, character, after in zip(padded, padded[1:], padded[2:], strict=False):
        if _is_letter(character) or _joins(before, character, after):
            word += "'" if character in _APOSTROPHES else character
            continue
        words += [word] if word else []
        word = ""
        if _is_spoken_sign(character):
            words.append(character)
    return [*words, word] if word else words


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _joins(before: str, character: str, after: str) -> bool:
    if character in ".,":
        return before.isdigit() and after.isdigit()
    joining = character == "-" or character in _APOSTROPHES or character in _JOINERS
    return joining and _is_letter(before) and _is_letter(after)


def _is_spoken_sign(character: str) -> bool:
    if character in _SPOKEN_PUNCTUATION:
        return True
    return unicodedata.category(character)[0] == "S" and character not in "^`~|´¨¯¸"


def _chunks(words: list[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    characters = 0
    for word in words:
        if chunk and (len(chunk) == _CHUNK_WORDS or characters + len(word) > _CHUNK_CHARACTERS):
            yield chunk
            chunk, characters = [], 0
        chunk.append(word)
        characters += len(word) + 1
    if chunk:
        yield chunk


def _regroup(groups: list[list[Phone]], alone: list[list[Phone]]) -> list[list[Phone]]:
    phones = [phone for group in groups for phone in group]
    labels = label_phones(
        [phone.symbol for phone in phones], [[phone.symbol for phone in word] for word in alone]
    )
    words: list[list[Phone]] = [[] for _ in alone]
    for phone, label in zip(phones, labels, strict=True):
        words[label].append(phone)
    return words


def _to_table_ipa(ipa: str) -> str:
    """Rewrite espeak's notation to characters of the table; what remains is logged and dropped."""
    for pattern, replacement in _REWRITES:
        ipa = pattern.sub(replacement, ipa)
    unknown = sorted(set(ipa) - CHARACTERS)
    if unknown:
        logger.warning(
            "espeak wrote %s in the phone %r; the symbol table does not have it and it is dropped",
            ", ".join(map(describe, unknown)),
            ipa,
        )
        ipa = "".join(character for character in ipa if character in CHARACTERS)
    return ipa
