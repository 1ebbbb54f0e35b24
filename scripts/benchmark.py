"""Measure speed and memory on this machine: one JSON line per workload.

  python scripts/benchmark.py [model=nano|base] [trainer=cpu|gpu] [updates=N] [repeats=N]

train/*: seconds of one training update on a synthetic batch, compared with fp32 in the same run.
speak/*: tokens per second and real-time factors of synthesis, compared with real time.
"""

import json
from dataclasses import asdict

from omegaconf import DictConfig

from timbre.commands import run


def main(config: DictConfig) -> None:
    """Measures; the heavy imports are here so that --help answers at once."""
    from timbre.benchmark import BenchmarkConfig, benchmark
    from timbre.config import parse

    for measurement in benchmark(parse(BenchmarkConfig, config)):
        values = asdict(measurement).items()
        rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in values}
        print(json.dumps(rounded), flush=True)


if __name__ == "__main__":
    run(main, "benchmark", __doc__)
