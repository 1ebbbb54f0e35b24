"""How a text is read aloud: sentence by sentence, and how long the voice pauses between them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.errors import InputError, NothingToSayError
from data.text.frontend import Phonemes, TextFrontend
from data.text.symbols import MARKS, PUNCTUATION, SILENCE_ID

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=\S)|(?<=[。！？])[\"'”’)\]」』]*\s*(?=\S)")
"""A point inside 3.5 is none; Chinese and Japanese have no space after theirs."""
_PAUSE = re.compile(r"\[pause(?:\s+(\d+(?:\.\d+)?)\s*(ms|s))?\]", re.IGNORECASE)
_PARAGRAPH = re.compile(r"\n\s*\n")
_PARAGRAPH_PAUSES = 1.75
"""Pause after a paragraph, in pauses after a sentence."""
_BREATH_PAUSES = 0.3
"""Pause inside a sentence that is too long to be said at once."""
_LONGEST_PHONEMES = 170
"""About 14 s: longer than most training clips, a voice loses its thread."""
_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True)
class Piece:
    """What is said in one breath."""

    text: str
    """The sentence that it is, or is a part of."""
    phonemes: Phonemes
    """Begin and end with a pause."""
    pause_seconds: float
    """Silence after it; after the last piece none, unless the text asks for it."""


def read_aloud(text: str, frontend: TextFrontend, pause_seconds: float) -> Iterator[Piece]:
    """Cuts a text into sentences, and sentences that are too long at their pauses.

    `[pause]`, `[pause 300ms]` and `[pause 1.5s]` are silences of that length (`[pause]`: that of a
    sentence's end); an empty line ends a paragraph, with a longer pause.

    Args:
        text: Any length.
        frontend: Of its language.
        pause_seconds: Between sentences.

    Raises:
        InputError: Nothing in the text can be said, or a pause is too long.
    """
    spoke = False
    silent: NothingToSayError | None = None
    for sentence, pause in _sentences(text, frontend, pause_seconds):
        try:
            parts = cut(frontend(sentence), _LONGEST_PHONEMES)
        except NothingToSayError as error:
            silent = error
            continue
        for number, part in enumerate(parts, start=1):
            spoke = True
            last = number == len(parts)
            yield Piece(sentence, part, pause if last else _BREATH_PAUSES * pause_seconds)
    if not spoke:
        raise silent or NothingToSayError(
            f"{text[:60]!r} holds nothing that can be said; give words"
        )


def cut(phonemes: Phonemes, longest: int) -> list[Phonemes]:
    """Cuts phonemes into parts of at most `longest`, at pauses where there are some, else at words.

    A single word longer than that stays whole.
    """
    count = len(phonemes.ids)
    if count <= longest:
        return [phonemes]
    pauses = [i for i in range(1, count - 1) if phonemes.ids[i] == SILENCE_ID]
    starts = [start for start, _ in phonemes.word_spans[1:]]
    # Nearest the middle: parts of like length sound more alike than a long one and a rest.
    places = [i for i in pauses if count // 5 < i < count - count // 5] or starts
    if not places:
        return [phonemes]
    place = min(places, key=lambda i: abs(i - count // 2))
    is_pause = bool(phonemes.ids[place] == SILENCE_ID)
    left = _part(phonemes, 0, place + is_pause, not is_pause)
    right = _part(phonemes, place + is_pause, count, True, in_front=True)
    return cut(left, longest) + cut(right, longest)


def _part(
    phonemes: Phonemes, start: int, end: int, add_pause: bool, in_front: bool = False
) -> Phonemes:
    """The phonemes from start to end, with a pause added in front or behind."""
    ids, marks = phonemes.ids[start:end], phonemes.marks[start:end]
    shift = -start
    if add_pause:
        pause = np.zeros((1, len(MARKS)), dtype=marks.dtype)
        pause[0, MARKS.index("punctuation")] = PUNCTUATION["none"]
        pause[0, MARKS.index("language")] = marks[0 if in_front else -1, MARKS.index("language")]
        silence = np.array([SILENCE_ID], dtype=ids.dtype)
        ids = np.concatenate([silence, ids] if in_front else [ids, silence])
        marks = np.concatenate([pause, marks] if in_front else [marks, pause])
        shift += in_front
    inside = [
        (word, (first + shift, last + shift))
        for word, (first, last) in zip(phonemes.words, phonemes.word_spans, strict=True)
        if start <= first and last <= end
    ]
    return Phonemes(ids, marks, [word for word, _ in inside], [span for _, span in inside])


def _sentences(
    text: str, frontend: TextFrontend, pause_seconds: float
) -> Iterator[tuple[str, float]]:
    """Sentences that can be said, each with the silence after it; after the last, what is asked."""
    waiting, asked, ends_paragraph = "", None, False
    for paragraph in _PARAGRAPH.split(text):
        fragments = _PAUSE.split(paragraph)
        for place in range(0, len(fragments), 3):
            for sentence in _cut_at_ends(fragments[place], frontend):
                if waiting:
                    usual = pause_seconds * (_PARAGRAPH_PAUSES if ends_paragraph else 1)
                    yield waiting, usual if asked is None else asked
                waiting, asked, ends_paragraph = sentence, None, False
            if place + 2 < len(fragments):
                number, unit = fragments[place + 1 : place + 3]
                asked = (asked or 0.0) + _asked_seconds(number, unit, pause_seconds)
        ends_paragraph = True
    if waiting:
        yield waiting, asked or 0.0


def _asked_seconds(number: str | None, unit: str | None, usual: float) -> float:
    if number is None:
        return usual
    seconds = float(number) / (1000 if str(unit).lower() == "ms" else 1)
    if seconds > _LONGEST_PAUSE_SECONDS:
        raise InputError(
            f"[pause {number}{unit}] is longer than {_LONGEST_PAUSE_SECONDS:.0f} s; make it shorter"
        )
    return seconds


def _cut_at_ends(text: str, frontend: TextFrontend) -> list[str]:
    """The text cut at sentence ends, but not after abbreviations; silent pieces are left out."""
    pieces: list[str] = []
    for piece in filter(None, map(str.strip, _SENTENCE_END.split(text))):
        if pieces and not frontend.ends_sentence(pieces[-1], piece):
            pieces[-1] += f" {piece}"
        else:
            pieces.append(piece)
    return [piece for piece in pieces if any(_has_sound(c) for c in piece)]


def _has_sound(character: str) -> bool:
    """Whether a character may be said: letters, digits, and emoji, whose names are."""
    return character.isalnum() or unicodedata.category(character) == "So"
