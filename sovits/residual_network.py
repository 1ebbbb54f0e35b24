"""The network inside the generative decoders: it looks at a noisy residual of the mel."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sovits.convnext import ConvNeXtBlock
from sovits.decoder import DecoderConfig
from sovits.regression import double

TIME_CHANNELS = 128
"""Width of the sinusoidal embedding of the time."""


class ResidualNetwork(nn.Module):
    """What to do with a noisy residual, given everything known about the frame.

    Its answer is the flow's velocity or the diffusion's noise. Known are the trunk's mel, its
    hidden states and z_sem: a flow that sees the mel alone was measured to cost words, as it
    re-invents detail without knowing the phoneme. Speaker and time enter by adaptive layer norm.
    Works at mel frame rate on normalised mels, channels last.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width = config.flow_channels
        self.from_state = nn.Linear(config.mel_channels, width)
        self.from_mel = nn.Linear(config.mel_channels, width)
        self.from_hidden = nn.Linear(config.channels, 2 * width)
        self.from_semantic = nn.Linear(config.semantic_channels, 2 * width)
        self.from_speaker = nn.Linear(config.speaker_channels, width)
        self.from_time = nn.Sequential(
            nn.Linear(TIME_CHANNELS, width), nn.GELU(), nn.Linear(width, width)
        )
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(width, width, config.expansion, config.kernel)
            for _ in range(config.flow_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, config.mel_channels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def known(
        self,
        z_sem: Float[Tensor, "batch tokens width"],
        hidden: Float[Tensor, "batch 2*tokens hidden"],
        trunk_mel: Float[Tensor, "batch 4*tokens mels"],
    ) -> Float[Tensor, "batch 4*tokens channels"]:
        """Gather what depends on neither time nor noise: once per sample, not once per step."""
        semantic = self.from_semantic(z_sem).repeat_interleave(2, dim=1)
        return double(self.from_hidden(hidden) + semantic) + self.from_mel(trunk_mel)

    def forward(
        self,
        x: Float[Tensor, "batch frames mels"],
        time: Float[Tensor, " batch"],
        known: Float[Tensor, "batch frames channels"],
        z_spk: Float[Tensor, "batch speaker"],
        mask: Bool[Tensor, "batch frames"],
    ) -> Float[Tensor, "batch frames mels"]:
        """Return the answer for the noisy residual x at a time from 0 to 1, float32."""
        condition = self.from_speaker(z_spk) + self.from_time(embed_time(time))
        h = self.from_state(x) + known
        for block in self.blocks:
            h = block(h, mask, condition)
        return self.leave(self.norm(h)).float()


def embed_time(time: Float[Tensor, " batch"]) -> Float[Tensor, "batch channels"]:
    """Return sines and cosines of 1000 · time at geometric frequencies, float32."""
    half = TIME_CHANNELS // 2
    octaves = torch.arange(half, device=time.device, dtype=torch.float32) / half
    angles = 1000 * time.float().unsqueeze(1) * torch.exp(-math.log(1e4) * octaves)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def start_noise(
    lengths: Int[Tensor, " batch"],
    frames: int,
    channels: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "batch {frames} {channels}"]:
    """Return standard normal noise for the valid frames, zero in the padding.

    Drawn item by item, so that an item's noise depends on what stands before it in the batch and
    never on the padding.
    """
    noise = torch.zeros(len(lengths), frames, channels, device=lengths.device)
    for item, length in enumerate(lengths.tolist()):
        noise[item, :length] = torch.randn(
            length, channels, generator=generator, device=lengths.device
        )
    return noise


def spread_times(like: Float[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
    """Return a uniform time in [0, 1) for each item.

    One draw per batch, spread evenly over the items: the same marginal as independent draws, with
    much less variance of the loss (arXiv 2107.00630).
    """
    spread = torch.arange(len(like), device=like.device) / len(like)
    return (torch.rand((), device=like.device) + spread) % 1
