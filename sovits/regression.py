"""Regression decoder: one forward pass from latents to mel."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from data.masks import length_mask
from data.mel import FRAMES_PER_TOKEN
from sovits.convnext import ConvNeXtBlock
from sovits.decoder import Decoded, DecoderConfig, MelDecoder


class Trunk(nn.Module):
    """Deterministic network from semantic latents and a speaker vector to a normalised mel.

    Blocks at token rate, twice that, and mel frame rate (four times), each conditioned on the
    speaker by adaptive layer norm; rates are doubled by a linear layer that writes two positions.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, frame_width = config.channels, config.frame_channels
        self.enter = nn.Linear(config.semantic_channels, width)
        self.token_blocks = _blocks(config, width, config.token_layers)
        self.to_half = nn.Linear(width, 2 * width)
        self.half_blocks = _blocks(config, width, config.half_layers)
        self.half_norm = nn.LayerNorm(width)
        self.frame_blocks = _blocks(config, frame_width, config.frame_layers)
        self.to_frames = nn.Linear(width, 2 * frame_width) if config.frame_layers else None
        self.frame_norm = nn.LayerNorm(frame_width) if config.frame_layers else None
        last = frame_width if config.frame_layers else width
        self.leave = nn.Linear(last, (1 if config.frame_layers else 2) * config.mel_channels)

    def forward(
        self,
        z_sem: Float[Tensor, "batch tokens width"],
        token_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker"],
    ) -> tuple[Float[Tensor, "batch 4*tokens mels"], Float[Tensor, "batch 2*tokens hidden"]]:
        """Return the normalised mel and the hidden states at twice the token rate."""
        mask = length_mask(token_lengths, z_sem.shape[1])
        x = self.enter(z_sem)
        for block in self.token_blocks:
            x = block(x, mask, z_spk)
        x, mask = double(self.to_half(x)), _twice(mask)
        for block in self.half_blocks:
            x = block(x, mask, z_spk)
        hidden = self.half_norm(x)
        if self.to_frames is None or self.frame_norm is None:
            return double(self.leave(hidden)), hidden
        x, mask = double(self.to_frames(hidden)), _twice(mask)
        for block in self.frame_blocks:
            x = block(x, mask, z_spk)
        return self.leave(self.frame_norm(x)), hidden


class RegressionDecoder(MelDecoder):
    """Trunk alone. It has no loss terms of its own: the objective compares its mel to the target.

    Trained by L1 it predicts a median, which lacks texture; a mel adversary brings some back.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.trunk = Trunk(config)

    def forward(
        self,
        z_sem: Float[Tensor, "batch tokens width"],
        token_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker"],
        target: Float[Tensor, "batch mels 4*tokens"] | None = None,
        target_lengths: Int[Tensor, " batch"] | None = None,
    ) -> Decoded:
        """Predict the mel; the target of the interface changes nothing here."""
        mel, _ = self.trunk(z_sem, token_lengths, z_spk)
        return Decoded(self.finish(mel, frame_mask(token_lengths, z_sem.shape[1])))

    @torch.no_grad()
    def sample(
        self,
        z_sem: Float[Tensor, "batch tokens width"],
        token_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker"],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch mels 4*tokens"]:
        """Predict the mel, not below the log floor; nothing is random here."""
        mel = self(z_sem, token_lengths, z_spk).mel
        return mel.clamp(min=self.config.log_floor)


def double(x: Float[Tensor, "batch time twice"]) -> Float[Tensor, "batch 2*time channels"]:
    """Spread each position's channels over two positions of half the width."""
    batch, time, channels = x.shape
    return x.reshape(batch, 2 * time, channels // 2)


def frame_mask(token_lengths: Int[Tensor, " batch"], tokens: int) -> Bool[Tensor, "batch frames"]:
    """Return the mask of the mel frames of that many tokens."""
    return length_mask(FRAMES_PER_TOKEN * token_lengths, FRAMES_PER_TOKEN * tokens)


def _twice(mask: Tensor) -> Tensor:
    return mask.repeat_interleave(2, dim=1)


def _blocks(config: DecoderConfig, channels: int, layers: int) -> nn.ModuleList:
    return nn.ModuleList(
        ConvNeXtBlock(channels, config.speaker_channels, config.expansion, config.kernel)
        for _ in range(layers)
    )
