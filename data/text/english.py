"""English: espeak-ng after our own normaliser."""

from data.text.espeak import EspeakPhonemizer
from data.text.normalize import normalize_english


class EnglishPhonemizer(EspeakPhonemizer):
    """English of any accent that espeak-ng has (`en` is American)."""

    version = "english-3"

    def normalize(self, text: str) -> str:
        """Write out numbers, abbreviations and signs in English words."""
        return normalize_english(text, day_first=self.language not in ("en", "en-us"))
