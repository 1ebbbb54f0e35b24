"""What a run's folder and configuration are, when it begins and when it goes on."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from data.errors import InputError
from timbre.bundle import load_bundle
from timbre.commands import TRAINING_TEXTS, compose
from timbre.rundir import RunDir
from timbre.training import open_run, train


@pytest.fixture
def copied(base_run: RunDir, tmp_path: Path, monkeypatch) -> RunDir:
    """A finished run that may be changed."""
    monkeypatch.chdir(tmp_path)
    return RunDir(shutil.copytree(base_run.folder, tmp_path / "copied"))


@pytest.mark.parametrize("name", ["two", "runs/two/latest"])
def test_a_voice_may_be_trained_from_its_own_newest_run(
    name: str, copied: RunDir, voice, tiny, train_in, monkeypatch
) -> None:
    """Whose place the new run takes; its configuration keeps the folder, and so does a resume."""
    latest = Path("runs/two/latest")
    latest.parent.mkdir(parents=True)
    latest.symlink_to(copied.folder, target_is_directory=True)
    teach = ["objective.semantic.kind=distillation", f"objective.semantic.teacher={name}"]
    words = [*tiny, *voice, f"init={name}", f"init_parts.gpt={name}", *teach]
    config, run, _ = open_run(compose("train", words), words)
    first = str(copied.voice.resolve())
    assert latest.resolve() == run.folder.resolve() != copied.folder
    assert [config.init, config.init_parts["gpt"], config.objective.semantic.teacher] == [first] * 3
    saved = run.load_config()
    assert (saved.init, saved.init_parts.gpt) == (first, first)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert open_run(compose("train", words), words)[0] == config


def test_a_run_from_its_own_voice_trains(copied: RunDir, train_here, resume_in, signal_at) -> None:
    shutil.copytree(copied.folder, "runs/two/latest", symlinks=True)
    Path("runs/two/latest").rename("runs/two/first")
    Path("runs/two/latest").symlink_to("first")
    signal_at(1, "gpt")
    few = ["train.updates=2", "train.modules=[gpt]", "train.start_share=0.5", "init=two"]
    code, run = train_here(*few, "data.name=two")
    assert code == 130
    code, run = resume_in(run.folder)
    assert code == 0
    assert load_bundle(run.voice).name == "two"


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda _: "2024-01-01_00-00-00")
    runs = [RunDir.create(None, "me") for _ in range(3)]
    names = sorted(run.folder.name for run in runs)
    assert names == [f"2024-01-01_00-00-00{end}" for end in ("", "_2", "_3")]
    assert Path("runs/me/latest").resolve() == runs[-1].folder.resolve()
    assert sorted(path.name for path in Path("runs/me").iterdir()) == [*names, "latest"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(InputError, match=r"cannot be made.*run\.dir=PATH"):
        RunDir.create("file/run", "me")
    Path("runs").touch()
    with pytest.raises(InputError, match=r"cannot be made.*runs be writable"):
        RunDir.create(None, "me")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.manifest=typo.jsonl", "typo.jsonl"),
        ("train.average_decay=0.9", "average_decay decides .* None and cannot become 0.9"),
        ("train.lora.alpha=2", r"lora\.alpha decides"),
        ("train.lora={alpha: 2}", r"lora\.alpha decides"),
        ("objective.adv.enabled=false", r"adv\.enabled decides"),
        ("objective.wave_adv.enabled=false", r"wave_adv\.enabled decides"),
        ("objective.balance.kind=uncertainty", r"balance\.kind decides"),
        ("objective.weights.policy=1", r"weights\.policy decides"),
        ("optimizer.name=Adam", r"optimizer\.name decides"),
        ("optimizer.options.weight_decay=0.5", r"options\.weight_decay decides"),
        ("optimizer.rates.discriminator_ratio=0.5", r"discriminator_ratio decides"),
        ("init=base", "init decides .* none and cannot become base"),
        ("model/decoder=diffusion", "would replace a whole group"),
        ("~train.minutes", "would replace a whole group"),
    ],
)
def test_a_refused_change_leaves_the_run_as_it_was(
    word: str, message: str, copied: RunDir, resume_in
) -> None:
    files = (copied.config, copied.composed, copied.command)
    before = [path.read_bytes() for path in files]
    with pytest.raises(InputError, match=message):
        resume_in(copied.folder, word)
    assert [path.read_bytes() for path in files] == before


def test_a_change_that_fails_later_leaves_the_run_as_it_was(
    copied: RunDir, equal_voice, resume_in
) -> None:
    """One speaker where there were two: seen when the checkpoint is taken back."""
    before = copied.composed.read_bytes()
    with pytest.raises(InputError, match=r"does not fit what the run is now \(.*take back"):
        resume_in(copied.folder, equal_voice[0])
    assert copied.composed.read_bytes() == before


def test_values_may_change_where_states_stay(copied: RunDir) -> None:
    """Texts with letters that Hydra has other plans for, too."""
    cache = "run.cache=Jürgen's (x), ${y}"
    words = [f"resume={copied.folder}", "objective.weights.rec=2", "train.lora.rate=3", cache]
    assert train(compose("train", words, TRAINING_TEXTS), words) == 0
    saved = OmegaConf.load(copied.composed)
    assert (saved.objective.weights.rec, saved.train.lora.rate) == (2, 3)
    assert saved.run.cache == "Jürgen's (x), ${y}"


def test_a_configuration_that_is_no_yaml_is_told(copied: RunDir, resume_in) -> None:
    copied.composed.write_text("train: [1\n")
    with pytest.raises(InputError, match=r"composed\.yaml.*copy them again"):
        resume_in(copied.folder)


def test_a_run_may_be_named_by_a_number(tmp_path: Path, monkeypatch, resume_in) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="resume=2024: there is no run that could go on"):
        resume_in(Path("2024"))
