"""Levels, edges, loudness and noise of a clip."""

import numpy as np
import scipy.ndimage
import scipy.signal
from jaxtyping import Float32, Float64
from numpy import ndarray

from data.loudness import set_loudness
from data.preparation.activity import Region
from data.preparation.config import SoundConfig

_FRAME_SECONDS = 0.01
_NOISE_MARGIN_DB = 6.0
_FADE_SECONDS = 0.005
_MUTED_DB = -85.0  # quieter pauses were muted: they say nothing about noise
_MOST_SNR_DB = 80.0
_FFT = 1024
_LEAST_GAIN = 0.1


def levels_db(audio: Float32[ndarray, " samples"], rate_hz: int) -> Float64[ndarray, " frames"]:
    """Return the level of each 10 ms in dB of full scale; an incomplete last frame is padded."""
    size = round(_FRAME_SECONDS * rate_hz)
    padded = np.pad(audio.astype(np.float64), (0, -len(audio) % size))
    levels: ndarray = 10 * np.log10(np.square(padded.reshape(-1, size)).mean(axis=1) + 1e-12)
    return levels


def noise_level_db(levels: Float64[ndarray, " frames"], regions: list[Region]) -> float:
    """Return the level of the noise between the regions of speech.

    Where there are hardly any pauses, or muted ones, the quietest twentieth of the frames in the
    speech stands for it: that is too high by a few dB, never too low.
    """
    speech = np.zeros(len(levels), dtype=bool)
    for region in regions:
        # A tenth of a second around speech belongs to it: breaths and fading sounds.
        first, last = round(region.start / _FRAME_SECONDS), round(region.end / _FRAME_SECONDS)
        speech[max(0, first - 10) : last + 10] = True
    outside = levels[~speech]
    outside = outside[outside > _MUTED_DB]
    if len(outside) >= 30:
        # Not the median: where the detector missed some words, part of this is speech.
        return float(np.quantile(outside, 0.25))
    inside = levels[speech & (levels > _MUTED_DB)]
    return float(np.quantile(inside, 0.05)) if len(inside) else _MUTED_DB


def snr_db(levels: Float64[ndarray, " frames"], noise_db: float) -> float:
    """Return speech power over noise power in dB.

    Speech is the mean power of the frames within 20 dB of the loud ones, less the noise in it.
    """
    loud = levels[levels > np.quantile(levels, 0.95) - 20]
    noise = 10 ** (noise_db / 10)
    speech = max(float(np.mean(10 ** (loud / 10))) - noise, 1e-3 * noise)
    return min(10 * float(np.log10(speech / noise)), _MOST_SNR_DB)


def edges(
    levels: Float64[ndarray, " frames"],
    speech: Region,
    room: Region,
    noise_db: float,
    margin_seconds: float,
) -> Region:
    """Return where a clip begins and ends: sound around the speech, and a margin of silence.

    Args:
        levels: of the whole recording, of each 10 ms.
        speech: from the first to the last speech that the detector heard.
        room: how far the clip may reach, without sound of its neighbours.
        noise_db: level of the noise.
        margin_seconds: silence to keep.
    """
    audible = levels > noise_db + _NOISE_MARGIN_DB
    first, last = round(speech.start / _FRAME_SECONDS), round(speech.end / _FRAME_SECONDS)
    earliest, latest = round(room.start / _FRAME_SECONDS), round(room.end / _FRAME_SECONDS)
    while first > earliest and first - 1 < len(audible) and audible[first - 1]:
        first -= 1
    while last < min(latest, len(audible)) and audible[last]:
        last += 1
    return Region(
        max(room.start, first * _FRAME_SECONDS - margin_seconds),
        min(room.end, last * _FRAME_SECONDS + margin_seconds),
    )


def finish(
    audio: Float32[ndarray, " samples"], rate_hz: int, config: SoundConfig
) -> Float32[ndarray, " samples"]:
    """Return a clip as it is stored: faded in and out over 5 ms, at the configured loudness."""
    fade = np.linspace(0, 1, round(_FADE_SECONDS * rate_hz), dtype=np.float32)
    faded = audio.copy()
    faded[: len(fade)] *= fade
    faded[-len(fade) :] *= fade[::-1]
    return set_loudness(faded, rate_hz, config.loudness_lufs, config.peak)


def denoise(
    audio: Float32[ndarray, " samples"], rate_hz: int, regions: list[Region]
) -> Float32[ndarray, " samples"]:
    """Take steady noise away: a Wiener filter whose noise spectrum is that of the pauses.

    The gain of no frequency falls below -20 dB, since gaps in the spectrum sound worse than noise.
    A recording without half a second of pauses comes back unchanged.
    """
    speech = np.zeros(len(audio), dtype=bool)
    for region in regions:
        speech[max(0, int((region.start - 0.1) * rate_hz)) : int((region.end + 0.1) * rate_hz)] = (
            True
        )
    if (~speech).sum() < rate_hz // 2:
        return audio
    _, _, noise = scipy.signal.stft(audio[~speech], nperseg=_FFT)
    _, _, spectrum = scipy.signal.stft(audio, nperseg=_FFT)
    power = np.square(np.abs(noise)).mean(axis=1)[:, None]
    # Smoothed over five frames: single frames make the musical noise of spectral subtraction.
    smooth = scipy.ndimage.uniform_filter1d(np.square(np.abs(spectrum)), 5, axis=1)
    gain = np.maximum(1 - power / np.maximum(smooth, 1e-12), _LEAST_GAIN)
    _, cleaned = scipy.signal.istft(spectrum * gain, nperseg=_FFT)
    return np.ascontiguousarray(cleaned[: len(audio)], dtype=np.float32)
