"""Decoding without the network: where each row is, what it reads next, what it has written."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.masks import length_mask
from gpt.layout import slot_id
from gpt.sampling import RowNoise, SamplingConfig, choose


@dataclass
class Generated:
    """What `GPT.generate` wrote."""

    tokens: Int[Tensor, "batch tokens"]
    """Token ids; 0 past the last."""
    token_lengths: Int[Tensor, " batch"]
    """At least 1."""
    durations: Int[Tensor, "batch phonemes"] | None
    """Tokens of each phoneme; None in the plain layout, which does not know them."""
    latents: Float[Tensor, "batch tokens width"]
    """z_sem of each token, as `GPT.forward` gives it for these tokens; 0 past the last."""


@dataclass
class Step:
    """Inputs of the next position of every row."""

    inputs: Int[Tensor, "rows 1"]
    owners: Int[Tensor, "rows 1"]
    counts: Int[Tensor, "rows 1"]
    is_token: Bool[Tensor, "rows 1"]
    """False for phoneme slots and for rows that have finished."""


class Decoding:
    """The state of a batch while it is decoded; every row walks through its own phonemes.

    In the interleaved layout an end moves the row to its next phoneme, so that all are spoken, in
    order, once. In the plain layout the first end finishes the row.

    Args:
        layout: "interleaved" or "plain".
        codes: number of different tokens.
        phoneme_lengths: valid phonemes of each row.
        phonemes: padded number of phonemes.
        max_tokens_per_phoneme: an interleaved phoneme is ended here.
        sampling: how to choose.
        noise: random numbers of the rows.
    """

    def __init__(
        self,
        layout: str,
        codes: int,
        phoneme_lengths: Int[Tensor, " rows"],
        phonemes: int,
        max_tokens_per_phoneme: int,
        sampling: SamplingConfig,
        noise: RowNoise,
    ):
        self.interleaved = layout == "interleaved"
        self.codes = codes
        self.phonemes = phonemes
        self.last_phoneme = phoneme_lengths - 1
        self.max_tokens_per_phoneme = max_tokens_per_phoneme
        self.sampling = sampling
        self.noise = noise
        self.phoneme = torch.zeros_like(phoneme_lengths)
        self.count = torch.zeros_like(phoneme_lengths)
        self.silent = torch.ones_like(phoneme_lengths, dtype=torch.bool)
        self.done = torch.zeros_like(self.silent)
        window = (len(phoneme_lengths), sampling.repetition_window)
        self.recent = torch.full(window, -1, device=phoneme_lengths.device)

    def finished(self) -> bool:
        """Whether all rows have ended (waits for the device: call it once a step)."""
        return bool(self.done.all())

    def advance(self, logits: Float[Tensor, "rows choices"], room: Int[Tensor, " rows"]) -> Step:
        """Choose the next position of every row.

        Args:
            logits: scores at the latest position.
            room: positions left. Slots of phonemes to come are kept free, so that a text that
                fills the sequence is spoken shorter, not cut.
        """
        phonemes_left = self.last_phoneme - self.phoneme
        if self.interleaved:
            full = self.count >= self.max_tokens_per_phoneme
            must_end = full | (room <= phonemes_left)
            may_end = ~self.silent | (phonemes_left > 0)
        else:
            must_end, may_end = room <= 0, ~self.silent
        ends, tokens = choose(logits, must_end, may_end, self.recent, self.sampling, self.noise)
        is_token = ~ends & ~self.done
        self.silent &= ~is_token
        shifted = torch.cat((self.recent, tokens[:, None]), 1)[:, 1:]
        self.recent = torch.where(is_token[:, None], shifted, self.recent)
        inputs = torch.where(is_token, tokens, slot_id(self.codes))
        if not self.interleaved:
            self.done |= ends
            nobody = torch.full_like(inputs, self.phonemes)
            return _step(inputs, nobody, torch.zeros_like(inputs), is_token)
        self.done |= ends & (phonemes_left <= 0)
        self.phoneme = (self.phoneme + ends.long()).minimum(self.last_phoneme)
        self.count = torch.where(ends, 0, self.count + 1)
        return _step(inputs, self.phoneme, self.count, is_token)


class Recording:
    """Everything that was read and computed, step by step, to be packed at the end.

    Args:
        phonemes: padded number of phonemes.
    """

    def __init__(self, phonemes: int):
        self.phonemes = phonemes
        self.steps: list[Step] = []
        self.hidden: list[Float[Tensor, "rows 1 width"]] = []

    def append(self, step: Step, hidden: Float[Tensor, "rows 1 width"]) -> None:
        """Add the inputs of one position and the hidden state there."""
        self.steps.append(step)
        self.hidden.append(hidden)

    def pack(self, with_durations: bool) -> Generated:
        """Keep the tokens, close the gaps that slots left, and pad."""
        is_token = torch.cat([step.is_token for step in self.steps], 1)
        lengths = is_token.sum(1)
        size = int(lengths.max())
        order = (~is_token).long().argsort(dim=1, stable=True)[:, :size]
        mask = length_mask(lengths, size)
        hidden = torch.cat(self.hidden, 1)
        latents = hidden.gather(1, order[..., None].expand(-1, -1, hidden.shape[2]))
        durations = None
        if with_durations:
            owners = torch.cat([step.owners for step in self.steps], 1)
            durations = torch.zeros(len(owners), self.phonemes, device=owners.device).long()
            durations = durations.scatter_add(1, owners, is_token.long())
        tokens = torch.cat([step.inputs for step in self.steps], 1).gather(1, order)
        return Generated(tokens * mask, lengths, durations, latents * mask[..., None])


def _step(
    inputs: Int[Tensor, " rows"],
    owners: Int[Tensor, " rows"],
    counts: Int[Tensor, " rows"],
    is_token: Bool[Tensor, " rows"],
) -> Step:
    return Step(inputs[:, None], owners[:, None], counts[:, None], is_token[:, None])
