"""What a workload's measurement is, and how time, memory and bandwidth are taken."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

_CLEAR_PEAK, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""wall, or the processor time of all threads: on a busy machine and with one thread, about the
wall time of an idle one."""
_BANDWIDTH_BYTES = 1 << 28
"""Of the copied buffer: larger than any cache."""


@dataclass(frozen=True)
class Measurement:
    """One workload, measured."""

    workload: str
    """`GROUP/PART`, and what varies, as in `growth/text_4x`."""
    median: float
    """Of the measured updates, runs or rounds."""
    unit: str
    """seconds, ms, tokens/s, audio-s/s, or rtf: seconds of computing for one second of speech."""
    baseline: float
    """What `ratio` compares with, measured in the same run."""
    baseline_name: str
    """Which: another library, the median at the first precision, real time, proportional cost."""
    ratio: float
    """median / baseline."""
    peak_mb: float
    """Highest memory while it ran, in 10^6 bytes: of the process, or allocated on the GPU."""
    dtype: str
    """What weights are kept in, or matrix products compute in."""
    threads: int
    """CPU threads of torch."""
    machine: str
    """Processor or GPU."""
    more: dict[str, float] = field(default_factory=dict)
    """What else is known, by name."""


def measurement(
    workload: str,
    median: float,
    unit: str,
    baseline: tuple[float, str],
    peak_mb: float,
    device: torch.device,
    dtype: str = "float32",
    more: dict[str, float] | None = None,
) -> Measurement:
    """A measurement on this machine; `baseline` is its value and its name."""
    return Measurement(
        workload=workload,
        median=median,
        unit=unit,
        baseline=baseline[0],
        baseline_name=baseline[1],
        ratio=median / baseline[0],
        peak_mb=peak_mb,
        dtype=dtype,
        threads=torch.get_num_threads(),
        machine=machine(device),
        more=more or {},
    )


def rounds(
    parts: dict[str, Callable[[], object]],
    repeats: int,
    device: torch.device,
    clock: str = "wall",
) -> Times:
    """Runs all parts once to warm up, then in turns, so that a busy moment hits all of them.

    Memory is that of the first time: measuring it slows down what must ask for all of it anew.
    """
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    peaks: dict[str, float] = {}
    for name, part in parts.items():
        memory = PeakMemory(device)
        seconds_of(part, device, clock)
        peaks[name] = memory.megabytes()
    for _ in range(repeats):
        for name, part in parts.items():
            seconds[name].append(seconds_of(part, device, clock))
    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    return Times(medians, seconds, peaks)


@dataclass(frozen=True)
class Times:
    """What `rounds` measured, by part."""

    medians: dict[str, float]
    """Seconds."""
    each: dict[str, list[float]]
    """Seconds of every round."""
    peak_mb: dict[str, float]
    """Highest memory."""

    def ratio(self, slow: str, fast: str) -> float:
        """How many times as long the one takes: the median over the rounds of their ratio."""
        pairs = zip(self.each[slow], self.each[fast], strict=True)
        return statistics.median(a / b for a, b in pairs)


def seconds_of(part: Callable[[], object], device: torch.device, clock: str = "wall") -> float:
    """Time of one call, by one of `CLOCKS`."""
    started = CLOCKS[clock]()
    part()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return CLOCKS[clock]() - started


def _give_back() -> None:
    """Returns what the C library keeps of freed memory, which would count as used; glibc only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def copy_bandwidth(device: torch.device) -> Callable[[], object]:
    """A part that copies a buffer of `bandwidth_bytes` / 2."""
    source = torch.ones(_BANDWIDTH_BYTES // 8, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def bandwidth_bytes() -> int:
    """Bytes that one copy reads and writes."""
    return _BANDWIDTH_BYTES


def machine(device: torch.device) -> str:
    """Processor with its cores, or GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = f"{os.cpu_count()} cores"
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {cores}"
    return f"{platform.machine()}, {cores}"


class PeakMemory:
    """Highest memory since this was made: of the process, or allocated on the GPU."""

    def __init__(self, device: torch.device) -> None:
        gc.collect()  # a Lightning trainer is part of a reference cycle
        _give_back()
        self._on_gpu = device.type == "cuda"
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        elif os.access(_CLEAR_PEAK, os.W_OK):
            _CLEAR_PEAK.write_text("5", encoding="ascii")

    def megabytes(self) -> float:
        """In 10^6 bytes; where the peak cannot be reset (not Linux), since the process began."""
        if self._on_gpu:
            return torch.cuda.max_memory_allocated() / 1e6
        for line in _STATUS.read_text(encoding="utf-8").splitlines() if _STATUS.exists() else []:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS
