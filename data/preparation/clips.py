"""From recordings and what was heard in them to clips with texts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from data.preparation.activity import Region
from data.preparation.alignment import divide
from data.preparation.config import CutConfig
from data.preparation.cutting import cut
from data.preparation.inspection import Inspection
from data.preparation.measuring import Measures
from data.preparation.recognizer import Word
from data.preparation.recordings import Recording


@dataclass(frozen=True)
class Clip:
    """A piece of a recording that may become an utterance; `problem` says if it must not."""

    recording: Recording
    """Where it is from."""
    inspection: Inspection
    """What is known of the recording."""
    speech: Region
    """From its first to its last speech."""
    room: Region
    """How far its edges may reach."""
    text: str = ""
    """What is said: given, else recognised."""
    given: bool = False
    """Whether the text was given."""
    heard: str | None = None
    """What the recogniser heard; None if nobody listened."""
    confidence: float | None = None
    """Mean probability of the recognised words."""
    problem: str = ""
    """Why it cannot be used, known from the recording alone."""
    detail: str = ""
    """The problem in more words."""
    language: str = ""
    """Language code."""
    symbols: tuple[int, ...] = ()
    """Phonemes of the text; empty if it cannot be said."""
    error_rate: float | None = None
    """Letters that text and recogniser disagree on; None if the text is the recogniser's."""
    error_letters: int = 0
    """The same as a number of letters."""
    measures: Measures | None = None
    """Everything measured; None if it never came to that."""

    @property
    def seconds(self) -> float:
        """Length."""
        place = self.measures or self.speech
        return place.end - place.start


def clips_of(
    recording: Recording,
    inspection: Inspection,
    words: Sequence[Word] | None,
    config: CutConfig,
    aim_seconds: float,
) -> list[Clip]:
    """Cut a recording into clips and give each its text.

    A recording with a transcript that is short enough stays whole. A longer one is cut like all
    others, and its transcript divided with the recognised words.

    Args:
        recording: file and transcript.
        inspection: what is known of it.
        words: recognised words; None if nobody listened.
        config: lengths and pauses.
        aim_seconds: length that clips should have, of `aim_for`.
    """
    if inspection.problem:
        nowhere = Region(0.0, 0.0)
        return [
            Clip(
                recording,
                inspection,
                nowhere,
                nowhere,
                given=recording.text is not None,
                problem=inspection.problem,
                detail=inspection.detail,
            )
        ]
    regions = inspection.regions
    is_short = regions[-1].end - regions[0].start <= config.max_seconds
    is_whole = recording.text and is_short
    groups = [regions] if is_whole else cut(regions, words or (), config, aim_seconds)
    rooms = _rooms(groups, inspection.seconds)
    shares = _shares(groups, words) if words is not None else [()] * len(groups)
    texts = _texts(recording, groups, shares, words)
    clips = []
    for number, (group, room, share) in enumerate(zip(groups, rooms, shares, strict=True)):
        speech = Region(group[0].start, group[-1].end)
        problem, detail = _problem(number, groups, speech, inspection, config)
        if not problem and texts is None:
            problem, detail = "transcript mismatch", "it does not follow what was heard"
            if words is None:
                problem = "too long"
                detail = "its transcript can only be divided by a recogniser: transcribe.check=true"
        heard = "".join(word.text for word in share).strip()
        clips.append(
            Clip(
                recording,
                inspection,
                speech,
                room,
                text=texts[number] if texts else "",
                given=recording.text is not None,
                heard=heard if words is not None else None,
                confidence=sum(w.probability for w in share) / len(share) if share else None,
                problem=problem,
                detail=detail,
            )
        )
    return clips


def _problem(
    number: int,
    groups: Sequence[Sequence[Region]],
    speech: Region,
    inspection: Inspection,
    config: CutConfig,
) -> tuple[str, str]:
    if inspection.truncated and number == len(groups) - 1:
        return "truncated", "the file ends before its header says: its last words are cut off"
    if speech.end - speech.start > config.max_seconds:
        return "too long", f"{speech.end - speech.start:.1f} s without a pause to cut in"
    return "", ""


def _rooms(groups: Sequence[Sequence[Region]], seconds: float) -> list[Region]:
    """Up to the middle of the pauses around each clip."""
    middles = [
        (before[-1].end + after[0].start) / 2 for before, after in itertools.pairwise(groups)
    ]
    borders = [0.0, *middles, seconds]
    return [Region(round(a, 3), round(b, 3)) for a, b in itertools.pairwise(borders)]


def _shares(groups: Sequence[Sequence[Region]], words: Sequence[Word]) -> list[tuple[Word, ...]]:
    """The words of each clip: those whose middle is nearest to it."""
    shares: list[list[Word]] = [[] for _ in groups]
    current = 0
    for word in words:
        middle = (word.start + word.end) / 2
        while current + 1 < len(groups) and (
            middle > (groups[current][-1].end + groups[current + 1][0].start) / 2
        ):
            current += 1
        shares[current].append(word)
    return [tuple(share) for share in shares]


def _texts(
    recording: Recording,
    groups: Sequence[Sequence[Region]],
    shares: Sequence[Sequence[Word]],
    words: Sequence[Word] | None,
) -> list[str] | None:
    """The text of each clip; None if a given one could not be divided."""
    if recording.text is None:
        return ["".join(word.text for word in share).strip() for share in shares]
    if len(groups) == 1:
        return [recording.text]
    spoken = [number for number, share in enumerate(shares) if share]
    if words is None or not spoken:
        return None
    starts = [sum(len(share) for share in shares[:number]) for number in spoken]
    divided = divide(recording.text, words, starts)
    if divided is None:
        return None
    texts = [""] * len(groups)
    for number, text in zip(spoken, divided, strict=True):
        texts[number] = text
    return texts
