"""Batch order: which items are in the batch of a given update.

Everything here is a pure function of its arguments. A run that is resumed at update k sees the
batches that it would have seen, at no cost for the updates before it.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64
from numpy import ndarray


@runtime_checkable
class Order(Protocol):
    """Anything that says which items make up the batch of an update."""

    @property
    def batches_per_epoch(self) -> int:
        """Batches in which every item of the (primary) set appears exactly once."""
        ...

    def at(self, update: int) -> list[int]:
        """Return the item indices of the global batch of this update, never empty."""
        ...


class BatchOrder:
    """Batches of items of similar length, in another order every epoch.

    Items are sorted by length with some jitter and cut into batches, and the batches are shuffled.
    The sizes of the batches are planned once, for the worst that the jitter can do, so that every
    epoch has the same number of batches and the batch of any update is found directly.

    Args:
        lengths: length of each item in frames.
        max_frames: limit of items x longest item of a batch, i.e. with padding. An item that is
            longer by itself makes its own batch.
        max_items: most items in a batch.
        seed: another seed, another order.
        jitter: how far an item may move in the sorted order, as a share of all items. 0 keeps
            items of equal length together for ever, 1 mixes all lengths.

    Raises:
        ValueError: there are no items, or a limit is not positive.
    """

    def __init__(
        self,
        lengths: Sequence[int] | Int64[ndarray, " items"],
        max_frames: int,
        max_items: int,
        seed: int,
        jitter: float = 0.05,
    ) -> None:
        if len(lengths) == 0:
            raise ValueError("a batch order needs at least one item")
        if max_frames < 1 or max_items < 1 or not 0 <= jitter <= 1:
            raise ValueError(
                f"max_frames={max_frames} and max_items={max_items} must be at least 1, "
                f"jitter={jitter} from 0 to 1"
            )
        self._seed = seed
        lengths = np.asarray(lengths, dtype=np.int64)
        self._sorted = np.argsort(lengths, kind="stable")
        self._reach = int(np.ceil(jitter * (len(lengths) - 1)))
        # The longest item that may come to stand at a position: see `_epoch`.
        positions = np.minimum(np.arange(len(lengths)) + self._reach, len(lengths) - 1)
        bound = lengths[self._sorted[positions]]
        self._starts = _plan(bound, max_frames, max_items)
        self._current: tuple[int, list[list[int]]] | None = None

    @property
    def batches_per_epoch(self) -> int:
        """Batches in which every item appears exactly once."""
        return len(self._starts)

    def at(self, update: int) -> list[int]:
        """Return the item indices of the global batch of this update, never empty."""
        epoch, batch = divmod(update, self.batches_per_epoch)
        if self._current is None or self._current[0] != epoch:
            self._current = (epoch, self._epoch(epoch))
        return self._current[1][batch]

    def _epoch(self, epoch: int) -> list[list[int]]:
        rng = np.random.default_rng([self._seed, epoch])
        # Keys i + U(0, reach): an item passes only neighbours less than `reach` away, so that
        # position p never holds an item from beyond p + reach.
        keys = np.arange(len(self._sorted)) + rng.uniform(0, self._reach, len(self._sorted))
        items = self._sorted[np.argsort(keys, kind="stable")]
        batches = np.split(items, self._starts[1:])
        return [batches[i].tolist() for i in rng.permutation(len(batches))]


class ReplayOrder:
    """Batches of a primary set, each with some items of a replay set that keeps old skills alive.

    The replay items are drawn anew for each update among those not longer than the batch's longest
    primary item (the shortest ones where too few are), so that they add no padding. Their index is
    that of the replay set plus the size of the primary set.

    Args:
        primary: lengths of the primary items in frames.
        replay: lengths of the replay items in frames.
        fraction: share of replay items among all items, greater than 0 and less than 1; exact on
            average.
        max_frames: as in `BatchOrder`, of the whole batch; rounding may exceed it by one item.
        max_items: as in `BatchOrder`, of the whole batch; at least 2.
        seed: another seed, another order.
        jitter: as in `BatchOrder`.

    Raises:
        ValueError: a set is empty, or a limit or the fraction is impossible.
    """

    def __init__(
        self,
        primary: Sequence[int] | Int64[ndarray, " items"],
        replay: Sequence[int] | Int64[ndarray, " replay_items"],
        fraction: float,
        max_frames: int,
        max_items: int,
        seed: int,
        jitter: float = 0.05,
    ) -> None:
        if not 0 < fraction < 1 or len(replay) == 0 or max_items < 2:
            raise ValueError(
                f"replay needs a fraction between 0 and 1 (is {fraction}), at least one replay "
                f"item (has {len(replay)}) and max_items of at least 2 (is {max_items})"
            )
        own = 1 - fraction
        self._primary = BatchOrder(
            primary, max(1, int(max_frames * own)), max(1, int(max_items * own)), seed, jitter
        )
        self._primary_lengths = np.asarray(primary, dtype=np.int64)
        lengths = np.asarray(replay, dtype=np.int64)
        self._sorted = np.argsort(lengths, kind="stable")
        self._sorted_lengths = lengths[self._sorted]
        self._ratio = fraction / own
        self._seed = seed

    @property
    def batches_per_epoch(self) -> int:
        """Batches in which every primary item appears exactly once."""
        return self._primary.batches_per_epoch

    def at(self, update: int) -> list[int]:
        """Return the item indices of the global batch of this update, primary items first."""
        items = self._primary.at(update)
        rng = np.random.default_rng([self._seed, update])
        count = min(int(len(items) * self._ratio + rng.random()), len(self._sorted))
        longest = self._primary_lengths[items].max()
        fitting = max(int(np.searchsorted(self._sorted_lengths, longest, "right")), count)
        drawn = self._sorted[rng.choice(fitting, size=count, replace=False)]
        return items + (drawn + len(self._primary_lengths)).tolist()


def shard(items: Sequence[int], rank: int, world: int) -> list[tuple[int, int]]:
    """Return the part of a global batch that one of `world` processes takes.

    Args:
        items: item indices of the global batch.
        rank: number of this process, from 0.
        world: number of processes. A batch that does not divide by it repeats its last item.

    Returns:
        (slot, item) of every `world`-th item from `rank` on, slot being the place in the global
        batch: what is random about an example depends on it, not on the number of processes.
    """
    padded = [*items, *[items[-1]] * (-len(items) % world)]
    return list(enumerate(padded))[rank::world]


def fixed_batches(
    lengths: Int64[ndarray, " items"], max_frames: int, max_items: int
) -> list[list[int]]:
    """Return all items in batches, in the order given; the limits are those of `BatchOrder`."""
    starts = _fill(lengths, max_frames, max_items)
    return [part.tolist() for part in np.split(np.arange(len(lengths)), starts[1:])]


def _plan(bound: Int64[ndarray, " items"], max_frames: int, max_items: int) -> ndarray:
    """Return the first position of each batch, the batches being as even as their number allows.

    Filling batches to the limit leaves a rest: 17 items at most 16 together would become 16 and 1.
    The smallest limit that needs no more batches makes them 9 and 8.
    """
    starts = _fill(bound, max_frames, max_items)
    low, high = 1, max_frames
    while low < high:
        middle = (low + high) // 2
        if len(_fill(bound, middle, max_items)) > len(starts):
            low = middle + 1
        else:
            high = middle
    return _fill(bound, low, max_items)


def _fill(lengths: Int64[ndarray, " items"], max_frames: int, max_items: int) -> ndarray:
    """Return the first position of each batch, filling one batch after the other."""
    starts, longest = [0], 0
    for position, length in enumerate(lengths.tolist()):
        size, longest = position - starts[-1] + 1, max(longest, length)
        if size > 1 and (size > max_items or size * longest > max_frames):
            starts.append(position)
            longest = length
    return np.array(starts)
