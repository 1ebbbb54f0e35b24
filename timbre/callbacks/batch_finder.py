"""Before the run: in how many parts must the largest batch be computed to fit the memory?"""

from __future__ import annotations

import logging

import lightning

from data.datamodule import VoiceDataModule
from data.errors import InputError
from timbre.module import VoiceCloner

_LOG = logging.getLogger(__name__)


class BatchFinder(lightning.Callback):
    """Rehearses the largest batch where `train.accumulate` is 0, and takes the fewest parts.

    Args:
        data: Gives the batch.
    """

    def __init__(self, data: VoiceDataModule) -> None:
        self.data = data

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Finds, once a run: what was found is kept in its checkpoint.

        Raises:
            InputError: There are several devices, or not even one utterance fits.
        """
        assert isinstance(module, VoiceCloner)
        if module.memory.parts:
            return
        if trainer.world_size > 1:
            raise InputError(
                "train.accumulate=0 finds its number on one device only; give a number, for "
                "example 1"
            )
        module.memory.parts = 1
        batch = self.data.largest_batch().to(module.device)
        with trainer.precision_plugin.train_step_context():
            module.rehearse(batch)
        _LOG.info(
            "train.accumulate: the largest batch (%d items, %.0f s with padding) fits in %d part%s",
            len(batch),
            len(batch) * batch.mel.shape[2] / module.config.audio.frames_per_second,
            module.memory.parts,
            "" if module.memory.parts == 1 else "s",
        )
