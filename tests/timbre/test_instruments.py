"""The instruments: loudness of the data, the speaker space, pictures, and where they are sent."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import lightning
import numpy as np
import pytest
import soundfile
import torch
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from matplotlib import pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data.datamodule import VoiceDataModule
from data.errors import InputError
from data.manifest import Utterance
from data.mel import AudioConfig
from timbre.blending import Blend
from timbre.callbacks.gallery import Gallery
from timbre.callbacks.instruments import data_facts, loudness
from timbre.callbacks.logging import ScalarLogger
from timbre.callbacks.progress import ProgressDisplay
from timbre.config import LoggerConfig, TrainConfig
from timbre.loggers import check_loggers, open_loggers, publish
from timbre.metrics import curve, read_metrics
from timbre.module import VoiceCloner
from timbre.pictures import plot_alignment, plot_dimensions, plot_map
from timbre.rundir import RunDir
from timbre.speaker_space import SpeakerSpace


def test_loudness_is_that_of_the_valid_frames() -> None:
    mel = torch.full((2, 3, 4), -11.5)
    mel[0, 1] = -1.0  # one loud band in every frame
    mel[1, 0, :2] = 0.0
    mel[1, 2, 3] = 5.0  # padding
    measured = loudness(mel, torch.tensor([4, 3]))
    assert measured["silence"].item() == pytest.approx(1 / 7)
    expected = (4 * -1.0 + 2 * 0.0 - 11.5) / 7 * 20 / math.log(10)
    assert measured["level_db"].item() == pytest.approx(expected)


def test_facts_are_those_of_what_is_trained_on() -> None:
    def row(speaker: str, seconds: float, split: str) -> Utterance:
        return Utterance("x", Path("x.wav"), "x", speaker, "en", seconds, split)

    rows = [row("ada", 2.0, "train"), row("bob", 40.0, "train"), row("ada", 90.0, "validation")]
    assert data_facts(rows) == {
        "data/clips": 2.0,
        "data/held_out_clips": 1.0,
        "data/speakers": 2.0,
        "data/seconds": 42.0,
        "data/longest_seconds": 40.0,
    }


@pytest.fixture
def space() -> SpeakerSpace:
    """Eight clips of two speakers who differ in one of four dimensions; one more is noise."""
    draws = torch.Generator().manual_seed(0)
    mean = torch.zeros(8, 4)
    mean[:4, 0], mean[4:, 0] = 2.0, -2.0
    mean[:, 1] = torch.randn(8, generator=draws)
    log_std = torch.zeros(8, 4)
    z_spk = mean + 0.01 * torch.randn(8, 4, generator=draws)
    return SpeakerSpace(mean, log_std, z_spk, ["ada"] * 4 + ["bob"] * 4)


def test_dimensions_that_tell_clips_apart_are_counted(space: SpeakerSpace) -> None:
    assert space.active_units == 2
    # KL(N(m, 1) || N(0, 1)) = m^2 / 2.
    assert space.kl_per_dimension[0].item() == pytest.approx(2.0)
    assert space.kl_per_dimension[2:].tolist() == [0.0, 0.0]


def test_the_cluster_score_knows_apart_from_mixed(space: SpeakerSpace) -> None:
    apart = space.cluster_score
    assert apart is not None
    mixed = SpeakerSpace(space.mean, space.log_std, space.z_spk, ["ada", "bob"] * 4).cluster_score
    assert mixed is not None
    assert apart > 0.5 > 0.1 > mixed
    alone = SpeakerSpace(space.mean, space.log_std, space.z_spk, ["ada"] * 8)
    assert alone.cluster_score is None


def test_pictures_are_drawn(space: SpeakerSpace, tmp_path: Path) -> None:
    assert space.flat().shape == (8, 2)
    plot_map(tmp_path / "map.png", space, [False] * 7 + [True], "map")
    plot_dimensions(tmp_path / "kl.png", space, "kl")
    mel = np.random.default_rng(0).normal(size=(100, 40)).astype(np.float32)
    phonemes, durations = np.array([1, 5, 9]), np.array([2, 5, 3])
    readings = [("recording", mel, phonemes, durations), ("spoken", mel, phonemes, durations)]
    plot_alignment(tmp_path / "alignment.png", readings, AudioConfig(), "alignment")
    for name in ("map", "kl", "alignment"):
        assert (tmp_path / f"{name}.png").stat().st_size > 2000
    assert plt.get_fignums() == []


def test_a_run_is_measured_and_drawn(base_run: RunDir) -> None:
    rows = read_metrics(base_run.metrics)
    names = {name for row in rows for name in row}
    assert {
        *("train/weighted/rec", "train/weighted/kl", "train/gradient_norm/gpt"),
        *("train/gradient_norm/sovits", "train/gradient_norm/discriminators"),
        *("train/accuracy/0", "train/wave_accuracy/0", "train/silence", "train/level_db"),
        *("val/active_units", "val/kl_highest", "val/cluster_score", "data/seconds"),
    } <= names
    _, accuracies = curve(rows, "train/accuracy/0")
    assert all(0 <= share <= 1 for share in accuracies)
    last = rows[-1]
    parts = [value for name, value in last.items() if name.startswith("train/weighted/")]
    assert sum(parts) == pytest.approx(last["train/total"], rel=1e-4)
    for picture in ("alignment", "kl-dimensions", "z-spk"):
        assert (base_run.samples / f"000002-{picture}.png").stat().st_size > 2000


def test_the_gallery_shows_the_blend_that_is_judged(configured, tmp_path: Path) -> None:
    module = VoiceCloner(configured("train.modules=[gpt]"), speakers=2)
    bias, seen = module.networks.gpt.head.bias, []
    bias.data.fill_(0.0)
    half = TrainConfig(start_share=0.5, modules=["gpt"])
    blend = Blend(module.networks, half, module.networks.state_dict())
    bias.data.fill_(1.0)
    trainer = Mock(spec=lightning.Trainer, is_global_zero=True, should_stop=False, loggers=[])
    scalars = Mock(spec=ScalarLogger)
    data = Mock(spec=VoiceDataModule, val_dataloader=list)
    scalars.metrics = SimpleNamespace(rows=[{"update": 0.0, "val/seconds": 1.0}])
    gallery = Gallery(data, scalars, RunDir(tmp_path), blend)
    gallery._show_speakers = lambda *_: seen.append(bias.mean().item())
    gallery.on_train_start(trainer, module)
    assert seen == [0.5]
    assert bias.mean() == 1.0


def test_the_bar_is_drawn_beside_the_messages_and_closed_after_an_error(configured, capsys) -> None:
    """Not on stdout: a terminal whose stdout goes to a file showed nothing."""
    module = VoiceCloner(configured("train.modules=[gpt]", "train.updates=7"), speakers=2)
    trainer = Mock(spec=lightning.Trainer, is_global_zero=True)
    display = ProgressDisplay(Mock(spec=ScalarLogger, latest={}), "bar")
    display.on_train_start(trainer, module)
    bar = display._bar
    assert bar is not None
    display.on_exception(trainer, module, RuntimeError())
    assert bar.live.is_started is False
    printed = capsys.readouterr()
    assert "update 0/7" in printed.err
    assert not printed.out


def test_a_logger_that_is_not_installed_is_refused_with_advice(monkeypatch) -> None:
    monkeypatch.setattr("timbre.loggers.find_spec", lambda name: None)
    check_loggers(LoggerConfig())
    for name in ("wandb", "mlflow"):
        with pytest.raises(InputError, match=rf"pip install 'timbre-voice\[{name}\]'"):
            check_loggers(LoggerConfig(**{name: True}))


@pytest.fixture
def samples(tmp_path: Path) -> list[Path]:
    """A picture and a sound as a validation leaves them."""
    picture, sound = tmp_path / "000004-z-spk.png", tmp_path / "000004-s0.wav"
    plt.imsave(picture, np.zeros((4, 5, 3)))
    soundfile.write(sound, np.zeros(2400, dtype=np.float32), 24000)
    return [picture, sound]


def test_pictures_and_sounds_reach_tensorboard(samples: list[Path], tmp_path: Path) -> None:
    (logger,) = open_loggers(LoggerConfig(), RunDir(tmp_path / "run"))
    assert isinstance(logger, TensorBoardLogger)
    publish([logger], samples, 4)
    logger.experiment.flush()
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert events.Tags()["images"] == ["samples/z-spk"]
    assert events.Tags()["audio"] == ["samples/s0"]
    assert open_loggers(LoggerConfig(tensorboard=False), RunDir(tmp_path)) == []


class WandbStandIn(WandbLogger):
    """Takes notes instead of talking to a server."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []

    def log_image(self, key, images, step=None, **_) -> None:
        self.taken += [(key, Path(images[0]).suffix)]

    def log_audio(self, key, audios, step=None, **_) -> None:
        self.taken += [(key, Path(audios[0]).suffix)]


class MLFlowStandIn(MLFlowLogger):
    """Takes notes instead of writing into a store."""

    run_id = "run"

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, str]] = []

    @property
    def experiment(self) -> SimpleNamespace:
        return SimpleNamespace(log_artifact=lambda *words: self.taken.append(words))


def test_pictures_and_sounds_reach_wandb_and_mlflow(samples: list[Path]) -> None:
    wandb, mlflow = WandbStandIn(), MLFlowStandIn()
    publish([wandb, mlflow], samples, 4)
    assert wandb.taken == [("samples/z-spk", ".png"), ("samples/s0", ".wav")]
    assert mlflow.taken == [("run", str(file), "samples") for file in samples]


def test_metrics_reach_an_mlflow_file_store(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    loggers = open_loggers(LoggerConfig(tensorboard=False, mlflow=True), RunDir(tmp_path))
    loggers[0].log_metrics({"train/rec": 0.5}, step=3)
    stored = list((tmp_path / "mlruns").rglob("metrics/train/rec"))
    assert stored[0].read_text().split()[1:] == ["0.5", "3"]


def test_metrics_reach_an_offline_wandb_run(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    config = LoggerConfig(tensorboard=False, wandb=True, offline=True)
    (logger,) = open_loggers(config, RunDir(tmp_path))
    logger.log_metrics({"train/rec": 0.5}, step=3)
    logger.experiment.finish()
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
