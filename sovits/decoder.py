"""What every mel decoder is: its config, its interface, and how one is built."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

DECODER_KINDS = ("regression", "flow_matching")


@dataclass(frozen=True)
class DecoderConfig:
    """Geometry of the mel decoder. The regression trunk is part of every kind."""

    kind: str = "regression"
    """One of `DECODER_KINDS`."""
    semantic_channels: int = 384
    """Width of z_sem: that of GPT's hidden states."""
    speaker_channels: int = 256
    """Width of z_spk."""
    mel_channels: int = 100
    """Mel bands."""
    mel_mean: float = -4.0
    """Natural-log mel that is 0 inside (as in `AudioConfig`)."""
    mel_std: float = 2.0
    """Natural-log mel units that are 1 inside (as in `AudioConfig`)."""
    floor: float = 1e-5
    """Smallest mel magnitude (as in `AudioConfig`): padding, and the bound of sampled mels."""
    channels: int = 384
    """Width of the trunk at token rate (23.4 Hz) and at twice that rate."""
    token_layers: int = 2
    """Trunk blocks at token rate."""
    half_layers: int = 4
    """Trunk blocks at twice the token rate (46.9 Hz)."""
    frame_layers: int = 1
    """Trunk blocks at mel frame rate (93.75 Hz); 0 reads both frames of a step off one vector."""
    frame_channels: int = 256
    """Width of the blocks at mel frame rate."""
    expansion: int = 3
    """Hidden width of a block as a multiple of its width."""
    kernel: int = 7
    """Positions that a block's depthwise convolution sees, odd."""
    flow_channels: int = 256
    """flow_matching: width of the velocity network, which works at mel frame rate."""
    flow_layers: int = 6
    """flow_matching: blocks of the velocity network."""
    residual_scale: float = 0.45
    """flow_matching: (mel - trunk mel) that is 1 to the flow, in units of mel_std.

    About the root mean square of an L1-trained trunk's residual, so that the flow's target has the
    unit variance of its noise (measured: 0.84 nats = 0.42 after minutes of training).
    """
    training_noise: float = 1.0
    """flow_matching: standard deviation of the start noise in training."""
    sampling_noise: float = 0.6
    """flow_matching: standard deviation of the start noise in sampling.

    Below 1 trades variety for precision: 0.6 against 1.0 gave fewer word errors, closer voices and
    cleaner sound (measured, ten sentences).
    """
    steps: int = 8
    """flow_matching: Euler steps of sampling."""

    def __post_init__(self) -> None:
        if self.kind not in DECODER_KINDS:
            raise ValueError(f"decoder: unknown kind {self.kind!r}; choose from {DECODER_KINDS}")
        for name in (
            *("semantic_channels", "speaker_channels", "mel_channels", "channels", "half_layers"),
            *("frame_channels", "expansion", "flow_channels", "flow_layers", "steps"),
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"decoder: {name} must be at least 1; raise it")
        for name in ("token_layers", "frame_layers", "sampling_noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"decoder: {name} must not be negative; use 0 for none")
        for name in ("mel_std", "floor", "residual_scale", "training_noise"):
            if getattr(self, name) <= 0:
                raise ValueError(f"decoder: {name} must be positive; raise it")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError("decoder: kernel must be odd, for example 7")

    @property
    def log_floor(self) -> float:
        """Smallest natural-log mel."""
        return math.log(self.floor)


@dataclass(frozen=True)
class Decoded:
    """What a decoder gives for training."""

    mel: Float[Tensor, "batch mels frames"]
    """Predicted mel, natural log, 4 frames a token; padding holds the log floor."""
    terms: dict[str, Tensor] = field(default_factory=dict)
    """Loss terms of the decoder's own, scalars by name; empty without a target."""


class MelDecoder(nn.Module, ABC):
    """Semantic latents and a speaker vector to a mel."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(
        self,
        z_sem: Float[Tensor, "batch tokens width"],
        token_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker"],
        target: Float[Tensor, "batch mels 4*tokens"] | None = None,
        target_lengths: Int[Tensor, " batch"] | None = None,
    ) -> Decoded:
        """Predict the mel, differentiably, and compute the terms that need the target.

        Args:
            z_sem: GPT's latent of each token.
            token_lengths: valid tokens of each item.
            z_spk: speaker vectors.
            target: true mels, natural log.
            target_lengths: valid frames of the targets, at most four times `token_lengths`.

        Raises:
            ValueError: a target without its lengths.
        """

    @abstractmethod
    def sample(
        self,
        z_sem: Float[Tensor, "batch tokens width"],
        token_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker"],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch mels 4*tokens"]:
        """Return the mel to listen to, natural log, float32, without gradients.

        Args:
            z_sem: GPT's latent of each token.
            token_lengths: valid tokens of each item.
            z_spk: speaker vectors.
            generator: source of the decoder's randomness, on the device of `z_sem`.
        """

    def finish(
        self,
        normalised: Float[Tensor, "batch frames mels"],
        mask: Bool[Tensor, "batch frames"],
    ) -> Float[Tensor, "batch mels frames"]:
        """Turn a normalised mel to natural log, float32, with the log floor in the padding."""
        mel = normalised.float() * self.config.mel_std + self.config.mel_mean
        return mel.masked_fill(~mask.unsqueeze(-1), self.config.log_floor).transpose(1, 2)

    def normalise(
        self, mel: Float[Tensor, "batch mels frames"]
    ) -> Float[Tensor, "batch frames mels"]:
        """Turn a natural-log mel to zero mean and unit variance, channels last, float32."""
        return ((mel.float() - self.config.mel_mean) / self.config.mel_std).transpose(1, 2)


def build_decoder(config: DecoderConfig) -> MelDecoder:
    """Return a new decoder of the config's kind."""
    # The variants import the interface above, so they can only be imported here.
    from sovits.flow_matching import FlowMatchingDecoder
    from sovits.regression import RegressionDecoder

    kinds = {"regression": RegressionDecoder, "flow_matching": FlowMatchingDecoder}
    return kinds[config.kind](config)
