"""Speech as the bytes of a sound file, whole or while it is being spoken."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable

import numpy as np
import soundfile
from jaxtyping import Float
from numpy import ndarray

from data.audio import pcm
from timbre.synthesis import COMMENT

FORMATS = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "pcm": "audio/pcm",
}
"""Media types by name."""
STREAMED = ("wav", "pcm")
_CONTAINERS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", None),
    "opus": ("OGG", "OPUS"),
}
_UNKNOWN = 0xFFFFFFFF
"""Length of a stream, as players take it."""


def encode(chunks: Iterable[ndarray], sample_rate_hz: int, kind: str) -> bytes:
    """A whole sound file, which says of itself that it is synthetic."""
    audio = np.concatenate([*chunks])
    if kind == "pcm":
        return samples(audio)
    container, subtype = _CONTAINERS[kind]
    memory = io.BytesIO()
    with soundfile.SoundFile(
        memory, "w", sample_rate_hz, 1, subtype=subtype, format=container
    ) as file:
        file.comment = COMMENT
        file.write(pcm(audio))
    return memory.getvalue()


def head(sample_rate_hz: int, kind: str) -> bytes:
    """What a stream begins with: the header of a WAV file of unknown length, or nothing."""
    if kind == "pcm":
        return b""
    layout = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate_hz, 2 * sample_rate_hz, 2, 16)
    length = struct.pack("<I", _UNKNOWN)
    return b"RIFF" + length + b"WAVEfmt " + layout + b"data" + length


def samples(audio: Float[ndarray, " samples"]) -> bytes:
    """Samples in [-1, 1] as 16-bit little-endian integers."""
    return pcm(audio).astype("<i2").tobytes()
