"""Examples, and the padded batches that all networks train on."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from data.mel import FRAMES_PER_TOKEN, AudioConfig


@dataclass(frozen=True)
class Example:
    """One utterance, ready to be put into a batch."""

    id: str
    """Name of the utterance."""
    audio: Float32[Tensor, " samples"] | None
    """Waveform in [-1, 1] with `frames * hop` samples; None where only mels are trained."""
    mel: Float32[Tensor, "mels frames"]
    """Natural-log mel."""
    f0: Float32[Tensor, " frames"]
    """Pitch in Hz, 0 where unvoiced."""
    phonemes: Int64[Tensor, " phonemes"]
    """Symbol ids."""
    marks: Int64[Tensor, "phonemes 4"]
    """Stress, word start, punctuation and language of each phoneme."""
    tokens: Int64[Tensor, " tokens"] | None
    """Semantic tokens, one for `FRAMES_PER_TOKEN` frames; None before there is a tokenizer."""
    durations: Int64[Tensor, " phonemes"] | None
    """Tokens of each phoneme; None together with `tokens`."""
    reference: Float32[Tensor, "mels reference_frames"]
    """Natural-log mel of other speech of the same voice."""
    speaker: int
    """Position of the voice in the list of speakers."""


@dataclass(frozen=True)
class Batch:
    """Padded examples. Mels are padded with log(floor), all else with 0.

    `frames` is a multiple of `FRAMES_PER_TOKEN`, `samples` is `frames * hop`, and `tokens` is
    `frames / FRAMES_PER_TOKEN`.
    """

    ids: list[str]
    """Names of the utterances."""
    audio: Float32[Tensor, "batch samples"] | None
    """Waveforms in [-1, 1]; None where only mels are trained."""
    mel: Float32[Tensor, "batch mels frames"]
    """Natural-log mels."""
    mel_lengths: Int64[Tensor, " batch"]
    """Frames of each item, not rounded up."""
    f0: Float32[Tensor, "batch frames"]
    """Pitch in Hz, 0 where unvoiced."""
    phonemes: Int64[Tensor, "batch phonemes"]
    """Symbol ids."""
    marks: Int64[Tensor, "batch phonemes 4"]
    """Stress, word start, punctuation and language of each phoneme."""
    phoneme_lengths: Int64[Tensor, " batch"]
    """Phonemes of each item."""
    tokens: Int64[Tensor, "batch tokens"] | None
    """Semantic tokens; None before there is a tokenizer."""
    token_lengths: Int64[Tensor, " batch"] | None
    """Tokens of each item; None together with `tokens`."""
    durations: Int64[Tensor, "batch phonemes"] | None
    """Tokens of each phoneme; None together with `tokens`."""
    reference: Float32[Tensor, "batch mels reference_frames"]
    """Natural-log mels of other speech of the same voices."""
    reference_lengths: Int64[Tensor, " batch"]
    """Frames of each reference."""
    speaker: Int64[Tensor, " batch"]
    """Position of each voice in the list of speakers."""

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """Return the batch with all its tensors on a device."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory; called by `DataLoader(pin_memory=True)`."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        changed: dict[str, Any] = {}
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), Tensor):
                changed[field.name] = function(value)
        return replace(self, **changed)


def collate(examples: Sequence[Example], config: AudioConfig | None = None) -> Batch:
    """Pad examples to a batch.

    Args:
        examples: at least one; audio and tokens are there in all of them or in none.
        config: geometry of audio and mel; None means the default one.

    Raises:
        ValueError: there are no examples, or only some have audio or tokens.
    """
    if not examples:
        raise ValueError("a batch needs at least one example")
    config = config or AudioConfig()
    silence = math.log(config.floor)
    frames = FRAMES_PER_TOKEN * max(-(-e.mel.shape[1] // FRAMES_PER_TOKEN) for e in examples)
    phonemes = max(len(e.phonemes) for e in examples)
    reference_frames = max(e.reference.shape[1] for e in examples)
    tokens = _all_or_none([e.tokens for e in examples], "tokens")
    durations = _all_or_none([e.durations for e in examples], "durations")
    audio = _all_or_none([e.audio for e in examples], "audio")
    return Batch(
        ids=[e.id for e in examples],
        audio=None if audio is None else _padded(audio, frames * config.hop_samples),
        mel=_padded([e.mel for e in examples], frames, silence),
        mel_lengths=torch.tensor([e.mel.shape[1] for e in examples]),
        f0=_padded([e.f0 for e in examples], frames),
        phonemes=_padded([e.phonemes for e in examples], phonemes),
        marks=_padded([e.marks.T for e in examples], phonemes).transpose(1, 2).contiguous(),
        phoneme_lengths=torch.tensor([len(e.phonemes) for e in examples]),
        tokens=None if tokens is None else _padded(tokens, frames // FRAMES_PER_TOKEN),
        token_lengths=None if tokens is None else torch.tensor([len(t) for t in tokens]),
        durations=None if durations is None else _padded(durations, phonemes),
        reference=_padded([e.reference for e in examples], reference_frames, silence),
        reference_lengths=torch.tensor([e.reference.shape[1] for e in examples]),
        speaker=torch.tensor([e.speaker for e in examples]),
    )


def _padded(tensors: Sequence[Tensor], size: int, value: float = 0.0) -> Tensor:
    """Stack tensors, each filled up along its last axis."""
    batch = tensors[0].new_full((len(tensors), *tensors[0].shape[:-1], size), value)
    for row, tensor in zip(batch, tensors, strict=True):
        row[..., : tensor.shape[-1]] = tensor
    return batch


def _all_or_none(tensors: Sequence[Tensor | None], name: str) -> list[Tensor] | None:
    present = [tensor for tensor in tensors if tensor is not None]
    if len(present) not in (0, len(tensors)):
        raise ValueError(f"{len(present)} of {len(tensors)} examples have {name}: all or none must")
    return present or None
