"""When a run ends: by updates, by minutes, or by a signal; always between two updates."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

import lightning

from timbre.module import VoiceCloner

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Control(lightning.Callback):
    """Stops the run at its budget, or after the update in which Ctrl-C or SIGTERM came.

    Lightning's own answer to SIGTERM exits 0 and saves nothing. A second signal acts at once.
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
        budget = module.config.train
        over = budget.minutes is not None and module.minutes >= budget.minutes
        requested = trainer.strategy.reduce_boolean_decision(
            self.received is not None or over, all=False
        )
        if requested or module.update >= budget.updates:
            trainer.should_stop = True

    def teardown(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, stage: str
    ) -> None:
        """Gives the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            signal.signal(number, self._previous.get(number, signal.SIG_DFL))
            signal.raise_signal(number)
        self.received = number
