"""Mel discriminators: is this mel a recording's or a decoder's?"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from data.masks import length_mask
from losses.adversarial import Judgement

NORMS = ("weight", "spectral", "none")


@dataclass(frozen=True)
class MelDiscriminatorConfig:
    """Geometry of the mel discriminators; entry i of each list belongs to sub-discriminator i."""

    mel_channels: int = 100
    """Mel bands."""
    mel_mean: float = -4.0
    """Natural-log mel that is 0 inside (as in `AudioConfig`)."""
    mel_std: float = 2.0
    """Natural-log mel units that are 1 inside (as in `AudioConfig`)."""
    pool_frames: list[int] = field(default_factory=lambda: [1, 1, 2, 4])
    """Mel frames that are averaged into one position of the input."""
    first_bands: list[int] = field(default_factory=lambda: [0, 50, 0, 0])
    """First mel band that is seen."""
    end_bands: list[int] = field(default_factory=lambda: [50, 100, 100, 100])
    """Mel band after the last one that is seen."""
    channels: int = 16
    """Width of the first layer; the others are twice as wide."""
    layers: int = 4
    """Convolutions before the one that scores. Each halves the bands, the second also the time."""
    kernel: int = 3
    """Bands and positions that each convolution sees, odd."""
    norm: str = "weight"
    """Reparametrisation of the weights, one of `NORMS`; spectral bounds the gradient by itself."""

    def __post_init__(self) -> None:
        count = len(self.pool_frames)
        if count == 0 or count != len(self.first_bands) or count != len(self.end_bands):
            raise ValueError(
                "mel discriminator: give pool_frames, first_bands and end_bands the same number of "
                "entries, one for each sub-discriminator"
            )
        for first, end in zip(self.first_bands, self.end_bands, strict=True):
            if not 0 <= first < end <= self.mel_channels:
                raise ValueError(
                    f"mel discriminator: bands {first} to {end} are not within the "
                    f"{self.mel_channels} mel bands; correct first_bands and end_bands"
                )
        if min(*self.pool_frames, self.channels, self.layers) < 1 or self.mel_std <= 0:
            raise ValueError(
                "mel discriminator: pool_frames, channels, layers, mel_std must be > 0"
            )
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError("mel discriminator: kernel must be odd, for example 3")
        if self.norm not in NORMS:
            raise ValueError(f"mel discriminator: unknown norm {self.norm!r}; choose from {NORMS}")


class SubDiscriminator(nn.Module):
    """2-d convolutions over one band range of the mel at one time scale (patch scores).

    Args:
        config: geometry shared by all sub-discriminators.
        pool_frames: frames averaged into one position.
        bands: first and end mel band.
    """

    def __init__(
        self, config: MelDiscriminatorConfig, pool_frames: int, bands: tuple[int, int]
    ) -> None:
        super().__init__()
        self.pool_frames = pool_frames
        self.bands = bands
        normalise = _weight_norm(config.norm)
        convolutions = []
        width = 1
        for layer in range(config.layers):
            out = config.channels * min(layer + 1, 2)
            convolutions.append(_convolution(width, out, config.kernel, (2, _time_stride(layer))))
            width = out
        self.convolutions = nn.ModuleList(normalise(c) for c in convolutions)
        self.score = normalise(_convolution(width, 1, config.kernel, (1, 1)))

    def forward(
        self,
        mel: Float[Tensor, "batch mels frames"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Judgement:
        """Judge a normalised mel."""
        if lengths is None:
            lengths = mel.new_full(mel.shape[:1], mel.shape[-1], dtype=torch.int64)
        first, end = self.bands
        mask = length_mask(lengths, mel.shape[-1])
        x, mask = masked_pool(mel[:, first:end], mask, self.pool_frames)
        x = x.unsqueeze(1)
        features: list[Tensor] = []
        masks: list[Tensor | None] = []
        for layer, convolution in enumerate(self.convolutions):
            x = F.leaky_relu(convolution(x * mask[:, None, None]), 0.1)
            # An odd kernel with half padding centres output i on input i · stride.
            mask = mask[:, :: _time_stride(layer)]
            features.append(x)
            masks.append(mask[:, None, None])
        scores = self.score(x * mask[:, None, None]).squeeze(1)
        positions = mask.unsqueeze(1).expand_as(scores)
        return Judgement(scores.flatten(1), features, positions.flatten(1), masks)


class MultiScaleMelDiscriminator(nn.Module):
    """Sub-discriminators that look at different time scales and band ranges of the mel.

    Time scales by average pooling as in MelGAN (arXiv 1910.06711, there on waveforms), band ranges
    as in the sub-frequency discriminators of HiFiSinger (arXiv 2009.01776).
    """

    def __init__(self, config: MelDiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        bands = zip(config.first_bands, config.end_bands, strict=True)
        self.parts = nn.ModuleList(
            SubDiscriminator(config, pool, band)
            for pool, band in zip(config.pool_frames, bands, strict=True)
        )

    def forward(
        self,
        mel: Float[Tensor, "batch mels frames"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> list[Judgement]:
        """Judge mels, once per sub-discriminator.

        Args:
            mel: natural-log mels.
            lengths: valid frames of each; None means all.
        """
        normalised = (mel - self.config.mel_mean) / self.config.mel_std
        return [part(normalised, lengths) for part in self.parts]


def masked_pool(
    x: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch frames"], size: int
) -> tuple[Float[Tensor, "batch mels positions"], Bool[Tensor, "batch positions"]]:
    """Average the valid frames of each run of `size`; a position is valid if any frame is."""
    excess = -x.shape[-1] % size
    x = F.pad(x * mask.unsqueeze(1), (0, excess)).unflatten(-1, (-1, size))
    mask = F.pad(mask, (0, excess)).unflatten(-1, (-1, size))
    count = mask.sum(-1).clamp(min=1)
    return x.sum(-1) / count.unsqueeze(1), mask.any(-1)


def _time_stride(layer: int) -> int:
    return 2 if layer == 1 else 1


def _convolution(inputs: int, outputs: int, kernel: int, stride: tuple[int, int]) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)


def _weight_norm(kind: str) -> Callable[[nn.Module], nn.Module]:
    kinds: dict[str, Callable[[nn.Module], nn.Module]] = {
        "weight": parametrizations.weight_norm,
        "spectral": parametrizations.spectral_norm,
        "none": lambda module: module,
    }
    return kinds[kind]
