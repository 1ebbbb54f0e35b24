"""When a run ends: by updates, by minutes, or by a signal; always between two updates."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType
from typing import Any

import lightning
import torch

from timbre.module import VoiceCloner

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Control(lightning.Callback):
    """Stops the run at its budget, or after the update in which Ctrl-C or SIGTERM came.

    Lightning's own answer to SIGTERM exits 0 and saves nothing. A second signal exits at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        """The signal that ended the run, or None."""
        self._previous: dict[int, Any] = {}
        self._clock = 0.0

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Takes over the signals and starts the clock."""
        self._previous = {number: signal.signal(number, self._request) for number in SIGNALS}
        self._clock = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Counts the time and asks the trainer to stop where a budget is used up."""
        assert isinstance(module, VoiceCloner)
        now = time.monotonic()
        module.minutes += (now - self._clock) / 60
        self._clock = now
        trainer.should_stop = self._agreed(trainer, module.is_finished)

    def _agreed(self, trainer: lightning.Trainer, finished: bool) -> bool:
        """Whether any process wants to stop; all of them then know the signal."""
        if trainer.world_size == 1:
            return finished or self.received is not None
        wanted = torch.tensor(
            [int(finished), self.received or 0], device=trainer.strategy.root_device
        )
        finished, signal_number = trainer.strategy.reduce(wanted, reduce_op="max").tolist()
        self.received = signal_number or None
        return bool(finished or signal_number)

    def teardown(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, stage: str
    ) -> None:
        """Gives the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            sys.exit(128 + number)
        self.received = number
