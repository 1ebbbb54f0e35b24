"""Reading and writing audio files."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32
from numpy import ndarray

from data.errors import InputError, MachineError

AUDIO_ENDINGS = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".mp4", ".webm"),
    *(".aif", ".aiff", ".wma", ".g722"),
)
"""Files that count as recordings of a voice where a folder is given."""
_FFMPEG_SECONDS = 600
"""Patience with ffmpeg: a broken file must not hang a whole preparation."""


def read(path: Path | str, sample_rate_hz: int) -> Float32[ndarray, " samples"]:
    """Read an audio file as mono at the given sample rate.

    Formats that libsndfile knows (WAV, FLAC, OGG, MP3, AIFF ...) are read directly, all others
    through the `ffmpeg` command. Channels are averaged. Resampling is soxr at high quality.

    Args:
        path: audio file, or video file with a sound track.
        sample_rate_hz: wanted sample rate.

    Returns:
        Finite samples; within [-1, 1] unless the file itself (float WAV) goes beyond.

    Raises:
        InputError: the file is missing, a folder, empty, unreadable or holds invalid samples.
    """
    path = Path(path)
    _check_file(path)
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = audio.mean(axis=1)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        # TypeError: soundfile wants a sample rate for files named .raw, whatever they hold.
        mono, rate = _decode_with_ffmpeg(path, sample_rate_hz, cause=str(error)), sample_rate_hz
    if not len(mono):
        raise InputError(f"{path}: the file holds no audio samples; record or export it again")
    if not np.isfinite(mono).all():
        raise InputError(f"{path}: the samples include NaN or infinity; export the file again")
    if rate != sample_rate_hz:
        mono = soxr.resample(mono, rate, sample_rate_hz)
    return np.ascontiguousarray(mono, dtype=np.float32)


def pcm(audio: ndarray) -> ndarray:
    """Samples as 16-bit integers; those beyond [-1, 1] are clipped."""
    # 32767 both ways: scaling by 32768 would wrap +1.0 around to full negative.
    integers: ndarray = np.round(np.clip(audio, -1.0, 1.0) * 32767).astype(np.int16)
    return integers


def write_wav(path: Path | str, audio: Float32[ndarray, " samples"], sample_rate_hz: int) -> None:
    """Write mono audio as 16-bit PCM WAV; the file appears complete or not at all.

    Args:
        path: file to write; its folder is created.
        audio: samples; those beyond [-1, 1] are clipped.
        sample_rate_hz: sample rate of `audio`.

    Raises:
        InputError: the file cannot be written, e.g. no permission or a full disk.
        ValueError: the audio includes NaN or infinity.
    """
    _write(Path(path), audio, sample_rate_hz, "WAV")


def write_flac(path: Path | str, audio: Float32[ndarray, " samples"], sample_rate_hz: int) -> None:
    """Write mono audio as 16-bit FLAC; otherwise like `write_wav`.

    Raises:
        InputError: the file cannot be written, e.g. no permission or a full disk.
        ValueError: the audio includes NaN or infinity.
    """
    _write(Path(path), audio, sample_rate_hz, "FLAC")


def write_opus(path: Path | str, audio: Float32[ndarray, " samples"], sample_rate_hz: int) -> None:
    """Write mono audio as Opus in Ogg, about a tenth of FLAC's size; otherwise like `write_wav`.

    Args:
        path: file to write; its folder is created.
        audio: samples; those beyond [-1, 1] are clipped.
        sample_rate_hz: 8000, 12000, 16000, 24000 or 48000, the rates of Opus.

    Raises:
        InputError: the file cannot be written, e.g. no permission or a full disk.
        ValueError: the audio includes NaN or infinity.
    """
    _write(Path(path), audio, sample_rate_hz, "OGG", "OPUS")


def _write(
    path: Path,
    audio: Float32[ndarray, " samples"],
    sample_rate_hz: int,
    container: str,
    subtype: str = "PCM_16",
) -> None:
    if not np.isfinite(audio).all():
        raise ValueError(f"refusing to write {path}: the audio includes NaN or infinity")
    unfinished: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder: os.replace is atomic only within one file system.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        unfinished = Path(name)
        with os.fdopen(handle, "wb") as file:
            soundfile.write(file, pcm(audio), sample_rate_hz, subtype=subtype, format=container)
            file.flush()
            os.fsync(file.fileno())
        unfinished.chmod(0o644)
        os.replace(unfinished, path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(
            f"{path}: cannot write the audio ({error}); check the folder, its permissions and the "
            "free disk space"
        ) from error
    finally:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: this is a folder; give an audio file")
    if not path.exists():
        raise InputError(f"{path}: no such audio file; check the path")
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot open the file ({error})") from error
    if size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); copy or record it again")


def _decode_with_ffmpeg(
    path: Path, sample_rate_hz: int, cause: str
) -> Float32[ndarray, " samples"]:
    """Decode to mono float samples; ffmpeg mixes and resamples (with its own resampler)."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise MachineError(
            f"{path}: libsndfile cannot read this file ({cause}) and ffmpeg is not installed; "
            "install ffmpeg or convert the file to WAV or FLAC"
        )
    # `file:` keeps ffmpeg from taking a name with a colon for a network address.
    command = [ffmpeg, "-nostdin", "-v", "error", "-i", f"file:{path}", "-vn", "-f", "f32le"]
    command += ["-acodec", "pcm_f32le", "-ac", "1", "-ar", str(sample_rate_hz), "pipe:1"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_FFMPEG_SECONDS, check=True)
    except subprocess.TimeoutExpired as error:
        raise MachineError(
            f"{path}: ffmpeg did not finish within {_FFMPEG_SECONDS} s; convert the file to WAV"
        ) from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise InputError(
            f"{path}: not readable as audio by libsndfile ({cause}) nor by ffmpeg "
            f"({reason[-1] if reason else 'no reason given'}); convert it to WAV or FLAC"
        ) from error
    return np.frombuffer(done.stdout, dtype="<f4").astype(np.float32)
