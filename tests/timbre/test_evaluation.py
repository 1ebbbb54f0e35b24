"""scripts/evaluate.py: every row and judge is there, or named with the reason why it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.errors import InputError
from timbre import evaluation
from timbre.commands import compose
from timbre.config import parse
from timbre.evaluation import SENTENCES, Evaluation, EvaluationConfig, evaluate
from timbre.judges import panel
from timbre.judges.optional import NotAvailableError
from timbre.rundir import RunDir


@pytest.fixture
def configured(
    tmp_path: Path, base_run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., EvaluationConfig]:
    """`configured(*overrides)`: the tiny voice, two short sentences, no optional judge."""

    def absent(*_: object) -> None:
        raise NotAvailableError("not installed: pip install it")

    for judge in ("Recognizer", "Quality", "Resemblyzer"):
        monkeypatch.setattr(panel, judge, absent)
    monkeypatch.setattr(evaluation, "BASE", tmp_path / "nowhere")  # whether one is bundled or not
    monkeypatch.chdir(base_run.folder.parent)
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("No.\n\nOh no.\n", encoding="utf-8")

    def make(*overrides: str) -> EvaluationConfig:
        words = [
            f"voice={base_run.folder}",
            "speaker=ada",
            f"sentences={sentences}",
            f"output={tmp_path / 'out'}",
            *overrides,
        ]
        return parse(EvaluationConfig, compose("evaluate", words))

    return make


def manifest(base_run: RunDir) -> Path:
    return base_run.folder.parent / "two" / "manifest.jsonl"


def test_a_voice_beside_its_recordings_copies_base_and_others(
    configured: Callable[..., EvaluationConfig], base_run: RunDir, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    table = evaluate(
        configured(f"reference={manifest(base_run)}", f"base={base_run.voice}", "recordings=1")
    )
    report = json.loads((out / "report.json").read_text())
    assert list(report["rows"]) == [
        "voice",
        "human",
        "copy-synthesis",
        *(["copy through tokens"] if "copy through tokens" in report["rows"] else []),
        "another speaker",
    ]
    voice = report["rows"]["voice"]
    assert [spoken["text"] for spoken in voice["clips"]] == ["No.", "Oh no."]
    assert voice["measures"]["phoneme_error"]["mean"] >= 0
    assert voice["measures"]["rtf"]["mean"] > 0
    assert voice["measures"]["similarity_z_spk"]["mean"] is not None
    human = report["rows"]["human"]
    assert human["n"] == 1
    assert human["measures"]["similarity_z_spk"]["mean"] is None, "it would be with itself"
    assert (out / "voice" / "000.wav").is_file()
    assert (out / "copy-synthesis" / f"{human['clips'][0]['name']}.wav").is_file()
    for missing in ("word errors", "DNSMOS", "similarity"):
        assert f"without {missing}: not installed: pip install it" in table
    assert "the voice is the base itself" in report["absent"]["zero-shot"]
    assert table.splitlines()[0] in (out / "report.md").read_text()


def test_equal_seeds_say_the_same(configured: Callable[..., EvaluationConfig]) -> None:
    first, again = (next(Evaluation(configured()).rows()).clips[1] for _ in range(2))
    assert np.array_equal(first.audio, again.audio)
    assert first.text == "Oh no."


def test_sentences_may_be_said_again_with_other_seeds(
    configured: Callable[..., EvaluationConfig],
) -> None:
    once = next(Evaluation(configured()).rows()).clips
    twice = next(Evaluation(configured("repeats=2")).rows()).clips
    assert [clip.text for clip in twice] == [clip.text for clip in once] * 2
    assert len({clip.name for clip in twice}) == len(twice)
    assert np.array_equal(once[1].audio, twice[1].audio)
    assert not np.array_equal(twice[1].audio, twice[1 + len(once)].audio)


def test_what_is_missing_says_how_to_get_it(configured: Callable[..., EvaluationConfig]) -> None:
    absent = Evaluation(configured()).absent
    assert "reference=" in absent["similarity"]
    assert "base=" in absent["zero-shot"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sentences=nowhere.txt", "sentences: nowhere.txt cannot be read"),
        ("reference=nowhere", "nowhere: no recordings there"),
        ("voice=nowhere", "voice 'nowhere': no bundle"),
        ("language=xx", "xx"),
        ("recordings=0", "recordings is 0"),
        ("transcribe.beam=0", "transcribe.beam is 0"),
        ("refrence=x", "Did you mean 'reference'"),
        ("other=nowhere", "nowhere: no recordings there"),
        ("speaker=null", "choose one with speaker=NAME .ada, bob., or clone one with prompt="),
    ],
)
def test_wrong_input_is_named(
    configured: Callable[..., EvaluationConfig], override: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(configured(override))


def test_the_zero_shot_row_hears_no_more_than_the_run_did(
    configured: Callable[..., EvaluationConfig],
    base_run: RunDir,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged = Evaluation(configured())
    monkeypatch.setattr(judged, "run", tmp_path)
    data = f"data:\n  manifest: {manifest(base_run)}\n"
    heard = []
    for train_seconds in ("", "  train_seconds: 0.1\n"):
        (tmp_path / "config.yaml").write_text(data + train_seconds)
        heard.append(len(judged._prompt_mels()))
    assert heard[0] > 1
    assert heard[1] == 1, "the first recording is the least that a run trains on"


def test_the_shipped_sentences_are_varied() -> None:
    lines = (SENTENCES / "en.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) == 24
    words = [len(line.split()) for line in lines]
    assert min(words) <= 2
    assert max(words) >= 20
    assert sum(any(c.isdigit() for c in line) for line in lines) >= 3
    assert sum(line.endswith("?") for line in lines) >= 3
