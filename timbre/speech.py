"""From phonemes and a voice to sound: the one path that synthesis and validation share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from data.text.frontend import Phonemes
from gpt.sampling import SamplingConfig
from timbre.networks import Networks


@dataclass
class Speech:
    """One spoken text."""

    audio: Float[Tensor, " samples"]
    """Waveform in [-1, 1]."""
    mel: Float[Tensor, "mels frames"]
    """The decoder's mel, natural log."""
    durations: Int[Tensor, " phonemes"] | None
    """Semantic tokens of each phoneme; None with `layout: plain`, which does not know them."""


@torch.inference_mode()
def speak(
    networks: Networks,
    phonemes: Phonemes,
    z_spk: Float[Tensor, "1 channels"],
    sampling: SamplingConfig,
    generator: torch.Generator,
    speed: float = 1.0,
) -> Speech:
    """Speaks one sentence: GPT writes tokens, the decoder a mel, the vocoder the waveform.

    Args:
        networks: In evaluation mode.
        phonemes: The sentence.
        z_spk: The voice.
        sampling: How GPT samples.
        generator: All randomness, on the networks' device; equal seeds give equal speech.
        speed: 2 speaks twice as fast: GPT's latents are read at another pace, the pitch stays.
    """
    device = z_spk.device
    ids = torch.as_tensor(phonemes.ids, device=device, dtype=torch.long)[None]
    marks = torch.as_tensor(phonemes.marks, device=device, dtype=torch.long)[None]
    lengths = torch.tensor([ids.shape[1]], device=device)
    written = networks.gpt.generate(ids, marks, lengths, z_spk, sampling, generator)
    tokens = int(written.token_lengths[0])
    latents = _paced(written.latents[:, :tokens], speed)
    lengths = torch.tensor([latents.shape[1]], device=device)
    mel = networks.sovits.decoder.sample(latents, lengths, z_spk, generator).float()
    durations = None if written.durations is None else written.durations[0]
    audio = networks.vocoder(mel, generator=generator)[0].float()
    return Speech(audio.clamp(-1.0, 1.0), mel[0], durations)


def _paced(
    latents: Float[Tensor, "1 tokens width"], speed: float
) -> Float[Tensor, "1 paced_tokens width"]:
    if speed == 1.0:
        return latents
    size = max(1, round(latents.shape[1] / speed))
    return F.interpolate(latents.mT, size=size, mode="linear").mT
