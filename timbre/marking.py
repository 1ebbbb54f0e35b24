"""The mark of synthetic speech: heard by no one, found by `scripts/detect.py`.

A mark says that a recording came out of a synthesiser, not out of which: Chatterbox and others
leave the same one.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from data.errors import MachineError

_GRID_SECONDS = 0.02
"""Windows begin at multiples: two hops of the marking network, whole samples at any usual rate."""
_REACH_SECONDS = 0.3
"""Further than the mark of a sample depends on: five convolutions over 70 ms, and two STFTs."""
_SILENCE = 1e-4
"""Quieter than any speech; the network divides by nothing where there is no sound."""


class Watermark:
    """resemble-perth's implicit watermark (MIT): a residual in the magnitudes below 2 kHz.

    It survives 16-bit rounding, MP3, Ogg Vorbis and resampling to 16 kHz (a test looks).

    Raises:
        MachineError: resemble-perth, or something that it needs and does not declare, is missing.
    """

    CERTAIN = 0.85
    """Above it, a recording counts as marked. 187 clips of human and synthetic speech got 0.83 at
    most, and 0.88 at least when they were marked; the worst lasted less than 3 s."""

    def __init__(self) -> None:
        self._marker: Any = _load()

    def mark(
        self, audio: Float[ndarray, " samples"], sample_rate_hz: int
    ) -> Float[ndarray, " samples"]:
        """The same speech, marked."""
        return np.concatenate([*self.mark_stream([audio], sample_rate_hz)])

    def mark_stream(
        self, chunks: Iterable[ndarray], sample_rate_hz: int
    ) -> Iterator[Float[ndarray, " samples"]]:
        """Marks speech while it comes; what goes out is 0.3 s behind, and the same in all chunks.

        Args:
            chunks: Samples in [-1, 1], in one-dimensional pieces of any length.
            sample_rate_hz: Their rate.
        """
        grid = round(_GRID_SECONDS * sample_rate_hz)
        reach = grid * round(_REACH_SECONDS / _GRID_SECONDS)
        window, done = np.zeros(0, dtype=np.float32), 0
        for chunk in chunks:
            window = np.concatenate([window, chunk.astype(np.float32)])
            ready = max(0, len(window) - reach) // grid * grid
            if ready > done:
                yield self._marked(window, sample_rate_hz)[done:ready]
                kept = max(0, ready - reach)
                window, done = window[kept:], ready - kept
        yield self._marked(window, sample_rate_hz)[done:]

    def certainty(self, audio: Float[ndarray, " samples"], sample_rate_hz: int) -> float:
        """How sure the detector is that it hears a mark: 0 to 1; 0 in silence."""
        if not _sounds(audio):
            return 0.0
        with torch.inference_mode():
            answer = self._marker.get_watermark(audio, sample_rate_hz, round=False)
        return float(np.nan_to_num(answer))

    def _marked(
        self, window: Float[ndarray, " samples"], sample_rate_hz: int
    ) -> Float[ndarray, " samples"]:
        if not _sounds(window):
            return window
        # The library drops what is left of the last hop.
        padded = np.pad(window, (0, round(_REACH_SECONDS * sample_rate_hz)))
        with torch.inference_mode():
            marked = self._marker.apply_watermark(padded, sample_rate_hz)
        return np.asarray(marked[: len(window)], dtype=np.float32)


def _sounds(audio: Float[ndarray, " samples"]) -> bool:
    return bool(len(audio)) and float(np.abs(audio).max()) > _SILENCE


def _load() -> Any:
    # pkg_resources warns that it will go, and the library announces itself on the standard output,
    # where a stream's samples go.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            import perth
        except ImportError as error:
            raise _missing(str(error)) from error
        if perth.PerthImplicitWatermarker is None:  # it swallows what it could not import
            raise _missing("it could not be loaded")
        return perth.PerthImplicitWatermarker()


def _missing(reason: str) -> MachineError:
    return MachineError(
        f"the mark of synthetic speech needs resemble-perth ({reason}): pip install "
        "resemble-perth torchaudio 'setuptools<81', or leave the mark out with watermark=false"
    )
