import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data.preparation.activity import Region, speech_regions
from data.preparation.alignment import divide
from data.preparation.config import CutConfig, ValidationSplitConfig
from data.preparation.cutting import aim_for, cut, windows
from data.preparation.recognizer import Word
from data.preparation.split import held_out

CONFIG = CutConfig()
MIDDLE = aim_for(3600.0, CONFIG)


def regions(*lengths_and_gaps: float) -> list[Region]:
    """Regions from alternating lengths of speech and of pauses."""
    found, time = [], 0.5
    for number, seconds in enumerate(lengths_and_gaps):
        if number % 2 == 0:
            found.append(Region(time, time + seconds))
        time += seconds
    return found


def lengths(clips: list[tuple[Region, ...]]) -> list[float]:
    return [round(clip[-1].end - clip[0].start, 3) for clip in clips]


def test_short_speech_stays_whole() -> None:
    assert lengths(cut(regions(3.0, 0.5, 4.0, 0.9, 5.0), (), CONFIG, MIDDLE)) == [13.4]


def test_long_pauses_are_cuts() -> None:
    assert lengths(cut(regions(3.0, 1.5, 4.0), (), CONFIG, MIDDLE)) == [3.0, 4.0]


def test_cuts_prefer_long_pauses() -> None:
    clips = cut(regions(5.0, 0.3, 4.0, 0.9, 4.0, 0.3, 6.0), (), CONFIG, MIDDLE)
    assert lengths(clips) == [9.3, 10.3]


def test_no_cut_where_a_word_goes_on() -> None:
    speech = regions(8.0, 0.4, 2.0, 0.3, 7.0)
    over_first = [Word("re", 8.0, 9.3, 1.0)]
    assert lengths(cut(speech, (), CONFIG, MIDDLE))[0] == 8.0
    assert lengths(cut(speech, over_first, CONFIG, MIDDLE)) == [10.4, 7.0]


def test_word_that_only_touches_the_pause_does_not_prevent_a_cut() -> None:
    speech = regions(8.0, 0.4, 9.0)
    # Recognisers let words begin early and end late, in the middle of pauses.
    words = [Word(" a", 7.0, 8.85, 1.0), Word(" b", 8.7, 9.4, 1.0)]
    assert lengths(cut(speech, words, CONFIG, MIDDLE)) == [8.0, 9.0]


def test_no_cut_in_a_short_pause_where_a_word_may_be_on_either_side() -> None:
    speech = regions(8.0, 0.19, 9.0)
    # Between 8.5 and 8.69 s: "is" is said after the pause, but the recogniser lets it begin before.
    assert lengths(cut(speech, [Word(" is", 8.2, 8.77, 1.0)], CONFIG, MIDDLE)) == [17.19]


def test_finer_pauses_where_there_are_no_others() -> None:
    assert lengths(cut(regions(9.0, 0.15, 10.0), (), CONFIG, MIDDLE)) == [9.0, 10.0]


def test_speech_without_pauses_stays_too_long() -> None:
    assert lengths(cut(regions(20.0), (), CONFIG, MIDDLE)) == [20.0]


def test_one_minute_in_one_recording_is_cut_into_enough_clips_to_hold_two_out() -> None:
    phrases = [length for n in range(20) for length in (2.0 + n % 3, 0.3 + 0.1 * (n % 4))]
    minute = regions(*phrases[:-1])
    seconds = sum(region.end - region.start for region in minute)
    assert 55 < seconds < 65
    usual = cut(minute, (), CONFIG, MIDDLE)
    clips = cut(minute, (), CONFIG, aim_for(seconds, CONFIG))
    assert len(usual) < 10 <= len(clips)
    assert min(lengths(clips)) >= CONFIG.min_seconds
    assert [region for clip in clips for region in clip] == minute
    held = held_out([str(n) for n in range(len(clips))], lengths(clips), ValidationSplitConfig(), 1)
    assert sum(held) == 2


def test_nothing_to_cut() -> None:
    assert cut([], (), CONFIG, MIDDLE) == []


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.1, 14.0), st.floats(0.1, 2.0)).map(
            lambda pair: (round(pair[0], 2), round(pair[1], 2))
        ),
        min_size=1,
        max_size=30,
    )
)
def test_cutting_loses_nothing_and_cuts_in_pauses_only(pairs: list[tuple[float, float]]) -> None:
    speech = regions(*(value for pair in pairs for value in pair))
    clips = cut(speech, (), CONFIG, MIDDLE)
    assert [region for clip in clips for region in clip] == speech
    for clip in clips:
        longest = clip[-1].end - clip[0].start
        gaps = [b.start - a.end for a, b in itertools.pairwise(clip)]
        assert all(gap <= CONFIG.max_pause_seconds + 1e-6 for gap in gaps)
        # Every pause here is long enough to cut in, so only a single region may be too long.
        assert longest <= CONFIG.max_seconds or len(clip) == 1 or max(gaps) < 0.1 + 1e-6


def test_windows_are_full_and_end_in_long_pauses() -> None:
    speech = regions(9.0, 0.3, 9.0, 0.8, 5.0, 0.3, 9.0, 0.3, 4.0)
    runs = windows(speech, 28.0)
    assert [region for run in runs for region in run] == speech
    assert [len(run) for run in runs] == [2, 3]
    assert windows(regions(40.0), 28.0) == [regions(40.0)]


def test_regions_have_hysteresis_and_join_over_short_gaps() -> None:
    speech = np.array(
        [0, 0.9, 0.4, 0.9, 0.9, 0, 0, 0.9, 0.9, 0.9, 0.9] + [0] * 6 + [0.9], "float32"
    )
    found = speech_regions(speech, 18 * 0.032, 0.5)
    # The gap of two frames is 64 ms: within a word. The last single frame is 32 ms: a noise.
    assert found == [Region(0.032, 11 * 0.032)]


def words(text: str) -> list[Word]:
    return [Word(f" {word}", i * 0.5, i * 0.5 + 0.4, 0.9) for i, word in enumerate(text.split())]


def test_transcript_is_divided_where_the_words_are() -> None:
    text = "In 1984, the Doctor said: go home. Nobody went, though."
    heard = "In 1984 the doctor sad go home nobody went though"
    assert divide(text, words(heard), [0, 7]) == [
        "In 1984, the Doctor said: go home.",
        "Nobody went, though.",
    ]


def test_transcript_is_not_divided_where_words_are_missing() -> None:
    text = "Go home now. Some words nobody heard. Nobody went, though."
    assert divide(text, words("go home now nobody went though"), [0, 3]) is None


def test_held_out_clips_do_not_depend_on_order_and_hold_all_repetitions() -> None:
    texts = [f"Sentence number {n} is here." for n in range(60)]
    seconds = [3.0] * 60
    config = ValidationSplitConfig()
    held = held_out(texts, seconds, config, seed=1)
    assert sum(held) == 3
    backwards = held_out(texts[::-1], seconds, config, seed=1)
    assert backwards[::-1] == held
    assert held_out(texts, seconds, config, seed=2) != held
    chosen = texts[held.index(True)]
    again = held_out([*texts, chosen.upper()], [*seconds, 3.0], config, seed=1)
    held_texts = {t.casefold() for t, h in zip([*texts, chosen.upper()], again, strict=True) if h}
    trained = {t.casefold() for t, h in zip([*texts, chosen.upper()], again, strict=True) if not h}
    assert not held_texts & trained


def test_of_few_clips_one_is_held_out_and_of_very_few_none() -> None:
    held = [
        held_out([*"abcdefghij"[:n]], [3.0] * n, ValidationSplitConfig(), 1) for n in (4, 5, 9, 10)
    ]
    assert [sum(each) for each in held] == [0, 1, 1, 2]
