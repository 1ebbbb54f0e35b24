"""Flow-matching decoder: regression trunk plus a generative model of what the trunk leaves out."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from data.masks import length_mask
from data.mel import FRAMES_PER_TOKEN
from losses.reduction import masked_mean
from sovits.convnext import ConvNeXtBlock
from sovits.decoder import Decoded, DecoderConfig, MelDecoder
from sovits.regression import Trunk, double, frame_mask

TIME_CHANNELS = 128
"""Width of the sinusoidal embedding of the flow's time."""


class VelocityNetwork(nn.Module):
    """Velocity of the residual at a flow time, given everything known about the frame.

    Known are the trunk's mel, its hidden states and z_sem: a flow that sees the mel alone was
    measured to cost words, as it re-invents detail without knowing the phoneme. Speaker and time
    enter by adaptive layer norm. Works at mel frame rate on normalised mels, channels last.
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
        """Return dx/dt at the residual x and flow time 0 (noise) to 1 (data), float32."""
        condition = self.from_speaker(z_spk) + self.from_time(embed_time(time))
        h = self.from_state(x) + known
        for block in self.blocks:
            h = block(h, mask, condition)
        return self.leave(self.norm(h)).float()


class FlowMatchingDecoder(MelDecoder):
    """Regression trunk, then conditional flow matching on its residual (arXiv 2210.02747).

    With r = (mel - trunk mel) / residual_scale in normalised units, noise e ~ N(0, training_noise²)
    and time t ~ U(0, 1), x_t = (1 - t) e + t r is the straight path from noise to data, and the
    network v is trained by E|v(x_t, t) - (r - e)|² (eq. 23 with sigma_min = 0). Sampling integrates
    dx/dt = v by Euler steps from noise of `sampling_noise`. Unlike the paper's, our data are a
    residual, and noise in sampling is smaller than in training.

    The trunk mel is detached in r and as a condition: the trunk stays a regression, judged by the
    objective's reconstruction term alone. Gradients do reach z_spk, z_sem and the trunk's hidden
    states, since texture is part of the voice.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.trunk = Trunk(config)
        self.velocity = VelocityNetwork(config)

    def forward(
        self,
        z_sem: Float[Tensor, "batch tokens width"],
        token_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker"],
        target: Float[Tensor, "batch mels 4*tokens"] | None = None,
        target_lengths: Int[Tensor, " batch"] | None = None,
    ) -> Decoded:
        """Return the trunk's mel and, with a target, the term `flow` (per mel bin, unitless).

        Raises:
            ValueError: a target without its lengths.
        """
        trunk_mel, hidden = self.trunk(z_sem, token_lengths, z_spk)
        decoded = self.finish(trunk_mel, frame_mask(token_lengths, z_sem.shape[1]))
        if target is None:
            return Decoded(decoded)
        if target_lengths is None:
            raise ValueError("a decoder target needs target_lengths, its valid frames")
        trunk_mel = trunk_mel.detach().float()
        residual = (self.normalise(target) - trunk_mel) / self.config.residual_scale
        known = self.velocity.known(z_sem, hidden, trunk_mel)
        loss = self._flow_loss(residual, known, z_spk, length_mask(target_lengths, known.shape[1]))
        return Decoded(decoded, {"flow": loss})

    @torch.no_grad()
    def sample(
        self,
        z_sem: Float[Tensor, "batch tokens width"],
        token_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker"],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch mels 4*tokens"]:
        """Draw a mel, not below the log floor; the generator gives the start noise."""
        config = self.config
        trunk_mel, hidden = self.trunk(z_sem, token_lengths, z_spk)
        mask = frame_mask(token_lengths, z_sem.shape[1])
        known = self.velocity.known(z_sem, hidden, trunk_mel)
        noise = start_noise(
            FRAMES_PER_TOKEN * token_lengths, mask.shape[1], config.mel_channels, generator
        )
        x = config.sampling_noise * noise
        for step in range(config.steps):
            time = x.new_full((x.shape[0],), step / config.steps)
            x = x + self.velocity(x, time, known, z_spk, mask) / config.steps
        mel = self.finish(trunk_mel.float() + config.residual_scale * x, mask)
        return mel.clamp(min=config.log_floor)

    def _flow_loss(
        self, residual: Tensor, known: Tensor, z_spk: Tensor, mask: Tensor
    ) -> Float[Tensor, ""]:
        batch = residual.shape[0]
        # One draw per batch, spread evenly over the items: the same marginal as independent draws,
        # with much less variance of the loss (arXiv 2107.00630).
        spread = torch.arange(batch, device=residual.device) / batch
        time = (torch.rand((), device=residual.device) + spread) % 1
        noise = self.config.training_noise * torch.randn_like(residual)
        share = time[:, None, None]
        predicted = self.velocity((1 - share) * noise + share * residual, time, known, z_spk, mask)
        return masked_mean((predicted - (residual - noise)).square(), mask.unsqueeze(-1))


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
