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
    """False for phoneme slots, and for rows that end here."""


class Decoding:
    """The state of a batch while it is decoded; every row walks through its own phonemes.

    In the interleaved layout an end moves the row to its next phoneme, so that all are spoken, in
    order, once. In the plain layout the first end finishes the row.

    Args:
        layout: "interleaved" or "plain".
        codes: number of different tokens.
        phoneme_lengths: valid phonemes of each row.
        bounds: most tokens of each phoneme: an interleaved one is ended there; a plain row may
            have as many as all its phonemes together.
        sampling: how to choose.
        noise: random numbers of the rows.
    """

    def __init__(
        self,
        layout: str,
        codes: int,
        phoneme_lengths: Int[Tensor, " rows"],
        bounds: Int[Tensor, "rows phonemes"],
        sampling: SamplingConfig,
        noise: RowNoise,
    ):
        self.interleaved = layout == "interleaved"
        self.codes = codes
        self.phonemes = bounds.shape[1]
        self.last_phoneme = phoneme_lengths - 1
        inside = length_mask(phoneme_lengths, self.phonemes)
        self.bounds = bounds if self.interleaved else (bounds * inside).sum(1, keepdim=True)
        self.sampling = sampling
        self.noise = noise
        self.phoneme = torch.zeros_like(phoneme_lengths)
        self.count = torch.zeros_like(phoneme_lengths)
        self.silent = torch.ones_like(phoneme_lengths, dtype=torch.bool)
        self.done = torch.zeros_like(self.silent)
        window = (len(phoneme_lengths), sampling.repetition_window)
        self.recent = torch.full(window, -1, device=phoneme_lengths.device)

    def going(self) -> Int[Tensor, " kept"] | None:
        """Rows that have not ended, or None for all (waits for the device: call it once a step).

        The last ones fill the gaps, so that few rows have to move.
        """
        done = self.done.tolist()
        if not any(done):
            return None
        rows = [row for row, ended in enumerate(done) if not ended]
        behind = [row for row in rows if row >= len(rows)]
        places = [behind.pop() if done[place] else place for place in range(len(rows))]
        return torch.tensor(places, dtype=torch.int64, device=self.done.device)

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Go on with some of the rows only, in this order."""
        self.last_phoneme, self.bounds = self.last_phoneme[rows], self.bounds[rows]
        self.phoneme, self.count = self.phoneme[rows], self.count[rows]
        self.silent, self.done = self.silent[rows], self.done[rows]
        self.recent = self.recent[rows]
        self.noise.keep(rows)

    def advance(self, logits: Float[Tensor, "rows choices"], room: Int[Tensor, " rows"]) -> Step:
        """Choose the next position of every row.

        Args:
            logits: scores at the latest position.
            room: positions left. Slots of phonemes to come are kept free, so that a text that
                fills the sequence is spoken shorter, not cut.
        """
        phonemes_left = self.last_phoneme - self.phoneme
        bound = self.bounds.gather(1, self.phoneme[:, None]).squeeze(1)
        must_end = (self.count >= bound) | (room <= (phonemes_left if self.interleaved else 0))
        may_end = ~self.silent
        if self.interleaved:
            may_end |= phonemes_left > 0
        ends, tokens = choose(logits, must_end, may_end, self.recent, self.sampling, self.noise)
        is_token = ~ends
        self.silent = self.silent & ends
        shifted = torch.cat((self.recent, tokens[:, None]), 1)[:, 1:]
        self.recent = torch.where(is_token[:, None], shifted, self.recent)
        inputs = torch.where(is_token, tokens, slot_id(self.codes))
        self.count = torch.where(ends, 0, self.count + 1)
        if not self.interleaved:
            self.done = ends
            nobody = torch.full_like(inputs, self.phonemes)
            return _step(inputs, nobody, torch.zeros_like(inputs), is_token)
        self.done = ends & (phonemes_left <= 0)
        self.phoneme = (self.phoneme + ends.long()).minimum(self.last_phoneme)
        return _step(inputs, self.phoneme, self.count, is_token)


class Recording:
    """Everything that was read and computed, step by step, to be packed at the end.

    Args:
        rows: number of rows.
        phonemes: padded number of phonemes.
        width: of the hidden states.
        device: of all tensors.
    """

    def __init__(self, rows: int, phonemes: int, width: int, device: torch.device):
        self.rows = rows
        self.width = width
        self.device = device
        self.taken = 0
        self.phonemes = phonemes
        self.kept = torch.arange(rows, device=device)
        self.steps: list[tuple[Tensor, Step, Float[Tensor, "rows 1 width"]]] = []

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Only these rows go on, in this order."""
        self.kept = self.kept[rows]

    def append(self, step: Step, hidden: Float[Tensor, "rows 1 width"]) -> None:
        """Add the inputs of one position of the rows that go on, and the hidden state there."""
        self.steps.append((self.kept, step, hidden))

    def take(self) -> Float[Tensor, "1 new width"]:
        """Hidden states of the tokens appended since the last call, of a single row."""
        if self.rows != 1:
            raise ValueError(f"tokens of {self.rows} rows do not end together: use `pack`")
        new, self.taken = self.steps[self.taken :], len(self.steps)
        spoken = [hidden for _, step, hidden in new if bool(step.is_token)]
        return torch.cat(spoken, 1) if spoken else torch.zeros(1, 0, self.width, device=self.device)

    def pack(self, with_durations: bool) -> Generated:
        """Keep the tokens, close the gaps that slots left, and pad."""
        is_token = self._table([step.is_token for _, step, _ in self.steps])
        lengths = is_token.sum(1)
        size = int(lengths.max())
        order = (~is_token).long().argsort(dim=1, stable=True)[:, :size]
        mask = length_mask(lengths, size)
        hidden = self._table([hidden for _, _, hidden in self.steps])
        latents = hidden.gather(1, order[..., None].expand(-1, -1, hidden.shape[2]))
        durations = None
        if with_durations:
            owners = self._table([step.owners for _, step, _ in self.steps])
            durations = torch.zeros(len(owners), self.phonemes, device=owners.device).long()
            durations = durations.scatter_add(1, owners, is_token.long())
        tokens = self._table([step.inputs for _, step, _ in self.steps]).gather(1, order)
        return Generated(tokens * mask, lengths, durations, latents * mask[..., None])

    def _table(self, columns: list[Tensor]) -> Tensor:
        """Columns of the rows that went on, side by side for all rows; 0 where a row had ended."""
        table = columns[0].new_zeros((self.rows, len(columns), *columns[0].shape[2:]))
        first = 0
        while first < len(columns):
            kept = self.steps[first][0]
            last = first + 1
            while last < len(columns) and self.steps[last][0] is kept:
                last += 1
            table[kept, first:last] = torch.cat(columns[first:last], 1)
            first = last
        return table


def _step(
    inputs: Int[Tensor, " rows"],
    owners: Int[Tensor, " rows"],
    counts: Int[Tensor, " rows"],
    is_token: Bool[Tensor, " rows"],
) -> Step:
    return Step(inputs[:, None], owners[:, None], counts[:, None], is_token[:, None])
