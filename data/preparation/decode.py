"""Step 1: a file of any kind to mono audio, and what is wrong with the file."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32, Int32
from numpy import ndarray

from data import audio as audio_files
from data.errors import InputError

CLIPPING_FRAME_SECONDS = 0.01
_DEAD_CHANNEL_DB = -40.0
_SILENT_PEAK = 0.001
_MISSING_BYTES = 2  # odd-sized files of sloppy writers are not truncated
_STREAMED_SIZES = frozenset({0, 0xFFFFFFFF, 0x7FFFFFFF})


@dataclass(frozen=True)
class Decoded:
    """A recording, decoded."""

    audio: Float32[ndarray, " samples"]
    """Mono, at the wanted sample rate, without DC."""
    clipped: Int32[ndarray, " frames"]
    """Samples in flattened peaks, of each 10 ms; counted before resampling smears them."""
    source_rate_hz: int
    """Sample rate of the file."""
    channels: int
    """Channels of the file."""
    silent_channels: int
    """Of those, how many hold nothing; they are left out."""
    dc: float
    """Mean of the samples, which is taken away."""
    truncated: bool
    """Whether the file ends before its header says."""

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing to hear."""
        return float(np.abs(self.audio).max()) < _SILENT_PEAK


def decode(path: Path, sample_rate_hz: int) -> Decoded:
    """Decode a recording: libsndfile, or ffmpeg for what it cannot read.

    Channels that hold nothing are left out of the mix, and so are channels of opposite phase, which
    would cancel.

    Raises:
        InputError: the file is missing, empty or not audio.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        announced = soundfile.info(path).frames
    except (soundfile.LibsndfileError, RuntimeError, TypeError, OSError):
        # This checks the file, says what is wrong with it, and knows how to ask ffmpeg.
        rate = max(sample_rate_hz, 48_000)
        samples, announced = audio_files.read(path, rate)[:, None], 0
    if not len(samples):
        audio_files.read(path, sample_rate_hz)
        raise InputError(f"{path}: the file holds no audio samples; record or export it again")
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: the samples include NaN or infinity; export the file again")
    mono, silent = _mix(samples)
    dc = float(mono.mean(dtype=np.float64))
    mono -= np.float32(dc)
    clipped = _clipping(samples, rate)
    audio = soxr.resample(mono, rate, sample_rate_hz) if rate != sample_rate_hz else mono
    if not len(audio):
        raise InputError(f"{path}: holds {len(mono)} samples only; record or export it again")
    return Decoded(
        audio=np.ascontiguousarray(audio, dtype=np.float32),
        clipped=clipped,
        source_rate_hz=rate,
        channels=samples.shape[1],
        silent_channels=silent,
        dc=dc,
        truncated=announced > len(samples) or _wav_is_truncated(path),
    )


def _mix(samples: Float32[ndarray, "samples channels"]) -> tuple[Float32[ndarray, " samples"], int]:
    """The mean of the channels that hold sound, and how many do not."""
    if samples.shape[1] == 1:
        return samples[:, 0].copy(), 0
    power = samples.var(axis=0, dtype=np.float64)
    loudest = int(power.argmax())
    live = power > power[loudest] * 10 ** (_DEAD_CHANNEL_DB / 10)
    silent = int((~live).sum()) if power[loudest] > 0 else 0
    mixed = samples[:, live].mean(axis=1) if live.any() else samples[:, loudest].copy()
    if mixed.var(dtype=np.float64) < 0.1 * power[loudest]:
        mixed = samples[:, loudest].copy()
    return mixed.astype(np.float32), silent


def _clipping(
    samples: Float32[ndarray, "samples channels"], rate: int
) -> Int32[ndarray, " frames"]:
    """Samples of each 10 ms that lie in runs of three or more at the recording's extreme."""
    size = max(1, round(rate * CLIPPING_FRAME_SECONDS))
    frames = -(-len(samples) // size)
    level = np.abs(samples).max(axis=1)
    # An absolute least as well: the extreme of near silence is a run of equal quantisation steps.
    at_top = level >= max(0.999 * float(level.max()), 0.01)
    inside = at_top.copy()
    inside[1:-1] = at_top[2:] & at_top[1:-1] & at_top[:-2]
    inside[[0, -1]] = False
    padded = np.pad(inside, (0, frames * size - len(inside)))
    return padded.reshape(frames, size).sum(axis=1).astype(np.int32)


def _wav_is_truncated(path: Path) -> bool:
    """Whether a RIFF file is shorter than its header says; libsndfile reads it without a word."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return False
    announced = struct.unpack("<I", head[4:8])[0]
    # Programs that write into a pipe cannot know the size.
    if announced in _STREAMED_SIZES or announced + 8 > 0xFFFF0000:
        return False
    return announced + 8 > path.stat().st_size + _MISSING_BYTES
