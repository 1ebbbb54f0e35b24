"""The mean of the best checkpoints is judged, and taken where it is better."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import lightning
import pytest
import torch

from timbre.callbacks.averaging import BestAverage
from timbre.callbacks.control import Control
from timbre.callbacks.logging import ScalarLogger
from timbre.callbacks.saver import Saver
from timbre.callbacks.validation import Validation
from timbre.module import VoiceCloner


class Judging(Validation):
    """Gives the scores that it is told to; that of the mean comes last."""

    def __init__(self, folder: Path, of_mean: float) -> None:
        self.scores: dict[int, float] = {}
        self.listener = SimpleNamespace(samples=folder)
        self.run = SimpleNamespace(samples=folder)
        self.scalars = Mock(spec=ScalarLogger)
        self.of_mean = of_mean
        self.judged: list[float] = []

    def judge(
        self, trainer: lightning.Trainer, module: VoiceCloner, draw: bool = False
    ) -> tuple[dict[str, float], float]:
        self.judged.append(level(module))
        return {"score": self.of_mean}, self.of_mean


class Saving(Saver):
    """Notes what it should save."""

    def __init__(self, module: VoiceCloner) -> None:
        self.module = module
        self.saved: list[float] = []

    def save_best(self, trainer: lightning.Trainer) -> None:
        self.saved.append(level(self.module))

    def save(self, trainer: lightning.Trainer, module: VoiceCloner, *, anew: bool = False) -> None:
        self.last_saved = (level(module), module.best_average, anew)


def trainer() -> Mock:
    """A trainer of one process."""
    made = Mock(spec=lightning.Trainer, is_global_zero=True)
    made.strategy.broadcast = lambda value: value
    return made


def level(module: VoiceCloner) -> float:
    return module.networks.gpt.head.bias.mean().item()


def run(
    module: VoiceCloner, folder: Path, of_mean: float, signal: int | None = None
) -> tuple[BestAverage, Judging, Saving]:
    """Five validations whose weights are the update; the best are those of updates 2, 3 and 5."""
    judging, saver, control = Judging(folder, of_mean), Saving(module), Control()
    control.received = signal
    callback = BestAverage(folder, judging, saver, control)
    module.error_limit = 1.0
    for module.update, score in enumerate((0.1, 0.6, 0.7, 0.2, 0.8), start=1):
        judging.scores[module.update] = score
        if score > module.best_score:
            module.best_score, module.best_update = score, module.update
        with torch.no_grad():
            module.networks.gpt.head.bias.fill_(module.update)
        callback.on_train_batch_end(trainer(), module, None, None, 0)
    callback.on_train_end(trainer(), module)
    return callback, judging, saver


@pytest.fixture
def module(configured) -> VoiceCloner:
    return VoiceCloner(configured("validation.average=3"), speakers=2)


def test_the_mean_is_taken_where_it_scores_higher(module: VoiceCloner, tmp_path: Path) -> None:
    callback, judging, saver = run(module, tmp_path, of_mean=0.9)
    assert callback.kept == {2: 0.6, 3: 0.7, 5: 0.8}
    assert judging.judged == saver.saved == [pytest.approx(10 / 3)]
    assert module.best_score == 0.9
    assert (module.best_average, module.best_update) == ([2, 3, 5], 5)
    # A run that goes on later knows so, and goes on with its own weights.
    assert saver.last_saved == (5.0, [2, 3, 5], True)
    judging.scalars.record.assert_called_once()
    assert judging.scalars.record.call_args.args[2] == {"average/score": 0.9}
    assert level(module) == 5.0  # the run's own weights are back
    assert judging.listener.samples == tmp_path
    names = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert names == [f"good-00000{update}.safetensors" for update in (2, 3, 5)]


def test_a_mean_is_the_best_where_no_single_one_beat_the_start(
    module: VoiceCloner, tmp_path: Path
) -> None:
    module.best_score = 0.85
    run(module, tmp_path, of_mean=0.9)
    assert (module.best_average, module.best_update) == ([2, 3, 5], 5)
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    module.best_average = []
    module.resume(checkpoint)
    assert module.best_average == [2, 3, 5]


def test_the_best_one_is_taken_where_it_does_not(module: VoiceCloner, tmp_path: Path) -> None:
    _, judging, saver = run(module, tmp_path, of_mean=0.75)
    assert len(judging.judged) == 1
    assert not saver.saved
    assert not judging.scalars.record.called
    assert module.best_score == 0.8
    assert (module.best_average, module.best_update) == ([], 5)
    assert level(module) == 5.0


def test_an_interrupted_run_keeps_them_for_later(module: VoiceCloner, tmp_path: Path) -> None:
    callback, judging, _ = run(module, tmp_path, of_mean=0.9, signal=2)
    assert not judging.judged
    resumed = BestAverage(tmp_path, judging, Saving(module), Control())
    resumed.load_state_dict(callback.state_dict())
    assert resumed.kept == callback.kept


def test_without_the_setting_nothing_is_kept(configured, tmp_path: Path) -> None:
    module = VoiceCloner(configured(), speakers=2)
    callback, judging, _ = run(module, tmp_path, of_mean=0.9)
    assert not callback.kept
    assert not judging.judged
    assert not list(tmp_path.iterdir())
