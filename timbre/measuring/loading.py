"""How fast training batches are made, beside what the CPU path of training needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from data.config import DataConfig
from data.datamodule import VoiceDataModule
from data.mel import AudioConfig
from timbre.measuring.measurement import Measurement, measurement, rounds


def measure_loading(
    data: DataConfig, audio: AudioConfig, cache: Path, batches: int, repeats: int
) -> Iterator[Measurement]:
    """Seconds of speech that one process and the configured workers make batches of each second.

    Features are made first, if they are not in the cache; making them is not measured.
    """
    loaders = {
        f"{workers}_workers": VoiceDataModule(replace(data, workers=workers), audio, cache)
        for workers in sorted({0, data.workers})
    }
    for loader in loaders.values():
        loader.setup()
    heard: dict[str, float] = {}

    def load(name: str) -> None:
        seconds = 0.0
        for batch in islice(loaders[name].train_dataloader(), batches):
            seconds += float(batch.mel_lengths.sum()) / audio.frames_per_second
        heard[name] = seconds

    parts: dict[str, Callable[[], object]] = {name: partial(load, name) for name in loaders}
    device = torch.device("cpu")
    times = rounds(parts, repeats, device)
    for name in loaders:
        yield measurement(
            f"load/{name}",
            heard[name] / times.medians[name],
            "audio-s/s",
            (1.0, "real time"),
            times.peak_mb[name],
            device,
        )
