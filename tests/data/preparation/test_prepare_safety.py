"""What is the user's is left alone, and what cannot be written or found is said in one line."""

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import data.preparation.pipeline as pipeline
from data.errors import InputError
from data.manifest import read_manifest
from data.preparation import rendering
from data.preparation.activity import Region
from data.preparation.cache import StepCache
from data.preparation.config import PrepareConfig, QualityConfig, SoundConfig, TranscribeConfig
from data.preparation.executors import InThisProcess, open_executor
from data.preparation.inspection import InspectRecordings
from data.preparation.phonemizing import PhonemizeTexts, Spoken
from data.preparation.pipeline import prepare
from data.preparation.recognizer import RecognizerMissing
from data.preparation.report import Outcome, write_report
from data.preparation.running import run_step

RATE = 24_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No optional judges, and no drawing."""
    monkeypatch.setattr(pipeline, "is_installed", lambda judge: False)
    monkeypatch.setattr(pipeline, "write_report", lambda outcome: None)


@pytest.fixture
def source(tmp_path: Path, clips: list[Any]) -> Path:
    """Two clips with their texts."""
    return write(tmp_path / "in", clips[:2])


def write(folder: Path, clips: list[Any]) -> Path:
    folder.mkdir(parents=True)
    for clip in clips:
        soundfile.write(folder / f"{clip.name}.flac", clip.audio, RATE)
        (folder / f"{clip.name}.txt").write_text(clip.text, encoding="utf-8")
    return folder


def nobody(transcribe: TranscribeConfig, threads: int) -> Any:
    raise RecognizerMissing("faster-whisper is not installed: pip install it")


def run(source: Path, root: Path, **settings: Any) -> None:
    usual = {"output": str(root / "voices"), "cache": str(root / "cache"), "workers": 1}
    usual |= {"input": str(source), "speaker": "anna", "language": "en"}
    little = QualityConfig(min_total_seconds=1.0)
    prepare(PrepareConfig(**{**usual, "quality": little, **settings}), nobody)


def test_recordings_in_the_voices_own_folder_are_refused_and_stay(
    tmp_path: Path, clips: list[Any]
) -> None:
    own = write(tmp_path / "voices" / "anna" / "audio", clips[:2])
    before = sorted(own.iterdir())
    for given in (own.parent, own, tmp_path):
        with pytest.raises(InputError, match=r"which this preparation writes; move"):
            run(given, tmp_path)
    assert sorted(own.iterdir()) == before


def test_only_clips_of_the_earlier_run_are_removed(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path)
    voice = tmp_path / "voices" / "anna"
    earlier = {row.audio for row in read_manifest(voice / "manifest.jsonl")}
    kept = voice / "audio" / "mine.flac"
    soundfile.write(kept, np.zeros(RATE), RATE)
    sorted(source.glob("*.flac"))[0].unlink()
    run(source, tmp_path)
    left = {row.audio for row in read_manifest(voice / "manifest.jsonl")}
    assert len(earlier) == 2
    assert left < earlier
    assert set((voice / "audio").iterdir()) == {*left, kept}


def test_an_edited_lexicon_is_set_aside_and_a_strange_one_left_alone(
    source: Path, tmp_path: Path
) -> None:
    given = tmp_path / "names.tsv"
    given.write_text("Xerxes\tʒɔʒɔ\n", encoding="utf-8")
    run(source, tmp_path, lexicon=str(given))
    copy = tmp_path / "voices" / "anna" / "lexicon.tsv"
    copy.write_text("Xerxes\tʒɔ\n", encoding="utf-8")
    run(source, tmp_path)
    (aside,) = copy.parent.glob("lexicon*.tsv")
    assert aside != copy
    assert aside.read_text(encoding="utf-8") == "Xerxes\tʒɔ\n"
    copy.write_text("by hand", encoding="utf-8")
    run(source, tmp_path)
    assert copy.read_text(encoding="utf-8") == "by hand"


def test_a_data_group_of_the_user_is_set_aside(source: Path, tmp_path: Path) -> None:
    group = tmp_path / "voices" / "data" / "anna.yaml"
    run(source, tmp_path)
    run(source, tmp_path, language="de")
    assert [*group.parent.iterdir()] == [group]
    written = group.read_text(encoding="utf-8")
    edited = [written + "heldout: voices/anna/heldout.jsonl\n", "name: anna\nlanguage: en\n"]
    for number, text in enumerate(edited, start=1):
        group.write_text(text, encoding="utf-8")
        run(source, tmp_path, language="de")
        assert group.read_text(encoding="utf-8") == written
        asides = {*group.parent.iterdir()} - {group}
        assert len(asides) == number
        assert text in {aside.read_text(encoding="utf-8") for aside in asides}
        assert not {aside.suffix for aside in asides} & {".yaml"}


def test_a_missing_ffmpeg_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(b"only ffmpeg can tell what this is")
    step, cache = InspectRecordings(RATE, 0.5), StepCache(tmp_path / "cache")
    # It stands for a machine with ffmpeg: it answers, with no sound in the file.
    program = shutil.which("false")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (first,) = run_step(step, [path], cache, InThisProcess())
    assert "install ffmpeg" in first["detail"]
    monkeypatch.setattr(shutil, "which", lambda name: program)
    (second,) = run_step(step, [path], cache, InThisProcess())
    assert "nor by ffmpeg" in second["detail"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert run_step(step, [path], cache, InThisProcess())[0]["detail"] == second["detail"]


def test_a_missing_package_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, cache = PhonemizeTexts({"en": "1"}, None), StepCache(tmp_path / "cache")
    said = [Spoken("你好 means hello.", "en")]

    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    with monkeypatch.context() as without:
        without.setattr("data.text.optional.importlib.import_module", missing)
        assert run_step(step, said, cache, InThisProcess()) == [[]]
    assert len(run_step(step, said, cache, InThisProcess())[0]) > 10
    assert run_step(step, [Spoken("…", "en")], cache, InThisProcess()) == [[]]
    assert len(list(tmp_path.glob("cache/phonemize/*/*.json"))) == 2


def test_language_codes_are_written_small_and_checked() -> None:
    given = {"EN": "en", " pt_BR ": "pt-br", "": None}
    for code, known in given.items():
        assert PrepareConfig(input="x", speaker="a", language=code).language == known
    with pytest.raises(ValueError, match="language is 'e n'; give a code"):
        PrepareConfig(input="x", speaker="a", language="e n")


def test_places_that_cannot_be_written_are_named(source: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(InputError, match=r"file/anna: cannot be written .*output=FOLDER"):
        run(source, tmp_path, output=str(blocked))
    with pytest.raises(InputError, match=r"file: cannot be written .*cache=FOLDER"):
        run(source, tmp_path, cache=str(blocked))
    group = tmp_path / "voices" / "data" / "anna.yaml"
    group.mkdir(parents=True)
    with pytest.raises(InputError, match=r"anna: cannot be written .*output=FOLDER"):
        run(source, tmp_path)


def test_a_report_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    config = PrepareConfig(input="x", speaker="anna", output=str(tmp_path))
    (tmp_path / "anna" / "report.json").mkdir(parents=True)
    with pytest.raises(InputError, match=r"anna: cannot be written .*output=FOLDER"):
        write_report(Outcome(config, [], [], [], [], [], [], 0.0))


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_reports_are_drawn_at_low_rates(source: Path, tmp_path: Path, rate: int) -> None:
    config = PrepareConfig(input="x", speaker="anna", output=str(tmp_path), sample_rate_hz=rate)
    run(source, tmp_path)
    rows = read_manifest(tmp_path / "voices" / "anna" / "manifest.jsonl")[:1]
    write_report(Outcome(config, [], [], [], [], rows, [], 0.0))
    assert "data:image/png" in (tmp_path / "anna" / "report.html").read_text(encoding="utf-8")


def test_cores_are_counted_where_the_system_does_not_tell_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    with open_executor(PrepareConfig(input="x", speaker="a")) as executor:
        assert executor.workers == 3


def test_a_recording_is_denoised_once_for_all_of_its_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
    lengths = []

    def counted(audio: np.ndarray, rate: int, regions: list[Region]) -> np.ndarray:
        lengths.append(len(audio))
        return 0.5 * audio

    monkeypatch.setattr(rendering, "denoise", counted)
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * noise, RATE)
    step = rendering.RenderClips(RATE, dataclasses.replace(SoundConfig(), denoise=True))
    worker = step.worker()
    for name in ("a", "b"):
        for start in (0.0, 1.0, 2.0):
            place, target = Region(start, start + 1.0), tmp_path / f"{name}{start:.0f}.flac"
            worker(rendering.Rendering(tmp_path / f"{name}.wav", place, (place,), target))
    assert len(lengths) == 2
    assert len(list(tmp_path.glob("*.flac"))) == 6
