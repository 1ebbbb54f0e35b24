"""Several short clips in one window of the recogniser, which takes as long for 2 s as for 30 s."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from data.preparation.recognizer import SAMPLE_RATE_HZ, Heard, Word

GAP_SECONDS = 1.0
"""Silence between two clips: what Whisper hears as the end of an utterance."""
_GROUP_ENDS = 8


def packs(
    lengths: Sequence[float],
    languages: Sequence[str | None],
    digests: Sequence[str],
    most_seconds: float,
) -> list[list[int]]:
    """Divide clips into packs of one language that fit into a window, keeping their order.

    About every eighth clip ends its pack whether that is full or not, chosen by content: where a
    clip is added or removed, the packs behind the next such clip stay what they were, and what was
    heard in them is still known.

    Args:
        lengths: seconds of each clip.
        languages: in which each is to be heard.
        digests: hexadecimal digest of each recording.
        most_seconds: longest pack, silence between the clips included.
    """
    found: list[list[int]] = []
    open_packs: dict[str | None, tuple[list[int], float]] = {}
    for number, (seconds, language, digest) in enumerate(
        zip(lengths, languages, digests, strict=True)
    ):
        pack, filled = open_packs.get(language, ([], 0.0))
        if not pack or filled + GAP_SECONDS + seconds > most_seconds:
            pack, filled = [], -GAP_SECONDS
            found.append(pack)
        pack.append(number)
        open_packs[language] = (pack, filled + GAP_SECONDS + seconds)
        if int(digest[:8] or "0", 16) % _GROUP_ENDS == 0:
            del open_packs[language]
    return found


def joined(pieces: Sequence[Float32[ndarray, " _samples"]]) -> Float32[ndarray, " samples"]:
    """Return clips of 16 kHz behind one another, with silence between them."""
    gap = np.zeros(round(GAP_SECONDS * SAMPLE_RATE_HZ), dtype=np.float32)
    parts = [part for piece in pieces for part in (piece, gap)]
    return np.concatenate(parts[:-1])


def separated(heard: Heard, lengths: Sequence[float]) -> list[list[Word]]:
    """Give the words that were heard in joined clips back to the clips, by their times.

    Args:
        heard: in the joined clips.
        lengths: seconds of each clip.

    Returns:
        The words of each clip, their times counted from its beginning.
    """
    starts = np.cumsum([0.0, *(seconds + GAP_SECONDS for seconds in lengths)])[:-1]
    borders = starts[1:] - GAP_SECONDS / 2
    words: list[list[Word]] = [[] for _ in lengths]
    for word in heard.words:
        clip = int(np.searchsorted(borders, (word.start + word.end) / 2))
        start = float(starts[clip])
        words[clip].append(Word(word.text, word.start - start, word.end - start, word.probability))
    return words
