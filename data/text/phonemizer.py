"""What a language's phonemizer must do, and the types it answers with."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Phone:
    """One spoken sound."""

    symbol: str
    """A symbol of the table."""
    stress: int
    """Value of the stress mark: none, primary, secondary, or a tone."""


@dataclass(frozen=True)
class SpokenWord:
    """A word and how it is said; a word with no phones is one that the language cannot say."""

    text: str
    phones: tuple[Phone, ...]
    language: str
    """Code of the language that it is said in."""


@runtime_checkable
class Phonemizer(Protocol):
    """Words and phones of one language (or of one of its accents)."""

    version: str
    """Changes whenever the same text may give other phones; part of every cache's fingerprint."""

    def __init__(self, language: str) -> None:
        """Prepare for a language code.

        Raises:
            InputError: the language is not known.
        """

    def normalize(self, text: str) -> str:
        """Write out numbers, abbreviations and signs as words; punctuation stays."""

    def phrase(self, text: str) -> list[SpokenWord]:
        """Return the words between two pauses. `text` is normalised and holds no pause."""
