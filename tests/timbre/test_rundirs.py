"""What a run leaves in its folder, where it computes, and when it ends."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.accelerators import MPSAccelerator

from data.errors import InputError
from timbre import devices
from timbre.config import TrainerConfig
from timbre.devices import place
from timbre.metrics import MetricsFile, curve, read_metrics
from timbre.plots import plot_curves
from timbre.rundir import RunDir


def test_metrics_grow_by_rows_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path)
    metrics.write(0, {"val/rec": 2.0})
    metrics.write(1, {"train/rec": 1.5})
    metrics.write(2, {"train/rec": 1.25})
    metrics.write(2, {"val/rec": 1.0})
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["update", "val/rec", "train/rec"],
            ["0", "2", ""],
            ["1", "", "1.5"],
            ["2", "1", "1.25"],
        ]
    assert curve(read_metrics(path), "val/rec") == ([0, 2], [2.0, 1.0])


def test_resumed_metrics_go_on_after_the_saved_update(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path)
    for update in range(1, 6):
        metrics.write(update, {"train/rec": float(update)})
    resumed = MetricsFile(path, update=3)
    assert len(read_metrics(path)) == 5  # nothing is lost before there is something new
    resumed.write(4, {"train/rec": 40.0})
    assert [row["train/rec"] for row in read_metrics(path)] == [1, 2, 3, 40]


def test_a_run_leaves_what_the_readme_lists(base_run: RunDir) -> None:
    folder = base_run.folder
    for name in (
        "config.yaml",
        "command.txt",
        "metrics.csv",
        "report.md",
        "curves.png",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
        "voice/model.safetensors",
        "voice/config.json",
        "tokenizer/voice/model.safetensors",
        "tokenizer/report.md",
    ):
        assert (folder / name).stat().st_size > 0, name
    report = base_run.report.read_text()
    assert "2 of 2 updates; trained: gpt, sovits, vocoder" in report
    assert "| val/rec |" in report
    assert list(base_run.samples.glob("000002-*.png"))
    assert "experiment=smoke" in base_run.command.read_text()


def test_metrics_have_the_documented_columns(base_run: RunDir) -> None:
    rows = read_metrics(base_run.metrics)
    assert [row["update"] for row in rows] == [0, 1, 2]
    names = {name for row in rows for name in row}
    wanted = {"update", "val/rec", "val/semantic", "rate/gpt", "train/updates_per_second"}
    terms = "rec kl semantic speaker adv feature_matching disc r1 wave_mel wave_adv wave_disc total"
    assert wanted | {f"train/{term}" for term in terms.split()} <= names
    assert not {name for name in rows[0] if name.startswith("train/")}  # the un-tuned model


def test_latest_points_to_the_newest_run_that_began(
    tmp_path: Path, monkeypatch, train_here
) -> None:
    run = RunDir.create(None, "me")
    latest = Path("runs/me/latest")
    assert latest.resolve() == run.folder.resolve()
    other = RunDir.create(str(tmp_path / "elsewhere"), "me")
    assert latest.resolve() == other.folder
    with pytest.raises(InputError, match="voice 'nobody': no bundle"):
        train_here("train.updates=1", "data.name=me", "init=nobody")
    with pytest.raises(InputError, match="no such manifest"):
        train_here("train.updates=1", "data.name=me", "data.manifest=gone.jsonl")
    assert latest.resolve() == other.folder
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_not_overwritten(
    base_run: RunDir, monkeypatch, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"already holds a run; go on with resume="):
        RunDir.create(str(base_run.folder), "me")


def test_a_run_that_saved_nothing_may_be_started_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunDir.create("here", "me")
    run.config.write_text("{}")
    assert RunDir.create("here", "me").folder == run.folder


def test_processes_of_one_run_share_its_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunDir.create(None, "me")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert RunDir.create(None, "me").folder == run.folder
    monkeypatch.delenv("TIMBRE_RUN_DIR")
    with pytest.raises(InputError, match=r"give run\.dir=PATH"):
        RunDir.create(None, "me")


@pytest.mark.parametrize(
    ("gpu", "bf16", "settings", "expected"),
    [
        (False, True, {}, ("cpu", "bf16-mixed")),
        (False, False, {}, ("cpu", "32-true")),
        (False, True, {"precision": "32-true"}, ("cpu", "32-true")),
        (True, True, {}, ("gpu", "bf16-mixed")),
        (True, False, {}, ("gpu", "16-mixed")),
        (True, True, {"accelerator": "cpu"}, ("cpu", "bf16-mixed")),
        (True, True, {"accelerator": "gpu", "precision": "16-mixed"}, ("gpu", "16-mixed")),
        (True, True, {"accelerator": "cuda"}, ("gpu", "bf16-mixed")),
        (False, False, {"strategy": "ddp", "devices": 2}, ("cpu", "32-true")),
    ],
)
def test_placement(gpu: bool, bf16: bool, settings, expected, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: bf16)
    placement = place(TrainerConfig(**settings))
    assert (placement.accelerator, placement.precision) == expected
    assert placement.reason.startswith(f"{expected[0]}, {expected[1]}")


def test_impossible_placements_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="use trainer=cpu"):
        place(TrainerConfig(accelerator="gpu"))
    with pytest.raises(InputError, match="give one of auto, 32-true, bf16-mixed, 16-mixed"):
        place(TrainerConfig(precision="fp8"))
    monkeypatch.setattr(MPSAccelerator, "is_available", lambda: False)
    with pytest.raises(InputError, match="accelerator=mps, but torch sees no mps device"):
        place(TrainerConfig(accelerator="mps"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"devices": 2}, r"devices is 2, and gpu devices here are 1: give trainer\.devices=1, or"),
        ({"devices": 0}, r"trainer\.devices is 0; give 1 or more"),
        ({"threads": 0}, r"trainer\.threads is 0; give 1 or more"),
        ({"strategy": "foo"}, r"trainer\.strategy is 'foo'; give one of auto, ddp"),
        (
            {"accelerator": "foo"},
            r"trainer\.accelerator is 'foo'; give one of auto, gpu, cpu",
        ),
    ],
)
def test_a_trainer_that_cannot_be_is_refused(settings, message: str, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=message):
        place(TrainerConfig(**settings))


def test_minutes_end_a_run_and_its_schedules_follow(train_here, monkeypatch) -> None:
    """A clock that jumps 15 s at each look: a minute is over after four updates of a thousand."""
    now = iter(range(0, 10**6, 15))
    clock = SimpleNamespace(monotonic=lambda: float(next(now)))
    monkeypatch.setattr("timbre.callbacks.control.time", clock)
    code, run = train_here("train.updates=1000", "train.minutes=1", "train.modules=[gpt]")
    assert code == 0
    rows = read_metrics(run.metrics)
    assert rows[-1]["update"] == 4
    rates = [row["rate/gpt"] for row in rows if "rate/gpt" in row]
    assert rates[-1] < 0.8 * max(rates)
    assert run.voice.is_dir()


def test_bf16_trains(train_here) -> None:
    code, run = train_here("train.updates=2", "trainer.precision=bf16-mixed", "validation.every=1")
    assert code == 0
    rows = read_metrics(run.metrics)
    assert all(torch.tensor(list(row.values())).isfinite().all() for row in rows)


def test_curves_are_drawn_from_whatever_was_logged(tmp_path: Path) -> None:
    plot_curves(tmp_path / "none.png", [])
    plot_curves(
        tmp_path / "some.png", [{"update": 0.0, "val/rec": 1.0}, {"update": 1.0, "val/rec": 0.5}]
    )
    assert (tmp_path / "none.png").stat().st_size > 0
    assert (tmp_path / "some.png").stat().st_size > 0
