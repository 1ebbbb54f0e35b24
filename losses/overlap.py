"""Dice loss: overlap of a predicted set of positions with the true one."""

from jaxtyping import Bool, Float
from torch import Tensor

from losses.reduction import at_least_float32, broadcast_mask


def dice_loss(
    logits: Float[Tensor, "*shape"],
    targets: Bool[Tensor, "*shape"],
    mask: Tensor | None = None,
    smooth: float = 1.0,
) -> Float[Tensor, ""]:
    """Return 1 - (2 sum p y + s) / (sum p^2 + sum y^2 + s) over all valid positions of the batch.

    Milletari et al. (V-Net), arXiv 1606.04797, section 3, p = sigmoid(logits), y the target, s =
    `smooth` (ours), which keeps an empty set defined. Insensitive to how many negatives there are:
    for sparse masks, such as stops or short voiced islands. One ratio over the batch rather than
    one per item, whose empty items would be all or nothing. Beside BCE (`dice_bce`) it keeps a
    useful gradient where all predictions are wrong.

    Args:
        logits: Unbounded scores.
        targets: True where positive.
        mask: Bool, as many axes as the logits, sizes equal or 1.
        smooth: s, in positions.
    """
    probability = at_least_float32(logits).sigmoid()
    truth = targets.to(probability.dtype)
    if mask is not None:
        valid = broadcast_mask(mask, probability)
        probability = probability.masked_fill(~valid, 0.0)
        truth = truth.masked_fill(~valid, 0.0)
    overlap = 2 * (probability * truth).sum() + smooth
    return 1 - overlap / (probability.square().sum() + truth.square().sum() + smooth)
