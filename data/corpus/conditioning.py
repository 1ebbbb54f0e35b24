"""From raw sound to a corpus clip: silence trimmed, unusable clips refused.

Stored as a user's clips are (`data.preparation.sound.finish`); their texts are known, so nothing
has to be cut into sentences, transcribed or compared.
"""

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from data.corpus.config import ConditionConfig
from data.preparation.config import SoundConfig
from data.preparation.sound import finish, levels_db

_FRAME_SECONDS = 0.01
_SILENT_PEAK = 0.003
_NOISE_MARGIN_DB = 6.0


class UnusableClip(Exception):  # noqa: N818 - a verdict on data, not a fault
    """A clip that the corpus must not hold; the message is the reason, one of few words."""


def condition(
    audio: Float32[ndarray, " samples"], config: ConditionConfig
) -> Float32[ndarray, " kept"]:
    """Trim the silence at both ends, set the loudness, check the clip.

    Raises:
        UnusableClip: silent, clipped, too short or too long.
    """
    if not len(audio) or np.abs(audio).max() < _SILENT_PEAK:
        raise UnusableClip("silent")
    if clipped_share(audio) > config.clipped_share:
        raise UnusableClip("clipped")
    audio = trim(audio, config)
    seconds = len(audio) / config.sample_rate_hz
    if seconds < config.min_seconds:
        raise UnusableClip("too short")
    if seconds > config.max_seconds:
        raise UnusableClip("too long")
    sound = SoundConfig(loudness_lufs=config.loudness_lufs, peak=config.peak)
    try:
        return finish(audio, config.sample_rate_hz, sound)
    except ValueError as error:
        raise UnusableClip("silent") from error


def clipped_share(audio: Float32[ndarray, " samples"]) -> float:
    """Share of the samples that lie in flattened peaks: three or more at the clip's extreme."""
    top = np.abs(audio).max()
    at_top = np.abs(audio) >= 0.999 * top
    runs = at_top[2:] & at_top[1:-1] & at_top[:-2]
    return float(runs.mean()) if len(runs) else 0.0


def trim(audio: Float32[ndarray, " samples"], config: ConditionConfig) -> Float32[ndarray, " kept"]:
    """Cut silence at both ends down to `silence_seconds`.

    A frame is silent if it lies `silence_db` below the loud frames, or hardly above the noise
    floor of a noisy recording.
    """
    frame = round(_FRAME_SECONDS * config.sample_rate_hz)
    level = levels_db(audio, config.sample_rate_hz)
    # The quietest tenth is the noise floor, unless the clip has no pauses at all.
    floor = min(np.percentile(level, 10) + _NOISE_MARGIN_DB, np.percentile(level, 95) - 20)
    threshold = max(np.percentile(level, 95) - config.silence_db, floor)
    loud = np.flatnonzero(level > threshold)
    if not len(loud):
        raise UnusableClip("silent")
    margin = round(config.silence_seconds * config.sample_rate_hz)
    start = max(0, int(loud[0]) * frame - margin)
    end = min(len(audio), (int(loud[-1]) + 1) * frame + margin)
    return audio[start:end].copy()
