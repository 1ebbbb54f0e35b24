"""Audio files are read whatever their format, and written whole or not at all."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data import audio
from data.errors import InputError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg not installed")


def tone(seconds: float, sample_rate_hz: int, hz: float = 440.0) -> np.ndarray:
    time = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    return (0.5 * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def assert_is_tone(samples: np.ndarray, seconds: float, hz: float = 440.0) -> None:
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert len(samples) == pytest.approx(seconds * 24000, abs=2500)
    middle = samples[len(samples) // 4 :][: len(samples) // 2]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.fft.rfftfreq(len(middle), 1 / 24000)[spectrum.argmax()] == pytest.approx(hz, abs=5)
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_reads_every_rate_and_channel_count(tmp_path: Path, rate: int, channels: int):
    path = tmp_path / "tone.wav"
    soundfile.write(path, np.tile(tone(1.0, rate)[:, None], channels), rate, subtype="PCM_16")
    samples = audio.read(path, 24000)
    assert len(samples) == 24000
    assert_is_tone(samples, 1.0)


@pytest.mark.parametrize("name", ["t.flac", "t.ogg", "t.mp3", "t.aiff", "t.wav"])
def test_reads_formats_of_libsndfile(tmp_path: Path, name: str):
    soundfile.write(tmp_path / name, tone(1.0, 44100), 44100)
    assert_is_tone(audio.read(tmp_path / name, 24000), 1.0)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["t.m4a", "a space; $(touch x) 'quote'.m4a", "-dash:colon.mka"])
def test_reads_other_formats_through_ffmpeg(tmp_path: Path, name: str):
    source = tmp_path / "source.wav"
    soundfile.write(source, tone(1.0, 44100), 44100)
    command = ["ffmpeg", "-v", "error", "-i", source, "-c:a", "aac", f"file:{tmp_path / name}"]
    subprocess.run(command, check=True)
    assert_is_tone(audio.read(tmp_path / name, 24000), 1.0)


def test_without_ffmpeg_the_message_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.m4a"
    path.write_bytes(b"not audio")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="ffmpeg is not installed"):
        audio.read(path, 24000)


def test_channels_are_averaged(tmp_path: Path):
    left, right = tone(0.5, 24000), np.zeros(12000, np.float32)
    soundfile.write(tmp_path / "s.wav", np.stack([left, right], 1), 24000, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(tmp_path / "s.wav", 24000), left / 2, atol=1e-6)


def test_unreadable_inputs_are_input_errors(tmp_path: Path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("this is not audio " * 50)
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0, np.float32), 24000)
    soundfile.write(tmp_path / "nan.wav", np.full(99, np.nan, np.float32), 24000, subtype="FLOAT")
    for name, cause in {
        "missing.wav": "no such audio file",
        "": "folder",
        "empty.wav": "0 bytes",
        "text.wav": "not readable|not installed",
        "nothing.wav": "no audio samples",
        "nan.wav": "NaN",
    }.items():
        with pytest.raises(InputError, match=cause):
            audio.read(tmp_path / name, 24000)


def test_truncated_file_is_read_or_refused_but_never_crashes(tmp_path: Path):
    whole = tmp_path / "whole.flac"
    soundfile.write(whole, tone(1.0, 24000), 24000)
    for size in (10, 200, 2000):
        cut = tmp_path / f"{size}.flac"
        cut.write_bytes(whole.read_bytes()[:size])
        try:
            samples = audio.read(cut, 24000)
        except InputError:
            continue
        assert np.isfinite(samples).all()
        assert len(samples) > 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_file_is_an_input_error(tmp_path: Path):
    path = tmp_path / "secret.wav"
    soundfile.write(path, tone(0.1, 24000), 24000)
    path.chmod(0)
    with pytest.raises(InputError, match="cannot open"):
        audio.read(path, 24000)


def test_written_wav_reads_back(tmp_path: Path):
    samples = tone(0.5, 24000)
    audio.write_wav(tmp_path / "new" / "folder" / "x.wav", samples, 24000)
    info = soundfile.info(tmp_path / "new" / "folder" / "x.wav")
    assert (info.samplerate, info.channels, info.subtype, info.format) == (
        24000,
        1,
        "PCM_16",
        "WAV",
    )
    np.testing.assert_allclose(
        audio.read(tmp_path / "new" / "folder" / "x.wav", 24000), samples, atol=5e-5
    )


def test_loud_audio_is_clipped_and_does_not_wrap(tmp_path: Path):
    loud = np.array([2.0, 1.0, -1.0, -2.0, 1e9], dtype=np.float32)
    audio.write_wav(tmp_path / "x.wav", loud, 24000)
    pcm, _ = soundfile.read(tmp_path / "x.wav", dtype="int16")
    assert pcm.tolist() == [32767, 32767, -32767, -32767, 32767]


def test_audio_with_nan_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="NaN"):
        audio.write_wav(tmp_path / "x.wav", np.array([0.0, np.nan], np.float32), 24000)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.wav"
    audio.write_wav(path, tone(0.1, 24000), 24000)
    before = path.read_bytes()

    def full_disk(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full_disk)
    with pytest.raises(InputError, match="No space left"):
        audio.write_wav(path, tone(0.2, 24000), 24000)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_folder_in_place_of_the_file_is_an_input_error(tmp_path: Path):
    (tmp_path / "x.wav").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        audio.write_wav(tmp_path / "x.wav", tone(0.1, 24000), 24000)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.wav"]
