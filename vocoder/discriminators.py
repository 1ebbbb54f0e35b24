"""Waveform discriminators: over periods, over time scales, and over spectrogram resolutions."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from losses.adversarial import Judgement
from vocoder.stft import Stft

_SLOPE = 0.1
_COMPRESSION = 0.3  # |S| ** 0.3: quiet bins count, as they do for the ear
_POWER_OFFSET = 1e-8
_SCALE_GROUPS = 16  # groups of the multi-scale discriminator's strided convolutions


@dataclass(frozen=True)
class WaveDiscriminatorConfig:
    """Which sub-discriminators judge a waveform, and how wide they are.

    The defaults are full size, for GPUs; width 8 costs about a tenth and suits a CPU.

    Raises:
        ValueError: a value is impossible, or there is no sub-discriminator.
    """

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    """Samples between the rows of each period discriminator (primes, so that they see apart)."""
    period_width: int = 32
    """Channels of a period discriminator's first layer; the deepest have 32 x as many."""
    scales: int = 0
    """Multi-scale discriminators, each at half the rate of the one before; the paper has 3."""
    scale_width: int = 128
    """Channels of a scale discriminator's first layer, a multiple of 16; the deepest have 8 x."""
    fft_samples: tuple[int, ...] = (2048, 1024, 512)
    """Window of each spectrogram discriminator, in samples; the hop is a quarter."""
    fft_width: int = 32
    """Channels of every layer of a spectrogram discriminator."""

    def __post_init__(self) -> None:
        for name in ("period_width", "scale_width", "fft_width"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"discriminator.{name} is {getattr(self, name)}; give a positive number"
                )
        if self.scales < 0:
            raise ValueError(f"discriminator.scales is {self.scales}; give 0 or more")
        if self.scales and self.scale_width % _SCALE_GROUPS:
            raise ValueError(
                f"discriminator.scale_width is {self.scale_width}; give a multiple of "
                f"{_SCALE_GROUPS}"
            )
        if any(period < 1 for period in self.periods):
            raise ValueError(f"discriminator.periods is {self.periods}; give positive ones")
        if any(size < 16 or size % 8 for size in self.fft_samples):
            raise ValueError(
                f"discriminator.fft_samples is {self.fft_samples}; give multiples of 8"
            )
        if not (self.periods or self.scales or self.fft_samples):
            raise ValueError(
                "discriminator has no periods, no scales and no fft_samples; give one at least"
            )


class PeriodDiscriminator(nn.Module):
    """Sees every p-th sample as one row of an image (arXiv 2010.05646, section 2.3).

    Args:
        period: p, in samples.
        width: channels of the first layer.
    """

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, width, 4 * width, 16 * width, 32 * width, 32 * width)
        strides = (3, 3, 3, 3, 1)
        self.convs = nn.ModuleList(
            _prepared(nn.Conv2d(widths[i], widths[i + 1], (5, 1), (strides[i], 1), (2, 0)))
            for i in range(5)
        )
        self.judge = _prepared(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, audio: Float[Tensor, "batch samples"]) -> Judgement:
        """Judge waveforms of at least one period."""
        missing = -audio.shape[1] % self.period
        padded = F.pad(audio[:, None], (0, missing), "reflect") if missing else audio[:, None]
        image = padded.unflatten(2, (-1, self.period))
        return _judge(image.contiguous(memory_format=torch.channels_last), self.convs, self.judge)


class ScaleDiscriminator(nn.Module):
    """Grouped, strided convolutions over the waveform at one rate (arXiv 1910.06711; 2010.05646).

    Args:
        halvings: times that the rate is halved by average pooling first.
        width: channels of the first layer.
    """

    def __init__(self, halvings: int, width: int) -> None:
        super().__init__()
        self.halvings = halvings
        # As in HiFi-GAN: spectral norm where the input is the raw waveform, else weight norm.
        norm: Callable[[nn.Module], nn.Module] = weight_norm if halvings else spectral_norm
        widths = (1, width, width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width)
        kernels = (15, 41, 41, 41, 41, 41, 5)
        strides = (1, 2, 2, 4, 4, 1, 1)
        groups = (1, 4, *([_SCALE_GROUPS] * 4), 1)
        self.convs = nn.ModuleList(
            _prepared(
                nn.Conv1d(
                    widths[i],
                    widths[i + 1],
                    kernels[i],
                    strides[i],
                    kernels[i] // 2,
                    groups=groups[i],
                ),
                norm,
            )
            for i in range(7)
        )
        self.judge = _prepared(nn.Conv1d(widths[-1], 1, 3, padding=1), norm)

    def forward(self, audio: Float[Tensor, "batch samples"]) -> Judgement:
        """Judge waveforms."""
        x = audio[:, None]
        for _ in range(self.halvings):
            x = F.avg_pool1d(x, 4, 2, 2)
        return _judge(x, self.convs, self.judge)


class SpectrogramDiscriminator(nn.Module):
    """2-D convolutions over the compressed complex spectrogram at one resolution.

    After the multi-resolution discriminators of UnivNet (arXiv 2106.07889) and DAC
    (arXiv 2306.06546, complex input). Here the magnitude is compressed to |S| ** 0.3, phase kept,
    with the log magnitude as a third channel: on the linear spectrum the loud bins hide the rest.

    Args:
        fft_samples: window of the transform; the hop is a quarter.
        width: channels of every layer.
    """

    def __init__(self, fft_samples: int, width: int) -> None:
        super().__init__()
        self.stft = Stft(fft_samples, fft_samples // 4)
        shapes = [((3, 9), (1, 2))] * 3 + [((3, 3), (1, 1))]
        self.convs = nn.ModuleList(
            _prepared(
                nn.Conv2d(
                    3 if i == 0 else width,
                    width,
                    kernel,
                    stride,
                    (kernel[0] // 2, kernel[1] // 2),
                )
            )
            for i, (kernel, stride) in enumerate(shapes)
        )
        self.judge = _prepared(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, audio: Float[Tensor, "batch samples"]) -> Judgement:
        """Judge waveforms."""
        with torch.autocast(audio.device.type, enabled=False):
            spectrum = torch.view_as_real(self.stft(audio).transpose(1, 2))[:, :, :-1]
            magnitude = torch.sqrt(spectrum.square().sum(-1, keepdim=True) + _POWER_OFFSET)
            log_magnitude = (magnitude.log() + 3) / 3  # about zero mean and unit spread on speech
            image = torch.cat([spectrum * magnitude ** (_COMPRESSION - 1), log_magnitude], -1)
        # [batch, frames, bins, 3] seen as [batch, 3, frames, bins]: channels last without a copy.
        return _judge(image.permute(0, 3, 1, 2), self.convs, self.judge)


class WaveDiscriminator(nn.Module):
    """All configured sub-discriminators, period ones first, then scales, then spectrograms.

    Args:
        config: which ones, and their widths.
    """

    def __init__(self, config: WaveDiscriminatorConfig) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            [
                *(PeriodDiscriminator(period, config.period_width) for period in config.periods),
                *(ScaleDiscriminator(i, config.scale_width) for i in range(config.scales)),
                *(SpectrogramDiscriminator(fft, config.fft_width) for fft in config.fft_samples),
            ]
        )

    def forward(self, audio: Float[Tensor, "batch samples"]) -> list[Judgement]:
        """Return one judgement per sub-discriminator.

        Features leave out the first hidden layer of each, which runs at the highest resolution and
        costs the most to match. Second derivatives exist (R1); take those in fp32.

        Args:
            audio: crops in [-1, 1] without padding.
        """
        return [judge(audio) for judge in self.judges]


def _prepared(
    conv: nn.Conv1d | nn.Conv2d, norm: Callable[[nn.Module], nn.Module] = weight_norm
) -> nn.Module:
    """Initialise after He (arXiv 1502.01852), then reparametrize.

    Torch's own initialisation shrinks the signal to less than half per layer, so the scores come
    from the biases: telling pulses from noise, 30 updates took the loss to 0.46 (chance: 0.5) with
    it, and to 0.13 with this one.
    """
    nn.init.kaiming_normal_(conv.weight, a=_SLOPE)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return norm(conv)


def _judge(x: Tensor, convs: nn.ModuleList, judge: nn.Module) -> Judgement:
    features = []
    for conv in convs:
        x = F.leaky_relu(conv(x), _SLOPE)
        features.append(x)
    return Judgement(scores=judge(x).flatten(1), features=features[1:])
