"""Measure speed and memory on this machine: one JSON line per workload.

  python scripts/benchmark.py [workloads=[speak,decode]] [model=nano|base] [plot=benchmark.png]

decode/*: tokens per second of GPT at model=base, compared with transformers (pip install
          transformers) and with the machine's memory bandwidth.
speak/*:  real-time factors of synthesis, and the time to the first chunk of a stream.
growth/*: cost and memory of longer texts and larger batches, compared with proportional cost.
train/*:  seconds of one training update on a synthetic batch, compared with fp32 in the same run;
          of a step of GPT at model=base, compared with transformers.
load/*:   seconds of speech that are loaded per second.
robust/*: errors on 200 hard sentences, only if asked for: workloads=[robust] robust.voice=NAME.
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
        values = asdict(measurement)
        values |= values.pop("more")
        rounded = {k: _rounded(v) for k, v in values.items()}
        print(json.dumps(rounded), flush=True)


def _rounded(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    run(main, "benchmark", __doc__)
