"""Bad readings for preference training: spans of tokens dropped or repeated."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class SpanParameters:
    """How much of a sequence is damaged.

    Raises:
        ValueError: An impossible field.
    """

    min_tokens: int = 4
    """Shortest span in tokens; 4 are about 0.17 s, a syllable."""
    max_tokens: int = 16
    """Longest span in tokens; 16 are about 0.7 s, a word or two."""
    repeat_share: float = 0.5
    """Share of the items whose span is said twice; the others lose it."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_tokens <= self.max_tokens:
            raise ValueError("span lengths need 1 <= min_tokens <= max_tokens")
        if not 0 <= self.repeat_share <= 1:
            raise ValueError(f"repeat_share is {self.repeat_share}: give a number in [0, 1]")


@dataclass
class DamagedTokens:
    """Token sequences with one span dropped or repeated."""

    tokens: Int[Tensor, "batch damaged"]
    """The damaged sequences, padded with 0."""
    lengths: Int[Tensor, " batch"]
    """Tokens of each damaged sequence."""
    sources: Int[Tensor, "batch damaged"]
    """Position in the original from which each token comes (0 in the padding).

    Durations of the damaged sequence follow from it: count the sources in each phoneme.
    """


def damage_spans(
    tokens: Int[Tensor, "batch tokens"],
    lengths: Int[Tensor, " batch"],
    generator: torch.Generator,
    parameters: SpanParameters | None = None,
) -> DamagedTokens:
    """Return negatives that skip or repeat one span each, the two faults users complain of most.

    They need no sampling and no judge, and the model knows them as wrong from the first update on.

    Args:
        tokens: Good sequences.
        lengths: Tokens of each, at least 2.
        generator: Source of the random choices, on the CPU.
        parameters: How much is damaged; None: the defaults.

    Raises:
        ValueError: A sequence of fewer than 2 tokens has no span that could be dropped.
    """
    parameters = parameters or SpanParameters()
    plans = [_sources(length, generator, parameters) for length in lengths.tolist()]
    size = max(len(plan) for plan in plans)
    sources = torch.stack([torch.nn.functional.pad(plan, (0, size - len(plan))) for plan in plans])
    sources = sources.to(tokens.device)
    damaged_lengths = torch.tensor([len(plan) for plan in plans], device=tokens.device)
    valid = torch.arange(size, device=tokens.device) < damaged_lengths.unsqueeze(1)
    damaged = tokens.gather(1, sources).masked_fill(~valid, 0)
    return DamagedTokens(tokens=damaged, lengths=damaged_lengths, sources=sources)


def _sources(length: int, generator: torch.Generator, parameters: SpanParameters) -> Tensor:
    if length < 2:
        raise ValueError(f"a sequence of {length} tokens cannot lose a span: leave it out")
    longest = min(parameters.max_tokens, length - 1)
    shortest = min(parameters.min_tokens, longest)
    span = _integer(shortest, longest, generator)
    start = _integer(0, length - span, generator)
    positions = torch.arange(length)
    if torch.rand((), generator=generator).item() < parameters.repeat_share:
        return torch.cat([positions[: start + span], positions[start:]])
    return torch.cat([positions[:start], positions[start + span :]])


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator).item())
