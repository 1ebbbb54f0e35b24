"""Regression decoder: one forward pass from latents to mel."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from data.masks import length_mask
from data.mel import FRAMES_PER_TOKEN
from losses.reduction import masked_mean
from sovits.convnext import ConvNeXtBlock
from sovits.decoder import Decoded, DecoderConfig, MelDecoder
from sovits.harmonics import HarmonicComb

_CENTRE_LOG_HZ = math.log(200.0)  # pitch that the trunk knows as 0


@dataclass(frozen=True)
class TrunkOutputs:
    """What the trunk knows of each frame."""

    mel: Float[Tensor, "batch frames mels"]
    """Normalised mel."""
    hidden: Float[Tensor, "batch half channels"]
    """Hidden states at twice the token rate."""
    voicing: Float[Tensor, "batch frames"]
    """Logit of being voiced."""
    log_f0: Float[Tensor, "batch frames"]
    """Natural log of the pitch in Hz, if voiced."""


class Trunk(nn.Module):
    """Deterministic network from semantic latents and a speaker vector to a normalised mel.

    Blocks at token rate, twice that, and mel frame rate (four times), each conditioned on the
    speaker by adaptive layer norm; rates are doubled by a linear layer that writes two positions.
    Pitch is predicted at twice the token rate; the blocks at frame rate are given its harmonics,
    and the mel is their output plus a gain times the comb.
    """

    frame_rate_parts: ClassVar[tuple[str, ...]] = (
        *("to_frames", "from_comb", "frame_blocks", "frame_norm", "leave", "comb_gain"),
    )
    """What works at mel frame rate."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, frame_width, mels = config.channels, config.frame_channels, config.mel_channels
        self.enter = nn.Linear(config.semantic_channels, width)
        self.token_blocks = _blocks(config, width, config.token_layers)
        self.to_half = nn.Linear(width, 2 * width)
        self.half_blocks = _blocks(config, width, config.half_layers)
        self.half_norm = nn.LayerNorm(width)
        self.pitch = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4))
        self.to_frames = nn.Linear(width, 2 * frame_width)
        self.comb = HarmonicComb(config)
        self.from_comb = nn.Linear(mels + 1, frame_width)
        self.frame_blocks = _blocks(config, frame_width, config.frame_layers)
        self.frame_norm = nn.LayerNorm(frame_width)
        self.leave = nn.Linear(frame_width, mels)
        self.comb_gain = nn.Linear(frame_width, mels)
        for layer in (self.from_comb, self.comb_gain):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        z_sem: Float[Tensor, "batch tokens width"],
        token_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker"],
        f0: Float[Tensor, "batch 4*tokens"] | None = None,
    ) -> TrunkOutputs:
        """Predict pitch and mel; the mel follows `f0` (Hz, 0 = unvoiced), or the predicted one."""
        mask = length_mask(token_lengths, z_sem.shape[1])
        x = self.enter(z_sem)
        for block in self.token_blocks:
            x = block(x, mask, z_spk)
        x, mask = double(self.to_half(x)), _twice(mask)
        for block in self.half_blocks:
            x = block(x, mask, z_spk)
        hidden = self.half_norm(x)
        voicing, log_f0 = double(self.pitch(hidden)).float().unbind(-1)
        log_f0 = _CENTRE_LOG_HZ + log_f0
        if f0 is None:
            f0 = (log_f0.exp() * (voicing > 0)).detach()
        comb = self.comb(f0)
        known = torch.cat([comb, _relative_pitch(f0).unsqueeze(-1)], dim=-1)
        x, mask = double(self.to_frames(hidden)) + self.from_comb(known), _twice(mask)
        for block in self.frame_blocks:
            x = block(x, mask, z_spk)
        x = self.frame_norm(x)
        mel = self.leave(x) + self.comb_gain(x) * comb
        return TrunkOutputs(mel, hidden, voicing, log_f0)


def pitch_loss(
    outputs: TrunkOutputs,
    f0: Float[Tensor, "batch frames"],
    mask: Bool[Tensor, "batch frames"],
) -> Float[Tensor, ""]:
    """Cross-entropy of voicing plus the L1 of log pitch in voiced frames, in tenths of a nat.

    A tenth is 1.7 semitones: a natural unit of intonation.

    Args:
        outputs: of the trunk.
        f0: true pitch, Hz, 0 = unvoiced.
        mask: valid frames.
    """
    voiced = f0 > 0
    voicing = functional.binary_cross_entropy_with_logits(
        outputs.voicing, voiced.float(), reduction="none"
    )
    error = (outputs.log_f0 - f0.clamp(min=1.0).log()).abs()
    return masked_mean(voicing, mask) + masked_mean(error, mask & voiced) / 0.1


class RegressionDecoder(MelDecoder):
    """Trunk alone; the objective compares its mel to the target. Its own term is `pitch`.

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
        target_f0: Float[Tensor, "batch 4*tokens"] | None = None,
    ) -> Decoded:
        """Return the mel and, with a target, the term `pitch`.

        Raises:
            ValueError: a target without its lengths and pitch.
        """
        outputs = self.trunk(z_sem, token_lengths, z_spk, target_f0)
        mel = self.finish(outputs.mel, frame_mask(token_lengths, z_sem.shape[1]))
        if target is None:
            return Decoded(mel)
        valid, f0 = target_mask(target_lengths, target_f0)
        return Decoded(mel, {"pitch": pitch_loss(outputs, f0, valid)})

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


def target_mask(
    target_lengths: Int[Tensor, " batch"] | None, target_f0: Float[Tensor, "batch frames"] | None
) -> tuple[Bool[Tensor, "batch frames"], Float[Tensor, "batch frames"]]:
    """Return the mask of a target's valid frames, and its pitch.

    Raises:
        ValueError: one of them is missing.
    """
    if target_lengths is None or target_f0 is None:
        raise ValueError("a decoder target needs target_lengths, its valid frames, and its f0")
    return length_mask(target_lengths, target_f0.shape[1]), target_f0


def _twice(mask: Tensor) -> Tensor:
    return mask.repeat_interleave(2, dim=1)


def _blocks(config: DecoderConfig, channels: int, layers: int) -> nn.ModuleList:
    return nn.ModuleList(
        ConvNeXtBlock(channels, config.speaker_channels, config.expansion, config.kernel)
        for _ in range(layers)
    )


def _relative_pitch(f0: Tensor) -> Tensor:
    """Log pitch around that centre, in nats; 0 where unvoiced."""
    return (f0.float().clamp(min=1.0).log() - _CENTRE_LOG_HZ) * (f0 > 0)
