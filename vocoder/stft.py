"""Complex short-time Fourier transform with the framing of `data.mel.LogMel`, and its inverse."""

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from data.masks import length_mask

_EMPTY_ENVELOPE = 1e-8  # where no frame lies; the overlapping Hann windows elsewhere sum to > 1e-5


class Stft(nn.Module):
    """Hann-windowed STFT whose frame t is centred on the middle of hop t, and its inverse.

    Audio is padded by reflection with (fft - hop) / 2 samples on both sides ("same" padding, as in
    BigVGAN, arXiv 2206.04658, and Vocos, arXiv 2306.00814), so `frames = samples // hop`. With
    `mel_lengths` the reflection happens at the end of each item instead of at the end of the batch,
    and frames beyond it are zero: an item comes out as it would alone. All in fp32, also under
    autocast, since phases do not survive bf16.

    Args:
        fft_samples: length of transform and window.
        hop_samples: samples from frame to frame; must divide `fft_samples` (the overlap-add adds
            whole hops) and leave an even difference.

    Raises:
        ValueError: the hop does not fit the window.
    """

    window: Tensor

    def __init__(self, fft_samples: int, hop_samples: int) -> None:
        super().__init__()
        if fft_samples % hop_samples or (fft_samples - hop_samples) % 2:
            raise ValueError(
                f"a hop of {hop_samples} samples does not fit a window of {fft_samples}: "
                "it must divide it, and their difference must be even"
            )
        self.fft_samples = fft_samples
        self.hop_samples = hop_samples
        self.padding = (fft_samples - hop_samples) // 2
        # Not persistent: it follows from the configuration.
        self.register_buffer("window", torch.hann_window(fft_samples), persistent=False)

    def forward(
        self,
        audio: Float[Tensor, "batch samples"],
        mel_lengths: Int[Tensor, " batch"] | None = None,
    ) -> Complex[Tensor, "batch bins frames"]:
        """Return the spectrum, `bins = fft // 2 + 1`, `frames = samples // hop`.

        The result is a transposed view: [batch, frames, bins] is the order in memory.

        Args:
            audio: waveforms; what lies beyond `mel_lengths * hop` is ignored.
            mel_lengths: frames of each item; None: all items fill the batch.
        """
        audio = audio.float()
        if mel_lengths is None and audio.shape[1] > self.padding:
            padded = F.pad(audio[:, None], (self.padding, self.padding), "reflect")[:, 0]
        else:
            padded = self._reflect_at_ends(audio, mel_lengths)
        frames = padded.unfold(1, self.fft_samples, self.hop_samples) * self.window.float()
        spectrum = torch.fft.rfft(frames)
        if mel_lengths is not None:
            spectrum = spectrum * length_mask(mel_lengths, spectrum.shape[1])[..., None]
        return spectrum.transpose(1, 2)

    def inverse(
        self,
        spectrum: Complex[Tensor, "batch bins frames"],
        mel_lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """Return audio of `frames * hop` samples by windowed overlap-add.

        This is the least-squares inverse (Griffin & Lim 1984, eq. 6): the sum of windowed frames
        over the sum of squared windows. Beyond `mel_lengths * hop` the audio is zero.
        """
        frames = torch.fft.irfft(spectrum.transpose(1, 2), n=self.fft_samples)
        frames = frames * self.window.float()
        squared = self.window.float().square().expand(1, frames.shape[1], -1)
        mask = None
        if mel_lengths is not None:
            mask = length_mask(mel_lengths, frames.shape[1])[..., None]
            frames = frames * mask
            squared = squared * mask
        envelope = self._overlap_add(squared).clamp(min=_EMPTY_ENVELOPE)
        audio = self._overlap_add(frames) / envelope
        if mask is not None:
            audio = audio * mask.expand(-1, -1, self.hop_samples).flatten(1)
        return audio

    def _reflect_at_ends(self, audio: Tensor, mel_lengths: Tensor | None) -> Tensor:
        """Pad like `F.pad(..., "reflect")`, at each item's own end and for any length >= 2."""
        samples = audio.shape[1]
        positions = torch.arange(-self.padding, samples + self.padding, device=audio.device)
        if mel_lengths is None:
            last = torch.full((audio.shape[0],), samples - 1, device=audio.device)
        else:
            last = mel_lengths.to(audio.device).clamp(min=1) * self.hop_samples - 1
        last = last[:, None]
        # A triangle wave of period 2 * last: reflection that goes on reflecting in short items.
        index = last - ((positions[None] + last) % (2 * last) - last).abs()
        return audio.gather(1, (last - index).clamp(max=samples - 1))

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Add [batch, frames, fft] at hop distances, cut to the middle frames * hop samples."""
        overlap = self.fft_samples // self.hop_samples
        hops = frames.unflatten(2, (overlap, self.hop_samples))
        # Adding `overlap` shifted copies is several times faster on a CPU than F.fold.
        total = F.pad(hops[:, :, 0], (0, 0, 0, overlap - 1))
        for i in range(1, overlap):
            total = total + F.pad(hops[:, :, i], (0, 0, i, overlap - 1 - i))
        return total.flatten(1)[:, self.padding : self.padding + frames.shape[1] * self.hop_samples]
