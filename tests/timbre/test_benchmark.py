"""The benchmark at reduced size: every workload is there, and its numbers hang together."""

import math
from pathlib import Path

import pytest

from timbre.benchmark import GROUPS, BenchmarkConfig, Measurement, benchmark, synthetic_batch
from timbre.commands import compose
from timbre.config import parse
from timbre.measuring.hard_sentences import hard_sentences

SMALL = [
    "updates=1",
    "repeats=1",
    "items=2",
    "seconds=1.5",
    "decode_model.gpt.width=32",
    "decode_model.gpt.layers=2",
    "decode_model.gpt.heads=4",
    "decode_model.gpt.ff_channels=48",
    "decode_model.gpt.phoneme_channels=32",
    "step.phonemes=4",
    "step.tokens=9",
    "decode.phonemes=4",
    "decode.prompt=3",
    "decode.tokens=9",
    "decode.batches=[1]",
    "decode.weights=[float32,int8]",
]


@pytest.fixture(scope="module")
def config(tiny: list[str], voice: list[str], workshop: Path) -> BenchmarkConfig:
    shared = ("model.", "objective.", "trainer", "data.")
    words = [word for word in [*tiny, *voice] if word.startswith(shared)]
    words += [f"cache={workshop / 'cache'}", f"plot={workshop / 'benchmark.png'}"]
    return parse(BenchmarkConfig, compose("benchmark", [*words, *SMALL]))


@pytest.fixture(scope="module")
def measured(config: BenchmarkConfig) -> dict[tuple[str, str], Measurement]:
    with pytest.MonkeyPatch.context() as patch:
        # Importing it takes longer than all the rest.
        patch.setattr("timbre.measuring.decoding.make_llama", lambda *sizes: None)
        patch.setattr("timbre.measuring.stepping.make_llama", lambda *sizes: None)
        patch.setattr("timbre.measuring.speaking._MANY", 4)
        return {(m.workload, m.dtype): m for m in benchmark(config)}


def test_every_workload_is_measured(measured, config: BenchmarkConfig):
    names = {(m.workload, m.dtype) for m in measured.values()}
    assert {
        (f"train/{stage}", dtype)
        for stage in ("tokenizer", "acoustic", "vocoder")
        for dtype in ("float32", "bfloat16")
    } <= names
    workloads = {name for name, _ in names}
    assert {f"speak/{p}" for p in ("gpt", "decoder", "vocoder", "sentence", "first_chunk")} <= (
        workloads
    )
    assert {f"growth/{p}_{n}x" for p in ("text", "batch") for n in (1, 2, 4, 8)} <= workloads
    assert {name.partition("/")[0] for name in workloads} == set(GROUPS) - {"robust"}
    assert ("decode/batch1", "int8") in names
    assert {("train/gpt_step", "float32"), ("train/gpt_step", "bfloat16")} <= names
    assert config.plot is not None
    assert Path(config.plot).stat().st_size > 1000


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
    full = measured["decode/batch1", "float32"]
    assert full.more["agreement"] == 1.0
    assert full.more["bandwidth_share"] > 0


@pytest.mark.slow
def test_decoding_is_compared_with_transformers(config: BenchmarkConfig):
    pytest.importorskip("transformers")
    from dataclasses import replace

    small = replace(config, workloads=["decode"], plot=None)
    by_name = {(m.workload, m.dtype): m for m in benchmark(small)}
    llama = by_name["decode/batch1_transformers", "float32"]
    assert by_name["decode/batch1", "float32"].baseline == llama.median


def test_the_synthetic_batch_is_complete(config):
    batch = synthetic_batch(config)
    assert len(batch) == 2
    assert batch.tokens is not None
    assert (batch.durations.sum(1) == batch.token_lengths).all()
    assert batch.audio.shape[1] == batch.mel.shape[2] * config.audio.hop_samples
    assert batch.speaker.unique().numel() == 2


def test_there_are_200_hard_sentences_of_ten_kinds():
    kinds = hard_sentences()
    assert len(kinds) == 10
    assert all(len(texts) == 20 for texts in kinds.values())
    assert min(len(text.split()) for text in kinds["long"]) > 55
    assert kinds == hard_sentences()


@pytest.mark.parametrize(
    "change",
    [
        {"updates": 0},
        {"seconds": 0.1},
        {"precisions": ["int8"]},
        {"workloads": ["sing"]},
        {"clock": "sun"},
    ],
)
def test_impossible_sizes_are_refused(change):
    with pytest.raises(ValueError, match=r"updates|precisions|workloads|clock"):
        BenchmarkConfig(**change)
