"""Regression losses behind one dispatcher: how far is a predicted value from the true one."""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from losses.reduction import at_least_float32, broadcast_mask, masked_mean, zero_padding

REGRESSION_KINDS = ("mse", "mae", "huber", "log_cosh", "quantile", "multi_quantile")


@dataclass(frozen=True)
class RegressionParameters:
    """Parameters of the regression kinds that have one.

    Raises:
        ValueError: A threshold that is not positive or a quantile outside (0, 1).
    """

    huber_delta: float = 1.0
    """Distance, in units of the target, at which Huber turns from quadratic to linear."""
    quantile: float = 0.5
    """Quantile that the kind `quantile` estimates, between 0 and 1; 0.5 is the median."""
    quantiles: list[float] = field(default_factory=lambda: [0.25, 0.5, 0.75])
    """Quantiles of the kind `multi_quantile`, each between 0 and 1."""

    def __post_init__(self) -> None:
        if not self.huber_delta > 0:
            raise ValueError(f"huber_delta is {self.huber_delta}: give a distance above 0")
        levels = (self.quantile, *self.quantiles)
        if not self.quantiles or not all(0 < level < 1 for level in levels):
            raise ValueError(f"quantiles {levels}: give at least one, all between 0 and 1")


def reconstruction(
    prediction: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    mask: Tensor | None = None,
    kind: str = "mae",
    parameters: RegressionParameters | None = None,
) -> Float[Tensor, ""]:
    """Return the mean regression loss of the given kind over valid positions.

    Args:
        prediction: Predicted values.
        target: True values in the same unit.
        mask: Bool, as many axes as the values, sizes equal or 1; None: everything is valid.
        kind: One of `REGRESSION_KINDS`; the functions below say what each is for. With
            `multi_quantile` one prediction serves all quantiles (composite quantile regression,
            Zou & Yuan 2008, doi 10.1214/07-AOS507); `multi_quantile_loss` takes one per quantile.
        parameters: Parameters of the kinds that have one; None: the defaults.

    Raises:
        ValueError: Unknown kind.
    """
    parameters = parameters or RegressionParameters()
    error = regression_error(
        zero_padding(at_least_float32(prediction), mask),
        zero_padding(at_least_float32(target), mask),
        kind,
        parameters,
    )
    return masked_mean(error, mask)


def regression_error(
    prediction: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    kind: str,
    parameters: RegressionParameters,
) -> Float[Tensor, "*shape"]:
    """Return the error of every element, for callers that weight elements before the mean."""
    difference = at_least_float32(prediction) - at_least_float32(target)
    if kind == "mse":
        return squared_error(difference)
    if kind == "mae":
        return absolute_error(difference)
    if kind == "huber":
        return huber_error(difference, parameters.huber_delta)
    if kind == "log_cosh":
        return log_cosh_error(difference)
    if kind == "quantile":
        return quantile_error(difference, parameters.quantile)
    if kind == "multi_quantile":
        errors = [quantile_error(difference, quantile) for quantile in parameters.quantiles]
        return torch.stack(errors).mean(dim=0)
    raise ValueError(f"unknown regression kind {kind!r}: use one of {REGRESSION_KINDS}")


def squared_error(difference: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return d^2 with d = prediction - target: estimates the mean; outliers dominate."""
    return difference.square()


def absolute_error(difference: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return |d|: estimates the median; the default for mel spectrograms (less blur than MSE)."""
    return difference.abs()


def huber_error(difference: Float[Tensor, "*shape"], delta: float) -> Float[Tensor, "*shape"]:
    """Return d^2 / 2 for |d| <= delta, else delta (|d| - delta / 2).

    Huber 1964, doi 10.1214/aoms/1177703732. Quadratic near zero, where L1 would jitter, and
    linear at outliers. Equal to `torch.nn.HuberLoss`.
    """
    magnitude = difference.abs()
    inside = magnitude.clamp(max=delta)
    return inside * (magnitude - 0.5 * inside)


def log_cosh_error(difference: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return log cosh d = |d| + log(1 + exp(-2 |d|)) - log 2.

    Twice differentiable everywhere, d^2 / 2 near zero and |d| - log 2 far away. Written in the
    form that does not overflow (cosh d does at |d| > 88 in fp32).
    """
    magnitude = difference.abs()
    return magnitude + functional.softplus(-2 * magnitude) - math.log(2)


def quantile_error(difference: Float[Tensor, "*shape"], quantile: float) -> Float[Tensor, "*shape"]:
    """Return max(q e, (q - 1) e) with e = target - prediction = -d, the pinball loss.

    Koenker & Bassett 1978, doi 10.2307/1913643. Its minimiser is the q-quantile of the target: at
    q = 0.9, predicting too little costs nine times as much as predicting too much.
    """
    return torch.maximum(-quantile * difference, (1 - quantile) * difference)


def multi_quantile_loss(
    predictions: Float[Tensor, "*shape quantiles"],
    target: Float[Tensor, "*shape"],
    quantiles: tuple[float, ...],
    mask: Tensor | None = None,
) -> Float[Tensor, ""]:
    """Return the mean pinball loss of several quantiles predicted at once.

    L = 1/Q sum_q mean max(q e_q, (q - 1) e_q), e_q = target - prediction_q. Use it where a value
    has an uncertainty worth knowing, such as a duration: the spread of the quantiles is the
    interval. Quantiles may cross; sort them when reading.

    Args:
        predictions: One prediction per quantile on the last axis.
        target: True values.
        quantiles: Numbers between 0 and 1, in the order of the last axis.
        mask: Bool, as many axes as `target`, sizes equal or 1.

    Raises:
        ValueError: The quantiles do not fit the last axis or lie outside (0, 1).
    """
    if len(quantiles) != predictions.shape[-1]:
        raise ValueError(f"{len(quantiles)} quantiles for {predictions.shape[-1]} predictions")
    if not all(0 < quantile < 1 for quantile in quantiles):
        raise ValueError(f"quantiles {quantiles}: each must be between 0 and 1")
    full = None if mask is None else broadcast_mask(mask, target)
    full = None if full is None else full.unsqueeze(-1).expand_as(predictions)
    predictions = zero_padding(at_least_float32(predictions), full)
    target = zero_padding(at_least_float32(target), mask)
    difference = predictions - target.unsqueeze(-1)
    levels = difference.new_tensor(quantiles)
    return masked_mean(torch.maximum(-levels * difference, (1 - levels) * difference), full)
