"""Pitch, speaking rate and silence: does it speak as high, as lively and as fast?"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from data.mel import AudioConfig
from data.pitch_track import PitchTracker
from data.text.symbols import SILENCE_ID
from timbre.judges.clip import Clip, Measure

_FRAMES_PER_SECOND = 100
_QUIET_DB = -40.0  # below the clip's loud frames: pauses, breath and room, but no consonant


class Pitch:
    """`f0` (median, Hz) and `f0_range` (5th to 95th percentile, semitones) of voiced speech.

    Args:
        audio: Geometry of the mel, at whose frames SwiftF0 is read.
    """

    def __init__(self, audio: AudioConfig) -> None:
        self._audio = audio
        self._tracker = PitchTracker(audio)

    def __call__(self, clips: list[Clip]) -> dict[str, Measure]:
        """Both, weighted by the voiced frames of each clip."""
        medians, ranges, counts = [], [], []
        for clip in clips:
            f0 = self._tracker(clip.at(self._audio.sample_rate_hz))
            voiced = f0[f0 > 0]
            counts.append(float(len(voiced)))
            if not len(voiced):
                medians.append(math.nan)
                ranges.append(math.nan)
                continue
            low, median, high = np.quantile(voiced, (0.05, 0.5, 0.95))
            medians.append(float(median))
            ranges.append(float(12 * np.log2(high / low)))
        return {"f0": Measure(medians, counts), "f0_range": Measure(ranges, counts)}


class Pace:
    """`rate` (phonemes a second between first and last sound) and `silence` (share of quiet)."""

    def __call__(self, clips: list[Clip]) -> dict[str, Measure]:
        """Both, weighted by the seconds that they are taken over."""
        rates, spans, silences = [], [], []
        for clip in clips:
            loud = np.flatnonzero(is_loud(clip))
            span = (loud[-1] + 1 - loud[0]) / _FRAMES_PER_SECOND if len(loud) else 0.0
            symbols = [] if clip.phonemes is None else clip.phonemes.ids.tolist()
            phonemes = sum(symbol != SILENCE_ID for symbol in symbols)
            rates.append(phonemes / span if phonemes and span else math.nan)
            spans.append(span)
            silences.append(1.0 - float(is_loud(clip).mean()))
        lengths = [clip.seconds for clip in clips]
        return {"rate": Measure(rates, spans), "silence": Measure(silences, lengths)}


def is_loud(clip: Clip) -> Bool[ndarray, " frames"]:
    """Which 10 ms frames are within 40 dB of the clip's loud ones; none in a silent clip."""
    size = clip.sample_rate_hz // _FRAMES_PER_SECOND
    frames = max(1, len(clip.audio) // size)
    audio = np.resize(clip.audio, frames * size) if len(clip.audio) < size else clip.audio
    power = np.square(audio[: frames * size].reshape(frames, size)).mean(axis=1)
    loud: ndarray = power > max(np.quantile(power, 0.95) * 10 ** (_QUIET_DB / 10), 1e-10)
    return loud
