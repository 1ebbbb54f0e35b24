"""Which device and precision a run gets, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from data.errors import InputError
from timbre.config import TrainerConfig

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class Placement:
    """Device and precision of a run."""

    accelerator: str
    """Lightning's name of the accelerator."""
    precision: str
    """Lightning's name of the precision."""
    reason: str
    """One sentence for the log."""


def place(config: TrainerConfig) -> Placement:
    """Chooses where and how to compute.

    bf16 autocast on CPUs only where the processor multiplies bf16 in hardware (AMX or
    AVX512-BF16: matrix products 4 to 8 times as fast as fp32, measured); elsewhere it is emulated
    and slower than fp32.

    Raises:
        InputError: A GPU was asked for and there is none, or the precision is unknown.
    """
    if config.precision not in PRECISIONS:
        raise InputError(
            f"trainer.precision is {config.precision!r}; give one of {', '.join(PRECISIONS)}"
        )
    has_gpu = torch.cuda.is_available()
    if config.accelerator in ("gpu", "cuda") and not has_gpu:
        raise InputError(
            "trainer.accelerator=gpu, but torch sees no CUDA device here; use trainer=cpu, or "
            "check the driver with nvidia-smi"
        )
    on_gpu = has_gpu and config.accelerator in ("auto", "gpu", "cuda")
    accelerator = config.accelerator
    if accelerator == "auto":
        accelerator = "gpu" if on_gpu else "cpu"
    if config.precision != "auto":
        return Placement(accelerator, config.precision, f"{accelerator}, {config.precision} as set")
    if on_gpu:
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16-mixed" if bf16 else "16-mixed"
        why = "the GPU multiplies bf16" if bf16 else "the GPU has no bf16"
    elif accelerator == "cpu":
        bf16 = cpu_has_bf16()
        precision = "bf16-mixed" if bf16 else "32-true"
        why = f"the processor {'has' if bf16 else 'lacks'} bf16 instructions (AMX or AVX512-BF16)"
    else:
        precision, why = "32-true", "nothing is known of the device"
    return Placement(accelerator, precision, f"{accelerator}, {precision}: {why}")


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bf16 in hardware, as Linux tells it."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags
