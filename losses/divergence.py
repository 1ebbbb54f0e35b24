"""Divergences of the latent from its prior, and the bounds that keep the latent in use."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from losses.reduction import at_least_float32, masked_mean, zero_padding

_LOG_TWO_PI = math.log(2 * math.pi)
_LOG_STD_RANGE = (-20.0, 20.0)
"""exp(2 * 20) is still finite in fp32: an early explosion stays a large number and not a NaN."""


def gaussian_kl(
    mean: Float[Tensor, "*shape"],
    log_std: Float[Tensor, "*shape"],
    prior_mean: Float[Tensor, "*shape"] | None = None,
    prior_log_std: Float[Tensor, "*shape"] | None = None,
) -> Float[Tensor, "*shape"]:
    """Return KL(N(m, s^2) || N(m_p, s_p^2)) per element, in nats.

    KL = log(s_p / s) + (s^2 + (m - m_p)^2) / (2 s_p^2) - 1/2; for the prior N(0, 1) this is
    (m^2 + s^2 - 1) / 2 - log s, Kingma & Welling, arXiv 1312.6114, appendix B. Sum it over the
    latent's dimensions; per dimension it tells the active units. log s is clamped to +-20.

    Args:
        mean: m.
        log_std: log s.
        prior_mean: m_p; None: 0.
        prior_log_std: log s_p; None: 0.
    """
    mean = at_least_float32(mean)
    log_std = at_least_float32(log_std).clamp(*_LOG_STD_RANGE)
    offset = mean if prior_mean is None else mean - at_least_float32(prior_mean)
    if prior_log_std is None:
        return 0.5 * (offset.square() + (2 * log_std).exp() - 1) - log_std
    prior_log_std = at_least_float32(prior_log_std).clamp(*_LOG_STD_RANGE)
    spread = (2 * (log_std - prior_log_std)).exp()
    distance = (offset * (-prior_log_std).exp()).square()
    return prior_log_std - log_std + 0.5 * (spread + distance - 1)


def gaussian_log_density(
    sample: Float[Tensor, "*shape"],
    mean: Float[Tensor, "*shape"],
    log_std: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape"]:
    """Return log N(sample; mean, exp(log_std)^2) per element, in nats."""
    log_std = at_least_float32(log_std).clamp(*_LOG_STD_RANGE)
    deviation = (at_least_float32(sample) - at_least_float32(mean)) * (-log_std).exp()
    return -0.5 * (deviation.square() + _LOG_TWO_PI) - log_std


def monte_carlo_kl(
    log_posterior: Float[Tensor, " batch"], log_prior: Float[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """Return log q(z) - log p(z) per item, one sample's unbiased estimate of KL(q || p).

    For an arbitrary posterior that can be sampled and scored. It may be negative on a sample.

    Args:
        log_posterior: log q(z | x) of the sample z that was drawn from q.
        log_prior: log p(z).
    """
    return at_least_float32(log_posterior) - at_least_float32(log_prior)


def flow_kl(
    log_std: Float[Tensor, "batch channels"],
    log_determinant: Float[Tensor, " batch"],
    latent: Float[Tensor, "batch channels"],
) -> Float[Tensor, " batch"]:
    """Return the KL of a flow posterior from N(0, I) per item, in nats.

    z_K = f(z_0), z_0 ~ N(mean, exp(log_std)^2):
    KL = E[log q_0(z_0) - log |det df/dz_0| - log p(z_K)]; Rezende & Mohamed, arXiv 1505.05770,
    eqs. 13-15. Difference: E[log q_0] is the negative entropy of the Gaussian in closed form, which
    has no sampling noise; the other two terms are estimated by the one sample.

    Args:
        log_std: log of the standard deviation of z_0.
        log_determinant: log |det df/dz_0| at the sample.
        latent: z_K.
    """
    log_std = at_least_float32(log_std).clamp(*_LOG_STD_RANGE)
    latent = at_least_float32(latent)
    negative_entropy = -(log_std + 0.5 * (_LOG_TWO_PI + 1)).sum(dim=1)
    log_prior = -0.5 * (latent.square() + _LOG_TWO_PI).sum(dim=1)
    return negative_entropy - at_least_float32(log_determinant) - log_prior


def categorical_kl(
    posterior_logits: Float[Tensor, "*positions classes"],
    prior_logits: Float[Tensor, "*positions classes"],
    mask: Tensor | None = None,
) -> Float[Tensor, ""]:
    """Return mean over valid positions of KL(softmax(posterior) || softmax(prior)), in nats.

    KL = sum_k p_k (log p_k - log q_k). For keeping a fine-tuned GPT near its reference.

    Args:
        posterior_logits: Logits of p, the distribution that is penalised.
        prior_logits: Logits of q.
        mask: Bool over positions, sizes equal or 1.
    """
    over_classes = None if mask is None else mask.unsqueeze(-1)
    log_p = zero_padding(at_least_float32(posterior_logits), over_classes).log_softmax(-1)
    log_q = zero_padding(at_least_float32(prior_logits), over_classes).log_softmax(-1)
    # Where p underflows to 0 its share is 0 whatever log q is; 0 * -inf would be NaN.
    share = log_p.exp() * (log_p - log_q)
    return masked_mean(torch.where(log_p.exp() > 0, share, 0.0).sum(-1), mask)


def free_bits(kl: Float[Tensor, "batch channels"], floor_nats: float) -> Float[Tensor, ""]:
    """Return sum over dimensions of max(floor, batch mean of the dimension's KL).

    Kingma et al., arXiv 1606.04934, eq. 15 (their lambda is `floor_nats`, their groups are single
    dimensions). A dimension that costs less than the floor is not pushed further down: the remedy
    against posterior collapse. 0.05 to 0.5 nats per dimension.

    Args:
        kl: KL per item and dimension, from `gaussian_kl`.
        floor_nats: Free nats per dimension; 0 turns it off.
    """
    if floor_nats < 0:
        raise ValueError(f"floor_nats is {floor_nats}: give 0 or more")
    means = at_least_float32(kl).mean(dim=0)
    # Dimensions at 0 KL and a floor of 0 must keep their gradient: relu form, not max(floor, kl).
    return (floor_nats + (means - floor_nats).relu()).sum() if floor_nats else means.sum()


def total_free_nats(kl: Float[Tensor, " batch"], floor_nats: float) -> Float[Tensor, ""]:
    """Return max(floor, batch mean of the KL), free bits for a KL known only as a total.

    A Monte Carlo KL through flows has no dimensions; `floor_nats` counts for the whole latent.
    """
    if floor_nats < 0:
        raise ValueError(f"floor_nats is {floor_nats}: give 0 or more")
    mean = at_least_float32(kl).mean()
    return floor_nats + (mean - floor_nats).relu() if floor_nats else mean


def capacity_target(kl: Float[Tensor, " batch"], capacity_nats: float) -> Float[Tensor, ""]:
    """Return |mean KL - C|, which holds the KL at the capacity C from both sides.

    Burgess et al., arXiv 1804.03599, eq. 8 (their gamma is the caller's weight; their C grows
    during training, which `losses.schedules.Annealing` can do). Use it where the KL wanders to
    zero (collapse) or upwards, and a known amount of information is wanted.

    Args:
        kl: KL per item.
        capacity_nats: C.
    """
    if capacity_nats < 0:
        raise ValueError(f"capacity_nats is {capacity_nats}: give 0 or more")
    return (at_least_float32(kl).mean() - capacity_nats).abs()
