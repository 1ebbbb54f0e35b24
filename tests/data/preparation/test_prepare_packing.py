"""Several clips in one window of the recogniser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import data.preparation.pipeline as pipeline
from data.preparation.config import PrepareConfig, TranscribeConfig
from data.preparation.packing import GAP_SECONDS, joined, packs, separated
from data.preparation.pipeline import prepare
from data.preparation.recognizer import CreateRecognizer, Heard, Word

ENDS = "00000008"
GOES_ON = "00000001"


def test_packs_fill_windows_and_keep_languages_apart() -> None:
    lengths = [5.0] * 7
    languages = ["en", "en", "cs", "en", "en", "cs", "en"]
    found = packs(lengths, languages, [GOES_ON] * 7, most_seconds=23.0)
    assert found == [[0, 1, 3, 4], [2, 5], [6]]
    assert packs([40.0, 3.0], ["en"] * 2, [GOES_ON] * 2, 28.0) == [[0], [1]]
    assert packs([], [], [], 28.0) == []


def test_a_new_clip_changes_only_the_packs_up_to_the_next_chosen_one() -> None:
    digests = [GOES_ON, GOES_ON, ENDS, GOES_ON, GOES_ON, GOES_ON]

    def contents(names: list[int]) -> set[tuple[int, ...]]:
        own = [digests[name] for name in names]
        found = packs([12.0] * len(names), ["en"] * len(names), own, most_seconds=28.0)
        return {tuple(names[number] for number in pack) for pack in found}

    assert contents([0, 1, 2, 3, 4, 5]) == {(0, 1), (2,), (3, 4), (5,)}
    assert contents([1, 2, 3, 4, 5]) == {(1, 2), (3, 4), (5,)}


def test_words_go_back_to_their_clips() -> None:
    pieces = [np.full(16_000 * n, 0.1, dtype=np.float32) for n in (2, 1, 3)]
    assert len(joined(pieces)) == round((6 + 2 * GAP_SECONDS) * 16_000)
    second, third = 2 + GAP_SECONDS, 3 + 2 * GAP_SECONDS
    times = [(0.1, 0.5), (1.6, 2.2), (second + 0.2, second + 0.9), (third - 0.3, third + 0.5)]
    words = tuple(Word(f" {n}", *span, 0.9) for n, span in enumerate(times))
    shares = separated(Heard(words, "en"), [2.0, 1.0, 3.0])
    assert [[w.text for w in share] for share in shares] == [[" 0", " 1"], [" 2"], [" 3"]]
    assert shares[1][0].start == pytest.approx(0.2)
    assert shares[2][0].end == pytest.approx(0.5)
    assert separated(Heard((), "en"), [1.0]) == [[]]


def test_clips_lost_in_a_pack_are_heard_again_alone(
    tmp_path: Path,
    clips: list[Any],
    knows: Callable[..., CreateRecognizer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "is_installed", lambda judge: False)
    monkeypatch.setattr(pipeline, "write_report", lambda outcome: None)
    (tmp_path / "in").mkdir()
    for clip in clips[:8]:
        soundfile.write(tmp_path / "in" / f"{clip.name}.flac", clip.audio, 24_000)
        (tmp_path / "in" / f"{clip.name}.txt").write_text(clip.text)
    windows: list[int] = []

    def hard_of_hearing(transcribe: TranscribeConfig, threads: int) -> Any:
        known = knows(clips)(transcribe, threads)

        def listen(audio: np.ndarray, language: str | None) -> Heard:
            """Misses everything after eight seconds."""
            windows.append(len(audio))
            heard = known(audio, language)
            return Heard(tuple(w for w in heard.words if w.start < 8.0), heard.language)

        return listen

    settings = PrepareConfig(
        input=str(tmp_path / "in"),
        speaker="anna",
        language="en",
        output=str(tmp_path / "voices"),
        cache=str(tmp_path / "cache"),
        workers=1,
    )
    outcome = prepare(settings, hard_of_hearing)
    assert sum(outcome.kept) == 8
    assert [clip.error_rate for clip in outcome.clips] == [0.0] * 8
    together = sum(samples > 8.1 * 16_000 for samples in windows)
    assert 1 <= together < 8
    assert len(windows) > together
    once = len(windows)
    prepare(settings, hard_of_hearing)
    assert len(windows) == once
