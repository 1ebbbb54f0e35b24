"""Inverse-STFT generator that starts from what signal processing already knows about the mel."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from data.masks import length_mask
from data.mel import AudioConfig, LogMel
from vocoder.excitation import pulse_train, upsample_f0
from vocoder.interface import Vocoder
from vocoder.pitch import PitchConfig, PitchPredictor
from vocoder.stft import Stft

_REFERENCE_HZ = 150.0  # pitch whose logarithm enters the network as 0
LOG_GAIN_RANGE = (-8.0, 4.0)  # nats that the network may correct the magnitude prior by
_LOG_SHARPENING_RANGE = (math.log(0.01), math.log(10.0))  # of the harmonic over the flat prior
_SHARP_LOGIT = -1.1  # a quarter of the way to the harmonic prior; training moves it per bin
_NOISE_CENTRE_HZ, _NOISE_SLOPE_HZ = 5000.0, 1500.0  # where voiced speech turns into noise, at start


@dataclass(frozen=True)
class PriorISTFTConfig:
    """Sizes of the prior-informed generator; the defaults are the 6.7 M of `model=nano`.

    Raises:
        ValueError: a value is impossible.
    """

    width: int = 384
    """Channels of the residual stream."""
    ff_width: int = 1024
    """Hidden channels of each block's perceptron."""
    layers: int = 6
    """ConvNeXt blocks."""
    kernel_frames: int = 7
    """Taps of each block's depthwise convolution, in frames; odd."""
    consistency_steps: int = 4
    """Unrolled Griffin-Lim steps, each one iSTFT and STFT (0.0006 x real time on a CPU core).

    No weight depends on it: more may be set after training. Trained with 2 for two CPU-minutes,
    an unseen voice with its true pitch (5 clips) had PESQ 3.33, 3.43, 3.55 with 2, 4, 8.
    """
    pitch: PitchConfig = field(default_factory=PitchConfig)
    """The pitch predictor."""

    def __post_init__(self) -> None:
        for name in ("width", "ff_width", "layers", "kernel_frames"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"prior_istft.{name} is {getattr(self, name)}; give a positive number"
                )
        if self.kernel_frames % 2 == 0:
            raise ValueError(
                f"prior_istft.kernel_frames is {self.kernel_frames}; give an odd number"
            )
        if self.consistency_steps < 0:
            raise ValueError(
                f"prior_istft.consistency_steps is {self.consistency_steps}; give 0 or more"
            )


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution and a two-layer perceptron, residual, channels last.

    As in Vocos (arXiv 2306.00814). The convolution runs as a 2-D one over [batch, channels, 1,
    frames] with channels last in memory, which needs no transposed copies: 4 x faster than `Conv1d`
    on a CPU, 2 x with its backward on batches of crops.
    """

    def __init__(self, width: int, ff_width: int, kernel_frames: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            width, width, (1, kernel_frames), padding=(0, kernel_frames // 2), groups=width
        )
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, ff_width)
        self.contract = nn.Linear(ff_width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(
        self,
        x: Float[Tensor, "batch frames width"],
        mask: Bool[Tensor, "batch frames"] | None = None,
    ) -> Float[Tensor, "batch frames width"]:
        """Apply the block; positions where `mask` is False never reach the others."""
        y = x if mask is None else x * mask[..., None]
        y = self.depthwise(y[:, None].permute(0, 3, 1, 2)).permute(0, 2, 3, 1)[:, 0]
        y = F.gelu(self.expand(self.norm(y)), approximate="tanh")
        return x + self.contract(y) * self.scale


class PriorISTFTGenerator(Vocoder):
    """Source-filter priors for magnitude and phase, a network that corrects them, consistency.

    Written with P the STFT of a pulse train at the pitch whose harmonics have magnitude 1, N that
    of white noise scaled to |N| = 1, F the mel filterbank and F~ linear interpolation from bands to
    bins:

    1. magnitude priors: flat n = max(pinv(F) exp(mel), F~(exp(mel) / F1) / 10), and harmonic
       h = |P| F~(exp(mel) / F|P|), the pulses coloured by the envelope of the mel. The first is
       right where the bands resolve the harmonics; the second puts harmonics back where they do
       not, and into smooth (predicted) mels.
    2. a ConvNeXt stack over frames reads mel and pitch, and gives per bin a log gain g, a phase
       shift p, a noise share a and a sharpness s:
       S = n exp(g + ip) ((1 - a) (h / n)^s P/|P| + a N).
    3. K times: S <- target magnitude with the phase of STFT(iSTFT(S)), differentiable
       (Griffin-Lim inside the network). The target is n exp(g) ((1 - a) (h / n)^s + a).

    The head is that of Vocos (arXiv 2306.00814), which leaves magnitude and phase to the network.

    Randomness: while training, every item has its own noise and start phase. In evaluation the
    start phase is 0 and all items share one noise signal, drawn from the front: with the same seed
    an item sounds the same alone and in any batch (on a CPU generator, whose longer draws begin
    like shorter ones).

    Args:
        config: sizes.
        audio: geometry and normalisation of the mel.
    """

    filterbank: Tensor
    pseudo_inverse: Tensor
    interpolation: Tensor

    def __init__(self, config: PriorISTFTConfig, audio: AudioConfig) -> None:
        super().__init__(audio)
        self.config = config
        self.stft = Stft(audio.fft_samples, audio.hop_samples)
        self.pitch = PitchPredictor(config.pitch, audio)
        filterbank = LogMel(audio).filterbank
        triangles = filterbank / filterbank.amax(1, keepdim=True).clamp(min=1e-12)
        interpolation = triangles / triangles.sum(0, keepdim=True).clamp(min=1e-6)
        # Kept [mels, bins] or [bins, mels] such that frames multiply from the left.
        self.register_buffer("filterbank", filterbank.T.contiguous(), persistent=False)
        self.register_buffer("interpolation", interpolation, persistent=False)
        inverse = torch.linalg.pinv(filterbank).T.contiguous()
        self.register_buffer("pseudo_inverse", inverse, persistent=False)

        self.embed = nn.Conv1d(audio.mel_channels + 2, config.width, 7, padding=3)
        self.embed_norm = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.width, config.ff_width, config.kernel_frames, 1 / config.layers)
            for _ in range(config.layers)
        )
        self.head_norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, 4 * (audio.fft_samples // 2 + 1))
        self._init_weights()

    def forward(
        self,
        mel: Float[Tensor, "batch mels frames"],
        f0: Float[Tensor, "batch frames"] | None = None,
        generator: torch.Generator | None = None,
        mel_lengths: Int[Tensor, " batch"] | None = None,
        start_phase: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """Return fp32 audio of `frames * hop` samples; see `Vocoder.forward`."""
        if f0 is None:
            f0 = self.pitch.predict(mel, mel_lengths)
        elif mel_lengths is not None:
            f0 = f0 * length_mask(mel_lengths, f0.shape[1])
        corrections = self._correct(mel, f0, mel_lengths)
        with torch.autocast(mel.device.type, enabled=False):
            spectrum, target = self._synthesize(
                mel.float(), f0.float(), corrections.float(), generator, mel_lengths, start_phase
            )
            return self._make_consistent(spectrum, target, mel_lengths)

    def auxiliary_losses(
        self,
        mel: Float[Tensor, "batch mels frames"],
        f0: Float[Tensor, "batch frames"],
        mel_lengths: Int[Tensor, " batch"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"f0": the pitch predictor's loss in nats}, all that its weights learn from."""
        return {"f0": self.pitch.loss(mel, f0, mel_lengths)}

    def _correct(self, mel: Tensor, f0: Tensor, mel_lengths: Tensor | None) -> Tensor:
        """Return log gain, phase, noise and sharpness logits, [batch, frames, 4 * bins]."""
        mask = None
        voiced = (f0 > 0).to(mel.dtype)
        pitch = (f0.clamp(min=1.0) / _REFERENCE_HZ).log() * voiced
        normalised = (mel - self.audio.mel_mean) / self.audio.mel_std
        x = torch.cat([normalised, torch.stack([pitch, voiced], 1)], 1)
        if mel_lengths is not None:
            mask = length_mask(mel_lengths, mel.shape[2])
            x = x * mask[:, None]
        x = self.embed_norm(self.embed(x).transpose(1, 2))
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.head_norm(x))

    def _synthesize(
        self,
        mel: Tensor,
        f0: Tensor,
        corrections: Tensor,
        generator: torch.Generator | None,
        mel_lengths: Tensor | None,
        start_phase: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the corrected spectrum and its target magnitude, both [batch, frames, bins]."""
        log_gain, phase, noise_logit, sharp_logit = corrections.chunk(4, dim=-1)
        with torch.no_grad():
            pulses, pulse_magnitude = self._pulses(f0, generator, mel_lengths, start_phase)
            noise = _unit(self._noise(f0, generator, mel_lengths))
            flat_prior, log_sharpening = self._magnitude_priors(mel, pulse_magnitude)
            voiced = (f0 > 0).float()[..., None]
        level = flat_prior * log_gain.clamp(*LOG_GAIN_RANGE).exp()
        harmonic_share = torch.sigmoid(-noise_logit) * voiced
        sharpening = torch.exp(torch.sigmoid(sharp_logit) * log_sharpening)
        harmonic = level * harmonic_share * sharpening
        noisy = level * (1 - harmonic_share)
        rotation = torch.polar(torch.ones_like(phase), phase)
        return rotation * (harmonic * pulses + noisy * noise), harmonic + noisy

    def _magnitude_priors(self, mel: Tensor, pulse_magnitude: Tensor) -> tuple[Tensor, Tensor]:
        """Return n, and log(h / n) cut to its range, both [batch, frames, bins]."""
        energy = mel.exp().transpose(1, 2)
        band_sums = self.filterbank.sum(0)
        smooth = energy / band_sums @ self.interpolation
        flat = torch.maximum(energy @ self.pseudo_inverse, 0.1 * smooth).clamp(min=self.audio.floor)
        # The floor, 5 % of a flat spectrum, is for bands between two harmonics of a high voice.
        coverage = pulse_magnitude @ self.filterbank + 0.05 * band_sums
        harmonic = pulse_magnitude * (energy / coverage @ self.interpolation)
        ratio = harmonic.clamp(min=1e-9).log() - flat.log()
        return flat, ratio.clamp(*_LOG_SHARPENING_RANGE)

    def _make_consistent(
        self, spectrum: Tensor, target: Tensor, mel_lengths: Tensor | None
    ) -> Tensor:
        audio = self.stft.inverse(spectrum.transpose(1, 2), mel_lengths)
        for _ in range(self.config.consistency_steps):
            seen = self.stft(audio, mel_lengths).transpose(1, 2)
            parts = torch.view_as_real(seen)
            # Softened where the overlap cancels: there the phase is undecided and its gradient
            # would explode.
            magnitude = torch.sqrt(parts.square().sum(-1) + (0.03 * target).square() + 1e-9)
            audio = self.stft.inverse((seen * (target / magnitude)).transpose(1, 2), mel_lengths)
        return audio

    def _pulses(
        self,
        f0: Tensor,
        generator: torch.Generator | None,
        mel_lengths: Tensor | None,
        start_phase: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the pulses' spectrum scaled to magnitude 1, and its magnitude (1 = harmonic)."""
        if self.training and start_phase is None:
            start_phase = _draw(torch.rand, (f0.shape[0],), generator, f0.device)
        curve = upsample_f0(f0, self.audio.hop_samples)
        train = pulse_train(curve, self.audio.sample_rate_hz, start_phase)
        spectrum = self.stft(train, mel_lengths).transpose(1, 2)
        return _unit(spectrum), spectrum.abs() / (self.stft.window.sum() / 2)

    def _noise(
        self, f0: Tensor, generator: torch.Generator | None, mel_lengths: Tensor | None
    ) -> Tensor:
        batch, frames = f0.shape
        items = batch if self.training else 1
        samples = frames * self.audio.hop_samples
        noise = _draw(torch.randn, (items, samples), generator, f0.device)
        if mel_lengths is not None:
            noise = noise.expand(batch, -1)
        return self.stft(noise, mel_lengths).transpose(1, 2)

    def _init_weights(self) -> None:
        for module in (self.embed, self.head, *self.blocks.modules()):
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                # Depthwise: as few inputs as taps.
                std = 0.2 if isinstance(module, nn.Conv2d) else 0.02
                nn.init.trunc_normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        bins = self.head.out_features // 4
        hz = torch.linspace(0, self.audio.sample_rate_hz / 2, bins)
        with torch.no_grad():
            # Near zero, so that training starts from the priors alone.
            self.head.weight.mul_(0.3)
            self.head.bias[2 * bins : 3 * bins] = (hz - _NOISE_CENTRE_HZ) / _NOISE_SLOPE_HZ
            self.head.bias[3 * bins :] = _SHARP_LOGIT


def _unit(spectrum: Tensor) -> Tensor:
    """Scale a complex spectrum to magnitude 1, leaving what is silent at 0."""
    return spectrum / (spectrum.abs() + 1e-5)


def _draw(
    sampler: Callable[..., Tensor],
    shape: tuple[int, ...],
    generator: torch.Generator | None,
    device: torch.device,
) -> Tensor:
    """Draw on the generator's device, so that a CPU generator gives the same sound anywhere."""
    source = device if generator is None else generator.device
    return sampler(shape, generator=generator, device=source).to(device)
