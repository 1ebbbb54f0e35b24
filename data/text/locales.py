"""Which languages have more than their numbers written out."""

from data.text.locale import Locale
from data.text.locales_germanic import DUTCH, GERMAN, SWEDISH
from data.text.locales_romance import FRENCH, ITALIAN, PORTUGUESE, ROMANIAN, SPANISH
from data.text.locales_slavic import CZECH, POLISH, RUSSIAN

LOCALES: dict[str, Locale] = {
    "de": GERMAN,
    "fr": FRENCH,
    "es": SPANISH,
    "it": ITALIAN,
    "pt": PORTUGUESE,
    "nl": DUTCH,
    "sv": SWEDISH,
    "pl": POLISH,
    "cs": CZECH,
    "ru": RUSSIAN,
    "ro": ROMANIAN,
}
"""Languages of which we know more than their numbers."""
