"""Pictures of what training made: phonemes on the time axis, z_spk by dimension and as a map."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from data.mel import FRAMES_PER_TOKEN, AudioConfig
from data.text.symbols import SYMBOLS
from timbre.plots import save_figure
from timbre.speaker_space import SpeakerSpace


def plot_alignment(
    path: Path,
    readings: list[
        tuple[
            str,
            Float[ndarray, "mels _frames"],
            Int[ndarray, " phonemes"],
            Int[ndarray, " phonemes"],
        ]
    ],
    audio: AudioConfig,
    title: str,
) -> None:
    """Draws mels with the phonemes under them, each at the time at which it is spoken.

    Args:
        path: PNG file.
        readings: Title, mel (natural log), phonemes and their durations in tokens of each reading.
        audio: Geometry of the mel.
        title: Of the picture.
    """
    figure, axes = plt.subplots(
        len(readings), 1, figsize=(9, 2.6 * len(readings)), squeeze=False, layout="constrained"
    )
    for axis, (name, mel, phonemes, durations) in zip(axes[:, 0], readings, strict=True):
        seconds = mel.shape[1] / audio.frames_per_second
        span = (0.0, seconds, 0.0, float(audio.mel_channels))
        axis.imshow(mel, origin="lower", aspect="auto", extent=span, cmap="magma")
        lengths = durations * FRAMES_PER_TOKEN / audio.frames_per_second
        ends = np.cumsum(lengths)
        axis.vlines(ends, *span[2:], color="white", linewidth=0.4, alpha=0.7)
        for phoneme, middle in zip(phonemes, ends - lengths / 2, strict=True):
            axis.text(middle, -3, _shown(int(phoneme)), ha="center", va="top", fontsize=7)
        axis.set_xlim(0, max(seconds, 0.1))
        axis.set_xticks([])
        axis.set_ylabel(f"{name}\nmel band", fontsize=8)
    figure.suptitle(title, fontsize=9)
    save_figure(figure, path, dpi=90)


def plot_dimensions(path: Path, space: SpeakerSpace, title: str) -> None:
    """Draws the KL of each dimension of the speaker posterior, sorted."""
    nats = space.kl_per_dimension.sort(descending=True).values.numpy()
    figure, axis = plt.subplots(figsize=(6, 2.6), layout="constrained")
    axis.stairs(nats, np.arange(len(nats) + 1) - 0.5, fill=True)
    axis.set_xlabel("dimension, sorted")
    axis.set_ylabel("KL, nats")
    axis.set_title(f"{title}: {space.active_units} of {len(nats)} dimensions in use", fontsize=9)
    save_figure(figure, path, dpi=90)


def plot_map(path: Path, space: SpeakerSpace, held_out: list[bool], title: str) -> None:
    """Draws each clip's z_spk on a map: a colour per speaker, a triangle where it is held out.

    Args:
        path: PNG file.
        space: The clips.
        held_out: Whether each clip is one that is not trained on.
        title: Of the picture.
    """
    places = space.flat()
    figure, axis = plt.subplots(figsize=(5, 4.2), layout="constrained")
    speakers = sorted(set(space.speakers))
    colours = plt.get_cmap("tab20")
    for number, speaker in enumerate(speakers):
        for marker, kind in (("o", False), ("^", True)):
            chosen = [
                s == speaker and h is kind for s, h in zip(space.speakers, held_out, strict=True)
            ]
            label = speaker + (" (held out)" if kind else "")
            if any(chosen):
                across, up = places[chosen].T
                axis.scatter(
                    across, up, s=22, marker=marker, color=colours(number % 20), label=label
                )
    if len(speakers) <= 10:
        axis.legend(fontsize=7)
    score = space.cluster_score
    axis.set_title(title + ("" if score is None else f", cluster score {score:.2f}"), fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])
    save_figure(figure, path, dpi=90)


def _shown(phoneme: int) -> str:
    symbol = SYMBOLS[phoneme]
    return "·" if symbol.startswith("<") else symbol
