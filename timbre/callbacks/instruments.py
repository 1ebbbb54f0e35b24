"""What the curves need to be understood: how loud the data is, how much there is of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.manifest import Utterance
from data.masks import length_mask
from timbre.callbacks.logging import ScalarLogger
from timbre.module import VoiceCloner

SILENT_NATS = -6.0
"""A frame whose loudest mel band is below this is silence: -52 dB under a band of magnitude 1.

Pauses of clean recordings are at -8 to -11, the quietest voiced frames above -4.
"""
_DECIBELS_PER_NAT = 20 / math.log(10)


class Instruments(lightning.Callback):
    """Adds what the data are like to the scalars of each update; stands before `ScalarLogger`.

    Args:
        scalars: Takes the facts about the data set, in the row of update 0.
        utterances: The voice's manifest.
    """

    def __init__(self, scalars: ScalarLogger, utterances: Sequence[Utterance]) -> None:
        self.scalars = scalars
        self.utterances = utterances

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Writes the facts about the data set, unless a resumed run has them."""
        assert isinstance(module, VoiceCloner)
        if module.update == 0:
            self.scalars.record(trainer, module, data_facts(self.utterances))

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Measures the batch of the update."""
        assert isinstance(module, VoiceCloner)
        module.scalars |= loudness(batch.mel, batch.mel_lengths)


def loudness(
    mel: Float[Tensor, "batch mels frames"], lengths: Int[Tensor, " batch"]
) -> dict[str, Float[Tensor, ""]]:
    """How loud the valid frames of a batch are.

    Args:
        mel: Natural-log mel.
        lengths: Valid frames of each item.

    Returns:
        `level_db`: mean level of the loudest band of each frame, dB re a magnitude of 1; `silence`:
        share of silent frames.
    """
    loudest = mel.amax(dim=1)
    valid = length_mask(lengths, mel.shape[2])
    count = valid.sum().clamp(min=1)
    level = torch.where(valid, loudest, 0.0).sum() / count
    silent = ((loudest < SILENT_NATS) & valid).sum() / count
    return {"level_db": level * _DECIBELS_PER_NAT, "silence": silent}


def data_facts(utterances: Sequence[Utterance]) -> dict[str, float]:
    """How much is trained on: `data/clips`, `data/seconds`, `data/longest_seconds` and the like."""
    train = [row for row in utterances if row.split == "train"]
    return {
        "data/clips": float(len(train)),
        "data/held_out_clips": float(len(utterances) - len(train)),
        "data/speakers": float(len({row.speaker for row in train})),
        "data/seconds": float(sum(row.seconds for row in train)),
        "data/longest_seconds": float(max((row.seconds for row in train), default=0.0)),
    }
