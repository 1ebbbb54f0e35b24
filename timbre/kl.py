"""Control of the speaker posterior's KL: annealing, free bits, capacity."""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from losses.divergence import capacity_target, free_bits, gaussian_kl, total_free_nats
from losses.schedules import Annealing
from sovits.speaker_encoder import SpeakerPosterior

UNITS = ("updates", "epochs")


@dataclass(frozen=True)
class KLConfig:
    """What the KL of z_spk to N(0, I) costs. All nats are nats per dimension of z_spk."""

    annealing: Annealing = field(default_factory=Annealing)
    """Multiplier of the weight over the updates, 0 to 1 (arXiv 1511.06349, 1903.10145)."""
    annealing_unit: str = "updates"
    """What `annealing.start` and `annealing.updates` count: updates, or epochs (each recording
    once)."""
    free_nats: float = 0.5
    """Nats that cost nothing (arXiv 1606.04934, section 4.1)."""
    per_dimension: bool = False
    """Each dimension has its own free nats (arXiv 1606.04934, eq. 15): none can be given up for
    another. False: the mean over the dimensions has them."""
    capacity_nats: float | None = None
    """Hold the KL at this value from both sides (arXiv 1804.03599, eq. 8) instead of free nats."""

    def __post_init__(self) -> None:
        if self.annealing_unit not in UNITS:
            raise ValueError(
                f"objective.kl.annealing_unit is {self.annealing_unit!r}; give updates or epochs"
            )
        if self.free_nats < 0 or (self.capacity_nats is not None and self.capacity_nats < 0):
            raise ValueError("objective.kl: free_nats and capacity_nats must be 0 or more")
        if self.per_dimension and self.capacity_nats is not None:
            raise ValueError(
                "objective.kl: per_dimension belongs to free nats; unset it or capacity_nats"
            )


def trained_kl(posterior: SpeakerPosterior, config: KLConfig) -> Float[Tensor, ""]:
    """The part of the KL that is trained on, nats per dimension.

    The posterior's KL is that of its Gaussian, known in closed form per dimension, plus what the
    flows change of it, known only as a total: free bits per dimension are those of the Gaussian.

    Args:
        posterior: Of a batch.
        config: Free bits or capacity.
    """
    channels = posterior.mean.shape[1]
    if config.capacity_nats is not None:
        return capacity_target(posterior.kl / channels, config.capacity_nats)
    if not config.per_dimension:
        return total_free_nats(posterior.kl / channels, config.free_nats)
    gaussian = gaussian_kl(posterior.mean, posterior.log_std)
    by_flows = (posterior.kl - gaussian.sum(dim=1)).mean()
    return (free_bits(gaussian, config.free_nats) + by_flows) / channels
