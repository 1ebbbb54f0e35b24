"""What every mel decoder is: its config, its interface, and how one is built."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from losses.diffusion import BETA_KINDS, NOISE_KINDS

DECODER_KINDS = ("regression", "flow_matching", "diffusion")


@dataclass(frozen=True)
class DiffusionConfig:
    """What is special to `kind: diffusion`."""

    levels: int = 1000
    """Steps of the noise schedule that training draws from."""
    schedule: str = "cosine"
    """cosine (arXiv 2102.09672, eq. 17) or linear (arXiv 2006.11239, section 4)."""
    loss: str = "mse"
    """Distance of the predicted noise: mse, mae or huber."""
    huber_delta: float = 1.0
    """Distance at which huber turns from quadratic to linear; the noise has unit variance."""
    min_snr_gamma: float = 5.0
    """Min-SNR weight (arXiv 2303.09556, section 3.4); 0 weighs all noise levels alike."""
    start_signal: float = 0.01
    """Share of signal A_t at which sampling starts.

    From pure noise the first of few steps would divide the error of the network by sqrt(A_t),
    which is then nearly 0.
    """
    limit: float = 5.0
    """Bound of the residual in sampling, in units of `residual_scale`."""

    def __post_init__(self) -> None:
        if self.levels < 2:
            raise ValueError(f"decoder: diffusion.levels is {self.levels}; give at least 2")
        for name, kinds in (("schedule", BETA_KINDS), ("loss", NOISE_KINDS)):
            if getattr(self, name) not in kinds:
                value = getattr(self, name)
                raise ValueError(
                    f"decoder: unknown diffusion.{name} {value!r}; choose from {kinds}"
                )
        if self.min_snr_gamma < 0 or self.huber_delta <= 0 or self.limit <= 0:
            raise ValueError(
                "decoder: diffusion needs min_snr_gamma of at least 0, and huber_delta and limit "
                "above 0"
            )
        if not 0 < self.start_signal < 1:
            raise ValueError(
                f"decoder: diffusion.start_signal is {self.start_signal}; give 0 < share < 1"
            )


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
    sample_rate_hz: int = 24000
    """Samples per second (as in `AudioConfig`)."""
    fft_samples: int = 1024
    """Window of the mel, samples (as in `AudioConfig`)."""
    fmin_hz: float = 0.0
    """Lower edge of the lowest band (as in `AudioConfig`)."""
    fmax_hz: float = 12000.0
    """Upper edge of the highest band (as in `AudioConfig`)."""
    channels: int = 384
    """Width of the trunk at token rate (23.4 Hz) and at twice that rate."""
    token_layers: int = 2
    """Trunk blocks at token rate."""
    half_layers: int = 4
    """Trunk blocks at twice the token rate (46.9 Hz)."""
    frame_layers: int = 1
    """Trunk blocks at mel frame rate (93.75 Hz), which know the pitch."""
    frame_channels: int = 256
    """Width of the blocks at mel frame rate."""
    expansion: int = 3
    """Hidden width of a block as a multiple of its width."""
    kernel: int = 7
    """Positions that a block's depthwise convolution sees, odd."""
    flow_channels: int = 256
    """flow_matching, diffusion: width of the residual network, which works at mel frame rate."""
    flow_layers: int = 6
    """flow_matching, diffusion: blocks of the residual network."""
    residual_scale: float = 0.45
    """flow_matching, diffusion: (mel - trunk mel) that is 1 to the network, in units of mel_std.

    About the root mean square of an L1-trained trunk's residual, so that the target has the unit
    variance of its noise (measured: 0.84 nats = 0.42 after minutes of training).
    """
    training_noise: float = 1.0
    """flow_matching: standard deviation of the start noise in training."""
    sampling_noise: float = 0.6
    """flow_matching, diffusion: standard deviation of the start noise in sampling.

    Below 1 trades variety for precision: 0.6 against 1.0 gave fewer word errors, closer voices and
    cleaner sound (measured, ten sentences). `model/decoder=flow_matching` sets 0.1:
    docs/base-model.md, "Decoders at equal cost".
    """
    steps: int = 8
    """Steps of sampling: Euler (flow_matching) or DDIM (diffusion)."""
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    """diffusion: noise levels and loss."""

    def __post_init__(self) -> None:
        if self.kind not in DECODER_KINDS:
            raise ValueError(f"decoder: unknown kind {self.kind!r}; choose from {DECODER_KINDS}")
        for name in (
            *("semantic_channels", "speaker_channels", "mel_channels", "channels", "half_layers"),
            *(
                "frame_layers",
                "frame_channels",
                "expansion",
                "flow_channels",
                "flow_layers",
                "steps",
            ),
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"decoder: {name} must be at least 1; raise it")
        for name in ("token_layers", "sampling_noise"):
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
    recovered: Float[Tensor, "batch mels frames"] | None = None
    """The target as a generative decoder recovers it from a noisy one: what perceptual terms look
    at. Mixed with the target by the share of noise, so that what was hardly there hardly counts."""


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
        target_f0: Float[Tensor, "batch 4*tokens"] | None = None,
    ) -> Decoded:
        """Predict the mel, differentiably, and compute the terms that need the target.

        With a target the mel is predicted from the true pitch, and the pitch beside it.

        Args:
            z_sem: GPT's latent of each token.
            token_lengths: valid tokens of each item.
            z_spk: speaker vectors.
            target: true mels, natural log.
            target_lengths: valid frames of the targets, at most four times `token_lengths`.
            target_f0: pitch of the targets in Hz, 0 where unvoiced.

        Raises:
            ValueError: a target without its lengths and pitch.
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

    @property
    def last_layer(self) -> Tensor:
        """Weight of the layer that writes the predicted mel."""
        return self.get_parameter("trunk.leave.weight")

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
    from sovits.diffusion import DiffusionDecoder
    from sovits.flow_matching import FlowMatchingDecoder
    from sovits.regression import RegressionDecoder

    kinds: dict[str, type[MelDecoder]] = {
        "regression": RegressionDecoder,
        "flow_matching": FlowMatchingDecoder,
        "diffusion": DiffusionDecoder,
    }
    return kinds[config.kind](config)
