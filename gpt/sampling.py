"""Choosing the next token: temperature, top-k, top-p, and escape from repetition."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

STEPS_PER_DRAW = 256
DRAWS_PER_STEP = 3


@dataclass(frozen=True)
class SamplingConfig:
    """How `GPT.generate` chooses tokens."""

    temperature: float = 0.6
    """Of the tokens; 0 takes the most probable token or end every time."""
    end_temperature: float = 1.0
    """Of the decision to end a phoneme; one low temperature for both shortens speech (measured:
    to 0.89 of its length)."""
    top_k: int = 25
    """Tokens kept, most probable first; 0 keeps all."""
    top_p: float = 0.8
    """Tokens kept until their probabilities sum to this; 1 keeps all."""
    repetition_window: int = 10
    """Tokens looked back at (VALL-E 2, arXiv 2406.05370, section 3.2)."""
    repetition_threshold: float = 0.1
    """A token that fills more than this share of the window is drawn again from all tokens."""

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.end_temperature <= 0:
            raise ValueError(
                f"temperature={self.temperature} must be at least 0 and"
                f" end_temperature={self.end_temperature} above 0"
            )
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"top_k={self.top_k} must be at least 0, top_p={self.top_p} in (0, 1]")
        if self.repetition_window < 0 or self.repetition_threshold < 0:
            raise ValueError("repetition_window and repetition_threshold must be at least 0")


class RowNoise:
    """Uniform random numbers of each row, from a generator of its own.

    Row i sees the same numbers whatever the other rows are and however many there are.

    Args:
        rows: number of rows.
        generator: seeds the rows' generators, the only randomness taken from it; or one a row.
        device: where the numbers are needed.
    """

    def __init__(
        self,
        rows: int,
        generator: torch.Generator | list[torch.Generator],
        device: torch.device,
    ):
        sources = generator if isinstance(generator, list) else [generator] * rows
        seeds = [
            int(torch.randint(2**62, (1,), generator=source, device=source.device))
            for source in sources
        ]
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.device = device
        self.step = 0
        self.draws = torch.zeros(0, rows, DRAWS_PER_STEP)

    def next(self) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"], Float[Tensor, " rows"]]:
        """Three numbers in [0, 1) for each row that is kept."""
        index = self.step % STEPS_PER_DRAW
        if index == 0:
            shape = (STEPS_PER_DRAW, DRAWS_PER_STEP)
            rows = [torch.rand(shape, generator=generator) for generator in self.generators]
            self.draws = torch.stack(rows, 1).to(self.device)
        self.step += 1
        first, second, third = self.draws[index].unbind(-1)
        return first, second, third

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Go on with some of the rows only, in this order."""
        self.generators = [self.generators[row] for row in rows.tolist()]
        self.draws = self.draws[:, rows]


def draw(
    probabilities: Float[Tensor, "rows choices"], uniform: Float[Tensor, " rows"]
) -> Int[Tensor, " rows"]:
    """Index drawn by inverting the cumulative distribution; rows need not sum to 1.

    Choices of probability 0 are never drawn.
    """
    cumulative = probabilities.cumsum(-1)
    # Below the total even after rounding, so that the search never runs past the last choice.
    point = (uniform[:, None] * cumulative[:, -1:]).minimum(cumulative[:, -1:] * (1 - 1e-6))
    return torch.searchsorted(cumulative, point, right=True).squeeze(-1)


def nucleus(
    logits: Float[Tensor, "rows choices"], top_k: int, top_p: float
) -> tuple[Float[Tensor, "rows kept"], Int[Tensor, "rows kept"]]:
    """Probabilities of the kept choices, most probable first (0 outside top-p), and their ids.

    The first choice that takes the sum to `top_p` is kept (arXiv 1904.09751, section 3.1); top-p
    is measured on the probabilities of all choices, before top-k.
    """
    probabilities = logits.softmax(-1)
    kept = min(top_k, logits.shape[-1]) if top_k else logits.shape[-1]
    best, ids = probabilities.topk(kept)
    before = best.cumsum(-1) - best
    return best * (before < top_p), ids


def sample_tokens(
    logits: Float[Tensor, "rows choices"],
    recent: Int[Tensor, "rows window"],
    config: SamplingConfig,
    uniforms: tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]],
) -> Int[Tensor, " rows"]:
    """Repetition-aware sampling (VALL-E 2, arXiv 2406.05370, algorithm 1).

    A token is drawn from the nucleus; if it fills too much of the recent window, it is replaced
    by a draw from all tokens. Unlike the paper, both draws are at `config.temperature`.

    Args:
        logits: of the tokens that may be drawn; -inf forbids.
        recent: last tokens of each row, -1 where there is none yet.
        config: temperature above 0.
        uniforms: two numbers in [0, 1) for each row.
    """
    scaled = logits.float() / config.temperature
    best, ids = nucleus(scaled, config.top_k, config.top_p)
    tokens = ids.gather(1, draw(best, uniforms[0])[:, None]).squeeze(1)
    if config.repetition_window == 0:
        return tokens
    share = (recent == tokens[:, None]).sum(1) / config.repetition_window
    repeated = share > config.repetition_threshold
    if scaled.device.type == "cpu" and not repeated.any():  # elsewhere asking costs more
        return tokens
    return torch.where(repeated, draw(scaled.softmax(-1), uniforms[1]), tokens)


def choose(
    logits: Float[Tensor, "rows choices"],
    must_end: Bool[Tensor, " rows"],
    may_end: Bool[Tensor, " rows"],
    recent: Int[Tensor, "rows window"],
    config: SamplingConfig,
    noise: RowNoise,
) -> tuple[Bool[Tensor, " rows"], Int[Tensor, " rows"]]:
    """Decide whether to end, and the token if not; the last logit is that of the end.

    `must_end` wins over `may_end`.
    """
    logits = logits.float()
    uniform, *uniforms = noise.next()
    tokens_only = logits[:, :-1]
    if config.temperature == 0:
        ends = logits.argmax(-1) == logits.shape[-1] - 1
        tokens = tokens_only.argmax(-1)
    else:
        ends = uniform < (logits / config.end_temperature).softmax(-1)[:, -1]
        tokens = sample_tokens(tokens_only, recent, config, (uniforms[0], uniforms[1]))
    return (ends & may_end) | must_end, tokens
