"""Which device and precision a run gets, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry

from data.errors import InputError
from timbre.config import TrainerConfig

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
STRATEGIES = ("auto", "ddp")


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
        InputError: A device was asked for that is not there, or a precision or strategy that is
            unknown.
    """
    _check(config)
    accelerator = "gpu" if config.accelerator == "cuda" else config.accelerator
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    _check_devices(accelerator, config.devices)
    if config.precision != "auto":
        return Placement(accelerator, config.precision, f"{accelerator}, {config.precision} as set")
    if accelerator == "gpu":
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


def _check(config: TrainerConfig) -> None:
    """Refuses words that nothing knows, and numbers that nothing can be made of."""
    accelerators = ("auto", "gpu", *sorted(AcceleratorRegistry.available_accelerators()))
    known = {"accelerator": accelerators, "strategy": STRATEGIES, "precision": PRECISIONS}
    for name, words in known.items():
        if (word := getattr(config, name)) not in words:
            raise InputError(f"trainer.{name} is {word!r}; give one of {', '.join(words)}")
    for name in ("devices", "threads"):
        if (number := getattr(config, name)) is not None and number < 1:
            raise InputError(f"trainer.{name} is {number}; give 1 or more")


def _check_devices(accelerator: str, wanted: int) -> None:
    """Refuses more devices than there are; on a CPU there may be any number of processes."""
    if accelerator == "cpu":
        return
    if (there := _devices(accelerator)) == 0:
        kind, hint = f"{accelerator} device", ""
        if accelerator == "gpu":
            kind, hint = "CUDA device", ", or check the driver with nvidia-smi"
        raise InputError(
            f"trainer.accelerator={accelerator}, but torch sees no {kind} here; use trainer=cpu"
            f"{hint}"
        )
    if wanted > there:
        raise InputError(
            f"trainer.devices is {wanted}, and {accelerator} devices here are {there}: give "
            f"trainer.devices={there}, or trainer.accelerator=cpu for processes on the CPU"
        )


def _devices(accelerator: str) -> int:
    """How many there are."""
    if accelerator == "gpu":
        return max(torch.cuda.device_count(), 1) if torch.cuda.is_available() else 0
    kind = AcceleratorRegistry[accelerator]["accelerator"]
    return int(kind.auto_device_count()) if kind.is_available() else 0


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bf16 in hardware, as Linux tells it."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags
