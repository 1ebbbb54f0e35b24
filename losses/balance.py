"""Balance of loss terms: four ways to add named terms up, behind one interface."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from losses.reduction import at_least_float32

BALANCE_KINDS = ("fixed", "uncertainty", "gradient", "adaptive")

_LOG_VARIANCE_RANGE = (-10.0, 10.0)


class Balance(nn.Module):
    """Adds named loss terms up to the one number that is differentiated."""

    def combine(
        self,
        terms: dict[str, Tensor],
        weights: dict[str, float],
        anchor: Tensor | None = None,
    ) -> Float[Tensor, ""]:
        """Return the weighted sum of the terms: that of `weigh`."""
        return torch.stack(list(self.weigh(terms, weights, anchor).values())).sum()

    def weigh(
        self,
        terms: dict[str, Tensor],
        weights: dict[str, float],
        anchor: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return what each term adds to the sum.

        Args:
            terms: Scalar loss terms by name.
            weights: Weight of each term, the same names. A term of weight 0 is reported only: it
                is left out, so that even NaN in it does no harm.
            anchor: Tensor at which the kinds `gradient` and `adaptive` measure gradients; the
                others do not look at it.

        Raises:
            ValueError: The names differ, or a needed anchor is absent.
        """
        raise NotImplementedError


class FixedBalance(Balance):
    """L = sum_i w_i l_i. The default: what the weights say is what is trained."""

    def weigh(
        self,
        terms: dict[str, Tensor],
        weights: dict[str, float],
        anchor: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the weighted terms; see `Balance.weigh`."""
        return _weighted(_active(terms, weights), weights)


class UncertaintyBalance(Balance):
    """L = sum_i w_i (exp(-s_i) l_i + s_i), s_i learned.

    Kendall et al., arXiv 1705.07115, eq. 7 times two, s_i = log sigma_i^2: a noisy term gets a
    large variance and counts less, and s_i keeps it from vanishing. s_i = 0 at first, which is
    `FixedBalance`; it settles at ln l_i. Only for terms that are never negative: a hinge or
    Wasserstein generator term would drive s_i without end. Terms that are not named keep their
    fixed weights. s_i is clamped to +-10.

    For many terms of unknown scale. Its parameters belong in the generator's optimizer, without
    weight decay.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        """Learn one variance for each of `names`."""
        super().__init__()
        self.names = tuple(names)
        self.log_variance = nn.Parameter(torch.zeros(len(self.names)))

    def weigh(
        self,
        terms: dict[str, Tensor],
        weights: dict[str, float],
        anchor: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the terms with learned variances; see `Balance.weigh`."""
        active = _active(terms, weights)
        balanced = dict(active)
        for index, name in enumerate(self.names):
            if name in active:
                log_variance = self.log_variance[index].clamp(*_LOG_VARIANCE_RANGE)
                balanced[name] = (-log_variance).exp() * active[name] + log_variance
        return _weighted(balanced, weights)


class GradientBalance(Balance):
    """Every named term pushes the model's output with a share of the gradient, w_i of the whole.

    g_i = d l_i / d x', G_i = w_i / (sum_j w_j) g_i / ema(||g_i||); Defossez et al. (EnCodec),
    arXiv 2210.13438, eq. 4 (R = `scale`). x' is the anchor: the generated mel or audio. A weight
    thus says what part of the update a term gets, whatever its scale and however it shrinks. Norms
    are per item, averaged over the batch; their moving average is a buffer (saved).

    Differences: the result is a scalar sum of c_i l_i with fixed c_i, so that the usual `backward`
    follows and parameters that a term reaches past the anchor are trained too; and terms that are
    not named, or do not depend on x' (a KL, say), keep their fixed weights.

    For vocoder and decoder when adversarial and spectral terms of drifting scale meet. Costs one
    more backward pass per term through the losses (not the model).
    """

    norms: Tensor
    total: Tensor

    def __init__(self, names: tuple[str, ...], scale: float = 1.0, decay: float = 0.999) -> None:
        """Balance the terms `names`.

        Args:
            names: Terms that are functions of the anchor.
            scale: R, gradient norm per item at the anchor if all terms pull the same way.
            decay: Decay of the moving average of norms per update, in [0, 1).

        Raises:
            ValueError: An impossible scale or decay.
        """
        super().__init__()
        if not scale > 0 or not 0 <= decay < 1:
            raise ValueError("gradient balance needs scale above 0 and decay in [0, 1)")
        self.names = tuple(names)
        self.scale = scale
        self.decay = decay
        self.register_buffer("norms", torch.zeros(len(self.names)))
        self.register_buffer("total", torch.zeros(len(self.names)))

    def weigh(
        self,
        terms: dict[str, Tensor],
        weights: dict[str, float],
        anchor: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the balanced terms; see `Balance.weigh`."""
        active = _active(terms, weights)
        if not active.keys() & set(self.names):
            return _weighted(active, weights)
        anchor = _require(anchor, "gradient")
        sizes = {
            name: _norm_at(term, anchor) for name, term in active.items() if name in self.names
        }
        measured = {name: size for name, size in sizes.items() if size is not None}
        share = sum(abs(weights[name]) for name in measured)
        balanced = dict(active)
        for name, size in measured.items():
            norm = self._average(self.names.index(name), size)
            balanced[name] = self.scale / share / norm.clamp(min=1e-12) * active[name]
        return _weighted(balanced, weights)

    def _average(self, index: int, size: Tensor) -> Tensor:
        """Return the bias-corrected moving average; a non-finite norm is not taken into it."""
        if torch.isfinite(size):
            self.norms[index] = self.decay * self.norms[index] + (1 - self.decay) * size
            self.total[index] = self.decay * self.total[index] + (1 - self.decay)
        return self.norms[index] / self.total[index].clamp(min=1e-12)


class AdaptiveBalance(Balance):
    """The adversarial term gets the reconstruction term's gradient norm at the last layer.

    L = w_r l_r + c w_a l_a + ..., c = ||d(w_r l_r)/dW|| / (||d l_a / dW|| + 1e-6), clamped to
    [0, 1e4]; Esser et al. (VQGAN), arXiv 2012.09841, eq. 7. W is the anchor: the weight of the
    generator's last layer. c carries no gradient. w_a = 1 then means: as strong as reconstruction,
    which spares the search for lambda_adv.
    """

    def __init__(
        self, reference: str = "rec", adapted: str = "adv", max_factor: float = 1e4
    ) -> None:
        """Name the two terms.

        Args:
            reference: Name of the reconstruction term.
            adapted: Name of the adversarial term.
            max_factor: Bound of c.
        """
        super().__init__()
        self.reference = reference
        self.adapted = adapted
        self.max_factor = max_factor

    def weigh(
        self,
        terms: dict[str, Tensor],
        weights: dict[str, float],
        anchor: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the terms, the adapted one rescaled; see `Balance.weigh`."""
        active = _active(terms, weights)
        if self.reference not in active or self.adapted not in active:
            return _weighted(active, weights)
        anchor = _require(anchor, "adaptive")
        wanted = _norm_at(weights[self.reference] * active[self.reference], anchor, items=False)
        present = _norm_at(active[self.adapted], anchor, items=False)
        if wanted is None or present is None:
            raise ValueError(
                f"the anchor reaches only one of {self.reference!r} and {self.adapted!r}: give the "
                "weight of the last layer that both depend on"
            )
        factor = (wanted / (present + 1e-6)).clamp(0.0, self.max_factor)
        return _weighted({**active, self.adapted: factor * active[self.adapted]}, weights)


@dataclass(frozen=True)
class BalanceConfig:
    """Which balance, and its parameters.

    Raises:
        ValueError: Unknown kind.
    """

    kind: str = "fixed"
    """One of `BALANCE_KINDS`."""
    names: list[str] = field(default_factory=lambda: ["rec", "adv", "feature_matching"])
    """Terms that `uncertainty` or `gradient` balance; the others keep their fixed weights."""
    scale: float = 1.0
    """Gradient norm per item at the anchor that `gradient` shares out."""
    decay: float = 0.999
    """Decay per update of the norms' moving average of `gradient`."""
    reference: str = "rec"
    """Term whose gradient norm `adaptive` copies."""
    adapted: str = "adv"
    """Term that `adaptive` rescales."""

    def __post_init__(self) -> None:
        if self.kind not in BALANCE_KINDS:
            raise ValueError(f"unknown balance kind {self.kind!r}: use one of {BALANCE_KINDS}")


def build_balance(config: BalanceConfig) -> Balance:
    """Return the balance that the config describes."""
    if config.kind == "uncertainty":
        return UncertaintyBalance(tuple(config.names))
    if config.kind == "gradient":
        return GradientBalance(tuple(config.names), config.scale, config.decay)
    if config.kind == "adaptive":
        return AdaptiveBalance(config.reference, config.adapted)
    return FixedBalance()


def _active(terms: dict[str, Tensor], weights: dict[str, float]) -> dict[str, Tensor]:
    if terms.keys() != weights.keys():
        missing = sorted(weights.keys() - terms.keys())
        unknown = sorted(terms.keys() - weights.keys())
        raise ValueError(
            f"loss terms and weights must have the same names: terms missing {missing}, "
            f"weights missing {unknown}"
        )
    active = {name: term for name, term in terms.items() if weights[name] != 0}
    if not active:
        raise ValueError("every loss weight is 0: nothing would be trained")
    return active


def _weighted(terms: dict[str, Tensor], weights: dict[str, float]) -> dict[str, Tensor]:
    return {name: weights[name] * at_least_float32(term) for name, term in terms.items()}


def _require(anchor: Tensor | None, kind: str) -> Tensor:
    if anchor is None or not anchor.requires_grad:
        raise ValueError(f"balance {kind!r} needs an anchor that carries a gradient")
    return anchor


def _norm_at(term: Tensor, anchor: Tensor, items: bool = True) -> Tensor | None:
    """Return the gradient norm of a term at the anchor, or None if it does not depend on it.

    With `items`, the mean of the norms of the items (first axis) instead of the norm of the whole.
    """
    if not term.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(term, anchor, retain_graph=True, allow_unused=True)
    if gradient is None:
        return None
    gradient = at_least_float32(gradient)
    return gradient.flatten(1).norm(dim=1).mean() if items else gradient.norm()
