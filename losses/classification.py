"""Classification losses behind one dispatcher: cross-entropy and its relatives."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from losses.reduction import at_least_float32, masked_mean, zero_padding

CLASSIFICATION_KINDS = (
    "cross_entropy",
    "label_smoothing",
    "adaptive_label_smoothing",
    "categorical_hinge",
    "focal",
)
WEIGHTED_KINDS = ("cross_entropy", "label_smoothing")
"""Kinds that take class weights."""
IGNORE = -100
"""Target at positions that are not to be learned: padding, prompts."""
_LOG_FLOOR = -1e4
"""Keeps p log p at 0 where log p is -inf (a class that the caller has forbidden)."""


@dataclass(frozen=True)
class ClassificationParameters:
    """Parameters of the classification kinds that have one.

    Raises:
        ValueError: Smoothing outside [0, 1), a negative exponent, or a margin that is not positive.
    """

    smoothing: float = 0.1
    """Share of the target mass spread over all classes (`label_smoothing`), or the most of it
    (`adaptive_label_smoothing`)."""
    focal_gamma: float = 2.0
    """Exponent of `focal`; 0 is cross-entropy."""
    margin: float = 1.0
    """Margin of `categorical_hinge`, in units of the logits."""

    def __post_init__(self) -> None:
        _check_smoothing(self.smoothing)
        if self.focal_gamma < 0:
            raise ValueError(f"focal_gamma is {self.focal_gamma}: give 0 or more")
        if not self.margin > 0:
            raise ValueError(f"margin is {self.margin}: give a number above 0")


def classification(
    logits: Float[Tensor, "*positions classes"],
    targets: Int[Tensor, "*positions"],
    kind: str = "cross_entropy",
    parameters: ClassificationParameters | None = None,
    ignore_index: int = IGNORE,
    class_weights: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean classification loss of the given kind per valid target.

    Args:
        logits: Unnormalised scores, classes on the last axis.
        targets: Class ids; `ignore_index` is left out.
        kind: One of `CLASSIFICATION_KINDS`; the functions below say what each is for.
        parameters: Parameters of the kinds that have one; None: the defaults.
        ignore_index: Target value that is left out.
        class_weights: Positive weight per class, for the kinds of `WEIGHTED_KINDS`.

    Raises:
        ValueError: Unknown kind, or class weights with a kind that has none.
    """
    parameters = parameters or ClassificationParameters()
    if class_weights is not None and kind not in WEIGHTED_KINDS:
        raise ValueError(f"{kind} takes no class weights: use one of {WEIGHTED_KINDS}")
    if kind in WEIGHTED_KINDS:
        smoothing = parameters.smoothing if kind == "label_smoothing" else 0.0
        return cross_entropy(logits, targets, smoothing, class_weights, ignore_index)
    if kind == "adaptive_label_smoothing":
        return adaptive_label_smoothing(logits, targets, parameters.smoothing, ignore_index)
    if kind == "categorical_hinge":
        return categorical_hinge(logits, targets, parameters.margin, ignore_index)
    if kind == "focal":
        return categorical_focal(logits, targets, parameters.focal_gamma, ignore_index)
    raise ValueError(f"unknown classification kind {kind!r}: use one of {CLASSIFICATION_KINDS}")


def cross_entropy(
    logits: Float[Tensor, "*positions classes"],
    targets: Int[Tensor, "*positions"],
    label_smoothing: float = 0.0,
    class_weights: Float[Tensor, " classes"] | None = None,
    ignore_index: int = IGNORE,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy per valid target, in nats.

    L = - sum_i sum_k q_ik w_k log p_ik / sum_i w_(y_i), with q = (1 - s) onehot(y) + s / K;
    Szegedy et al., arXiv 1512.00567, section 7 (label smoothing s). i runs over targets that are
    not `ignore_index`, p is the softmax of the logits, K the number of classes, w the class
    weights (1 if absent). Equal to `torch.nn.CrossEntropyLoss`, except for class-last logits,
    fp32 inside, and a batch without a valid target, which gives 0 instead of NaN.

    The semantic loss of GPT and the loss of the speaker head. Smoothing of 0.05 to 0.1 against
    over-confidence on little data; class weights against unbalanced speakers.

    Args:
        logits: Unnormalised scores, classes on the last axis.
        targets: Class ids.
        label_smoothing: s, share of the target mass spread over all classes.
        class_weights: Positive weight per class.
        ignore_index: Target value that is left out.

    Raises:
        ValueError: Smoothing outside [0, 1).
    """
    _check_smoothing(label_smoothing)
    valid = targets != ignore_index
    scores = zero_padding(at_least_float32(logits), valid.unsqueeze(-1))
    if class_weights is not None:
        class_weights = class_weights.to(scores.dtype)
    total = functional.cross_entropy(
        scores.reshape(-1, scores.shape[-1]),
        targets.reshape(-1),
        weight=class_weights,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    if class_weights is None:
        return total / valid.sum().clamp(min=1)
    mass = zero_padding(class_weights[targets.masked_fill(~valid, 0)], valid).sum()
    return total / mass.clamp(min=torch.finfo(mass.dtype).tiny)


def adaptive_label_smoothing(
    logits: Float[Tensor, "*positions classes"],
    targets: Int[Tensor, "*positions"],
    smoothing: float = 0.1,
    ignore_index: int = IGNORE,
) -> Float[Tensor, ""]:
    """Return cross-entropy whose smoothing grows with the confidence of each prediction.

    s_i = smoothing * (1 - H(p_i) / ln K), q_i = (1 - s_i) onehot(y_i) + s_i / K,
    L = mean_i - sum_k q_ik log p_ik; after Lee et al., arXiv 2210.13459, whose smoothing is one
    minus the normalised entropy of the model's own prediction. Differences: the prior is uniform
    and not a past model's prediction (no second model in memory), and `smoothing` bounds it.

    Use it in place of label smoothing when a small fine-tuning set makes some positions certain
    and leaves others open: positions that are still uncertain get nearly hard labels.

    Args:
        logits: Unnormalised scores, classes on the last axis.
        targets: Class ids.
        smoothing: Smoothing of a fully certain prediction. s_i carries no gradient.
        ignore_index: Target value that is left out.
    """
    _check_smoothing(smoothing)
    valid = targets != ignore_index
    log_p = _log_probabilities(logits, valid)
    entropy = -(log_p.exp() * log_p.clamp(min=_LOG_FLOOR)).sum(-1)
    certainty = 1 - entropy / math.log(logits.shape[-1])
    share = smoothing * certainty.detach().clamp(0, 1)
    return masked_mean(
        -(1 - share) * _true_class(log_p, targets, valid) - share * log_p.mean(-1), valid
    )


def categorical_hinge(
    logits: Float[Tensor, "*positions classes"],
    targets: Int[Tensor, "*positions"],
    margin: float = 1.0,
    ignore_index: int = IGNORE,
) -> Float[Tensor, ""]:
    """Return mean max(0, margin + max_(k != y) logit_k - logit_y).

    Crammer & Singer 2001, the multi-class SVM. Use it where only the order of the classes matters:
    it stops at the margin and does not calibrate probabilities, so sampling temperatures tuned for
    cross-entropy do not carry over.

    Args:
        logits: Scores, classes on the last axis, at least two.
        targets: Class ids.
        margin: Wanted distance between the true class and the best other.
        ignore_index: Target value that is left out.
    """
    valid = targets != ignore_index
    scores = zero_padding(at_least_float32(logits), valid.unsqueeze(-1))
    index = torch.where(valid, targets, 0).unsqueeze(-1)
    others = scores.scatter(-1, index, -torch.inf).amax(-1)
    true = scores.gather(-1, index).squeeze(-1)
    return masked_mean(functional.relu(margin + others - true), valid)


def categorical_focal(
    logits: Float[Tensor, "*positions classes"],
    targets: Int[Tensor, "*positions"],
    gamma: float = 2.0,
    ignore_index: int = IGNORE,
) -> Float[Tensor, ""]:
    """Return mean - (1 - p_y)^gamma log p_y.

    Lin et al., arXiv 1708.02002, eq. 4, for several classes. Use it when easy tokens (long pauses,
    steady vowels) drown the hard ones; gamma 0 is cross-entropy.

    Args:
        logits: Unnormalised scores, classes on the last axis.
        targets: Class ids.
        gamma: Focusing exponent, 0 or more.
        ignore_index: Target value that is left out.
    """
    valid = targets != ignore_index
    log_true = _true_class(_log_probabilities(logits, valid), targets, valid)
    # Near p = 1 the base is 0, where the derivative of a power below 1 is infinite.
    doubt = (-torch.expm1(log_true)).clamp(min=1e-12)
    return masked_mean(-(doubt**gamma) * log_true, valid)


def _log_probabilities(logits: Tensor, valid: Tensor) -> Tensor:
    return zero_padding(at_least_float32(logits), valid.unsqueeze(-1)).log_softmax(-1)


def _true_class(log_p: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    return log_p.gather(-1, torch.where(valid, targets, 0).unsqueeze(-1)).squeeze(-1)


def _check_smoothing(label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing}: give a number in [0, 1)")
