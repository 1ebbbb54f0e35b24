"""Scalars of every update to metrics.csv and TensorBoard."""

from __future__ import annotations

import time
from typing import Any

import lightning
import torch

from timbre.metrics import MetricsFile
from timbre.module import VoiceCloner
from timbre.stepping import NonFiniteLossError


class ScalarLogger(lightning.Callback):
    """Means over the updates since the last row, one row every so many updates.

    Values stay tensors until a row is written: reading them at every update would make a GPU wait.
    A run that is stopped between two rows writes what it has, and keeps the sums in its checkpoint:
    the rows of the resumed run are those of a run that was never stopped.

    Args:
        metrics: The run's metrics.csv.
        every: Updates between two rows.
    """

    def __init__(self, metrics: MetricsFile, every: int) -> None:
        self.metrics = metrics
        self.every = every
        self.latest: dict[str, float] = {}
        """The newest row, for the progress display."""
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}
        self._clock = 0.0
        self._timed_updates = 0

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Starts the clock of updates per second."""
        self._clock = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Adds the update's scalars; writes a row when it is time."""
        assert isinstance(module, VoiceCloner)
        per_second = module.config.audio.frames_per_second
        audio_seconds = batch.mel_lengths.sum() * (trainer.world_size / per_second)
        for name, value in (module.scalars | {"audio_seconds": audio_seconds}).items():
            self._sums[name] = self._sums.get(name, 0.0) + value.float()
            self._counts[name] = self._counts.get(name, 0) + 1
        self._timed_updates += 1
        due = module.update % self.every == 0
        if due or trainer.should_stop:
            self._write(trainer, module)
        if due:
            self._sums, self._counts = {}, {}

    def on_exception(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Writes what led to the end of a run whose losses are no numbers; all processes see it."""
        assert isinstance(module, VoiceCloner)
        if isinstance(exception, NonFiniteLossError) and self._sums:
            self._write(trainer, module)

    def exclude(self, seconds: float) -> None:
        """Leaves time that was not spent on training out of the updates per second."""
        self._clock += seconds

    def state_dict(self) -> dict[str, Any]:
        """The sums since the last row."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the sums of a stopped run."""
        self._sums, self._counts = dict(state_dict["sums"]), dict(state_dict["counts"])

    def record(
        self, trainer: lightning.Trainer, module: VoiceCloner, values: dict[str, float]
    ) -> None:
        """Writes values (full names, e.g. `val/rec`) for the present update."""
        if not trainer.is_global_zero:
            return
        self.metrics.write(module.update, values)
        for logger in trainer.loggers:
            logger.log_metrics(values, step=module.update)

    def _write(self, trainer: lightning.Trainer, module: VoiceCloner) -> None:
        names = list(self._sums)
        means = torch.stack(
            [self._sums[name].to(module.device) / self._counts[name] for name in names]
        )
        if trainer.world_size > 1:
            means = trainer.strategy.reduce(means, reduce_op="mean")
        row = {f"train/{name}": value for name, value in zip(names, means.tolist(), strict=True)}
        now = time.monotonic()
        row["train/updates_per_second"] = self._timed_updates / max(now - self._clock, 1e-9)
        self._timed_updates, self._clock = 0, now
        optimizers: Any = module.optimizers(use_pl_optimizer=False)
        for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
            row |= {f"rate/{group['name']}": group["lr"] for group in optimizer.param_groups}
        self.latest = row
        self.record(trainer, module, row)
