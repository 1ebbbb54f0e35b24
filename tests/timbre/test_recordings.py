"""A speaker's recordings as judges hear them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.audio import write_wav
from data.errors import InputError
from data.manifest import Utterance, write_manifest
from data.text.frontend import TextFrontend
from timbre.recordings import read_recordings


def test_texts_of_another_language_are_read_in_it(tmp_path: Path) -> None:
    audio = tmp_path / "jan.wav"
    write_wav(audio, np.zeros(24_000, dtype=np.float32), 24_000)
    rows = [
        Utterance(f"jan-{language}", audio, "Kde je?", "jan", language, 1.0, "validation")
        for language in ("cs", "en")
    ]
    write_manifest(tmp_path / "manifest.jsonl", rows)
    frontend = TextFrontend("en")
    czech, english = read_recordings(tmp_path, 24_000, frontend, "validation", 9)
    assert (czech.language, english.language) == ("cs", "en")
    assert czech.phonemes is not None
    assert czech.phonemes.ids.tolist() == TextFrontend("cs")("Kde je?").ids.tolist()
    assert english.phonemes is not None
    assert english.phonemes.ids.tolist() == frontend("Kde je?").ids.tolist()


def spoken(folder: Path, *splits: str) -> Path:
    audio = folder / "jan.wav"
    write_wav(audio, np.zeros(24_000, dtype=np.float32), 24_000)
    rows = [
        Utterance(f"jan-{n}", audio, "Yes.", "jan", "en", 1.0, split)
        for n, split in enumerate(splits)
    ]
    write_manifest(folder / "manifest.jsonl", rows)
    return folder


def names(folder: Path, split: str, most_seconds: float = 0.0) -> list[str]:
    clips = read_recordings(folder, 24_000, TextFrontend("en"), split, 9, most_seconds=most_seconds)
    return [clip.name for clip in clips]


def test_only_what_a_run_trained_on_is_read(tmp_path: Path) -> None:
    folder = spoken(tmp_path, "train", "validation", "train", "train")
    assert names(folder, "train") == ["jan-0", "jan-2", "jan-3"]
    assert names(folder, "train", most_seconds=2.0) == ["jan-0", "jan-2"]


def test_judging_by_recordings_that_are_trained_on_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = spoken(tmp_path, "train", "train")
    assert names(folder, "train") == ["jan-0", "jan-1"]
    assert "no validation rows" not in caplog.text
    assert names(folder, "validation") == ["jan-0", "jan-1"]
    assert "manifest.jsonl has no validation rows" in caplog.text


def test_a_folder_of_any_audio_is_read(tmp_path: Path) -> None:
    for name in ("a.wav", "notes.txt"):
        write_wav(tmp_path / name, np.zeros(240, dtype=np.float32), 24_000)
    assert names(tmp_path, "train") == ["a"]
    (tmp_path / "a.wav").unlink()
    with pytest.raises(InputError, match=r"no recordings there.*\.m4a, \.aac, .*\.g722\)"):
        names(tmp_path, "train")
