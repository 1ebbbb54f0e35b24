"""Finite scalar quantization: a codebook without a codebook."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class FSQ(nn.Module):
    """Round each of a few bounded channels to a fixed number of levels.

    Source: Mentzer et al. 2023, arXiv 2309.15505, section 3.1 and appendix A.1. The gradient passes
    the rounding unchanged (straight-through). All arithmetic is in fp32, also under autocast:
    in bf16 the values near a rounding border would fall to the other side.

    Args:
        levels: number of levels of each channel; the number of codes is their product.
    """

    sizes: Tensor
    basis: Tensor
    half_range: Tensor
    offset: Tensor
    shift: Tensor

    def __init__(self, levels: Sequence[int]):
        super().__init__()
        if not levels or min(levels) < 2:
            raise ValueError(f"FSQ needs at least 2 levels in every channel, got {tuple(levels)}")
        self.codes = math.prod(levels)
        sizes = torch.tensor(tuple(levels))
        # Slightly more than half the range, so that tanh can reach the outermost levels.
        half_range = (sizes - 1) * (1 + 1e-3) / 2
        offset = torch.where(sizes % 2 == 0, 0.5, 0.0)
        basis = torch.cumprod(torch.cat((torch.ones(1, dtype=torch.int64), sizes[:-1])), 0)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("half_range", half_range, persistent=False)
        self.register_buffer("offset", offset, persistent=False)
        self.register_buffer("shift", torch.atanh(offset / half_range), persistent=False)

    def forward(
        self, values: Float[Tensor, "batch time channels"]
    ) -> tuple[Float[Tensor, "batch time channels"], Int[Tensor, "batch time"]]:
        """Quantize; returns the rounded values in [-1, 1] and the code index of each position."""
        bounded = torch.tanh(values.float() + self.shift) * self.half_range - self.offset
        rounded = bounded.round()
        half_width = self.sizes // 2
        digits = rounded.detach().long() + half_width
        straight_through = bounded + (rounded - bounded).detach()
        return straight_through / half_width, (digits * self.basis).sum(-1)
