"""Step 2b: from regions of speech to clips; cuts are made in pauses only, never inside a word."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from data.preparation.activity import Region
from data.preparation.config import CutConfig
from data.preparation.recognizer import Word

_FINER_PAUSE_SECONDS = 0.1
"""Where no pause of `min_pause_seconds` is near, a shorter one is better than losing the clip."""
_WANTED_CLIPS = 14
"""Of a voice of a minute or two: enough to hold a few out and still train on nearly all of it."""
_INSIDE_SECONDS = 0.1
_INSIDE_SHARE = 0.25
"""A word that reaches this far into the speech on both sides of a pause is not over there: the
pause is a closed consonant, or it is not certain on which side the word is. Recognisers place words
to a tenth of a second or so; for short pauses less, a quarter of the pause, is enough to doubt."""


@dataclass(frozen=True)
class Pause:
    """Silence between two regions, as a possible place for a cut."""

    index: int
    """Number of regions before it."""
    seconds: float
    """How long it is."""


def windows(regions: Sequence[Region], most_seconds: float) -> list[list[Region]]:
    """Split regions into runs of at most `most_seconds` for the recogniser, at long pauses.

    A single region that is longer is a run of its own.
    """
    runs: list[list[Region]] = []
    rest = list(regions)
    while rest:
        fits = [
            k for k in range(1, len(rest) + 1) if rest[k - 1].end - rest[0].start <= most_seconds
        ]
        count = fits[-1] if fits else 1
        if count < len(rest):
            # The later half only: short windows cost the recogniser as much as long ones.
            gaps = {
                k: rest[k].start - rest[k - 1].end for k in range(max(1, count // 2), count + 1)
            }
            count = max(gaps, key=lambda k: (gaps[k], k))
        runs.append(rest[:count])
        rest = rest[count:]
    return runs


def aim_for(speech_seconds: float, config: CutConfig) -> float:
    """Length in seconds that the clips of a voice should have.

    The middle of the lengths that are allowed, and less where a voice is so short that its clips
    would be too few to hold some out.

    Args:
        speech_seconds: speech in all its recordings.
        config: lengths and pauses.
    """
    middle = (config.min_seconds + config.max_seconds) / 2
    return min(middle, max(1.5 * config.min_seconds, speech_seconds / _WANTED_CLIPS))


def cut(
    regions: Sequence[Region], words: Sequence[Word], config: CutConfig, aim_seconds: float
) -> list[tuple[Region, ...]]:
    """Group regions of speech into clips.

    Pauses over `max_pause_seconds` are always cuts. In between, clips of `min_seconds` to
    `max_seconds` are formed such that cuts fall into long pauses and lengths are near to the one
    that is aimed for. No cut is made where a recognised word goes on behind the pause.

    Args:
        regions: speech of one recording, in order.
        words: recognised words with their times; empty if nobody listened.
        config: lengths and pauses.
        aim_seconds: length that clips should have, of `aim_for`.

    Returns:
        The regions of each clip. A clip longer than `max_seconds` has no pause to cut in.
    """
    if not regions:
        return []
    clips: list[tuple[Region, ...]] = []
    group: list[Region] = [regions[0]]
    for before, after in itertools.pairwise(regions):
        gap = after.start - before.end
        if gap > config.max_pause_seconds and not _is_inside_word(before, after, words):
            clips += _cut_group(group, words, config, aim_seconds)
            group = []
        group.append(after)
    return clips + _cut_group(group, words, config, aim_seconds)


def _cut_group(
    group: list[Region], words: Sequence[Word], config: CutConfig, aim: float
) -> list[tuple[Region, ...]]:
    # As far above the aim as the shortest clip is below it; max_seconds if the aim is the middle.
    if group[-1].end - group[0].start <= 2 * aim - config.min_seconds:
        return [tuple(group)]
    clips = _best_cuts(group, _pauses(group, words, config.min_pause_seconds), config, aim)
    finer: list[tuple[Region, ...]] = []
    for clip in clips:
        if clip[-1].end - clip[0].start > config.max_seconds and len(clip) > 1:
            pauses = _pauses(clip, words, _FINER_PAUSE_SECONDS)
            finer += _best_cuts(list(clip), pauses, config, aim)
        else:
            finer.append(clip)
    return finer


def _pauses(group: Sequence[Region], words: Sequence[Word], least: float) -> list[Pause]:
    found = []
    for index, (before, after) in enumerate(itertools.pairwise(group), start=1):
        gap = after.start - before.end
        if gap >= least and not _is_inside_word(before, after, words):
            found.append(Pause(index, gap))
    return found


def _is_inside_word(before: Region, after: Region, words: Sequence[Word]) -> bool:
    reach = min(_INSIDE_SECONDS, _INSIDE_SHARE * (after.start - before.end))
    return any(word.start < before.end - reach and word.end > after.start + reach for word in words)


def _best_cuts(
    group: list[Region], pauses: list[Pause], config: CutConfig, aim: float
) -> list[tuple[Region, ...]]:
    """Shortest path over the cuts: a clip costs by its length, a cut by its pause."""
    ends = [Pause(0, 0.0), *pauses, Pause(len(group), config.max_pause_seconds)]
    best: list[tuple[float, int]] = [(0.0, -1)]
    for k in range(1, len(ends)):
        choices = []
        for j in range(k):
            seconds = group[ends[k].index - 1].end - group[ends[j].index].start
            cost = ((seconds - aim) / aim) ** 2
            if seconds > config.max_seconds:
                cost += 100.0 * seconds
            elif seconds < config.min_seconds:
                cost += 10.0
            cost += 1.0 - ends[k].seconds / config.max_pause_seconds
            choices.append((best[j][0] + cost, j))
        best.append(min(choices))
    cuts, k = [len(group)], len(ends) - 1
    while k > 0:
        k = best[k][1]
        cuts.append(ends[k].index)
    cuts.reverse()
    return [tuple(group[a:b]) for a, b in itertools.pairwise(cuts)]
