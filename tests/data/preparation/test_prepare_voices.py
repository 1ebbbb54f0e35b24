"""Another speaker's clips, told by pitch and timbre alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from data.preparation.activity import Region
from data.preparation.checks import verdicts
from data.preparation.clips import Clip
from data.preparation.config import QualityConfig
from data.preparation.inspection import Inspection
from data.preparation.judges import PitchAndTimbre
from data.preparation.measuring import Measures
from data.preparation.recordings import Recording

RATE = 24_000


@pytest.fixture(scope="module")
def judge() -> PitchAndTimbre:
    return PitchAndTimbre()


def clip_of(audio: np.ndarray, judge: PitchAndTimbre, number: int) -> Clip:
    """A clip that has nothing wrong but, perhaps, its voice."""
    place = Region(0.0, len(audio) / RATE)
    picture = np.random.default_rng(number).standard_normal(256)
    measures = Measures(
        start=place.start,
        end=place.end,
        loudness_lufs=-23.0,
        snr_db=40.0,
        clipped=0.0,
        bandwidth_hz=12_000.0,
        dnsmos=None,
        voice=tuple(judge(audio, RATE).tolist()),
        picture=tuple((picture / np.linalg.norm(picture)).tolist()),
    )
    # Ten phonemes a second: the usual speaking rate.
    symbols = tuple([5] * round(10 * place.end))
    recording = Recording(Path(f"{number}.wav"), "ann")
    inspection = Inspection(seconds=place.end, regions=(place,))
    return Clip(
        recording,
        inspection,
        place,
        place,
        "text",
        language="en",
        symbols=symbols,
        measures=measures,
    )


def test_short_clips_of_the_voice_stay_and_another_voice_goes(
    clips: list[Any], judge: PitchAndTimbre
) -> None:
    whole = [clip.audio for clip in clips[:12]]
    # From the middle: a second of speech, mostly of one or two words.
    short = [a[len(a) // 2 - RATE // 2 : len(a) // 2 + RATE // 2] for a in whole[:6]]
    lower = [soxr.resample(clip.audio, RATE, round(RATE * 1.45)) for clip in clips[12:14]]
    known = [clip_of(a, judge, number) for number, a in enumerate([*whole, *short, *lower])]
    reasons = verdicts(known, QualityConfig(), PitchAndTimbre.name)
    assert reasons == [""] * 18 + ["another speaker"] * 2


def test_a_set_of_short_clips_is_one_voice(clips: list[Any], judge: PitchAndTimbre) -> None:
    pieces = [clip.audio[start : start + RATE] for clip in clips for start in (RATE // 2, RATE)]
    known = [clip_of(piece, judge, number) for number, piece in enumerate(pieces)]
    assert set(verdicts(known, QualityConfig(), PitchAndTimbre.name)) == {""}


def test_weights_of_a_distance_sum_to_one(judge: PitchAndTimbre, clips: list[Any]) -> None:
    assert judge.weights.sum() == pytest.approx(1)
    assert judge.weights.shape == judge(clips[0].audio, RATE).shape
