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
        self._began = 0.0

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Takes over the signals and starts the clock, at what a resumed run has used up."""
        assert isinstance(module, VoiceCloner)
        self._previous = {number: signal.signal(number, self._request) for number in SIGNALS}
        self._began = time.monotonic() - 60 * module.minutes

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
        minutes = (time.monotonic() - self._began) / 60
        module.minutes, signalled = self._agreed(trainer, minutes)
        trainer.should_stop = module.is_finished or signalled

    def _agreed(self, trainer: lightning.Trainer, minutes: float) -> tuple[float, bool]:
        """The minutes of the process whose clock is furthest, and whether any got a signal.

        Rates and the end of the run follow from the minutes: with clocks of their own, one process
        would go on to the last validation while another waits for it to save.
        """
        if trainer.world_size == 1:
            return minutes, self.received is not None
        own = torch.tensor(
            [minutes, self.received or 0], dtype=torch.float64, device=trainer.strategy.root_device
        )
        minutes, number = trainer.strategy.reduce(own, reduce_op="max").tolist()
        self.received = int(number) or None
        return minutes, bool(number)

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
