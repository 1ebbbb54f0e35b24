"""The real recogniser, where there are weights: TIMBRE_WHISPER=FOLDER pytest …"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from data.preparation.config import PrepareConfig, TranscribeConfig
from data.preparation.pipeline import prepare
from data.preparation.recognizer import RecognizerMissing, Whisper
from data.text.words import WordList, letter_errors

WEIGHTS = os.environ.get("TIMBRE_WHISPER", "")
needs_whisper = pytest.mark.skipif(
    not WEIGHTS, reason="set TIMBRE_WHISPER to a folder with a CTranslate2 Whisper model"
)


@pytest.mark.slow
@needs_whisper
def test_long_recording_without_transcript(tmp_path: Path, clips: list[Any]) -> None:
    gap = np.zeros(12_000)
    sound = np.concatenate([part for clip in clips for part in (clip.audio, gap)])
    soundfile.write(tmp_path / "long.flac", sound, 24_000)
    outcome = prepare(settings(tmp_path / "long.flac"))
    words = WordList("en")
    heard = words(" ".join(clip.text for clip in outcome.clips))
    errors, letters = letter_errors(words(" ".join(clip.text for clip in clips)), heard)
    assert errors / letters < 0.1


@pytest.mark.slow
@needs_whisper
def test_dirty_set(
    tmp_path: Path, clips: list[Any], dirty_set: Callable[..., dict[str, str]]
) -> None:
    expected = dirty_set(tmp_path / "in", clips[:12], clips[12:20])
    outcome = prepare(settings(tmp_path / "in"))
    reasons = {
        clip.recording.path.relative_to(tmp_path / "in").as_posix(): reason
        for clip, reason in zip(outcome.clips, outcome.reasons, strict=True)
    }
    assert reasons == expected


def test_missing_recogniser_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faster_whisper", None)
    with pytest.raises(RecognizerMissing, match=r"pip install 'timbre-voice\[prepare\]'"):
        Whisper(TranscribeConfig(model="base"), threads=1)


def settings(source: Path) -> PrepareConfig:
    return PrepareConfig(
        input=str(source),
        speaker="anna",
        language="en",
        output=str(source.parent / "voices"),
        cache=str(source.parent / "cache"),
        transcribe=TranscribeConfig(model=WEIGHTS),
        workers=1,
    )
