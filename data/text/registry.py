"""Which phonemizer speaks which language."""

from data.text.english import EnglishPhonemizer
from data.text.espeak import EspeakPhonemizer
from data.text.japanese import JapanesePhonemizer
from data.text.mandarin import MandarinPhonemizer
from data.text.phonemizer import Phonemizer

PHONEMIZERS: dict[str, type[Phonemizer]] = {
    "en": EnglishPhonemizer,
    "ja": JapanesePhonemizer,
    "zh": MandarinPhonemizer,
    "cmn": MandarinPhonemizer,
}
"""Languages, without region, that have a phonemizer of their own; espeak-ng speaks the others."""


def create_phonemizer(language: str) -> Phonemizer:
    """Return a new phonemizer for a language code like `en`, `en-gb` or `cs`.

    Raises:
        InputError: no phonemizer knows the language.
    """
    base = language.split("-")[0].lower()
    return PHONEMIZERS.get(base, EspeakPhonemizer)(language)
