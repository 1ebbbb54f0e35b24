"""Conditional flow matching: a straight path from noise to data and its velocity."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from losses.reduction import at_least_float32, masked_mean, zero_padding


@dataclass
class FlowSample:
    """A point on the path and the velocity that the network should predict there."""

    point: Tensor
    """psi_t, the network's input, shaped like the data."""
    velocity: Tensor
    """Target of the network, shaped like the data."""


def flow_path(
    noise: Float[Tensor, " batch *shape"],
    data: Float[Tensor, " batch *shape"],
    time: Float[Tensor, " batch"],
    min_std: float = 1e-4,
) -> FlowSample:
    """Return the point psi_t = (1 - (1 - s) t) x_0 + t x_1 and its velocity x_1 - (1 - s) x_0.

    Lipman et al., arXiv 2210.02747, eqs. 22-23, the optimal-transport path: x_0 ~ N(0, I) noise,
    x_1 data, t in [0, 1], s = `min_std` the noise that is left at t = 1. Everything in fp32.

    Args:
        noise: x_0.
        data: x_1.
        time: t of each item.
        min_std: s, in [0, 1).

    Raises:
        ValueError: `min_std` outside [0, 1).
    """
    if not 0 <= min_std < 1:
        raise ValueError(f"min_std is {min_std}: give a number in [0, 1)")
    noise, data = at_least_float32(noise), at_least_float32(data)
    share = at_least_float32(time).reshape(-1, *[1] * (data.ndim - 1))
    point = (1 - (1 - min_std) * share) * noise + share * data
    return FlowSample(point=point, velocity=data - (1 - min_std) * noise)


def sample_times(
    count: int,
    device: torch.device,
    logit_normal_std: float = 0.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " {count}"]:
    """Return times t in (0, 1) for a batch.

    Uniform, as in arXiv 2210.02747, or, with `logit_normal_std` s > 0, sigmoid(N(0, s^2)), which
    puts more of them in the middle, where the velocity is hardest (Esser et al., arXiv 2403.03206,
    section 3.1; s = 1).
    """
    if logit_normal_std > 0:
        normal = torch.randn(count, device=device, generator=generator)
        return (logit_normal_std * normal).sigmoid()
    return torch.rand(count, device=device, generator=generator)


def flow_matching_loss(
    predicted_velocity: Float[Tensor, " batch *shape"],
    velocity: Float[Tensor, " batch *shape"],
    mask: Tensor | None = None,
) -> Float[Tensor, ""]:
    """Return mean over valid positions of (v - v_predicted)^2; arXiv 2210.02747, eq. 23.

    Args:
        predicted_velocity: Output of the network at `FlowSample.point`.
        velocity: `FlowSample.velocity`.
        mask: Bool, as many axes as the velocity, sizes equal or 1.
    """
    predicted = zero_padding(at_least_float32(predicted_velocity), mask)
    target = zero_padding(at_least_float32(velocity), mask)
    return masked_mean((predicted - target).square(), mask)
