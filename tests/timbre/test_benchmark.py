"""The benchmark at reduced size: every workload is there, and its numbers hang together."""

import math

import pytest

from timbre.benchmark import BenchmarkConfig, Measurement, benchmark, synthetic_batch
from timbre.commands import compose
from timbre.config import parse

SMALL = ["updates=1", "repeats=1", "items=2", "seconds=1.5"]


@pytest.fixture(scope="module")
def config(tiny: list[str]) -> BenchmarkConfig:
    shared = ("model.", "objective.", "trainer")
    words = [word for word in tiny if word.startswith(shared)]
    return parse(BenchmarkConfig, compose("benchmark", [*words, *SMALL]))


@pytest.fixture(scope="module")
def measured(config: BenchmarkConfig) -> dict[tuple[str, str], Measurement]:
    return {(m.workload, m.dtype): m for m in benchmark(config)}


def test_every_workload_is_measured(measured):
    training = {
        (f"train/{stage}", dtype)
        for stage in ("tokenizer", "acoustic", "vocoder")
        for dtype in ("float32", "bfloat16")
    }
    speaking = {(f"speak/{p}", "float32") for p in ("gpt", "decoder", "vocoder", "sentence")}
    assert measured.keys() == training | speaking


def test_numbers_hang_together(measured):
    for measurement in measured.values():
        assert measurement.median > 0
        assert measurement.peak_mb > 10
        assert measurement.threads >= 1
        assert math.isclose(measurement.ratio, measurement.median / measurement.baseline)
    slow, fast = (measured["train/acoustic", dtype] for dtype in ("float32", "bfloat16"))
    assert slow.ratio == 1.0
    assert fast.baseline == slow.median
    # The whole way takes at least as long as its slowest part, machine noise aside.
    whole = measured["speak/sentence", "float32"].median
    assert whole > 0.3 * measured["speak/vocoder", "float32"].median


def test_the_synthetic_batch_is_complete(config):
    batch = synthetic_batch(config)
    assert len(batch) == 2
    assert batch.tokens is not None
    assert (batch.durations.sum(1) == batch.token_lengths).all()
    assert batch.audio.shape[1] == batch.mel.shape[2] * config.audio.hop_samples
    assert batch.speaker.unique().numel() == 2


@pytest.mark.parametrize("change", [{"updates": 0}, {"seconds": 0.1}, {"precisions": ["int8"]}])
def test_impossible_sizes_are_refused(change):
    with pytest.raises(ValueError, match=r"updates|precisions"):
        BenchmarkConfig(**change)
