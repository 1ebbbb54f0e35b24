"""Normalizing flow on the speaker vector."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class CouplingFlow(nn.Module):
    """Affine coupling of one half of the vector given the other half.

    y_a = x_a, y_b = x_b · exp(s(x_a)) + t(x_a), log|det| = Σ s (RealNVP, arXiv 1605.08803,
    eq. 4-6). Which coordinates form the halves is a fixed permutation (Glow, arXiv 1807.03039,
    mixes them with a learned matrix). It is undone after the coupling, so that the block starts as
    the identity. The log scale is bounded by `max_log_scale · tanh`, so that the inverse stays well
    conditioned.

    Args:
        order: permutation of the coordinates; the first half conditions the second.
        hidden_channels: width of the conditioner, a multilayer perceptron with two hidden layers.
        max_log_scale: bound of |s|, in nats per coordinate.
    """

    kept: Tensor
    changed: Tensor
    restore: Tensor

    def __init__(
        self, order: list[int], hidden_channels: int = 256, max_log_scale: float = 1.5
    ) -> None:
        super().__init__()
        kept = len(order) // 2
        self.max_log_scale = max_log_scale
        self.register_buffer("kept", torch.tensor(order[:kept]))
        self.register_buffer("changed", torch.tensor(order[kept:]))
        self.register_buffer("restore", torch.tensor(order).argsort())
        last = nn.Linear(hidden_channels, 2 * (len(order) - kept))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.conditioner = nn.Sequential(
            nn.Linear(kept, hidden_channels),
            nn.GELU(),
            nn.Linear(hidden_channels, hidden_channels),
            nn.GELU(),
            last,
        )

    def forward(
        self, x: Float[Tensor, "batch channels"]
    ) -> tuple[Float[Tensor, "batch channels"], Float[Tensor, " batch"]]:
        """Return y and log|det dy/dx| in nats."""
        kept, changed = x[:, self.kept], x[:, self.changed]
        log_scale, shift = self._affine(kept)
        y = torch.cat([kept, changed * log_scale.exp() + shift], dim=-1)
        return y[:, self.restore], log_scale.sum(-1)

    def inverse(self, y: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch channels"]:
        """Return the x whose forward is y."""
        kept, changed = y[:, self.kept], y[:, self.changed]
        log_scale, shift = self._affine(kept)
        x = torch.cat([kept, (changed - shift) * (-log_scale).exp()], dim=-1)
        return x[:, self.restore]

    def _affine(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.conditioner(kept).chunk(2, dim=-1)
        return self.max_log_scale * torch.tanh(raw / self.max_log_scale), shift


class SpeakerFlow(nn.Module):
    """Stack of coupling blocks over vectors of one width, the identity before training.

    Each pair of blocks splits the coordinates at random (from a fixed seed) and swaps the roles of
    the halves, so every coordinate is transformed in each pair. Always computed in float32: a
    bfloat16 inverse would be off by percents.

    Args:
        channels: width of the vector, even.
        blocks: number of coupling blocks.
        hidden_channels: width of each conditioner.
    """

    def __init__(self, channels: int, blocks: int, hidden_channels: int = 256) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        orders: list[list[int]] = []
        for _ in range(math.ceil(blocks / 2)):
            order = torch.randperm(channels, generator=generator).tolist()
            orders += [order, order[channels // 2 :] + order[: channels // 2]]
        self.blocks = nn.ModuleList(
            CouplingFlow(order, hidden_channels) for order in orders[:blocks]
        )

    def forward(
        self, x: Float[Tensor, "batch channels"]
    ) -> tuple[Float[Tensor, "batch channels"], Float[Tensor, " batch"]]:
        """Return y and log|det dy/dx| in nats, both float32."""
        with torch.autocast(x.device.type, enabled=False):
            y = x.float()
            log_det = y.new_zeros(y.shape[0])
            for block in self.blocks:
                y, change = block(y)
                log_det = log_det + change
            return y, log_det

    def inverse(self, y: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch channels"]:
        """Return the x whose forward is y, float32."""
        with torch.autocast(y.device.type, enabled=False):
            x = y.float()
            for block in reversed(self.blocks):
                assert isinstance(block, CouplingFlow)
                x = block.inverse(x)
            return x
