"""What the KL of z_spk says about the speaker encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timbre.doctor.curves import Curves

if TYPE_CHECKING:
    from timbre.config import RunConfig

_COLLAPSED = 0.1
"""Nats per dimension; a healthy run of this project stays at 0.35 to 0.55, the seed guide's at 0.5
to 1.0."""
_DIVERGED = 2.0
"""Nats per dimension; 512 nats in all of 256 dimensions."""


def posterior_collapse(curves: Curves, config: RunConfig) -> str | None:
    """z_spk is the same noise for every voice."""
    kl = curves.series("train/kl")
    if len(kl) < 3 or kl.now >= _COLLAPSED:
        return None
    return (
        f"train/kl has fallen from {kl.highest:.2f} to {kl.now:.3f} nats per dimension "
        f"(below {_COLLAPSED})"
    )


def kl_divergence(curves: Curves, config: RunConfig) -> str | None:
    """z_spk runs away from the prior."""
    kl = curves.series("train/kl")
    if len(kl) < 3 or kl.now < max(_DIVERGED, 2 * kl.lowest):
        return None
    return f"train/kl has risen from {kl.lowest:.2f} to {kl.now:.3g} nats per dimension"
