"""The phoneme encoder: what each phoneme is, among its neighbours on both sides."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gpt.convnext import ConvNeXtBlock


class PhonemeEncoder(nn.Module):
    """Symbols and marks -> one vector per phoneme that knows the phonemes ahead.

    A causal model that reads phonemes one by one cannot prepare the next sound or place the
    sentence's melody; this look-ahead is what makes the interleaved layout work.

    Args:
        symbols: size of the symbol table.
        mark_sizes: number of values of each mark (stress, word start, punctuation, language).
        channels: width of the blocks.
        layers: number of ConvNeXt blocks; each looks 2 phonemes further to both sides.
        out_channels: width of the result.
    """

    def __init__(
        self,
        symbols: int,
        mark_sizes: Sequence[int],
        channels: int,
        layers: int,
        out_channels: int,
    ):
        super().__init__()
        self.symbol = nn.Embedding(symbols, channels)
        self.marks = nn.ModuleList(nn.Embedding(size, channels) for size in mark_sizes)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(channels, expansion=2, kernel=5) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, out_channels)
        self.embedding_scale = channels**0.5

    def forward(
        self,
        phonemes: Int[Tensor, "batch phonemes"],
        marks: Int[Tensor, "batch phonemes marks"],
        mask: Bool[Tensor, "batch phonemes"],
    ) -> Float[Tensor, "batch phonemes out_channels"]:
        """Encode phonemes; those where `mask` is False never reach the others."""
        embedded = [self.symbol(phonemes)]
        embedded += [table(marks[..., i]) for i, table in enumerate(self.marks)]
        x = torch.stack(embedded).sum(0) * self.embedding_scale
        for block in self.blocks:
            x = block(x, mask)
        return self.project(self.norm(x))
