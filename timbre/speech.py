"""From phonemes and a voice to sound: the one path that synthesis and validation share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from data.errors import InputError
from data.text.frontend import Phonemes
from data.text.symbols import SILENCE_ID, SYMBOLS, is_nucleus
from gpt.judge import phoneme_errors
from gpt.sampling import SamplingConfig
from timbre.networks import Networks

_LONGEST_TOKENS = {"pause": 22, "vowel": 14, "consonant": 12}
"""In the base's training data 99.9 % of each kind are shorter; the rest are wrong alignments."""


@dataclass
class Speech:
    """One spoken text."""

    audio: Float[Tensor, " samples"]
    """Waveform in [-1, 1]."""
    mel: Float[Tensor, "mels frames"]
    """The decoder's mel, natural log."""
    durations: Int[Tensor, " phonemes"] | None
    """Semantic tokens of each phoneme; None with `layout: plain`, which does not know them."""
    phoneme_error: float = math.nan
    """What the judge of the candidates heard; NaN where there was one candidate only."""


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
    generator: torch.Generator | list[torch.Generator],
    speed: float = 1.0,
    candidates: int = 1,
) -> list[Speech]:
    """Speaks several sentences, GPT all of them at once; see `speak`.

    Args:
        networks: In evaluation mode.
        texts: The sentences.
        z_spk: The voice of each.
        sampling: How GPT samples.
        generator: All randomness; or one for each text, which then sounds as it does alone.
        speed: 2 speaks twice as fast.
        candidates: Each text is said so many times, and the tokenizer's CTC head picks the one
            in which it hears the fewest wrong phonemes.

    Raises:
        InputError: Several candidates, but the voice came without the tokenizer that judges.
    """
    if candidates > 1 and not networks.can_tokenize:
        raise InputError(
            "candidates needs the tokenizer as a judge, and this voice has none: put its "
            "tokenizer.safetensors beside model.safetensors, or leave candidates at 1"
        )
    own = generator if isinstance(generator, list) else _one_each(generator, len(texts))
    generators = [sources(row) for source in own for row in _one_each(source, candidates)]
    rows = [text for text in texts for _ in range(candidates)]
    voices = z_spk.repeat_interleave(candidates, dim=0)
    writing = [triple[0] for triple in generators]
    latents, durations = _written(networks, rows, voices, sampling, writing)
    speeches = []
    for number, text in enumerate(texts):
        drafts = []
        for row in range(number * candidates, (number + 1) * candidates):
            x = paced(latents[row], speed)
            size = torch.tensor([x.shape[1]], device=x.device)
            voice = voices[row : row + 1]
            mel = networks.sovits.decoder.sample(x, size, voice, generators[row][1]).float()
            error = phoneme_error(networks, mel, text) if candidates > 1 else math.nan
            drafts.append((error, row, mel))
        error, row, mel = min(drafts, key=lambda draft: draft[:2])
        audio = networks.vocoder(mel, generator=generators[row][2])[0].float().clamp(-1.0, 1.0)
        speeches.append(Speech(audio, mel[0], durations[row], error))
    return speeches


@torch.inference_mode()
def phoneme_error(networks: Networks, mel: Float[Tensor, "1 mels frames"], text: Phonemes) -> float:
    """Share of wrong phonemes that the tokenizer hears in a mel; see `gpt.judge`."""
    lengths = torch.tensor([mel.shape[2]], device=mel.device)
    _, _, logits, ctc_lengths = networks.tokenizer.encode(mel, lengths)
    return phoneme_errors(logits, ctc_lengths, [text.ids.tolist()])[0]


def longest_tokens(phonemes: Int[Tensor, " phonemes"]) -> Int[Tensor, " phonemes"]:
    """Most tokens that each phoneme may have; what goes on longer is babble, or a hanging voice."""
    kinds = [
        "pause" if i == SILENCE_ID else "vowel" if is_nucleus(SYMBOLS[i]) else "consonant"
        for i in phonemes.tolist()
    ]
    return torch.tensor([_LONGEST_TOKENS[kind] for kind in kinds], device=phonemes.device)


def padded(
    texts: list[Phonemes], device: torch.device
) -> tuple[
    Int[Tensor, "texts phonemes"], Int[Tensor, "texts phonemes marks"], Int[Tensor, " texts"]
]:
    """Phonemes, marks and lengths of texts as GPT reads them."""
    ids = pad_sequence([torch.as_tensor(text.ids) for text in texts], batch_first=True)
    marks = pad_sequence([torch.as_tensor(text.marks) for text in texts], batch_first=True)
    lengths = torch.tensor([len(text.ids) for text in texts], device=device)
    return ids.long().to(device), marks.long().to(device), lengths


def paced(
    latents: Float[Tensor, "1 tokens width"], speed: float
) -> Float[Tensor, "1 paced_tokens width"]:
    """The latents read at another pace, by linear interpolation.

    The i-th lies at (i + 1/2) * speed - 1/2 of the given ones, whatever comes after it.
    """
    if speed == 1.0:
        return latents
    count = latents.shape[1]
    places = (torch.arange(paced_size(count, speed), device=latents.device) + 0.5) * speed - 0.5
    places = places.clamp(0, count - 1)
    before = places.floor().long()
    after = (before + 1).clamp(max=count - 1)
    share = (places - before)[:, None]
    return latents[:, before] * (1 - share) + latents[:, after] * share


def paced_size(tokens: int, speed: float) -> int:
    """Number of latents that so many become at a pace; at least 1."""
    return max(1, round(tokens / speed))


def _written(
    networks: Networks,
    texts: list[Phonemes],
    z_spk: Tensor,
    sampling: SamplingConfig,
    generators: list[torch.Generator],
) -> tuple[list[Tensor], list[Tensor | None]]:
    """GPT's latents `[1, tokens, width]` and durations `[phonemes]` of each text."""
    ids, marks, lengths = padded(texts, z_spk.device)
    bounds = torch.ones_like(ids)
    for row, length in enumerate(lengths.tolist()):
        bounds[row, :length] = longest_tokens(ids[row, :length])
    written = networks.gpt.generate(ids, marks, lengths, z_spk, sampling, generators, bounds)
    latents = [
        written.latents[row : row + 1, :count]
        for row, count in enumerate(written.token_lengths.tolist())
    ]
    durations = [
        None if written.durations is None else written.durations[row, :count]
        for row, count in enumerate(lengths.tolist())
    ]
    return latents, durations


def sources(
    generator: torch.Generator,
) -> tuple[torch.Generator, torch.Generator, torch.Generator]:
    """Generators for GPT, decoder and vocoder: none has to wait for what another draws."""
    writing, decoding, vocoding = _one_each(generator, 3)
    return writing, decoding, vocoding


def _one_each(generator: torch.Generator, count: int) -> list[torch.Generator]:
    """Generators seeded by one: what a text draws does not depend on how long the others are."""
    if count == 1:
        return [generator]
    seeds = torch.randint(2**62, (count,), generator=generator, device=generator.device)
    return [torch.Generator(generator.device).manual_seed(seed) for seed in seeds.tolist()]
