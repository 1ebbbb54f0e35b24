"""Texts in several languages: every run of letters is read in the language of its script."""

from data.errors import InputError
from data.text.phonemizer import Phonemizer, SpokenWord
from data.text.registry import create_phonemizer
from data.text.scripts import is_han, language_runs

_LAST_RESORT = "zh"


class MixedPhonemizer:
    """The phonemizer of a language, with those of other languages for words in other scripts.

    The others are made when a text first needs them.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._phonemizers: dict[str, Phonemizer] = {language: create_phonemizer(language)}
        # Raise the number also when a language reads its words in other languages' texts anew.
        self.version = f"{self._phonemizers[language].version}/mixed-1"

    def normalize(self, text: str) -> str:
        """Write out numbers in the text's own language, abbreviations in that of their script."""
        runs = [
            run if language == self.language else self._in(language).normalize(run)
            for language, run in language_runs(text, self.language)
        ]
        return self._in(self.language).normalize("".join(runs))

    def phrase(self, text: str) -> list[SpokenWord]:
        """Return the words of a phrase, each with its language; see `Phonemizer.phrase`.

        Raises:
            InputError: a language of the phrase needs a package that is not installed.
        """
        words = [
            word
            for language, run in language_runs(text, self.language)
            for word in self._in(language).phrase(run)
        ]
        return [spoken for word in words for spoken in self._rescue(word)]

    def _rescue(self, word: SpokenWord) -> list[SpokenWord]:
        """Read in Mandarin what Japanese cannot: simplified characters."""
        if word.phones or word.language == _LAST_RESORT or not all(map(is_han, word.text)):
            return [word]
        try:
            return self._in(_LAST_RESORT).phrase(word.text)
        except InputError:  # not installed: the word is left out, and logged as such
            return [word]

    def _in(self, language: str) -> Phonemizer:
        if language not in self._phonemizers:
            self._phonemizers[language] = create_phonemizer(language)
        return self._phonemizers[language]
