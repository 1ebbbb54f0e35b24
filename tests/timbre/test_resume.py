"""A run that is stopped and resumed ends bit for bit where a straight one does (CPU, fp32)."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from data.errors import InputError
from losses.schedules import RateSchedule
from timbre.bundle import load_bundle
from timbre.callbacks.saver import AtomicCheckpointIO
from timbre.metrics import read_metrics
from timbre.rundir import RunDir
from timbre.training import datamodule

UPDATES, PER_EPOCH = 7, 3
EVERYTHING = [
    f"train.updates={UPDATES}",
    "train.log_updates=2",
    "train.save_updates=1000",
    "train.average_decay=0.9",
    "validation.every=3",
    "schedule.warmup=2",
    "objective.adv.r1_interval=2",
    "objective.adv.gate_high=0.5",
    "objective.adv.gate_low=0.2",
    "objective.adv.gate_decay=0.5",
    "objective.balance.kind=gradient",
]
"""All that has a state: discriminators and their gate, averages, R1's turn, schedules, the balance,
rows of two updates."""


def contents(run: RunDir) -> dict[str, torch.Tensor]:
    """Every tensor and number of a checkpoint that says what happens next."""
    checkpoint = torch.load(run.last_checkpoint, weights_only=True)
    flat: dict[str, torch.Tensor] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{name}.{key}", item)
        elif isinstance(value, list | tuple):
            for key, item in enumerate(value):
                walk(f"{name}.{key}", item)
        elif isinstance(value, torch.Tensor | int | float):
            flat[name] = torch.as_tensor(value)

    for part in ("state_dict", "optimizer_states", "timbre", "callbacks"):
        walk(part, checkpoint[part])
    return {name: value for name, value in flat.items() if name != "timbre.minutes"}


def differing(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> list[str]:
    assert left.keys() == right.keys()
    return [name for name in left if not torch.equal(left[name], right[name])]


def rows(run: RunDir) -> dict[int, dict[str, float]]:
    """Rows of metrics.csv by update, without what a clock said."""
    timed = {"train/updates_per_second", "val/seconds", "val/gallery_seconds"}
    return {
        int(row["update"]): {name: x for name, x in row.items() if name not in timed}
        for row in read_metrics(run.metrics)
    }


@pytest.fixture(scope="module")
def straight(tmp_path_factory, from_base, train_in) -> RunDir:
    """The run that is never stopped."""
    folder = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("timbre.report.plot_curves", lambda path, rows: None)
        code, run = train_in(folder / "run", *from_base, *EVERYTHING)
    assert code == 0
    return run


def test_an_epoch_is_as_long_as_the_cases_below_say(from_base, configured, base) -> None:
    data = datamodule(configured(*from_base), base.networks)
    data.setup()
    assert data._order.batches_per_epoch == PER_EPOCH


@pytest.mark.parametrize(
    ("stop", "workers"),
    [
        pytest.param(PER_EPOCH + 1, 0, id="middle of an epoch"),
        pytest.param(PER_EPOCH + 2, 0, id="before the last batch of an epoch"),
        pytest.param(2 * PER_EPOCH, 0, id="start of an epoch"),
        pytest.param(PER_EPOCH + 1, 1, id="worker process"),
    ],
)
def test_stopped_and_resumed_is_straight(
    stop: int, workers: int, straight: RunDir, train_here, resume_in, signal_at, caplog
) -> None:
    signal_at(stop, "gpt")
    code, run = train_here(*EVERYTHING, f"data.workers={workers}")
    assert code == 130
    assert f"resume={run.folder}" in caplog.text
    assert max(rows(run)) == stop
    code, run = resume_in(run.folder)
    assert code == 0
    assert not differing(contents(straight), contents(run))
    expected, found = rows(straight), rows(run)
    assert found | expected == found  # the stop leaves a row of its own, where none was due
    assert set(found) - set(expected) <= {stop}
    saved = [load_bundle(each.voice).networks.state_dict() for each in (straight, run)]
    assert not differing(*saved)


def test_sigterm_saves_too_and_says_143(train_here, resume_in, signal_at) -> None:
    signal_at(1, "gpt", signal.SIGTERM)
    code, run = train_here("train.updates=2", "train.modules=[gpt]")
    assert code == 143
    assert run.last_checkpoint.is_file()
    code, run = resume_in(run.folder, "train.updates=3")
    assert code == 0
    assert max(rows(run)) == 3


def test_a_run_stopped_in_its_tokenizer_stage_goes_on_there(
    tmp_path: Path, monkeypatch, voice, train_in, resume_in, signal_at, base_run, caplog
) -> None:
    """And ends where the run does that was never stopped."""
    monkeypatch.chdir(tmp_path)
    signal_at(1, "tokenizer")
    smoke = [*voice, "experiment=smoke", "train.updates=2", "validation.samples=0"]
    code, run = train_in(tmp_path / "run", *smoke)
    assert code == 130
    assert not run.last_checkpoint.exists()
    code, run = resume_in(run.folder)
    assert code == 0
    assert "resuming at update 1 of 2" in caplog.text
    saved = [load_bundle(each.voice).networks.state_dict() for each in (base_run, run)]
    assert not differing(*saved)


def test_a_resumed_run_does_not_train_its_tokenizer_again(
    tmp_path: Path, monkeypatch, base_run: RunDir, resume_in, caplog
) -> None:
    """Nor anything else, if its updates are used up."""
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(base_run.folder, tmp_path / "copy")
    code, run = resume_in(copy)
    assert code == 0
    assert "training one" not in caplog.text
    assert not differing(contents(base_run), contents(run))
    first, second = run.command.read_text().splitlines()
    assert "experiment=smoke" in first
    assert second == f"resume={copy}"


def test_keys_may_change_on_resuming_but_not_groups(train_here, resume_in) -> None:
    first = ["train.updates=1", "optimizer.rates.gpt=5e-5", "schedule.warmup=0"]
    _, run = train_here(*first, "train.modules=[gpt]")
    code, run = resume_in(run.folder, "train.updates=3", "optimizer.rates.gpt=1e-3")
    assert code == 0
    rates = [row["rate/gpt"] for row in read_metrics(run.metrics) if "rate/gpt" in row]
    # The cosine that reached to the end of the run reaches to its new end.
    schedule = RateSchedule(kind="cosine", updates=3, final=0.05)
    assert rates[0] == pytest.approx(5e-5)
    assert rates[1:] == pytest.approx([1e-3 * schedule.at(1), 1e-3 * schedule.at(2)], rel=1e-4)
    with pytest.raises(InputError, match="model=base would replace a whole group"):
        resume_in(run.folder, "model=base")
    with pytest.raises(InputError, match=r"lora\.rank decides .* was 0 and cannot become 4"):
        resume_in(run.folder, "train.lora.rank=4")
    with pytest.raises(InputError, match=r"updatess.*Did you mean 'updates'"):
        resume_in(run.folder, "train.updatess=3")


def test_there_must_be_something_to_resume(tmp_path: Path, resume_in) -> None:
    with pytest.raises(InputError, match="there is no run that could go on"):
        resume_in(tmp_path / "nothing")


def test_a_save_that_fails_half_way_leaves_the_last_good_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"value": torch.ones(3)}, path)

    def disk_full(checkpoint: Any, file: Any) -> None:
        file.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", disk_full)
        with pytest.raises(OSError, match="No space left"):
            AtomicCheckpointIO().save_checkpoint({"value": torch.zeros(3)}, path)
    assert AtomicCheckpointIO().load_checkpoint(path)["value"].tolist() == [1, 1, 1]
    assert [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_holds_plain_values_only(base_run: RunDir) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        checkpoint = torch.load(base_run.checkpoints / name, weights_only=True)
        config = checkpoint["hyper_parameters"]["config"]
        assert type(config) is dict
        assert config["train"]["updates"] == 2
        assert checkpoint["timbre"]["update"] <= 2
