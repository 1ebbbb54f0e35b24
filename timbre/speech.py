"""From phonemes and a voice to sound: the one path that synthesis and validation share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

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
    return speak_all(networks, [phonemes], z_spk, sampling, generator, speed)[0]


@torch.inference_mode()
def speak_all(
    networks: Networks,
    texts: list[Phonemes],
    z_spk: Float[Tensor, "texts channels"],
    sampling: SamplingConfig,
    generator: torch.Generator,
    speed: float = 1.0,
) -> list[Speech]:
    """Speaks several sentences, GPT all of them at once; see `speak`."""
    device = z_spk.device
    lengths = torch.tensor([len(text.ids) for text in texts], device=device)
    ids = pad_sequence([torch.as_tensor(text.ids) for text in texts], batch_first=True)
    marks = pad_sequence([torch.as_tensor(text.marks) for text in texts], batch_first=True)
    written = networks.gpt.generate(
        ids.to(device).long(), marks.to(device).long(), lengths, z_spk, sampling, generator
    )
    speeches = []
    for row, tokens in enumerate(written.token_lengths.tolist()):
        latents = _paced(written.latents[row : row + 1, :tokens], speed)
        size = torch.tensor([latents.shape[1]], device=device)
        mel = networks.sovits.decoder.sample(latents, size, z_spk[row : row + 1], generator).float()
        audio = networks.vocoder(mel, generator=generator)[0].float().clamp(-1.0, 1.0)
        known = None if written.durations is None else written.durations[row, : lengths[row]]
        speeches.append(Speech(audio, mel[0], known))
    return speeches


def _paced(
    latents: Float[Tensor, "1 tokens width"], speed: float
) -> Float[Tensor, "1 paced_tokens width"]:
    if speed == 1.0:
        return latents
    size = max(1, round(latents.shape[1] / speed))
    return F.interpolate(latents.mT, size=size, mode="linear").mT
