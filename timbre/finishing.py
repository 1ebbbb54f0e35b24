"""What a sentence is given after the vocoder: silence cut off at both ends, and one loudness."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

_FRAME_SECONDS = 0.01
_LOUD = 10 ** (-50 / 20)
"""Root mean square of a frame that is speech: 27 dB below speech of -23 LUFS."""
_LEAD_FRAMES, _TAIL_FRAMES = 5, 12
"""Kept around what is loud: a weak final /f/ is below the threshold and as long as this."""
_FADE_SECONDS = 0.01
_TARGET = 10 ** (-22.5 / 20)
"""Root mean square of what is loud, about that of speech at the -23 LUFS of prepared voices."""
_MOST_GAIN = 2.0
_PEAK = 0.97


class SilenceTrimmer:
    """Cuts off the silence before and after a sentence, also of one that arrives in chunks.

    What it has seen of a silence is held back until speech goes on, so that the chunks joined are
    the same however the sentence was cut into them.

    Args:
        sample_rate_hz: Of the audio.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._frame = round(_FRAME_SECONDS * sample_rate_hz)
        self._fade = round(_FADE_SECONDS * sample_rate_hz)
        self._held = np.zeros(0, dtype=np.float32)
        self._speaks = False
        self.cut_samples = 0
        """Samples cut off in front."""

    def push(self, audio: Float[ndarray, " samples"]) -> Float[ndarray, " ready"]:
        """Takes the next samples, and gives those that are certain to be kept."""
        self._held = np.concatenate([self._held, audio.astype(np.float32)])
        loud = np.flatnonzero(self._is_loud())
        if not len(loud):
            return self._held[:0]
        keep = 0
        if not self._speaks:
            self._speaks = True
            keep = max(0, int(loud[0]) - _LEAD_FRAMES) * self._frame
            self.cut_samples = keep
        ready = int(loud[-1] + 1) * self._frame
        spoken, self._held = self._held[keep:ready], self._held[ready:]
        return spoken

    def finish(self) -> Float[ndarray, " rest"]:
        """Gives what is left, faded out; everything, where nothing was loud."""
        rest = self._held
        if self._speaks:
            rest = rest[: _TAIL_FRAMES * self._frame]
        rest = rest.copy()
        fade = min(self._fade, len(rest))
        rest[len(rest) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        return rest

    def _is_loud(self) -> ndarray:
        frames = self._held[: len(self._held) // self._frame * self._frame]
        loud: ndarray = _root_mean_square(frames, self._frame) > _LOUD
        return loud


def leveled(
    audio: Float[ndarray, " samples"], sample_rate_hz: int
) -> Float[ndarray, " same_samples"]:
    """The sentence at the loudness that all have, changed by a factor of 2 at most.

    Measured on what is loud, so that pauses inside a sentence do not make it louder.
    """
    frame = round(_FRAME_SECONDS * sample_rate_hz)
    values = _root_mean_square(audio[: len(audio) // frame * frame], frame)
    loud = values[values > _LOUD]
    if not len(loud):
        return audio
    gain = np.clip(_TARGET / np.sqrt(np.mean(loud**2)), 1 / _MOST_GAIN, _MOST_GAIN)
    gain = min(float(gain), _PEAK / float(np.abs(audio).max()))
    return (audio * gain).astype(np.float32)


def _root_mean_square(audio: ndarray, frame: int) -> ndarray:
    values: ndarray = np.sqrt(np.mean(audio.reshape(-1, frame) ** 2, axis=1))
    return values
