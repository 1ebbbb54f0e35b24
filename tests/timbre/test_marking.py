"""The mark: found after what happens to recordings, nowhere else, and the same in a stream."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from data.audio import pcm, read, write_wav
from data.errors import InputError, MachineError
from timbre.detection import UNMARKED, DetectionConfig, detect
from timbre.marking import Watermark

RATE = 24_000
CLIPS = sorted((Path(__file__).parents[2] / "assets" / "myvoice" / "heldout").glob("*.flac"))[:3]


@pytest.fixture(scope="module")
def watermark() -> Watermark:
    return Watermark()


@pytest.fixture(scope="module", params=CLIPS, ids=lambda path: path.stem)
def speech(request) -> np.ndarray:
    return read(request.param, RATE)


def as_stored(audio: np.ndarray, **settings) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, pcm(audio), RATE, **settings)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def test_it_is_found_and_only_there(watermark: Watermark, speech: np.ndarray) -> None:
    assert watermark.certainty(speech, RATE) < 0.5
    assert watermark.certainty(watermark.mark(speech, RATE), RATE) > 0.9


@pytest.mark.parametrize(
    "kind",
    [
        {"format": "WAV", "subtype": "PCM_16"},
        {"format": "MP3"},
        {"format": "OGG", "subtype": "VORBIS"},
        {"format": "OGG", "subtype": "OPUS"},
    ],
    ids=str,
)
def test_it_survives_being_stored(watermark: Watermark, speech: np.ndarray, kind) -> None:
    stored = as_stored(watermark.mark(speech, RATE), **kind)
    assert watermark.certainty(stored, RATE) > 0.9


def test_it_survives_what_telephones_do(watermark: Watermark, speech: np.ndarray) -> None:
    marked = watermark.mark(speech, RATE)
    assert watermark.certainty(soxr.resample(marked, RATE, 16_000), 16_000) > 0.9
    noise = np.random.default_rng(0).normal(0, 1e-3, len(marked)).astype(np.float32)
    assert watermark.certainty(marked[RATE // 3 :] + noise[RATE // 3 :], RATE) > 0.8


def test_speech_keeps_its_length_and_nearly_its_sound(watermark: Watermark, speech) -> None:
    marked = watermark.mark(speech, RATE)
    assert len(marked) == len(speech)
    assert np.mean((marked - speech) ** 2) < 0.05 * np.mean(speech**2)


@pytest.mark.parametrize("size", [2_400, 7_001, 20_000])
def test_a_stream_is_marked_as_the_whole(watermark: Watermark, speech, size: int) -> None:
    chunks = [speech[start : start + size] for start in range(0, len(speech), size)]
    streamed = np.concatenate([*watermark.mark_stream(chunks, RATE)])
    np.testing.assert_allclose(streamed, watermark.mark(speech, RATE), atol=2e-3)


def test_a_stream_is_not_kept_waiting(watermark: Watermark, speech: np.ndarray) -> None:
    heard = 0

    def chunks():
        for start in range(0, len(speech), 4_800):
            assert start - heard <= 0.33 * RATE
            yield speech[start : start + 4_800]

    for chunk in watermark.mark_stream(chunks(), RATE):
        heard += len(chunk)
    assert heard == len(speech)


@pytest.mark.parametrize("samples", [0, 1, 100, RATE])
def test_silence_stays_silence(watermark: Watermark, samples: int) -> None:
    silence = np.zeros(samples, dtype=np.float32)
    np.testing.assert_array_equal(watermark.mark(silence, RATE), silence)
    assert watermark.certainty(silence, RATE) == 0.0


@pytest.mark.parametrize("samples", [1, 100, 5_000])
def test_the_shortest_sounds_pass(watermark: Watermark, speech: np.ndarray, samples: int) -> None:
    marked = watermark.mark(speech[RATE : RATE + samples], RATE)
    assert len(marked) == samples
    assert np.isfinite(marked).all()


def test_the_library_says_nothing_on_the_standard_output(capsys) -> None:
    Watermark()
    assert capsys.readouterr().out == ""


def test_where_it_is_missing_that_is_said(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "perth", None)
    with pytest.raises(MachineError, match="watermark=false"):
        Watermark()


def test_detection_tells_which_is_marked(watermark: Watermark, tmp_path: Path) -> None:
    speech = read(CLIPS[0], RATE)
    write_wav(tmp_path / "a.wav", watermark.mark(speech, RATE), RATE)
    assert detect(DetectionConfig(str(tmp_path)))[1] == 0
    lines, code = detect(DetectionConfig(f"{tmp_path},{CLIPS[0]}"))
    assert code == UNMARKED
    assert "a.wav: marked as synthetic" in lines[0]
    assert f"{CLIPS[0]}: no mark" in lines[1]
    with pytest.raises(InputError, match="absent"):
        detect(DetectionConfig(str(tmp_path / "absent.wav")))
