"""Japanese: Open JTalk's words, sounds and pitch accent."""

from typing import Any

from data.text.espeak import split_words
from data.text.normalize_japanese import normalize_japanese
from data.text.optional import load_package, package_versions
from data.text.phonemizer import Phone, SpokenWord
from data.text.symbols import FIRST_TONE, STRESS_NONE, normalize_ipa

HIGH = FIRST_TONE
"""Mark of a high mora: that of a high level tone."""
LOW = FIRST_TONE + 2
"""Mark of a low mora: that of a low tone, as Mandarin's third mostly is."""

_PHONES = {
    "a": "a",
    "i": "i",
    "u": "ɯ",
    "e": "e",
    "o": "o",
    "N": "ɴ",
    "cl": "ʔ",
    "k": "k",
    "ky": "kʲ",
    "kw": "k w",
    "g": "ɡ",
    "gy": "ɡʲ",
    "gw": "ɡ w",
    "s": "s",
    "sh": "ɕ",
    "z": "z",
    "j": "dʑ",
    "t": "t",
    "ts": "ts",
    "ty": "tʲ",
    "ch": "tɕ",
    "d": "d",
    "dy": "dʲ",
    "n": "n",
    "ny": "ɲ",
    "h": "h",
    "hy": "ç",
    "f": "ɸ",
    "b": "b",
    "by": "bʲ",
    "p": "p",
    "py": "pʲ",
    "v": "v",
    "m": "m",
    "my": "mʲ",
    "y": "j",
    "r": "ɾ",
    "ry": "ɾʲ",
    "w": "w",
    "fy": "ɸ j",
    "vy": "v j",
}
_MORAIC = frozenset({"a", "i", "u", "e", "o", "N", "cl"})
_NOT_SOUNDS = frozenset({"sp", "unk"})
_WHISPERED = frozenset("AIUEO")


class JapanesePhonemizer:
    """Standard (Tokyo) Japanese.

    The words are Open JTalk's morphemes. Every mora is marked high or low on its vowel (or on ɴ
    or ʔ, where these are the mora); a vowel that is whispered has no mark, for it has no pitch.
    The dictionary is part of the package and is loaded with the first word; nothing is
    downloaded. May be shared between threads, and can be pickled.

    Raises:
        InputError: pyopenjtalk-plus is not installed.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._module = load_package("pyopenjtalk", "Japanese")
        self._open_jtalk: Any = None
        self.version = f"japanese-2/{package_versions('pyopenjtalk-plus', 'sudachidict_core')}"

    def __reduce__(self) -> tuple[type["JapanesePhonemizer"], tuple[str]]:
        return type(self), (self.language,)

    def normalize(self, text: str) -> str:
        """Write out signs, units and letters; digits stay."""
        return normalize_japanese(text)

    def phrase(self, text: str) -> list[SpokenWord]:
        """Return the words of a phrase; see `Phonemizer.phrase`."""
        if self._open_jtalk is None:
            self._open_jtalk = self._module.OpenJTalk(dn_mecab=self._module.OPEN_JTALK_DICT_DIR)
        entries = self._module.g2p_mapping_prosody(text, jtalk=self._open_jtalk)
        words = [
            SpokenWord(text[slice(*entry["char_span"])], _phones(entry["phonemes"]), self.language)
            for entry in entries
        ]
        return [word for word in words if word.phones or split_words(word.text)]


def _phones(phonemes: list[dict[str, Any]]) -> tuple[Phone, ...]:
    phones = []
    for entry in phonemes:
        if entry["kind"] != "Phoneme" or entry["phoneme"] in _NOT_SOUNDS:
            continue
        name = entry["phoneme"]
        voiceless = name in _WHISPERED
        name = name.lower() if voiceless else name
        for symbol in normalize_ipa(_PHONES[name]).split():
            pitch = STRESS_NONE
            if name in _MORAIC and not voiceless:
                pitch = HIGH if entry["pitch"] == "High" else LOW
            phones.append(Phone(symbol, pitch))
    return tuple(phones)
