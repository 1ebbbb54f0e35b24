"""`checkpoints/last.ckpt` and `best.ckpt`: what a run needs to go on, written atomically."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import CheckpointIO

from timbre.module import VoiceCloner
from timbre.stepping import NonFiniteLossError


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the target, syncs, then renames: a full disk cannot destroy the last good file.

    Lightning's own save wrote in place of `last.ckpt` when temporary and target folder were on
    different file systems, and lost it.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Saves `checkpoint` under `path`."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".tmp")
        try:
            with unfinished.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Loads tensors and plain values only: a checkpoint cannot run code."""
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Removes the file."""
        Path(path).unlink(missing_ok=True)


class Saver(lightning.Callback):
    """Saves `last.ckpt` every so many updates and at the end, however the run ended.

    Args:
        folder: The run's `checkpoints/`.
        every: Updates between two saves.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.last = folder / "last.ckpt"
        self.best = folder / "best.ckpt"
        self.every = every
        self._saved_at = -1
        self._started_at = math.inf

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Notes where the run began: before, there is nothing new to save."""
        assert isinstance(module, VoiceCloner)
        self._started_at = module.update

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Saves when it is time, and when this is the last update."""
        assert isinstance(module, VoiceCloner)
        if trainer.should_stop or module.update % self.every == 0:
            self.save(trainer, module)

    def on_exception(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Keeps what was learned before an error.

        Not when the user wants out at once, nor where other processes, which did not see the error,
        would be waited for in vain.
        """
        assert isinstance(module, VoiceCloner)
        seen_by_all = trainer.world_size == 1 or isinstance(exception, NonFiniteLossError)
        learned = module.update > self._started_at
        if isinstance(exception, Exception) and seen_by_all and learned:
            self.save(trainer, module)

    def save(self, trainer: lightning.Trainer, module: VoiceCloner, *, anew: bool = False) -> None:
        """Writes `last.ckpt`, once per update unless `anew`."""
        if self._saved_at != module.update or anew:
            trainer.save_checkpoint(self.last, weights_only=False)
            self._saved_at = module.update

    def save_best(self, trainer: lightning.Trainer) -> None:
        """Writes `best.ckpt`; the validation says when."""
        trainer.save_checkpoint(self.best, weights_only=False)
