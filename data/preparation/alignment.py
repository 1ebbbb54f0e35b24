"""A given transcript of a long recording, divided over its clips by what was heard."""

import itertools
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from data.preparation.recognizer import Word

_LETTERS_ALIKE = 0.6


def divide(text: str, words: Sequence[Word], starts: Sequence[int]) -> list[str] | None:
    """Divide a transcript where the recognised words are divided.

    Args:
        text: transcript of the whole recording.
        words: recognised words of the whole recording.
        starts: index of the first recognised word of each clip, rising, the first is 0.

    Returns:
        The text of each clip; None where transcript and words differ so much that the place of a
        border is not certain.
    """
    given = text.split()
    wanted = [_plain(word) for word in given]
    heard = [_plain(word.text) for word in words]
    partner = _partners(wanted, heard)
    borders = [0]
    for start in starts[1:]:
        before, after = partner.get(start - 1), partner.get(start)
        # Both words beside the border must be known, or one of them with its neighbour gone.
        if after is not None and before is not None and after == before + 1:
            borders.append(after)
        else:
            return None
    borders.append(len(given))
    return [" ".join(given[a:b]) for a, b in itertools.pairwise(borders)]


def _partners(wanted: list[str], heard: list[str]) -> dict[int, int]:
    """The given word of each heard word that resembles it, by the cheapest alignment."""
    partners: dict[int, int] = {}
    for operation in Levenshtein.opcodes(wanted, heard):
        if operation.tag not in ("equal", "replace"):
            continue
        pairs = zip(
            range(operation.src_start, operation.src_end),
            range(operation.dest_start, operation.dest_end),
            strict=False,
        )
        for given, other in pairs:
            if Levenshtein.normalized_similarity(wanted[given], heard[other]) >= _LETTERS_ALIKE:
                partners[other] = given
    return partners


def _plain(word: str) -> str:
    return "".join(filter(str.isalnum, word.casefold()))
