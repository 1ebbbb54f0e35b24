"""When an adversary's discriminators learn, and when they teach."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from losses.adversarial import ADVERSARIAL_KINDS


@dataclass(frozen=True)
class AdversaryConfig:
    """One adversary: a set of discriminators and the terms it gives.

    Over the updates: nothing for `freeze_steps`, then the discriminators learn, and what they teach
    counts more and more for `ramp_steps`. Pauses and the gate keep them from learning, for a while,
    when they run ahead; they go on teaching.
    """

    enabled: bool = True
    """False: no discriminators, no adversarial terms."""
    kind: str = "lsgan"
    """lsgan, hinge, bce or wasserstein (losses/adversarial.py)."""
    freeze_steps: int = 0
    """Updates at the start without discriminators: they neither learn nor teach."""
    ramp_steps: int = 0
    """Updates after those in which the weights of the adversarial terms grow from 0."""
    pause_every: int = 0
    """Updates from one pause of the discriminators to the next; 0: no pauses."""
    pause_steps: int = 0
    """Updates that a pause takes, at the end of each `pause_every`."""
    gate_high: float | None = None
    """Accuracy above which the discriminators stop learning; None: no gate. Healthy speech GANs are
    near 1 (PhaseAug, arXiv 2211.04610): an emergency brake, not a target."""
    gate_low: float = 0.7
    """Accuracy below which stopped discriminators learn again."""
    gate_decay: float = 0.9
    """Decay per update of the moving average of the accuracy that the gate looks at."""
    r1_weight: float = 1.0
    """Weight of R1 (gamma / 2 of arXiv 1801.04406, eq. 9); 0 switches it off."""
    r1_interval: int = 16
    """Updates between two R1 penalties; the weight is multiplied by it (arXiv 1912.04958)."""
    gradient_penalty_weight: float = 10.0
    """wasserstein: weight of the gradient penalty (lambda of arXiv 1704.00028, eq. 3)."""

    def __post_init__(self) -> None:
        if self.kind not in ADVERSARIAL_KINDS:
            raise ValueError(
                f"adversary: unknown kind {self.kind!r}; give one of {', '.join(ADVERSARIAL_KINDS)}"
            )
        counts = (self.freeze_steps, self.ramp_steps, self.pause_every, self.pause_steps)
        if min(counts) < 0 or self.r1_interval < 1 or self.r1_weight < 0:
            raise ValueError(
                "freeze_steps, ramp_steps, pause_every, pause_steps and r1_weight must be 0 or "
                f"more and r1_interval 1 or more, got {counts}, {self.r1_weight}, "
                f"{self.r1_interval}"
            )
        if self.kind == "wasserstein" and self.gradient_penalty_weight <= 0:
            raise ValueError(
                "a wasserstein critic is unbounded without its penalty: give "
                "gradient_penalty_weight above 0, for example 10"
            )
        if self.pause_steps and self.pause_steps >= self.pause_every:
            raise ValueError(
                f"pause_steps={self.pause_steps} must be less than pause_every={self.pause_every}"
            )
        if self.gate_high is not None and not 0 <= self.gate_low < self.gate_high <= 1:
            raise ValueError(
                "the gate needs 0 <= gate_low < gate_high <= 1, got "
                f"{self.gate_low} and {self.gate_high}"
            )
        if not 0 <= self.gate_decay < 1:
            raise ValueError(f"gate_decay is {self.gate_decay}; give 0 <= decay < 1")

    def strength(self, update: int) -> float:
        """Multiplier of the weights of the adversarial terms, 0 to 1."""
        if update < self.freeze_steps:
            return 0.0
        if not self.ramp_steps:
            return 1.0
        return min(1.0, (update - self.freeze_steps + 1) / (self.ramp_steps + 1))

    def pauses(self, update: int) -> bool:
        """Whether this update falls into a periodic pause."""
        if not self.pause_every:
            return False
        turn = (update - self.freeze_steps) % self.pause_every
        return turn >= self.pause_every - self.pause_steps


class Gate(nn.Module):
    """Stops the discriminators when they are too often right, until they no longer are.

    Two limits instead of one keep it from opening and closing at every update. Its state is saved
    with the run's checkpoint.

    Args:
        config: The two limits and the decay.
    """

    accuracy: Tensor
    closed: Tensor

    def __init__(self, config: AdversaryConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("accuracy", torch.tensor(0.5))
        self.register_buffer("closed", torch.tensor(False))

    @property
    def is_closed(self) -> bool:
        """Whether the discriminators may not learn now (waits for the device)."""
        return self.config.gate_high is not None and bool(self.closed)

    def observe(self, accuracy: Tensor) -> None:
        """Takes the accuracy of one update into the average, and opens or closes."""
        if self.config.gate_high is None:
            return
        self.accuracy.lerp_(accuracy.to(self.accuracy), 1 - self.config.gate_decay)
        above, below = self.accuracy > self.config.gate_high, self.accuracy < self.config.gate_low
        self.closed.copy_(torch.where(self.closed, ~below, above))
