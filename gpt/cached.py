"""The transformer as generation runs it: packed weights, a static cache, few operations a step."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gpt.native import NativeLayers, load_library
from gpt.packed import Linear, pack_linear
from gpt.transformer import ROTARY_BASE, Transformer, TransformerBlock

Layers = tuple[Tensor, ...]


class KeyValueCache:
    """Preallocated keys and values of every layer; all rows write to the same slot.

    Rows whose prompts differ in length are aligned at their ends, so that a step appends to one
    slot of all rows; slots before a row's first are never attended to.

    Args:
        shape: layers, rows, heads and channels of a head.
        size: slots; grows when they are full.
        starts: first slot of each row; None: all rows begin at slot 0.
        device: where to keep them.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        size: int,
        starts: Int[Tensor, " rows"] | None,
        device: torch.device,
    ):
        layers, rows, heads, channels = shape
        # Zeros, not empty: masked slots get weight 0, and 0 times a stray NaN is NaN.
        self.data = torch.zeros(layers, rows, 2, heads, size, channels, device=device)
        self.starts = starts
        self.used = 0

    def extend(
        self, new: int
    ) -> tuple[Layers, Layers, Layers, Bool[Tensor, "rows 1 new used"] | None]:
        """Make room for `new` slots: where to write them, all keys, all values, and the mask."""
        first = self.reserve(new)
        written = self.data[..., : self.used, :]
        slots = self.data[..., first : self.used, :].unbind()
        return slots, written[:, :, 0].unbind(), written[:, :, 1].unbind(), self._mask(first)

    def reserve(self, new: int) -> int:
        """Make room for `new` slots and return the first of them."""
        first, self.used = self.used, self.used + new
        size = self.data.shape[4]
        if self.used > size:
            self.data = F.pad(self.data, (0, 0, 0, max(self.used - size, size)))
        return first

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Drop all but some rows; copies only those that move."""
        for place, row in enumerate(rows.tolist()):
            if place != row:
                self.data[:, place, :, :, : self.used] = self.data[:, row, :, :, : self.used]
        self.data = self.data[:, : len(rows)]
        self.starts = None if self.starts is None else self.starts[rows]

    def _mask(self, first: int) -> Bool[Tensor, "rows 1 new used"] | None:
        new = self.used - first
        if self.starts is None and new == 1:
            return None
        slots = torch.arange(self.used, device=self.data.device)
        causal = slots <= slots[first:, None]
        if self.starts is None:
            return causal.expand(self.data.shape[1], 1, -1, -1)
        # A row's padding attends to itself: a softmax over nothing would be NaN.
        inside = slots >= self.starts[:, None, None, None]
        return (causal & inside) | (slots == slots[first:, None])


@dataclass
class _Layer:
    attention_norm: Tensor
    qkv: Linear
    attention_out: Linear
    feed_forward_norm: Tensor
    gate_and_value: Linear
    feed_forward_out: Linear


class CachedTransformer:
    """A copy of a `Transformer` that reads packed weights and appends to a cache.

    Equal to the original's full forward up to the rounding of the weights. The residual stream,
    norms, attention and cache are fp32 whatever the weights are. Rows of the query and key weights
    are reordered such that the channels of a rotated pair are neighbours: the rotation is then one
    product of complex numbers, and scores do not change.

    Args:
        transformer: copied; what it learns later is not seen here.
        weights: see `gpt.packed.pack_linear`, which the torch layers use.
        max_positions: longest sequence.
        native: compute in C (`gpt.native`) instead of by torch; None: where that is possible.

    Raises:
        ValueError: `native` is True, but this is no CPU, or there is no compiler.
    """

    def __init__(
        self,
        transformer: Transformer,
        weights: str,
        max_positions: int,
        native: bool | None = None,
    ):
        self.weights = weights
        blocks = [block for block in transformer.blocks if isinstance(block, TransformerBlock)]
        self.heads, self.head_channels = blocks[0].attention.heads, transformer.head_channels
        self.norm = _norm_weight(transformer.norm)
        self.device = self.norm.device
        positions = torch.arange(max_positions, dtype=torch.float32, device=self.device)
        index = torch.arange(0, self.head_channels, 2, dtype=torch.float32, device=self.device)
        angles = positions[:, None] * ROTARY_BASE ** (-index / self.head_channels)
        self.rotation = torch.polar(torch.ones_like(angles), angles)
        self.depth = len(blocks)
        library = load_library() if native is not False and self.device.type == "cpu" else None
        if native and library is None:
            raise ValueError("native=True needs a CPU and a C compiler: use native=None")
        self.native: NativeLayers | None = None
        self.layers: list[_Layer] = []
        if library is None:
            self.layers = [self._pack(block) for block in blocks]
            return
        norms = [n for block in blocks for n in (block.attention_norm, block.feed_forward_norm)]
        self.native = NativeLayers(
            library,
            [self._products(block) for block in blocks],
            torch.stack([*(_norm_weight(norm) for norm in norms), self.norm]),
            self.rotation,
            self.heads,
            weights,
        )

    def new_cache(self, rows: int, size: int, starts: Tensor | None = None) -> KeyValueCache:
        """Return an empty cache with room for `size` positions."""
        shape = (self.depth, rows, self.heads, self.head_channels)
        return KeyValueCache(shape, size, starts, self.device)

    def __call__(
        self,
        x: Float[Tensor, "rows new width"],
        positions: Int[Tensor, "rows new"],
        cache: KeyValueCache,
    ) -> Float[Tensor, "rows new width"]:
        """Return the hidden states after the final norm, and append to the cache.

        Args:
            x: inputs, fp32.
            positions: of the inputs in their sequences (any valid number in padding).
            cache: of this transformer.
        """
        rows, new, width = x.shape
        if self.native is not None:
            first = cache.reserve(new)
            return self.native(x, positions, cache.data, cache.starts, first)
        slots, keys, values, mask = cache.extend(new)
        rotation = self.rotation[positions].view(rows * new, 1, -1)
        x = x.reshape(rows * new, width).clone()
        split = (rows, new, 3, self.heads, self.head_channels)
        for layer, slot, key, value in zip(self.layers, slots, keys, values, strict=True):
            qkv = layer.qkv(_rms_norm(x, layer.attention_norm))
            pairs = qkv[:, : 2 * width].view(rows * new, 2 * self.heads, -1, 2)
            torch.view_as_complex(pairs).mul_(rotation)
            parts = qkv.view(split).permute(0, 2, 3, 1, 4)
            slot.copy_(parts[:, 1:])
            y = F.scaled_dot_product_attention(parts[:, 0], key, value, attn_mask=mask)
            x += layer.attention_out(y.transpose(1, 2).reshape(rows * new, width))
            hidden = layer.gate_and_value(_rms_norm(x, layer.feed_forward_norm))
            gate, linear = hidden.chunk(2, -1)
            x += layer.feed_forward_out(F.silu(gate).mul_(linear))
        return _rms_norm(x, self.norm).view(rows, new, width)

    def _products(self, block: TransformerBlock) -> list[Tensor]:
        """Weights in the order in which a position passes them; fp32."""
        attention, feed_forward = block.attention, block.feed_forward
        qkv = attention.qkv.weight.unflatten(0, (3, self.heads, 2, -1))
        paired = torch.cat((qkv[:2].transpose(2, 3).flatten(0, 3), qkv[2].flatten(0, 2)))
        rest = (attention.out, feed_forward.gate_and_value, feed_forward.out)
        return [w.detach().float() for w in (paired, *(layer.weight for layer in rest))]

    def _pack(self, block: TransformerBlock) -> _Layer:
        qkv, out, gate_and_value, feed_forward_out = (
            pack_linear(weight, None, self.weights) for weight in self._products(block)
        )
        return _Layer(
            attention_norm=_norm_weight(block.attention_norm),
            qkv=qkv,
            attention_out=out,
            feed_forward_norm=_norm_weight(block.feed_forward_norm),
            gate_and_value=gate_and_value,
            feed_forward_out=feed_forward_out,
        )


def _norm_weight(norm: nn.RMSNorm) -> Tensor:
    return norm.weight.detach().float() * norm.weight.numel() ** 0.5


def _rms_norm(
    x: Float[Tensor, "positions width"], weight: Float[Tensor, " width"]
) -> Float[Tensor, "positions width"]:
    """RMSNorm in four operations, where torch's has seven on CPUs; weights hold sqrt(width).

    Torch adds 1.2e-7 to the mean square; this only keeps a vector of zeros (an untrained speaker
    layer's) what it is.
    """
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return (x * weight).div_(length.clamp_min_(1e-12))
