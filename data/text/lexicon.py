"""A user's own pronunciations, from a file of lines `word<TAB>pronunciation`."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import InputError
from data.text.ipa import parse_ipa
from data.text.phonemizer import Phone
from data.text.punctuation import clean_text

_FIRST_PLACEHOLDER = 0xF0000  # private use: `clean_text` has taken such characters out of texts
_MAX_ENTRIES = 65534
# Scripts that part words by spaces; in others an entry may stand anywhere.
_SPACED = r"[^\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]"


@dataclass(frozen=True)
class Entry:
    """One word of a lexicon."""

    word: str
    """As texts write it; all in small letters, it stands for any case."""
    phones: tuple[Phone, ...]
    """How it is said; empty for a respelling."""
    respelling: str
    """Text that is read in its place; empty where there are phones."""
    where: str
    """`file:line`, for messages."""


class Lexicon:
    """Words that are said as the user says.

    A line is `word<TAB>pronunciation`, in UTF-8. The pronunciation is IPA (`həˈloʊ`, also
    `/həˈloʊ/`; digits are tones, see `parse_ipa`) or, in double quotes, a respelling that is read
    as the language reads (`"hello"`). Words may have spaces, digits and points (`GPT-4`, `Dr.`).
    Empty lines and lines that begin with `#` are skipped.

    Args:
        path: the file.

    Raises:
        InputError: the file cannot be read or a line is wrong; names `file:line`.
    """

    def __init__(self, path: Path) -> None:
        try:
            content = path.read_bytes()
            lines = content.decode("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"lexicon {path} cannot be read as UTF-8 text ({error})") from error
        self.fingerprint = hashlib.sha256(content).hexdigest()[:16]
        self.entries: list[Entry] = []
        self._places: dict[str, int] = {}
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.startswith("#"):
                self._add(_parse(line, f"{path}:{number}"))
        if len(self.entries) > _MAX_ENTRIES:
            raise InputError(
                f"lexicon {path} has {len(self.entries)} words; {_MAX_ENTRIES} is the most"
            )
        self._pattern = _any_of(self._places)

    def mark(self, text: str) -> str:
        """Return clean text with a placeholder, a private-use character, for each known word."""
        return self._pattern.sub(self._placeholder, text)

    def split(self, text: str) -> Iterator[str | Entry]:
        """Yield the pieces of a text that `mark` returned: plain text, and the words it marked."""
        for piece in re.split("([\U000f0000-\U000ffffd])", text):
            if len(piece) == 1 and ord(piece) >= _FIRST_PLACEHOLDER:
                yield self.entries[ord(piece) - _FIRST_PLACEHOLDER]
            elif piece:
                yield piece

    def _add(self, entry: Entry) -> None:
        if entry.word in self._places:
            other = self.entries[self._places[entry.word]].where
            raise InputError(f"{entry.where}: {entry.word!r} is already in {other}; remove one")
        self._places[entry.word] = len(self.entries)
        self.entries.append(entry)

    def _placeholder(self, match: re.Match[str]) -> str:
        written = match.group()
        place = self._places.get(written, self._places.get(written.lower()))
        if place is None:  # capitals, where the file has other capitals
            return written
        return chr(_FIRST_PLACEHOLDER + place)


def _parse(line: str, where: str) -> Entry:
    word, tab, said = line.partition("\t")
    word, said = clean_text(word), said.strip()
    if not (tab and word and said):
        raise InputError(
            f"{where}: {line!r} is not of the form word<TAB>phonemes; write one word, a tab, and "
            'how it is said: IPA such as həˈloʊ, or a respelling in quotes such as "hello"'
        )
    if len(said) > 2 and said[0] == said[-1] == '"':
        return Entry(word, (), said[1:-1], where)
    if len(said) > 2 and said[0] == said[-1] == "/":
        said = said[1:-1]
    try:
        return Entry(word, parse_ipa(said), "", where)
    except ValueError as error:
        raise InputError(
            f'{where}: {error}; write IPA, or a respelling in double quotes ("{said}")'
        ) from error


def _any_of(words: dict[str, int]) -> re.Pattern[str]:
    """Return a pattern for any of the words, the longest first, not inside of other words."""
    if not words:
        return re.compile(r"(?!)")
    bounded = []
    for word in sorted(words, key=len, reverse=True):
        before = f"(?<!{_SPACED})" if re.match(_SPACED, word) else ""
        after = f"(?!{_SPACED})" if re.search(f"{_SPACED}$", word) else ""
        bounded.append(before + re.escape(word) + after)
    return re.compile("|".join(bounded), re.IGNORECASE)
