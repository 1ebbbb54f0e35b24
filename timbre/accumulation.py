"""One update computed in parts: the same effective batch with less memory at a time."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from data.batch import Batch
from data.errors import InputError
from timbre.randomness import Draw
from timbre.selection import rows_of

logger = logging.getLogger(__name__)

_POSITIONS = ("semantic", "token_accuracy", "cross_entropy")
_FRAMES = (
    *("rec", "pitch", "flow", "diffusion", "perceptual", "content_consistency", "tokenizer_rec"),
)
"""Terms that are means over GPT's targets or over mel frames; the others are means over items, or
over crops of one length."""
_ALLOCATION = ("can't allocate memory", "not enough memory", "ALLOC_FAILED")
"""What allocators other than CUDA's say."""


@dataclass(frozen=True)
class Part:
    """Some items of a batch."""

    batch: Batch
    """The items."""
    draw: Draw
    """Their random numbers, those that they get in the whole batch."""
    number: int = 0
    """Which part it is."""
    positions: float = 1.0
    """Its share of the batch's targets of GPT."""
    frames: float = 1.0
    """Its share of the batch's mel frames."""
    items: float = 1.0
    """Its share of the batch's items."""

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole batch."""
        return self.items == 1.0

    def share(self, term: str) -> float:
        """What the mean of a term over this part counts in the mean over the batch."""
        if term in _POSITIONS:
            return self.positions
        return self.frames if term in _FRAMES else self.items

    def shared(self, values: dict[str, Tensor], crops: Collection[str] = ()) -> dict[str, Tensor]:
        """Each value times its share; what was measured on crops of one length counts by items."""
        return {
            name: (self.items if name in crops else self.share(name)) * value
            for name, value in values.items()
        }


def split(batch: Batch, parts: int, draw: Draw, layout: str) -> Iterator[Part]:
    """The batch in so many parts, or as many as it has items.

    Items go to the parts in turn. Padding stays as it is, so that crops lie where they would.

    Args:
        batch: To split.
        parts: Wanted number.
        draw: Randomness of the update.
        layout: GPT's layout, which says how many targets an item has.
    """
    items = len(batch)
    parts = max(1, min(parts, items))
    if parts == 1:
        yield Part(batch, draw)
        return
    frames = batch.mel_lengths.float()
    positions = frames
    if batch.token_lengths is not None:
        ends = batch.phoneme_lengths if layout == "interleaved" else 1
        positions = (batch.token_lengths + ends).float()
    for number in range(parts):
        rows = torch.arange(number, items, parts, device=batch.mel.device)
        yield Part(
            rows_of(batch, rows),
            draw.of(rows, items),
            number,
            float(positions[rows].sum() / positions.sum()),
            float(frames[rows].sum() / frames.sum()),
            len(rows) / items,
        )


def total_of(parts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The sum over the parts of each named value."""
    sums: dict[str, Tensor] = {}
    for values in parts:
        for name, value in values.items():
            sums[name] = sums[name] + value if name in sums else value
    return sums


class Memory:
    """In how many parts batches are computed; more of them once the memory is full.

    Args:
        parts: To begin with.
    """

    def __init__(self, parts: int) -> None:
        self.parts = parts

    def fitted(self, items: int, world: int, compute: Callable[[], dict[str, Tensor]]) -> dict:
        """What `compute` returns, in as many parts as the memory needs.

        Args:
            items: Items of the batch.
            world: Number of devices.
            compute: Begins anew at each call, and reads `parts`.

        Raises:
            InputError: The memory does not hold a single item, or one of several devices is full.
        """
        while True:
            try:
                return compute()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0] if str(error) else "out of memory"
            self._halve(items, world, reason)

    def _halve(self, items: int, world: int, reason: str) -> None:
        gc.collect()  # what the failed attempt had computed
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if world > 1:
            raise InputError(
                f"out of memory on one of {world} devices ({reason}): the others cannot know. Set "
                f"train.accumulate={2 * self.parts} (the effective batch stays) and resume"
            )
        if self.parts >= items:
            raise InputError(
                f"out of memory with a single utterance ({reason}). Use shorter clips, a smaller "
                "model or crops (objective.mel_segment_frames, objective.wave_segment_frames), or "
                "trainer.precision=bf16-mixed"
            )
        self.parts *= 2
        logger.warning(
            "out of memory (%s): from now on each batch is computed in %d parts of at most %d "
            "items. The effective batch stays the same; train.accumulate=%d begins so",
            reason,
            self.parts,
            -(-items // self.parts),
            self.parts,
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory, or the computer's, is used up."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(words in str(error) for words in _ALLOCATION)
