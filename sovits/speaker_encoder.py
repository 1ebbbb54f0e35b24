"""Variational speaker encoder: reference mel to the speaker vector z_spk."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from data.masks import length_mask
from sovits.convnext import ConvNeXtBlock
from sovits.flows import SpeakerFlow


@dataclass(frozen=True)
class SpeakerEncoderConfig:
    """Geometry of the speaker encoder."""

    mel_channels: int = 100
    """Mel bands of the reference."""
    mel_mean: float = -4.0
    """Natural-log mel that is mapped to 0 (as in `AudioConfig`)."""
    mel_std: float = 2.0
    """Natural-log mel units that are mapped to 1 (as in `AudioConfig`)."""
    speaker_channels: int = 256
    """Width of z_spk, even."""
    channels: int = 192
    """Width of the ConvNeXt blocks."""
    layers: int = 4
    """ConvNeXt blocks, at half the mel frame rate."""
    expansion: int = 3
    """Hidden width of a block as a multiple of `channels`."""
    kernel: int = 7
    """Positions that a block's depthwise convolution sees, odd."""
    attention_channels: int = 64
    """Hidden width of the pooling attention."""
    flow_blocks: int = 4
    """Coupling blocks between z0 and z_spk; 0 makes the posterior a plain Gaussian."""
    flow_channels: int = 256
    """Hidden width of each coupling block's conditioner."""
    log_std_min: float = -5.0
    """Lower end of the posterior's log standard deviation, nats."""
    log_std_max: float = 1.0
    """Upper end of the posterior's log standard deviation, nats."""
    log_std_start: float = -1.0
    """The posterior's log standard deviation before training, nats."""

    def __post_init__(self) -> None:
        for name in ("mel_channels", "channels", "layers", "expansion", "attention_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"speaker encoder: {name} must be at least 1; raise it")
        if self.mel_std <= 0:
            raise ValueError("speaker encoder: mel_std must be positive; use the audio config's")
        if self.speaker_channels < 2 or self.speaker_channels % 2:
            raise ValueError("speaker encoder: speaker_channels must be even, for example 256")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError("speaker encoder: kernel must be odd, for example 7")
        if self.flow_blocks < 0 or self.flow_channels < 1:
            raise ValueError("speaker encoder: use flow_blocks >= 0 and flow_channels >= 1")
        if not self.log_std_min < self.log_std_start < self.log_std_max:
            raise ValueError("speaker encoder: order log_std_min < log_std_start < log_std_max")


@dataclass(frozen=True)
class SpeakerPosterior:
    """What the speaker encoder says about each reference; everything float32."""

    mean: Float[Tensor, "batch channels"]
    """Mean of the Gaussian before the flows."""
    log_std: Float[Tensor, "batch channels"]
    """Log standard deviation of that Gaussian, nats."""
    z0: Float[Tensor, "batch channels"]
    """Draw from the Gaussian, or its mean when no noise was given."""
    z_spk: Float[Tensor, "batch channels"]
    """z0 through the flows: the speaker vector."""
    kl: Float[Tensor, " batch"]
    """Estimate of KL(q(z_spk) || N(0, I)), nats per item."""
    log_det: Float[Tensor, " batch"]
    """log|det dz_spk/dz0|, nats."""


class StatisticsPooling(nn.Module):
    """Attentive mean and standard deviation over time (arXiv 1803.10963).

    Attention is per channel (ECAPA-TDNN, arXiv 2005.07143, without its global context) and starts
    uniform, that is, as plain statistics pooling. Statistics are float32. Repeating a recording
    does not change them, so the speaker vector does not tell how long the reference was.
    """

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, attention_channels)
        self.scores = nn.Linear(attention_channels, channels)
        nn.init.zeros_(self.scores.weight)
        nn.init.zeros_(self.scores.bias)

    def forward(
        self, x: Float[Tensor, "batch time channels"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch statistics"]:
        """Pool the first `lengths` positions to means and standard deviations, side by side."""
        mask = length_mask(lengths, x.shape[1]).unsqueeze(-1)
        scores = self.scores(torch.tanh(self.hidden(x))).float()
        # A finite fill: -inf in every position of an empty item would make its softmax NaN.
        weights = scores.masked_fill(~mask, -1e4).softmax(dim=1)
        x = x.float().masked_fill(~mask, 0.0)
        mean = (weights * x).sum(1)
        variance = (weights * (x - mean.unsqueeze(1)).square()).sum(1)
        # One frame has zero variance, where the square root's gradient is infinite.
        return torch.cat([mean, (variance + 1e-5).sqrt()], dim=-1)


class SpeakerEncoder(nn.Module):
    """Reference mel to a posterior over z_spk: Gaussian followed by normalizing flows.

    With z0 = mean + exp(log_std) · noise and z_K = flows(z0), the change of variables gives
    KL(q || N(0, I)) = E[log q(z0) - log|det dz_K/dz0| - log N(z_K; 0, I)] (arXiv 1505.05770,
    eq. 15). The entropy of q(z0) is used in closed form, the other two terms at the one draw:
    kl = Σ (z_K² / 2 - log_std - 1/2) - log|det|.
    """

    def __init__(self, config: SpeakerEncoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.stem = nn.Conv1d(config.mel_channels, width, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(width, expansion=config.expansion, kernel=config.kernel)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.pooling = StatisticsPooling(width, config.attention_channels)
        self.mean = nn.Linear(2 * width, config.speaker_channels)
        self.log_std = nn.Linear(2 * width, config.speaker_channels)
        span = config.log_std_max - config.log_std_min
        start = (config.log_std_start - config.log_std_min) / span
        nn.init.zeros_(self.log_std.weight)
        nn.init.constant_(self.log_std.bias, math.log(start / (1 - start)))
        self.flow = SpeakerFlow(config.speaker_channels, config.flow_blocks, config.flow_channels)

    def forward(
        self,
        mel: Float[Tensor, "batch mels frames"],
        mel_lengths: Int[Tensor, " batch"],
        noise: Float[Tensor, "batch channels"] | None = None,
    ) -> SpeakerPosterior:
        """Encode references.

        Args:
            mel: reference mels, natural log.
            mel_lengths: valid frames of each.
            noise: standard normal, `[batch, speaker_channels]`; None takes the posterior mean. The
                KL is then evaluated at the mean, which leaves out the spread: for logging only.
        """
        mean, log_std = self._gaussian(mel, mel_lengths)
        z0 = mean if noise is None else mean + log_std.exp() * noise.float()
        z_spk, log_det = self.flow(z0)
        kl = (0.5 * z_spk.square() - log_std - 0.5).sum(-1) - log_det
        return SpeakerPosterior(mean, log_std, z0, z_spk, kl, log_det)

    def _gaussian(self, mel: Tensor, mel_lengths: Tensor) -> tuple[Tensor, Tensor]:
        config = self.config
        mask = length_mask(mel_lengths, mel.shape[-1]).unsqueeze(1)
        x = (mel - config.mel_mean) / config.mel_std * mask
        x = F.gelu(self.stem(x)).transpose(1, 2)
        lengths = (mel_lengths + 1) // 2
        mask = length_mask(lengths, x.shape[1])
        for block in self.blocks:
            x = block(x, mask)
        pooled = self.pooling(self.norm(x), lengths)
        with torch.autocast(mel.device.type, enabled=False):
            mean = self.mean(pooled)
            # A sigmoid rather than a hard clamp, which has no gradient back into the range.
            share = torch.sigmoid(self.log_std(pooled))
        span = config.log_std_max - config.log_std_min
        return mean, config.log_std_min + span * share


class SpeakerClassifier(nn.Module):
    """Linear classifier of z_spk over the training speakers.

    Linear on purpose: it can only read what makes speakers linearly separable in z_spk.

    Args:
        channels: width of z_spk.
        speakers: number of training speakers, at least 2.

    Raises:
        ValueError: fewer than two speakers, where there is nothing to classify.
    """

    def __init__(self, channels: int, speakers: int) -> None:
        super().__init__()
        if speakers < 2:
            raise ValueError(f"{speakers} speaker(s) cannot be classified; set the term's weight 0")
        self.logits = nn.Linear(channels, speakers)

    def forward(self, z_spk: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch speakers"]:
        """Return unnormalised log probabilities of the speakers."""
        return self.logits(z_spk)
