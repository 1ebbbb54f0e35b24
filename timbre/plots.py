"""Pictures of a run: mel spectrograms and curves, as PNG files."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from data.mel import AudioConfig
from timbre.metrics import Row, curve


def plot_mels(
    path: Path, target: np.ndarray, predicted: np.ndarray, audio: AudioConfig, title: str
) -> None:
    """Draws target, prediction and their difference, each `[mels, frames]` in natural log."""
    frames = min(target.shape[1], predicted.shape[1])
    target, predicted = target[:, :frames], predicted[:, :frames]
    figure, axes = plt.subplots(3, 1, figsize=(8, 6.5), sharex=True, layout="constrained")
    span = [0, frames / audio.frames_per_second, 0, audio.mel_channels]
    low, high = float(target.min()), float(target.max())
    rows = (
        ("target", target, "magma", low, high),
        ("predicted", predicted, "magma", low, high),
        ("predicted - target", predicted - target, "coolwarm", -4.0, 4.0),
    )
    for axis, (name, mel, colours, least, most) in zip(axes, rows, strict=True):
        image = axis.imshow(
            mel, origin="lower", aspect="auto", extent=span, cmap=colours, vmin=least, vmax=most
        )
        axis.set_ylabel(f"{name}\nmel band")
        figure.colorbar(image, ax=axis, label="nats")
    axes[-1].set_xlabel("seconds")
    figure.suptitle(title)
    save_figure(figure, path, dpi=90)


def plot_columns(path: Path, rows: list[Row], names: list[str]) -> None:
    """Draws some columns of metrics.csv, one small panel each; those without values are left out.

    Args:
        path: PNG file.
        rows: Of metrics.csv.
        names: Columns.
    """
    drawn = [name for name in names if curve(rows, name)[0]]
    columns = min(4, max(1, len(drawn)))
    height = max(1, -(-len(drawn) // columns))
    figure, axes = plt.subplots(
        height, columns, figsize=(2.6 * columns, 2.0 * height), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(drawn) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, drawn, strict=False):
        updates, values = curve(rows, name)
        axis.plot(updates, values, "o-" if name.startswith("val/") else "-", markersize=3)
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    save_figure(figure, path, dpi=80)


def plot_curves(path: Path, rows: list[Row]) -> None:
    """Draws every logged loss over the updates, training and validation together."""
    names = sorted({name.partition("/")[2] for row in rows for name in row if name != "update"})
    drawn = [
        name
        for name in names
        if any(len(curve(rows, f"{split}/{name}")[0]) > 1 for split in ("train", "val"))
    ]
    columns = 4
    height = max(1, -(-len(drawn) // columns))
    inches = 2.4 * height
    figure, axes = plt.subplots(height, columns, figsize=(14, inches), squeeze=False)
    # Fixed margins: a layout engine draws everything twice, which takes seconds.
    figure.subplots_adjust(0.05, 0.3 / inches, 0.99, 1 - 0.3 / inches, wspace=0.2, hspace=0.4)
    for axis in axes.flat[len(drawn) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, drawn, strict=False):
        for split, style in (("train", "-"), ("val", "o-")):
            updates, values = curve(rows, f"{split}/{name}")
            axis.plot(updates, values, style, label=split, linewidth=1.2, markersize=3)
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.locator_params(nbins=4)  # ticks are most of the work
    if drawn:
        axes.flat[0].legend(fontsize=7)
    save_figure(figure, path, dpi=90)


def save_figure(figure: plt.Figure, path: Path, dpi: int) -> None:
    """Writes a picture, into a folder that may be new, and forgets it even if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=dpi)
    finally:
        plt.close(figure)
