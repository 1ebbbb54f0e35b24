"""Randomness of one update that does not depend on how many devices share it."""

from __future__ import annotations

import torch
from jaxtyping import Float
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

    def normal(self, batch: int, channels: int) -> Float[Tensor, "batch channels"]:
        """Standard normal numbers for this rank's `batch` items."""
        return torch.randn(batch * self.world, channels, device=self.device)[
            self.rank :: self.world
        ]

    def uniform(self, batch: int) -> Float[Tensor, " batch"]:
        """Numbers from [0, 1), one per item of this rank."""
        return torch.rand(batch * self.world, device=self.device)[self.rank :: self.world]
