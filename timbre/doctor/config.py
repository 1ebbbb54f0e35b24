"""Settings of the live doctor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DoctorConfig:
    """When the doctor looks, and whether it may treat."""

    every: int = 20
    """Updates between two looks at the curves; 0: never during the run."""
    act: bool = False
    """Apply the safe remedies (docs/training-guide.md) during the run; each is logged."""
    patience: int = 40
    """Updates that a remedy is given to work before the doctor looks at the same thing again."""

    def __post_init__(self) -> None:
        if self.every < 0 or self.patience < 1:
            raise ValueError(
                f"doctor.every is {self.every} and doctor.patience {self.patience}; give 0 or more "
                "and 1 or more"
            )
        if self.act and not self.every:
            raise ValueError(
                "doctor.act=true needs doctor.every of 1 or more: it acts when it looks"
            )
