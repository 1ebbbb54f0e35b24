"""Binary losses behind one dispatcher: voiced or not, stop or not, real or not."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from losses.overlap import dice_loss
from losses.reduction import at_least_float32, masked_mean, zero_padding

BINARY_KINDS = ("bce", "hinge", "squared_hinge", "exponential", "focal", "dice", "dice_bce")

_EXPONENT_CAP = 30.0
"""exp grows linearly beyond this: exp(89) overflows fp32, and one outlier would own the batch."""


@dataclass(frozen=True)
class BinaryParameters:
    """Parameters of the binary kinds that have one.

    Raises:
        ValueError: An impossible field.
    """

    positive_weight: float = 1.0
    """Factor on positive targets of `bce` and `dice_bce`: negatives / positives balances them."""
    focal_alpha: float = 0.25
    """Weight of positives in `focal`, 1 - alpha that of negatives, in [0, 1]."""
    focal_gamma: float = 2.0
    """Exponent of `focal`; 0 is weighted BCE."""
    dice_share: float = 0.5
    """Share of Dice in `dice_bce`, in [0, 1]."""

    def __post_init__(self) -> None:
        if not self.positive_weight > 0:
            raise ValueError(f"positive_weight is {self.positive_weight}: give a number above 0")
        if not 0 <= self.focal_alpha <= 1 or self.focal_gamma < 0:
            raise ValueError("focal needs focal_alpha in [0, 1] and focal_gamma of at least 0")
        if not 0 <= self.dice_share <= 1:
            raise ValueError(f"dice_share is {self.dice_share}: give a number in [0, 1]")


def binary(
    logits: Float[Tensor, "*shape"],
    targets: Bool[Tensor, "*shape"],
    mask: Tensor | None = None,
    kind: str = "bce",
    parameters: BinaryParameters | None = None,
) -> Float[Tensor, ""]:
    """Return the mean binary loss of the given kind over valid positions.

    Args:
        logits: Unbounded scores; above 0 means positive.
        targets: True where the position is positive.
        mask: Bool, as many axes as the logits, sizes equal or 1; None: everything is valid.
        kind: One of `BINARY_KINDS`; the functions below (and `losses.overlap`) say what each is
            for.
        parameters: Parameters of the kinds that have one; None: the defaults.

    Raises:
        ValueError: Unknown kind.
    """
    parameters = parameters or BinaryParameters()
    scores = zero_padding(at_least_float32(logits), mask)
    if kind == "bce":
        return masked_mean(bce_error(scores, targets, parameters.positive_weight), mask)
    if kind == "hinge":
        return masked_mean(functional.relu(1 - signed_margin(scores, targets)), mask)
    if kind == "squared_hinge":
        return masked_mean(functional.relu(1 - signed_margin(scores, targets)).square(), mask)
    if kind == "exponential":
        return masked_mean(exponential_error(scores, targets), mask)
    if kind == "focal":
        error = focal_error(scores, targets, parameters.focal_alpha, parameters.focal_gamma)
        return masked_mean(error, mask)
    if kind == "dice":
        return dice_loss(scores, targets, mask)
    if kind == "dice_bce":
        bce = masked_mean(bce_error(scores, targets, parameters.positive_weight), mask)
        share = parameters.dice_share
        return share * dice_loss(scores, targets, mask) + (1 - share) * bce
    raise ValueError(f"unknown binary kind {kind!r}: use one of {BINARY_KINDS}")


def signed_margin(
    logits: Float[Tensor, "*shape"], targets: Bool[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Return m = logit where the target is positive, else -logit: how right the score is.

    Hinge is max(0, 1 - m) (stops at the margin), squared hinge its square (smooth at the margin,
    harder on outliers); Rosasco et al. 2004, doi 10.1162/089976604773135104.
    """
    return torch.where(targets, logits, -logits)


def bce_error(
    logits: Float[Tensor, "*shape"], targets: Bool[Tensor, "*shape"], positive_weight: float = 1.0
) -> Float[Tensor, "*shape"]:
    """Return -w y log sigmoid(x) - (1 - y) log(1 - sigmoid(x)), w = positive_weight.

    The default: calibrated probabilities. Equal to `torch.nn.BCEWithLogitsLoss`, written with
    softplus, which is exact at any logit.
    """
    error = functional.softplus(-signed_margin(logits, targets))
    return torch.where(targets, positive_weight * error, error)


def exponential_error(
    logits: Float[Tensor, "*shape"], targets: Bool[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Return exp(-m), the loss that AdaBoost minimises (Friedman et al. 2000).

    Punishes confident mistakes hardest, so only for clean labels. Difference: continued by its
    tangent beyond m = -30, where exp would overflow.
    """
    exponent = -signed_margin(logits, targets)
    inside = exponent.clamp(max=_EXPONENT_CAP)
    return inside.exp() * (1 + (exponent - _EXPONENT_CAP).relu())


def focal_error(
    logits: Float[Tensor, "*shape"],
    targets: Bool[Tensor, "*shape"],
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Tensor, "*shape"]:
    """Return -a_t (1 - p_t)^gamma log p_t.

    Lin et al., arXiv 1708.02002, eq. 5: p_t the probability of the true class, a_t = alpha for
    positives and 1 - alpha for negatives. Use it for rare events (one stop in hundreds of frames):
    frames that are already right hardly count. (1 - p_t)^gamma is exp(gamma log sigmoid(-m)), exact
    where 1 - p_t would round to 0.
    """
    margin = signed_margin(logits, targets)
    weight = torch.where(targets, alpha, 1 - alpha)
    return weight * (gamma * functional.logsigmoid(-margin)).exp() * functional.softplus(-margin)
