"""The prior-informed vocoder without complex numbers and FFT operators, which ONNX lacks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vocoder.excitation import pulse_train, upsample_f0
from vocoder.prior_istft import LOG_GAIN_RANGE, PriorISTFTGenerator

Parts = tuple[Tensor, Tensor]
"""Real and imaginary part, `[1, frames, bins]`."""


class RealStft(nn.Module):
    """`vocoder.stft.Stft` and its inverse as convolutions with sines and cosines.

    Args:
        fft_samples: Length of transform and window.
        hop_samples: Samples from frame to frame.
    """

    def __init__(self, fft_samples: int, hop_samples: int) -> None:
        super().__init__()
        self.fft, self.hop = fft_samples, hop_samples
        self.padding = (fft_samples - hop_samples) // 2
        window = torch.hann_window(fft_samples).double()
        bins = torch.arange(fft_samples // 2 + 1).double()
        # Modulo the length first: sines of large arguments lose digits.
        turns = (bins[:, None] * torch.arange(fft_samples)).remainder(fft_samples) / fft_samples
        waves = torch.stack([(2 * math.pi * turns).cos(), -(2 * math.pi * turns).sin()])
        # Each bin but the first and the last stands for its mirror image too.
        weight = torch.full((len(bins), 1), 2.0).double()
        weight[0] = weight[-1] = 1.0
        analysis = (waves * window).flatten(0, 1)[:, None]
        synthesis = (waves * window * weight / fft_samples).flatten(0, 1)[:, None]
        self.register_buffer("analysis", analysis.float(), persistent=False)
        self.register_buffer("synthesis", synthesis.float(), persistent=False)
        self.register_buffer("squared", window.square().float()[None, None], persistent=False)

    def forward(self, audio: Float[Tensor, "1 samples"]) -> Parts:
        """The spectrum of a waveform of whole hops."""
        padded = F.pad(audio[:, None], (self.padding, self.padding), "reflect")
        both = F.conv1d(padded, self.get_buffer("analysis"), stride=self.hop)
        real, imaginary = both.transpose(1, 2).chunk(2, -1)
        return real, imaginary

    def inverse(self, spectrum: Parts) -> Float[Tensor, "1 samples"]:
        """The waveform of a spectrum, by windowed overlap-add."""
        both = torch.cat(spectrum, -1).transpose(1, 2)
        total = F.conv_transpose1d(both, self.get_buffer("synthesis"), stride=self.hop)
        ones = torch.ones_like(both[:, :1])
        envelope = F.conv_transpose1d(ones, self.get_buffer("squared"), stride=self.hop)
        audio = total / envelope.clamp(min=1e-8)
        return audio[:, 0, self.padding : -self.padding]


class VocoderGraph(nn.Module):
    """A mel and white noise to a waveform: `PriorISTFTGenerator.forward` in evaluation.

    Args:
        vocoder: Copied from; its folded weights are shared.
    """

    def __init__(self, vocoder: PriorISTFTGenerator) -> None:
        super().__init__()
        self.vocoder = vocoder
        self.stft = RealStft(vocoder.audio.fft_samples, vocoder.audio.hop_samples)

    def forward(
        self, mel: Float[Tensor, "1 mels frames"], noise: Float[Tensor, "1 samples"]
    ) -> Float[Tensor, "1 samples"]:
        """Audio of `frames * hop` samples."""
        vocoder, audio = self.vocoder, self.vocoder.audio
        f0 = vocoder.pitch.predict(mel)
        corrections = vocoder._correct(mel, f0, None)
        log_gain, phase, noise_logit, sharp_logit = corrections.chunk(4, dim=-1)
        curve = upsample_f0(f0, audio.hop_samples)
        pulses = self.stft(pulse_train(curve, audio.sample_rate_hz))
        pulse_magnitude = _magnitude(pulses) / (vocoder.stft.window.sum() / 2)
        flat, log_sharpening = vocoder._magnitude_priors(mel, pulse_magnitude)
        level = flat * log_gain.clamp(*LOG_GAIN_RANGE).exp()
        share = torch.sigmoid(-noise_logit) * (f0 > 0).to(mel.dtype)[..., None]
        harmonic = level * share * torch.exp(torch.sigmoid(sharp_logit) * log_sharpening)
        noisy = level * (1 - share)
        target = harmonic + noisy
        pulse, hiss = _unit(pulses), _unit(self.stft(noise))
        real, imaginary = (harmonic * p + noisy * n for p, n in zip(pulse, hiss, strict=True))
        cos, sin = phase.cos(), phase.sin()
        wave = self.stft.inverse((real * cos - imaginary * sin, real * sin + imaginary * cos))
        for _ in range(vocoder.config.consistency_steps):
            real, imaginary = self.stft(wave)
            power = real.square() + imaginary.square() + (0.03 * target).square() + 1e-9
            scale = target / power.sqrt()
            wave = self.stft.inverse((real * scale, imaginary * scale))
        return wave.clamp(-1.0, 1.0)


def _magnitude(parts: Parts) -> Tensor:
    return (parts[0].square() + parts[1].square()).sqrt()


def _unit(parts: Parts) -> Parts:
    length = _magnitude(parts) + 1e-5
    return parts[0] / length, parts[1] / length
