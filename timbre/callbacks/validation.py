"""Held-out checks: loss terms on unseen clips, and their texts spoken aloud."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from data.audio import write_wav
from data.batch import Batch
from data.datamodule import VoiceDataModule
from data.text.frontend import Phonemes
from gpt.sampling import SamplingConfig
from timbre.callbacks.logging import ScalarLogger
from timbre.callbacks.saver import Saver
from timbre.module import VoiceCloner
from timbre.plots import plot_mels
from timbre.randomness import Draw
from timbre.speech import speak

_LOG = logging.getLogger(__name__)
_SEED = 1  # of speech and crops: equal at every validation, so that values compare


class Validation(lightning.Callback):
    """Measures at update 0, every `validation.every` updates, and at the end.

    The first row is the un-tuned model. The lowest `val/<first term>` so far becomes `best.ckpt`.

    Args:
        data: Gives the held-out batches.
        scalars: Takes the values.
        saver: Saves the best.
        folder: Where pictures and audio samples go.
    """

    def __init__(
        self, data: VoiceDataModule, scalars: ScalarLogger, saver: Saver, folder: Path
    ) -> None:
        self.data = data
        self.scalars = scalars
        self.saver = saver
        self.folder = folder
        self._measured_at = -1

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Measures the model as it is before its first update (a resumed run has that row)."""
        assert isinstance(module, VoiceCloner)
        if module.update == 0:
            self.measure(trainer, module)

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
        ended = trainer.should_stop and module.update >= module.config.train.updates
        if module.update % module.config.validation.every == 0 or ended:
            self.measure(trainer, module)

    def measure(self, trainer: lightning.Trainer, module: VoiceCloner) -> None:
        """Validates on the main process; training continues with its randomness untouched."""
        if self._measured_at == module.update:
            return
        self._measured_at = module.update
        started = time.monotonic()
        if trainer.is_global_zero:
            was_training = module.training
            module.eval()
            with torch.random.fork_rng(), torch.inference_mode():
                torch.manual_seed(_SEED)
                values = self._terms(trainer, module)
                if "rec" in module.active:
                    self._samples(module)
            module.train(was_training)
            self.scalars.record(trainer, module, {f"val/{n}": v for n, v in values.items()})
            score = self._score(values)
            shown = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
            _LOG.info("update %d  held out: %s", module.update, shown)
        else:
            score = math.inf
        score = float(trainer.strategy.broadcast(score))
        if score < module.best_score:
            module.best_score, module.best_update = score, module.update
            self.saver.save_best(trainer)
        self.scalars.exclude(time.monotonic() - started)

    @staticmethod
    def _score(values: dict[str, float]) -> float:
        """What `best` means, lower is better: the reconstruction of what is trained."""
        for name in ("rec", "tokenizer_rec", "wave_mel"):
            if name in values:
                return values[name]
        return math.inf

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

    def _samples(self, module: VoiceCloner) -> None:
        """Speaks the texts of some held-out clips, and draws what the decoder makes of them."""
        wanted = module.config.validation.samples
        batches = self._batches()
        if not wanted or not batches:
            return
        batch = batches[0].to(module.device)
        networks = module.judged_networks
        outputs = module.acoustic_terms(networks, None, batch, Draw(module.device), sample=False)
        z_spk = networks.sovits(batch.reference, batch.reference_lengths)
        assert outputs.mel is not None
        for row in range(min(wanted, len(batch))):
            length = int(batch.mel_lengths[row])
            stem = self.folder / f"{module.update:06d}-{batch.ids[row]}"
            plot_mels(
                stem.with_suffix(".png"),
                _array(batch.mel[row, :, :length]),
                _array(outputs.mel[row, :, :length]),
                module.config.audio,
                f"{batch.ids[row]}, update {module.update}: true tokens",
            )
            generator = torch.Generator(module.device).manual_seed(_SEED)
            phonemes = _phonemes(batch, row)
            speech = speak(networks, phonemes, z_spk[row : row + 1], SamplingConfig(), generator)
            audio = _array(speech.audio)
            write_wav(stem.with_suffix(".wav"), audio, module.config.audio.sample_rate_hz)


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.float().cpu().numpy()
    return array


def _phonemes(batch: Batch, row: int) -> Phonemes:
    length = int(batch.phoneme_lengths[row])
    ids, marks = batch.phonemes[row, :length].cpu(), batch.marks[row, :length].cpu()
    return Phonemes(ids=ids.numpy(), marks=marks.numpy(), words=[], word_spans=[])
