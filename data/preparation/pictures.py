"""Pictures of a prepared voice, as PNG data for a page."""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from data.mel import AudioConfig, LogMel
from data.preparation.coverage import Coverage

_BINS = 24


def histograms(groups: dict[str, tuple[Sequence[float], Sequence[float]]]) -> bytes:
    """Draw a histogram of the kept and dropped clips for each named quantity."""
    figure, axes = plt.subplots(
        1, len(groups), figsize=(4 * len(groups), 2.8), layout="constrained", squeeze=False
    )
    for axis, (name, (kept, dropped)) in zip(axes[0], groups.items(), strict=True):
        values = [*kept, *dropped]
        edges = np.linspace(min(values), max(values) + 1e-6, _BINS) if values else _BINS
        axis.hist([kept, dropped], edges, stacked=True, label=["kept", "dropped"])
        axis.set_xlabel(name)
        axis.set_ylabel("clips")
    axes[0][0].legend(fontsize=8)
    return _png(figure)


def mel(audio: Float32[ndarray, " samples"], config: AudioConfig) -> bytes:
    """Draw the log-mel spectrogram of a clip."""
    values = LogMel(config)(torch.from_numpy(audio)[None])[0].numpy()
    figure, axis = plt.subplots(figsize=(8, 2.2), layout="constrained")
    span = (0.0, values.shape[1] / config.frames_per_second, 0.0, float(config.mel_channels))
    axis.imshow(values, origin="lower", aspect="auto", extent=span, cmap="magma")
    axis.set_xlabel("seconds")
    axis.set_ylabel("mel band")
    return _png(figure)


def phonemes(coverage: Coverage) -> bytes:
    """Draw how often each phoneme occurs; those that are missing stand at the end, at zero."""
    names = [*coverage.counts, *coverage.missing]
    counts = [*coverage.counts.values(), *([0] * len(coverage.missing))]
    width = max(6.0, 0.16 * len(names))
    figure, axis = plt.subplots(figsize=(width, 2.6), layout="constrained")
    colours = ["C0" if count else "C3" for count in counts]
    axis.bar(range(len(names)), [max(count, 0.6) for count in counts], color=colours)
    axis.set_yscale("log")
    axis.set_xticks(range(len(names)), names, fontsize=8)
    axis.set_ylabel("times")
    axis.set_xlim(-1, len(names))
    return _png(figure)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=85)
    plt.close(figure)
    return file.getvalue()
