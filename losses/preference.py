"""Direct preference optimisation: the good reading becomes likelier than the bad one."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from losses.token_log_probs import TokenLogProbs


def preference_margin(
    chosen: TokenLogProbs,
    rejected: TokenLogProbs,
    reference_chosen: TokenLogProbs,
    reference_rejected: TokenLogProbs,
) -> Float[Tensor, " batch"]:
    """Return how much more than the reference model each item prefers the chosen sequence.

    m = [log p(y+) - log p_ref(y+)] / |y+| - [log p(y-) - log p_ref(y-)] / |y-|, in nats per token.
    Positive is right; the share of positive margins is the accuracy to log.

    Args:
        chosen: Of the good sequences y+ under the model in training.
        rejected: Of the bad sequences y- under the model in training.
        reference_chosen: The first under the frozen reference model; detached here.
        reference_rejected: The second under the frozen reference model; detached here.
    """
    gain = chosen.per_token() - reference_chosen.per_token().detach()
    loss = rejected.per_token() - reference_rejected.per_token().detach()
    return gain - loss


def dpo_loss(margin: Float[Tensor, " batch"], beta: float = 1.0) -> Float[Tensor, ""]:
    """Return - mean log sigmoid(beta m).

    Rafailov et al., arXiv 2305.18290, eq. 7, beta the strength of the pull to the reference model,
    m from `preference_margin`. Difference: log-probabilities per token (as in arXiv 2405.14734),
    because sums prefer short outputs and negatives with dropped spans are short; beta is therefore
    about a sequence length larger than the 0.1 of the paper. At the start (m = 0) it is ln 2.

    Args:
        margin: From `preference_margin`.
        beta: Above 0.

    Raises:
        ValueError: Beta is not positive.
    """
    if not beta > 0:
        raise ValueError(f"beta is {beta}: give a number above 0")
    return functional.softplus(-beta * margin).mean()
