"""Pictures and further numbers at each validation: the speaker space, and phonemes in time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from data.batch import Batch
from data.datamodule import VoiceDataModule
from data.text.frontend import Phonemes
from gpt.sampling import SamplingConfig
from timbre.blending import Blend
from timbre.callbacks.logging import ScalarLogger
from timbre.loggers import publish
from timbre.module import VoiceCloner
from timbre.pictures import plot_alignment, plot_dimensions, plot_map
from timbre.rundir import RunDir
from timbre.speaker_space import SpeakerSpace, speaker_space
from timbre.speech import speak

_CLIPS = 48  # on the map, all speakers together
_SEED = 1  # of what is spoken for the alignment: validations compare


class Gallery(lightning.Callback):
    """Stands after `Validation` and adds to what it measured.

    Numbers at each validation: `val/active_units`, `val/kl_highest` (nats of the dimension that
    carries most) and, with several speakers, `val/cluster_score`. Pictures at the first and the
    last: `UPDATE-alignment.png`, `UPDATE-kl-dimensions.png`, `UPDATE-z-spk.png`. Pictures and
    sounds of the samples' folder go to the loggers.

    Args:
        data: Gives the recordings.
        scalars: Takes the values.
        run: Where pictures go.
        blend: Of the weights with the first ones, as `Validation` judges them.
    """

    def __init__(
        self, data: VoiceDataModule, scalars: ScalarLogger, run: RunDir, blend: Blend
    ) -> None:
        self.data = data
        self.scalars = scalars
        self.run = run
        self.blend = blend
        self._shown_at = -1

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Adds to the first validation."""
        assert isinstance(module, VoiceCloner)
        self.show(trainer, module)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Adds to a validation that was just done."""
        assert isinstance(module, VoiceCloner)
        self.show(trainer, module)

    def show(self, trainer: lightning.Trainer, module: VoiceCloner) -> None:
        """Measures and draws on the main process, if there was a validation at this update."""
        rows = self.scalars.metrics.rows
        validated = bool(rows) and rows[-1]["update"] == module.update and "val/seconds" in rows[-1]
        if not trainer.is_global_zero or not validated or self._shown_at == module.update:
            return
        self._shown_at = module.update
        started = time.monotonic()
        was_training = module.training
        module.eval()
        judged = self.blend.applied(module.judged_networks)
        with judged, torch.random.fork_rng(), torch.inference_mode():
            draws = module.update == 0 or trainer.should_stop
            batch = self._held_out_batch()
            self._show_speakers(trainer, module, batch, draws)
            if draws and batch is not None and batch.durations is not None:
                self._show_alignment(module, batch, batch.durations)
        module.train(was_training)
        files = sorted(self.run.samples.glob(f"{module.update:06d}-*"))
        publish(trainer.loggers, files, module.update)
        seconds = time.monotonic() - started
        self.scalars.record(trainer, module, {"val/gallery_seconds": seconds})
        self.scalars.exclude(seconds)

    def _show_speakers(
        self, trainer: lightning.Trainer, module: VoiceCloner, batch: Batch | None, draws: bool
    ) -> None:
        if "sovits" not in module.config.train.modules:
            return
        space, held_out = self._space(module, batch)
        if len(space.speakers) < 2:
            return
        values = {
            "val/active_units": float(space.active_units),
            "val/kl_highest": float(space.kl_per_dimension.max()),
        }
        if (score := space.cluster_score) is not None:
            values["val/cluster_score"] = score
        self.scalars.record(trainer, module, values)
        if draws:
            title = f"z_spk, update {module.update}"
            plot_dimensions(self._path(module, "kl-dimensions"), space, title)
            if len(space.speakers) > 3:
                plot_map(self._path(module, "z-spk"), space, held_out, title)

    def _space(self, module: VoiceCloner, batch: Batch | None) -> tuple[SpeakerSpace, list[bool]]:
        """Training clips of each speaker and held-out clips, through the speaker encoder."""
        each = max(2, _CLIPS // len(self.data.speakers))
        clips, speakers, held_out = [], [], []
        for speaker in self.data.speakers[:_CLIPS]:
            for mel in self.data.recordings_of(speaker, each):
                clips.append(mel)
                speakers.append(speaker)
                held_out.append(False)
        if batch is not None:
            for row in range(len(batch)):
                clips.append(batch.mel[row, :, : int(batch.mel_lengths[row])])
                speakers.append(self.data.speakers[int(batch.speaker[row])])
                held_out.append(True)
        return speaker_space(module.judged_networks, clips, speakers), held_out

    def _show_alignment(self, module: VoiceCloner, batch: Batch, durations: Tensor) -> None:
        """Where forced alignment puts the phonemes of a held-out clip, and where GPT does."""
        row = int(batch.mel_lengths.argmin())
        size = int(batch.phoneme_lengths[row])
        phonemes = batch.phonemes[row, :size].numpy()
        mel = batch.mel[row, :, : int(batch.mel_lengths[row])].numpy()
        readings = [("recording", mel, phonemes, durations[row, :size].numpy())]
        if self._speaks(module):
            networks = module.judged_networks
            chosen = slice(row, row + 1)
            reference = batch.reference[chosen].to(module.device)
            z_spk = networks.sovits(reference, batch.reference_lengths[chosen].to(module.device))
            text = Phonemes(phonemes, batch.marks[row, :size].numpy(), [], [])
            generator = torch.Generator(module.device).manual_seed(_SEED)
            speech = speak(networks, text, z_spk, SamplingConfig(), generator)
            if speech.durations is not None:
                spoken = speech.durations.cpu().numpy()
                readings.append(("spoken", speech.mel.cpu().numpy(), phonemes, spoken))
        title = f"{batch.ids[row]}, update {module.update}"
        plot_alignment(self._path(module, "alignment"), readings, module.config.audio, title)

    def _speaks(self, module: VoiceCloner) -> bool:
        """Whether GPT does more than babble; an untrained one goes on for ever."""
        nats = self.scalars.metrics.rows[-1].get("val/semantic", np.inf)
        return bool(nats <= module.config.validation.babble_nats)

    def _held_out_batch(self) -> Batch | None:
        loader = self.data.val_dataloader()
        return None if isinstance(loader, list) else next(iter(loader))

    def _path(self, module: VoiceCloner, name: str) -> Path:
        return self.run.samples / f"{module.update:06d}-{name}.png"
