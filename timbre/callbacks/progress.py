"""How a run shows itself: a bar on a terminal, otherwise a line every so many updates."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from timbre.callbacks.logging import ScalarLogger
from timbre.module import VoiceCloner

_LOG = logging.getLogger(__name__)
_SHOWN = ("rec", "semantic", "kl", "adv", "disc", "wave_mel", "wave_adv", "ctc", "tokenizer_rec")


class ProgressDisplay(lightning.Callback):
    """Losses, updates per second and time left.

    Args:
        scalars: Where the latest values are read.
        style: bar, lines or auto.
    """

    def __init__(self, scalars: ScalarLogger, style: str) -> None:
        self.scalars = scalars
        self.use_bar = style == "bar" or (style == "auto" and sys.stderr.isatty())
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._started = 0.0
        self._first_update = 0

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Opens the bar."""
        assert isinstance(module, VoiceCloner)
        self._started, self._first_update = time.monotonic(), module.update
        if self.use_bar and trainer.is_global_zero:
            self._bar = Progress(
                TextColumn("update {task.completed:.0f}/{task.total:.0f}"),
                BarColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[values]}"),
                console=Console(stderr=True),  # where the lines go, too
            )
            self._task = self._bar.add_task(
                "", total=module.config.train.updates, completed=module.update, values=""
            )
            self._bar.start()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Moves the bar, or prints a line when a new row of metrics is there."""
        assert isinstance(module, VoiceCloner)
        if not trainer.is_global_zero:
            return
        values = self._values()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=module.update, values=values)
        elif module.update % self.scalars.every == 0 or trainer.should_stop:
            total = module.config.train.updates
            _LOG.info("update %d/%d  %s  %s", module.update, total, values, self._left(module))

    def teardown(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, stage: str
    ) -> None:
        """Closes the bar."""
        self._close()

    def on_exception(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Closes the bar: Lightning tears nothing down after an error."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _values(self) -> str:
        row = self.scalars.latest
        parts = [f"{name} {row[f'train/{name}']:.3f}" for name in _SHOWN if f"train/{name}" in row]
        if "train/updates_per_second" in row:
            parts.append(f"{row['train/updates_per_second']:.2f} updates/s")
        return "  ".join(parts)

    def _left(self, module: VoiceCloner) -> str:
        budget = module.config.train
        elapsed = time.monotonic() - self._started
        done = module.update - self._first_update
        seconds = elapsed / max(done, 1) * (budget.updates - module.update)
        if budget.minutes is not None:
            seconds = min(seconds, max(0.0, 60 * (budget.minutes - module.minutes)))
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d} left"
