"""A speaker's recordings as judges hear them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.audio import write_wav
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
