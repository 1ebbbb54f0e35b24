"""Runs inside the test process: a tiny base, and training from it in a folder of its own."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import lightning
import pytest
import torch

from data.batch import Batch
from timbre.bundle import Bundle, load_bundle, take_modules
from timbre.commands import compose
from timbre.config import RunConfig, parse
from timbre.module import VoiceCloner
from timbre.networks import Networks
from timbre.objective import MODULES
from timbre.rundir import RunDir
from timbre.trainer import quiet_lightning
from timbre.training import datamodule, train

Train = Callable[..., tuple[int, RunDir]]


@pytest.fixture(scope="session")
def configured(tiny: list[str]) -> Callable[..., RunConfig]:
    """`configured(*overrides)`: the tiny run's checked configuration."""

    def make(*overrides: str) -> RunConfig:
        return parse(RunConfig, compose("train", [*tiny, *overrides]))

    return make


@pytest.fixture(scope="session")
def train_in(tiny: list[str]) -> Train:
    """`train_in(folder, *overrides)` trains as scripts/train.py does; exit code and run."""

    def run(folder: Path, *overrides: str) -> tuple[int, RunDir]:
        words = [*tiny, f"run.dir={folder}", *overrides]
        return train(compose("train", words), words), RunDir(folder)

    return run


@pytest.fixture(scope="session")
def resume_in() -> Train:
    """`resume_in(folder, *overrides)` goes on with a run."""

    def run(folder: Path, *overrides: str) -> tuple[int, RunDir]:
        words = [f"resume={folder}", *overrides]
        return train(compose("train", words), words), RunDir(folder)

    return run


@pytest.fixture(scope="session")
def base_run(workshop: Path, voice: list[str], train_in: Train) -> RunDir:
    """Two updates of everything from nothing, its tokenizer first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workshop)
        code, run = train_in(
            workshop / "base", *voice, "experiment=smoke", "train.updates=2", "validation.samples=1"
        )
    assert code == 0
    return run


@pytest.fixture(autouse=True)
def _curves_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes three times as long as a tiny run; that of `base_run` has its curves."""
    monkeypatch.setattr("timbre.report.plot_curves", lambda path, rows: path.touch())


@pytest.fixture(autouse=True)
def _messages_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def base(base_run: RunDir) -> Bundle:
    """The voice of that run, loaded anew."""
    return load_bundle(base_run.voice)


@pytest.fixture(scope="session")
def from_base(base_run: RunDir, voice: list[str]) -> list[str]:
    """Overrides for a run that starts from the tiny base and does not speak while it trains."""
    return [
        *voice,
        f"init={base_run.voice}",
        "train.start_share=0",
        "train.timbre_gain=1",
        "train.frozen=[sovits.speaker_encoder]",
        "validation.every=1000",
        "validation.samples=0",
        "train.modules=[gpt,sovits,vocoder]",
    ]


@pytest.fixture(scope="session")
def batch(base_run: RunDir, from_base: list[str], configured: Callable[..., RunConfig]) -> Batch:
    """The first training batch, with tokens and audio."""
    data = datamodule(configured(*from_base), load_bundle(base_run.voice).networks)
    data.setup()
    return next(iter(data.train_dataloader()))


@pytest.fixture(scope="session")
def updated(
    base_run: RunDir, batch: Batch, from_base: list[str], configured: Callable[..., RunConfig]
) -> Callable[..., VoiceCloner]:
    """`updated(*overrides)`: the tiny base after updates on one batch, without a run's files."""

    def make(
        *overrides: str, updates: int = 2, teacher: Networks | None = None, on: Batch = batch
    ) -> VoiceCloner:
        config = configured(*from_base, *overrides)
        torch.manual_seed(0)
        networks = Networks(config.model, config.audio)
        take_modules(networks, load_bundle(base_run.voice), list(MODULES), config.audio)
        module = VoiceCloner(config, 2, networks, updates_per_epoch=2, teacher=teacher)
        with quiet_lightning():
            trainer = lightning.Trainer(
                accelerator="cpu",
                devices=1,
                max_epochs=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(module, train_dataloaders=repeat(on, updates))
        return module

    return make


@pytest.fixture
def train_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_base: list[str], train_in: Train
) -> Train:
    """`train_here(*overrides)` trains from the tiny base in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str) -> tuple[int, RunDir]:
        return train_in(tmp_path / "run", *from_base, *overrides)

    return run


@pytest.fixture
def signal_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`signal_at(k, "gpt")`: the k-th update of a stage that trains gpt gets a SIGINT, once."""
    original = VoiceCloner.training_step

    def arrange(update: int, module: str, number: signal.Signals = signal.SIGINT) -> None:
        sent: list[signal.Signals] = []

        def step(self: VoiceCloner, batch: Batch, batch_index: int) -> None:
            original(self, batch, batch_index)
            if self.update == update and not sent and module in self.config.train.modules:
                sent.append(number)
                signal.raise_signal(number)

        monkeypatch.setattr(VoiceCloner, "training_step", step)

    return arrange
