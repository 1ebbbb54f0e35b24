"""Writing tokens one position at a time: the loop around network, cache and decoding."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.masks import length_mask
from gpt.cached import CachedTransformer
from gpt.decoding import Decoding, Generated, Recording, Step
from gpt.layout import Sequence
from gpt.packed import Linear


@dataclass
class StepNetwork:
    """A language model without its phoneme encoder, packed for generation."""

    transformer: CachedTransformer
    """Inputs to hidden states."""
    head: Linear
    """Hidden states to the scores of tokens and end."""
    tokens: Float[Tensor, "ids width"]
    """Input vectors of tokens, slot and start."""
    counts: Float[Tensor, "counts width"]
    """Added to them: how far the phoneme has come."""

    def embed(
        self,
        context: Float[Tensor, "rows phonemes_and_none width"],
        inputs: Int[Tensor, "rows new"],
        owners: Int[Tensor, "rows new"],
        counts: Int[Tensor, "rows new"],
    ) -> Float[Tensor, "rows new width"]:
        """Sum up the inputs of some positions."""
        own = self.tokens[inputs] + self.counts[counts.clamp_max(len(self.counts) - 1)]
        return own + context.gather(1, owners[..., None].expand(-1, -1, own.shape[2]))


class Writer:
    """A batch of texts while its tokens are written; rows that have ended cost nothing.

    Args:
        network: of the language model.
        speaker: what stands alone at the first position.
        context: vectors of the phonemes, and of no phoneme, with the speaker's added.
        prompt: positions before the first choice.
        prompt_lengths: valid ones of them.
        decoding: what to choose, and where each row is.
        max_positions: longest sequence, the speaker's position included.
    """

    def __init__(
        self,
        network: StepNetwork,
        speaker: Float[Tensor, "rows 1 width"],
        context: Float[Tensor, "rows phonemes_and_none width"],
        prompt: Sequence,
        prompt_lengths: Int[Tensor, " rows"],
        decoding: Decoding,
        max_positions: int,
    ):
        self._network, self._context, self._decoding = network, context, decoding
        self._limit = max_positions
        x = network.embed(context, prompt.inputs, prompt.owners, prompt.counts)
        x = torch.cat((speaker, x), 1)
        rows, size = x.shape[:2]
        # Aligned at their ends: then every row writes its next position to the same slot.
        starts = size - 1 - prompt_lengths
        positions = torch.arange(size, device=x.device) - starts[:, None]
        order = positions.where(positions >= 0, 0)
        x = x.gather(1, order[..., None].expand(-1, -1, x.shape[2]))
        phonemes = context.shape[1] - 1
        self._cache = network.transformer.new_cache(
            rows,
            min(max_positions, size + 4 * phonemes + 64),
            starts if bool(starts.any()) else None,
        )
        self._hidden = network.transformer(x, order, self._cache)[:, -1:]
        self._next = prompt_lengths + 1
        self._recording = Recording(rows, phonemes, x.shape[2], x.device)

    def step(self) -> bool:
        """Write one more position of every row; False when all rows have ended."""
        scores = self._network.head(self._hidden[:, 0])
        step = self._decoding.advance(scores, self._limit - self._next)
        going = self._decoding.going()
        if going is not None:
            step = self._keep(going, step)
        if not len(step.inputs):
            return False
        x = self._network.embed(self._context, step.inputs, step.owners, step.counts)
        self._hidden = self._network.transformer(x, self._next[:, None], self._cache)
        self._next = self._next + 1
        self._recording.append(step, self._hidden)
        return True

    def written(self, with_durations: bool) -> Generated:
        """Everything so far; every row holds at least one token when all have ended."""
        return self._recording.pack(with_durations)

    def take(self) -> Float[Tensor, "1 new width"]:
        """Latents of the tokens written since the last call, of a batch of one text."""
        return self._recording.take()

    def _keep(self, rows: Int[Tensor, " kept"], step: Step) -> Step:
        self._decoding.keep(rows)
        self._recording.keep(rows)
        self._cache.keep(rows)
        self._context, self._next = self._context[rows], self._next[rows]
        return Step(step.inputs[rows], step.owners[rows], step.counts[rows], step.is_token[rows])


def check_bounds(
    bounds: Int[Tensor, "rows phonemes"] | None,
    phonemes: Int[Tensor, "rows phonemes"],
    phoneme_lengths: Int[Tensor, " rows"],
    most: int,
) -> Int[Tensor, "rows phonemes"]:
    """Most tokens of each phoneme: `bounds`, or `most` for all.

    Raises:
        ValueError: a bound is below 1.
    """
    if bounds is None:
        return torch.full_like(phonemes, most)
    inside = length_mask(phoneme_lengths, phonemes.shape[1])
    if bool((bounds[inside] < 1).any()):
        raise ValueError("every phoneme needs a bound of at least 1 token")
    return bounds.clamp_max(most)
