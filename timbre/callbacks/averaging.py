"""The mean of the best checkpoints: often better than each of them, and judged before it counts."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import lightning
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from timbre.callbacks.control import Control
from timbre.callbacks.saver import Saver
from timbre.callbacks.validation import Validation
from timbre.module import VoiceCloner

_LOG = logging.getLogger(__name__)


class BestAverage(lightning.Callback):
    """Keeps the weights of the `validation.average` best validations; at the end, takes their mean.

    Wortsman et al. (model soups), arXiv 2203.05482: weights that were fine-tuned from one start
    may be averaged. The mean is judged as every checkpoint is, and replaces `best.ckpt` only if it
    scores higher; the columns `average/` then say what was measured of it. An exponential average
    would hold too much of the un-tuned start in short runs.

    Args:
        folder: The run's `checkpoints/`.
        validation: Judges; comes before this in the list of callbacks.
        saver: Saves the best.
        control: Says whether the run was interrupted.
    """

    def __init__(
        self, folder: Path, validation: Validation, saver: Saver, control: Control
    ) -> None:
        self.folder = folder
        self.validation = validation
        self.saver = saver
        self.control = control
        self.kept: dict[int, float] = {}
        """Score of each update whose weights are kept."""

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Keeps the weights that were just judged if they are among the best."""
        assert isinstance(module, VoiceCloner)
        wanted = module.config.validation.average
        score = self.validation.scores.get(module.update, -math.inf)
        if wanted < 2 or not math.isfinite(score) or module.update in self.kept:
            return
        self.kept[module.update] = score
        worst = min(self.kept, key=lambda update: self.kept[update])
        dropped = worst if len(self.kept) > wanted else None
        if dropped is not None:
            del self.kept[dropped]
        if trainer.is_global_zero and dropped != module.update:
            save_file(_weights(module), self._file(module.update))
            if dropped is not None:
                self._file(dropped).unlink(missing_ok=True)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Judges the mean of what was kept, unless the run is to go on later."""
        assert isinstance(module, VoiceCloner)
        judged = module.error_limit is not None
        if len(self.kept) < 2 or not judged or self.control.received is not None:
            return
        own = {name: tensor.clone() for name, tensor in _weights(module).items()}
        values, score = dict[str, float](), -math.inf
        if trainer.is_global_zero:
            module.judged_networks.load_state_dict(self._mean())
            listener, samples = self.validation.listener, self.validation.run.samples
            if listener is not None:  # the last update's samples stay what they are
                listener.samples = samples / "average"
                listener.samples.mkdir(parents=True, exist_ok=True)
            values, score = self.validation.judge(trainer, module)
            if listener is not None:
                listener.samples = samples
        score = trainer.strategy.broadcast(score)
        better = score > module.best_score
        _LOG.info(
            "mean of the weights of updates %s: score %.4f, the best one alone %.4f; %s",
            ", ".join(map(str, sorted(self.kept))),
            score,
            module.best_score,
            "the mean is taken" if better else "the best one is taken",
        )
        if better:
            module.best_average = sorted(self.kept)
            module.best_score, module.best_update = score, module.best_average[-1]
            row = {f"average/{name}": value for name, value in values.items()}
            self.validation.scalars.record(trainer, module, row)
            self.saver.save_best(trainer)
        module.judged_networks.load_state_dict(own)
        if better:
            self.saver.save(trainer, module, anew=True)  # a resumed run must know what is the best

    def state_dict(self) -> dict[str, Any]:
        """Which updates are kept."""
        return {"updates": list(self.kept), "scores": list(self.kept.values())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with what a stopped run kept."""
        self.kept = dict(zip(state_dict["updates"], state_dict["scores"], strict=True))

    def _file(self, update: int) -> Path:
        return self.folder / f"good-{update:06d}.safetensors"

    def _mean(self) -> dict[str, Tensor]:
        states = [load_file(self._file(update)) for update in self.kept]
        return {
            name: torch.stack([state[name].float() for state in states]).mean(0).to(tensor.dtype)
            for name, tensor in states[0].items()
        }


def _weights(module: VoiceCloner) -> dict[str, Tensor]:
    state = module.judged_networks.state_dict()
    return {name: tensor.detach().contiguous() for name, tensor in state.items()}
