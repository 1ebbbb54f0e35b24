"""Log-probability that a language model gives to tokens: the basis of policy losses."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from losses.classification import IGNORE
from losses.reduction import at_least_float32, zero_padding


@dataclass
class TokenLogProbs:
    """Log-probabilities of given tokens under a model."""

    values: Float[Tensor, "batch positions"]
    """log p of each token in nats; 0 where there is none."""
    mask: Bool[Tensor, "batch positions"]
    """True where there is a token."""

    def per_token(self) -> Float[Tensor, " batch"]:
        """Return the mean log-probability per token of each item (length-normalised)."""
        return self.values.sum(dim=1) / self.mask.sum(dim=1).clamp(min=1)


def token_log_probs(
    logits: Float[Tensor, "batch positions classes"],
    targets: Int[Tensor, "batch positions"],
    ignore_index: int = IGNORE,
) -> TokenLogProbs:
    """Return log softmax(logits) at the targets; `ignore_index` marks positions without a token."""
    valid = targets != ignore_index
    log_p = zero_padding(at_least_float32(logits), valid.unsqueeze(-1)).log_softmax(-1)
    index = targets.masked_fill(~valid, 0).unsqueeze(-1)
    return TokenLogProbs(zero_padding(log_p.gather(-1, index).squeeze(-1), valid), valid)
