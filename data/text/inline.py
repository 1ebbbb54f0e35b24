"""Pronunciations that stand inside a text, as in `Say /təˈmɑːtoʊ/, not tomato`."""

import re
from collections.abc import Iterator

from data.errors import InputError
from data.text.ipa import parse_ipa
from data.text.phonemizer import SpokenWord

_SLASHED = re.compile(r"(?<![\w/])/([^/\n]+)/(?![\w/])")
_FIRST_PLACEHOLDER = 0x100000  # private use, above those of lexicons
_PLACEHOLDER = re.compile("([\U00100000-\U0010fffd])")


class InlineWords:
    """The words of one text that stand between slashes, in IPA as `parse_ipa` reads it.

    A slash that touches a word on its other side (and/or, 1/2, a/b/c) is an ordinary sign.

    Args:
        text: clean text.
        language: the mark of the words.
        enabled: False takes all slashes for ordinary signs.

    Raises:
        InputError: what stands between slashes is not IPA.
    """

    def __init__(self, text: str, language: str, enabled: bool) -> None:
        self.words: list[SpokenWord] = []
        """In the order of the text."""
        self._language = language
        self.text = _SLASHED.sub(self._placeholder, text) if enabled else text
        """The text with a placeholder, a private-use character, for each word."""

    def split(self, text: str) -> Iterator[str | SpokenWord]:
        """Yield the pieces of a part of `text`: plain text, and the words."""
        for piece in _PLACEHOLDER.split(text):
            if len(piece) == 1 and ord(piece) >= _FIRST_PLACEHOLDER:
                yield self.words[ord(piece) - _FIRST_PLACEHOLDER]
            elif piece:
                yield piece

    def _placeholder(self, match: re.Match[str]) -> str:
        try:
            phones = parse_ipa(match[1])
        except ValueError as error:
            raise InputError(
                f"{match[0]}: {error}; write IPA between the slashes, such as /həˈloʊ/, or leave "
                "the slashes out"
            ) from error
        self.words.append(SpokenWord(match[1], phones, self._language))
        return chr(_FIRST_PLACEHOLDER + len(self.words) - 1)
