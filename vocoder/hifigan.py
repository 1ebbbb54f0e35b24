"""HiFi-GAN generator (arXiv 2010.05646): upsampling convolutions, multi-receptive-field fusion."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from data.masks import length_mask
from data.mel import AudioConfig
from vocoder.interface import Vocoder

_SLOPE = 0.1  # of every leaky ReLU but the last, whose slope is torch's 0.01 in the paper's code


@dataclass(frozen=True)
class HiFiGANSizes:
    """One row of the paper's table of generators."""

    channels: int
    """Width before the first upsampling; every stage halves it."""
    upsample_rates: Mapping[int, tuple[int, ...]]
    """Samples that each stage makes of one, by the hop that they multiply to."""
    kernels: tuple[int, ...]
    """Kernel of each residual block that a stage averages."""
    dilations: tuple[tuple[int, ...], ...]
    """Per block, the dilation of each of its residual steps."""
    pointwise_follow: bool
    """Whether an undilated convolution follows each dilated one (ResBlock1 against ResBlock2)."""


_WIDE_DILATIONS = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
_FOUR_STAGES = {256: (8, 8, 2, 2), 512: (8, 8, 4, 2)}
_THREE_STAGES = {256: (8, 8, 4), 512: (8, 8, 8)}
HIFIGAN_VARIANTS = {
    "v1": HiFiGANSizes(512, _FOUR_STAGES, (3, 7, 11), _WIDE_DILATIONS, True),
    "v2": HiFiGANSizes(128, _FOUR_STAGES, (3, 7, 11), _WIDE_DILATIONS, True),
    "v3": HiFiGANSizes(256, _THREE_STAGES, (3, 5, 7), ((1, 2), (2, 6), (3, 12)), False),
}
"""Appendix A.1 of the paper, whose hop is 256; at 512 one stage doubles its rate, so that stages
and widths stay the paper's."""


@dataclass(frozen=True)
class HiFiGANConfig:
    """Which HiFi-GAN.

    Raises:
        ValueError: unknown variant, or impossible upsampling.
    """

    variant: str = "v1"
    """v1 (best, 14 M), v2 (0.95 M) or v3 (1.5 M, fastest), sizes from the paper's appendix A.1."""
    upsample_rates: tuple[int, ...] = ()
    """Factors, even, whose product is the hop; empty: the variant's for a hop of 256 or 512."""

    def __post_init__(self) -> None:
        if self.variant not in HIFIGAN_VARIANTS:
            raise ValueError(
                f"hifigan.variant is {self.variant!r}; use one of {', '.join(HIFIGAN_VARIANTS)}"
            )
        if any(rate < 2 or rate % 2 for rate in self.upsample_rates):
            raise ValueError(f"hifigan.upsample_rates is {self.upsample_rates}; give even factors")
        most = HIFIGAN_VARIANTS[self.variant].channels.bit_length() - 1
        if len(self.upsample_rates) > most:
            raise ValueError(
                f"hifigan.upsample_rates has {len(self.upsample_rates)} factors, and each halves "
                f"the {2**most} channels of {self.variant}; give at most {most}"
            )

    def rates(self, hop_samples: int) -> tuple[int, ...]:
        """Samples that each stage makes of one, for a hop.

        Raises:
            ValueError: no rates were given for such a hop.
        """
        known = HIFIGAN_VARIANTS[self.variant].upsample_rates
        rates = self.upsample_rates or known.get(hop_samples, ())
        if math.prod(rates) != hop_samples:
            known_for = f"are known for hops of {' and '.join(map(str, known))}"
            made = f"{rates} make {math.prod(rates)} samples of a frame" if rates else known_for
            raise ValueError(
                f"hifigan.upsample_rates {made}, but audio.hop_samples is {hop_samples}: give even "
                "factors whose product is the hop"
            )
        return rates


class ResidualBlock(nn.Module):
    """Dilated convolutions around one kernel size, each added to its input."""

    def __init__(
        self, channels: int, kernel: int, dilations: tuple[int, ...], pointwise_follow: bool
    ) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(_conv(channels, kernel, d) for d in dilations)
        self.follow = nn.ModuleList(
            _conv(channels, kernel, 1) for _ in dilations if pointwise_follow
        )

    def forward(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Float[Tensor, "batch 1 time"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        """Apply the block; what lies where `mask` is 0 never reaches the rest."""
        for index, dilated in enumerate(self.dilated):
            y = dilated(_masked(F.leaky_relu(x, _SLOPE), mask))
            if self.follow:
                y = self.follow[index](_masked(F.leaky_relu(y, _SLOPE), mask))
            x = x + y
        return x


class HiFiGANGenerator(Vocoder):
    """The generator of HiFi-GAN (Kong et al. 2020, arXiv 2010.05646, section 2.2, appendix A.1).

    It has no randomness and reads no pitch: `generator`, `f0` and `start_phase` are part of the
    shared interface and change nothing here. Differences from the paper: the mel is normalised
    inside, kernels of the transposed convolutions are always twice their rate (as all of the
    paper's are), and the mel has 100 bands at 24 kHz instead of 80 at 22.05 kHz.

    Args:
        config: which variant.
        audio: geometry and normalisation of the mel.

    Raises:
        ValueError: the upsampling rates do not multiply to the hop.
    """

    def __init__(self, config: HiFiGANConfig, audio: AudioConfig) -> None:
        super().__init__(audio)
        sizes = HIFIGAN_VARIANTS[config.variant]
        self.rates = config.rates(audio.hop_samples)
        widths = [sizes.channels >> stage for stage in range(len(self.rates) + 1)]
        self.enter = weight_norm(nn.Conv1d(audio.mel_channels, widths[0], 7, padding=3))
        self.upsamplers = nn.ModuleList()
        self.stages = nn.ModuleList()
        for stage, rate in enumerate(self.rates):
            upsampler = nn.ConvTranspose1d(
                widths[stage], widths[stage + 1], 2 * rate, rate, padding=rate // 2
            )
            nn.init.normal_(upsampler.weight, std=0.01)
            self.upsamplers.append(weight_norm(upsampler))
            self.stages.append(
                nn.ModuleList(
                    ResidualBlock(widths[stage + 1], kernel, dilations, sizes.pointwise_follow)
                    for kernel, dilations in zip(sizes.kernels, sizes.dilations, strict=True)
                )
            )
        leave = nn.Conv1d(widths[-1], 1, 7, padding=3)
        nn.init.normal_(leave.weight, std=0.01)
        self.leave = weight_norm(leave)

    def forward(
        self,
        mel: Float[Tensor, "batch mels frames"],
        f0: Float[Tensor, "batch frames"] | None = None,
        generator: torch.Generator | None = None,
        mel_lengths: Int[Tensor, " batch"] | None = None,
        start_phase: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """Return fp32 audio of `frames * hop` samples in (-1, 1); see `Vocoder.forward`."""
        time, scale = mel.shape[2], 1
        mask = _mask(mel_lengths, time)
        x = self.enter(_masked((mel - self.audio.mel_mean) / self.audio.mel_std, mask))
        for rate, upsampler, blocks in zip(self.rates, self.upsamplers, self.stages, strict=True):
            assert isinstance(blocks, nn.ModuleList)
            x = upsampler(_masked(F.leaky_relu(x, _SLOPE), mask))
            scale *= rate
            if mel_lengths is not None:
                mask = _mask(mel_lengths * scale, time * scale)
            x = sum(block(x, mask) for block in blocks) / len(blocks)
        # fp32 from here: 8 bits of mantissa would be audible as noise in the waveform.
        with torch.autocast(mel.device.type, enabled=False):
            x = self.leave(_masked(F.leaky_relu(x.float()), mask))
            return _masked(torch.tanh(x), mask)[:, 0]

    def auxiliary_losses(
        self,
        mel: Float[Tensor, "batch mels frames"],
        f0: Float[Tensor, "batch frames"],
        mel_lengths: Int[Tensor, " batch"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {}: every weight learns from the waveform."""
        return {}


def _conv(channels: int, kernel: int, dilation: int) -> nn.Module:
    conv = nn.Conv1d(
        channels, channels, kernel, dilation=dilation, padding=dilation * (kernel // 2)
    )
    nn.init.normal_(conv.weight, std=0.01)
    return weight_norm(conv)


def _mask(lengths: Tensor | None, size: int) -> Tensor | None:
    return None if lengths is None else length_mask(lengths, size)[:, None].float()


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask.to(x.dtype)
