"""Held-out checks: loss terms on unseen clips, and their texts spoken aloud."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from typing import Any

import lightning
import torch

from data.batch import Batch
from data.datamodule import VoiceDataModule
from data.errors import InputError
from timbre.blending import Blend
from timbre.callbacks.logging import ScalarLogger
from timbre.callbacks.saver import Saver
from timbre.listening import Listener
from timbre.module import VoiceCloner
from timbre.plots import plot_mels
from timbre.randomness import Draw
from timbre.rundir import RunDir
from timbre.verdict import error_limit

_LOG = logging.getLogger(__name__)
_SEED = 1  # of crops and noise: equal at every validation, so that values compare
_FALL_BACK = ("rec", "tokenizer_rec", "wave_mel")
"""Reconstruction of what is trained: the judge of what does not speak; lower is better."""


class Validation(lightning.Callback):
    """Measures at update 0, every `validation.every` updates, and at the end.

    The first row is the un-tuned model. Where it can speak, it is the baseline: `best.ckpt` is then
    the checkpoint that sounds best of those that are understood as well, or the baseline itself,
    and a run that finds no better one for long stops. Else the lowest reconstruction term is best.

    Args:
        data: Gives the held-out batches.
        listener: Speaks and judges; None: nobody listens.
        scalars: Takes the values.
        saver: Saves the best.
        run: Where pictures, audio samples and the frozen judges go.
        blend: What is judged is the networks' weights mixed with the first ones.
    """

    def __init__(
        self,
        data: VoiceDataModule,
        listener: Listener | None,
        scalars: ScalarLogger,
        saver: Saver,
        run: RunDir,
        blend: Blend,
    ) -> None:
        self.data = data
        self.listener = listener
        self.scalars = scalars
        self.saver = saver
        self.run = run
        self.blend = blend
        self.scores: dict[int, float] = {}
        """Score of every update that was measured since the run began or went on."""
        self._measured_at = -1

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Measures the model as it is before its first update (a resumed run has that row)."""
        assert isinstance(module, VoiceCloner)
        if module.update == 0:
            self.measure(trainer, module)
        elif module.error_limit is not None and self.listener is not None:
            self.listener.restore(module.judged_networks, self.run.judge)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Measures when it is time, and after the last update."""
        assert isinstance(module, VoiceCloner)
        ended = trainer.should_stop and module.is_finished
        if module.update % module.config.validation.every == 0 or ended:
            self.measure(trainer, module)

    def measure(self, trainer: lightning.Trainer, module: VoiceCloner) -> None:
        """Validates on the main process; training continues with its randomness untouched.

        Raises:
            InputError: The score weighs what nobody measures of the un-tuned voice.
        """
        if self._measured_at == module.update:
            return
        self._measured_at = module.update
        started = time.monotonic()
        score, unscored = -math.inf, ""
        if trainer.is_global_zero:
            values, score = self.judge(trainer, module, draw=True)
            self._record(trainer, module, values, time.monotonic() - started)
            unscored = self._unscored(module, values)
        found = trainer.strategy.broadcast((score, module.error_limit, unscored))
        score, module.error_limit, unscored = found
        if unscored:  # no voice could ever be the best, nor could one be saved
            raise InputError(f"validation.score: {unscored}, or score something else")
        self.scores[module.update] = score
        if score > module.best_score:
            module.best_score, module.best_update, module.best_average = score, module.update, []
            self.saver.save_best(trainer)
        self._stop_if_stale(trainer, module)
        self.scalars.exclude(time.monotonic() - started)

    def judge(
        self, trainer: lightning.Trainer, module: VoiceCloner, draw: bool = False
    ) -> tuple[dict[str, float], float]:
        """What is measured of the module's weights as they are, and their score.

        Args:
            trainer: For its precision.
            module: In any mode; stays in it.
            draw: Draw the mels of some held-out clips, too.
        """
        was_training = module.training
        module.eval()
        blended = self.blend.applied(module.judged_networks)
        with blended, torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(_SEED)
            values = self._terms(trainer, module)
            if draw and "rec" in module.active:
                self._draw_mels(module)
            values |= self._listen(module, values)
        module.train(was_training)
        return values, self._score(module, values)

    def _record(
        self,
        trainer: lightning.Trainer,
        module: VoiceCloner,
        values: dict[str, float],
        seconds: float,
    ) -> None:
        row = {f"val/{name}": value for name, value in values.items()} | {"val/seconds": seconds}
        self.scalars.record(trainer, module, row)
        shown = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
        _LOG.info("update %d  held out: %s", module.update, shown)

    def _listen(self, module: VoiceCloner, terms: dict[str, float]) -> dict[str, float]:
        """What is heard, if there is something to hear; at update 0 this may be the baseline."""
        config, networks = module.config.validation, module.judged_networks
        semantic = terms.get("cross_entropy", terms.get("semantic", 0.0))
        if self.listener is None or semantic > config.babble_nats:
            return {}
        heard = self.listener(networks, module.update)
        if module.update == 0:
            human = self.listener.human(networks)
            heard |= {f"human_{name}": value for name, value in human.items()}
            if heard["error_rate"] <= max(config.intelligible, human["error_rate"]):
                module.error_limit = error_limit(heard, config)
                self.listener.freeze(networks, self.run.judge)
        return heard

    def _unscored(self, module: VoiceCloner, values: dict[str, float]) -> str:
        """What a score needs but the baseline has not: then it would stay without a best voice."""
        is_baseline = module.update == 0 and module.error_limit is not None
        return self.listener.unscored(values) if is_baseline and self.listener is not None else ""

    @staticmethod
    def _score(module: VoiceCloner, values: dict[str, float]) -> float:
        """What `best` means, higher is better; -inf is never best."""
        config = module.config.validation
        if module.error_limit is None:
            terms = [values[name] for name in _FALL_BACK if name in values]
            return -terms[0] if terms else -math.inf
        understood = values.get("error_rate", math.inf) <= module.error_limit
        if not understood or any(name not in values for name in config.score):
            return -math.inf
        values["score"] = sum(weight * values[name] for name, weight in config.score.items())
        return values["score"]

    @staticmethod
    def _stop_if_stale(trainer: lightning.Trainer, module: VoiceCloner) -> None:
        """Ends a run whose voice has not become better for `validation.patience` validations."""
        config = module.config.validation
        stale = (module.update - module.best_update) // config.every
        if module.error_limit is not None and 0 < config.patience <= stale:
            trainer.should_stop = True
            _LOG.info(
                "stopping: no better voice since update %d (validation.patience=%d)",
                module.best_update,
                config.patience,
            )

    def _batches(self) -> list[Batch]:
        loader = self.data.val_dataloader()
        return [] if isinstance(loader, list) else list(loader)

    def _terms(self, trainer: lightning.Trainer, module: VoiceCloner) -> dict[str, float]:
        """Mean of each term over the held-out clips, weighted by their number."""
        sums: dict[str, float] = defaultdict(float)
        count = 0
        draw = Draw(module.device)
        for batch in self._batches():
            batch = batch.to(module.device)
            with trainer.precision_plugin.forward_context():
                terms = module.held_out_terms(batch, draw)
            for name, value in terms.items():
                sums[name] += float(value) * len(batch)
            count += len(batch)
        return {name: total / count for name, total in sums.items()}

    def _draw_mels(self, module: VoiceCloner) -> None:
        """Draws what the decoder makes of some held-out clips' tokens beside their true mels."""
        wanted = module.config.validation.samples
        batches = self._batches()
        if not wanted or not batches:
            return
        batch = batches[0].to(module.device)
        draw = Draw(module.device)
        outputs = module.acoustic_terms(module.judged_networks, None, batch, draw, sample=False)
        assert outputs.mel is not None
        for row in range(min(wanted, len(batch))):
            length = int(batch.mel_lengths[row])
            plot_mels(
                self.run.samples / f"{module.update:06d}-{batch.ids[row]}.png",
                batch.mel[row, :, :length].float().cpu().numpy(),
                outputs.mel[row, :, :length].float().cpu().numpy(),
                module.config.audio,
                f"{batch.ids[row]}, update {module.update}: true tokens",
            )
