"""Source signal of voiced speech: a band-limited train of pulses that follows a pitch curve."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def upsample_f0(
    f0: Float[Tensor, "batch frames"], hop_samples: int
) -> Float[Tensor, "batch samples"]:
    """Interpolate pitch from frames to samples.

    Log-linear between the centres of neighbouring voiced frames; the half of a voiced frame that
    faces an unvoiced one (or the end) keeps the frame's own value; unvoiced frames stay 0.

    Args:
        f0: Hz, 0 = unvoiced.
        hop_samples: samples per frame.
    """
    voiced = f0 > 0
    log_f0 = f0.clamp(min=1.0).log()
    before = torch.cat([log_f0[:, :1], log_f0[:, :-1]], 1)
    after = torch.cat([log_f0[:, 1:], log_f0[:, -1:]], 1)
    gap = torch.zeros_like(voiced[:, :1])
    before = torch.where(torch.cat([gap, voiced[:, :-1]], 1), before, log_f0)
    after = torch.where(torch.cat([voiced[:, 1:], gap], 1), after, log_f0)
    # Distance of each sample from its frame's centre, in frames: -0.5 .. 0.5.
    offset = (torch.arange(hop_samples, device=f0.device) + 0.5) / hop_samples - 0.5
    curve = (
        log_f0[..., None]
        + (after - log_f0)[..., None] * offset.clamp(min=0)
        - (before - log_f0)[..., None] * offset.clamp(max=0)
    )
    return (curve.exp() * voiced[..., None]).flatten(1)


def pulse_train(
    f0: Float[Tensor, "batch samples"],
    sample_rate_hz: int,
    start_phase: Float[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch samples"]:
    """Return the sum of all harmonics of a pitch curve below the Nyquist frequency.

    e = sum_{k=1..N} cos(k theta) + (r - N) cos((N + 1) theta) with theta the running phase,
    r = nyquist / f0 - 1 and N = floor(r), summed in closed form (Dirichlet's kernel). The fraction
    fades the top harmonic in and out; with N alone each glide would click whenever N changes.
    Every harmonic has amplitude 1, and all are cosines: a pulse where theta is a multiple of 2 pi.
    The phase stands still where f0 is 0, and e is 0 there. No gradient.

    Args:
        f0: Hz per sample, 0 = unvoiced.
        sample_rate_hz: samples per second.
        start_phase: phase before the first sample, in cycles; None: 0 for every item.
    """
    with torch.no_grad():
        # fp64: after a minute of fp32 sums the phase of the 100th harmonic would be noise.
        cycles = (f0.double() / sample_rate_hz).cumsum(1)
        if start_phase is not None:
            cycles = cycles + start_phase.double()[:, None]
        # Centred on 0, where the closed form divides by a small number and must be exact.
        theta = (2 * math.pi * (cycles - cycles.round())).float()
        voiced = f0 > 0
        ratio = (sample_rate_hz / 2 / f0.float().clamp(min=1.0) - 1).clamp(min=0)
        count = ratio.floor()
        half = theta / 2
        small = half.abs() < 1e-4
        safe = torch.where(small, torch.ones_like(half), half.sin())
        kernel = torch.sin((2 * count + 1) * half) / (2 * safe) - 0.5
        train = torch.where(small, count, kernel)
        train = train + (ratio - count) * torch.cos((count + 1) * theta)
        return train * voiced
