"""When each word and phoneme is said, as JSON and as SRT subtitles."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.text.frontend import Phonemes
from data.text.symbols import SILENCE_ID, SYMBOLS


@dataclass(frozen=True)
class Span:
    """One word, phoneme or sentence, in seconds from the start of the audio."""

    text: str
    """The word as it is spoken, the phoneme in IPA, or the sentence."""
    start: float
    """First moment."""
    end: float
    """Last moment."""


@dataclass(frozen=True)
class Timing:
    """When one piece of a text is said."""

    sentence: Span
    """The whole piece."""
    words: list[Span]
    """Its words, numbers and abbreviations written out."""
    phonemes: list[Span]
    """Its phonemes, without pauses."""

    def later(self, seconds: float) -> Timing:
        """The same, where the piece begins so much later."""

        def move(span: Span) -> Span:
            return Span(span.text, span.start + seconds, span.end + seconds)

        return Timing(
            move(self.sentence), list(map(move, self.words)), list(map(move, self.phonemes))
        )


def timing_of(
    text: str,
    phonemes: Phonemes,
    durations: np.ndarray,
    token_seconds: float,
    cut_seconds: float,
    seconds: float,
) -> Timing:
    """When a piece's words and phonemes are said, from the start of its audio.

    A phoneme without a token (said in one with its neighbour) has no length.

    Args:
        text: The piece.
        phonemes: Its phonemes.
        durations: Tokens of each.
        token_seconds: Length of a token at the speed it is spoken.
        cut_seconds: Silence that was cut off in front.
        seconds: Length of the audio.
    """
    ends = np.clip(np.cumsum(durations) * token_seconds - cut_seconds, 0.0, seconds)
    starts = np.concatenate([[0.0], ends[:-1]])
    spoken = [
        Span(SYMBOLS[symbol], float(starts[i]), float(ends[i]))
        for i, symbol in enumerate(phonemes.ids.tolist())
        if symbol != SILENCE_ID
    ]
    words = [
        Span(word, float(starts[first]), float(ends[last - 1]))
        for word, (first, last) in zip(phonemes.words, phonemes.word_spans, strict=True)
    ]
    return Timing(Span(text, 0.0, seconds), words, spoken)


def write_timings(path: Path, timings: list[Timing]) -> None:
    """Writes the spans: `.srt` has one subtitle for each piece, `.json` has everything."""
    if path.suffix == ".srt":
        blocks = [
            f"{number}\n{_clock(span.start)} --> {_clock(span.end)}\n{span.text}\n"
            for number, span in enumerate((timing.sentence for timing in timings), start=1)
        ]
        path.write_text("\n".join(blocks), encoding="utf-8")
        return
    path.write_text(
        json.dumps([asdict(timing) for timing in timings], ensure_ascii=False, indent=1),
        encoding="utf-8",
    )


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d},{rest % 1000:03d}"
