"""Randomness of one update that does not depend on how many devices share it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Draw:
    """Draws per item of the global batch; each rank keeps its own rows (`rank::world`).

    All ranks seed torch alike at every update and draw for all items, so an item gets the same
    numbers on one device and on many.

    Args:
        device: Where the numbers are made.
        world: Number of ranks.
        rank: This rank.
    """

    def __init__(self, device: torch.device, world: int = 1, rank: int = 0) -> None:
        self.device = device
        self.world = world
        self.rank = rank
        self._items = 0
        self._rows: Tensor | None = None
        self._drawn: list[Tensor] = []
        self._taken = 0

    def of(self, rows: Int[Tensor, " rows"], items: int) -> Draw:
        """The draws of some of this rank's items: the numbers that they get in the whole batch.

        Args:
            rows: Their positions.
            items: This rank's number of items in the whole batch.
        """
        part = Draw(self.device, self.world, self.rank)
        part._rows, part._items, part._drawn = rows, items, self._drawn
        return part

    def normal(self, batch: int, channels: int) -> Float[Tensor, "batch channels"]:
        """Standard normal numbers for this rank's `batch` items."""
        return self._take(batch, lambda n: torch.randn(n, channels, device=self.device))

    def uniform(self, batch: int) -> Float[Tensor, " batch"]:
        """Numbers from [0, 1), one per item of this rank."""
        return self._take(batch, lambda n: torch.rand(n, device=self.device))

    def _take(self, batch: int, make: Callable[[int], Tensor]) -> Tensor:
        if self._rows is None:
            return make(batch * self.world)[self.rank :: self.world]
        if self._taken == len(self._drawn):
            self._drawn.append(make(self._items * self.world)[self.rank :: self.world])
        self._taken += 1
        return self._drawn[self._taken - 1][self._rows]
