"""Scalars of every update to metrics.csv and TensorBoard."""

from __future__ import annotations

import time
from typing import Any

import lightning
import torch

from timbre.metrics import MetricsFile
from timbre.module import VoiceCloner


class ScalarLogger(lightning.Callback):
    """Means over the updates since the last row, one row every so many updates.

    Values stay tensors until a row is written: reading them at every update would make a GPU wait.

    Args:
        metrics: The run's metrics.csv.
        every: Updates between two rows.
    """

    def __init__(self, metrics: MetricsFile, every: int) -> None:
        self.metrics = metrics
        self.every = every
        self.latest: dict[str, float] = {}
        """The newest row, for the progress display."""
        self._sums: dict[str, torch.Tensor | float] = {}
        self._counts: dict[str, int] = {}
        self._clock = 0.0
        self._audio_seconds = 0.0

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
        for name, value in module.scalars.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1
        frames = batch.mel_lengths.sum().item() * trainer.world_size
        self._audio_seconds += frames / module.config.audio.frames_per_second
        if module.update % self.every == 0 or trainer.should_stop:
            self._write(trainer, module)

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
        updates = max(self._counts.values(), default=0)
        if not updates:
            return
        now = time.monotonic()
        row = {
            f"train/{name}": float(total) / self._counts[name]
            for name, total in self._sums.items()
        }
        row["train/updates_per_second"] = updates / max(now - self._clock, 1e-9)
        row["train/audio_seconds"] = self._audio_seconds
        optimizers: Any = module.optimizers(use_pl_optimizer=False)
        for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
            row |= {f"rate/{group['name']}": group["lr"] for group in optimizer.param_groups}
        self.latest = row
        self.record(trainer, module, row)
        self._sums, self._counts, self._clock, self._audio_seconds = {}, {}, now, 0.0
