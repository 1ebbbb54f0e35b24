"""Speed and memory of training and synthesis, on synthetic speech and random weights."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import lightning
import torch

from data.batch import Batch, Example, collate
from data.config import DataConfig
from data.mel import FRAMES_PER_TOKEN, AudioConfig, LogMel
from timbre.config import RunConfig, TrainConfig, TrainerConfig
from timbre.devices import place
from timbre.judges.recognizer import TranscribeConfig
from timbre.measuring.decoding import DecodingConfig, measure_decoding
from timbre.measuring.loading import measure_loading
from timbre.measuring.measurement import CLOCKS, Measurement, PeakMemory, measurement
from timbre.measuring.plot import plot_measurements
from timbre.measuring.robustness import RobustnessConfig, measure_robustness
from timbre.measuring.speaking import Speaking, random_text
from timbre.measuring.stepping import SteppingConfig, measure_stepping
from timbre.module import VoiceCloner
from timbre.networks import ModelConfig
from timbre.objective import ObjectiveConfig
from timbre.optimization import OptimizerConfig
from timbre.trainer import quiet_lightning

STAGES = {"tokenizer": ["tokenizer"], "acoustic": ["gpt", "sovits"], "vocoder": ["vocoder"]}
"""Training workloads and the modules that each trains, adversaries included."""
GROUPS = ("decode", "speak", "growth", "train", "load", "robust")
"""Groups of workloads, in the order in which they are measured."""
_SPEAKERS = 2
_DTYPES = {"32-true": "float32", "bf16-mixed": "bfloat16", "16-mixed": "float16"}
_BATCHES_LOADED = 8


@dataclass(frozen=True)
class BenchmarkConfig:
    """What `scripts/benchmark.py` measures, and how often."""

    audio: AudioConfig = field(default_factory=AudioConfig)
    """configs/audio: geometry of the mel."""
    data: DataConfig = field(default_factory=lambda: DataConfig(manifest=""))
    """configs/data: the voice whose batches are loaded."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """configs/model: sizes and variants that train and speak."""
    decode_model: ModelConfig = field(default_factory=ModelConfig)
    """configs/model: whose GPT decodes and trains beside transformers; model=base."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """configs/objective: terms and adversaries of a training step."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """configs/optimizer."""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    """configs/trainer: device and threads; `precisions` replaces its precision."""
    decode: DecodingConfig = field(default_factory=DecodingConfig)
    """The decoding workload."""
    step: SteppingConfig = field(default_factory=SteppingConfig)
    """The training step of that GPT."""
    robust: RobustnessConfig = field(default_factory=RobustnessConfig)
    """The voice that says hard sentences."""
    transcribe: TranscribeConfig = field(default_factory=TranscribeConfig)
    """The speech recogniser that listens to it."""
    workloads: list[str] = field(default_factory=lambda: [*GROUPS[:-1]])
    """Groups that are measured; `robust` is left out because it needs a voice, and minutes."""
    precisions: list[str] = field(default_factory=lambda: ["32-true", "bf16-mixed"])
    """Precisions of the training workloads; the first is the baseline of the others."""
    updates: int = 3
    """Measured updates of each training workload, after one that warms up."""
    repeats: int = 3
    """Measured rounds of each other workload, after one that warms up."""
    items: int = 8
    """Utterances in the synthetic batch."""
    seconds: float = 5.0
    """Length of an utterance, and of the sentence that is spoken."""
    clock: str = "wall"
    """`wall`, or `cpu`: processor time, for machines that do other things too; with `cpu`, set
    trainer.threads=1. Loading is always measured by the wall."""
    cache: str = ".cache/features"
    """Folder of the features that are loaded."""
    plot: str | None = None
    """Picture (PNG or PDF) of what was measured."""

    def __post_init__(self) -> None:
        if min(self.updates, self.repeats, self.items) < 1 or self.seconds < 1:
            raise ValueError("updates, repeats, items and seconds must be at least 1")
        if not self.precisions or set(self.precisions) - _DTYPES.keys():
            raise ValueError(
                f"precisions is {self.precisions}; give one or more of {', '.join(_DTYPES)}"
            )
        if self.clock not in CLOCKS:
            raise ValueError(f"clock is {self.clock!r}; give {' or '.join(CLOCKS)}")
        if not self.workloads or set(self.workloads) - set(GROUPS):
            raise ValueError(
                f"workloads is {self.workloads}; give one or more of {', '.join(GROUPS)}"
            )


def benchmark(config: BenchmarkConfig) -> Iterator[Measurement]:
    """Measures every workload, one after the other, and draws them if asked to.

    Raises:
        InputError: The device that `trainer` asks for is not there, or the data are not.
    """
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    groups: dict[str, Callable[[BenchmarkConfig], Iterator[Measurement]]] = {
        "decode": _decoding,
        "speak": _speaking,
        "growth": _growing,
        "train": _training,
        "load": _loading,
        "robust": _robustness,
    }
    done = []
    for name in GROUPS:
        for item in groups[name](config) if name in config.workloads else ():
            done.append(item)
            yield item
    if config.plot is not None:
        plot_measurements(Path(config.plot), done)


def _decoding(config: BenchmarkConfig) -> Iterator[Measurement]:
    sizes = config.decode_model.gpt
    yield from measure_decoding(config.decode, sizes, config.repeats, _device(config), config.clock)


def _voice(config: BenchmarkConfig) -> Speaking:
    return Speaking(
        config.model,
        config.audio,
        config.seconds,
        config.repeats,
        _device(config),
        config.clock,
    )


def _speaking(config: BenchmarkConfig) -> Iterator[Measurement]:
    voice = _voice(config)
    yield from voice.parts()
    yield from voice.first_chunk()


def _growing(config: BenchmarkConfig) -> Iterator[Measurement]:
    voice = _voice(config)
    yield from voice.memory()
    yield from voice.growth()


def _training(config: BenchmarkConfig) -> Iterator[Measurement]:
    # First, because memory is that of the process: what a trainer leaves behind would count.
    sizes = config.decode_model.gpt
    yield from measure_stepping(config.step, sizes, config.repeats, _device(config), config.clock)
    for stage in STAGES:
        yield from _stage(config, stage)


def _loading(config: BenchmarkConfig) -> Iterator[Measurement]:
    cache = Path(config.cache)
    yield from measure_loading(config.data, config.audio, cache, _BATCHES_LOADED, config.repeats)


def _robustness(config: BenchmarkConfig) -> Iterator[Measurement]:
    yield from measure_robustness(config.robust, config.transcribe)


def synthetic_batch(config: BenchmarkConfig) -> Batch:
    """A batch with everything that any stage reads: noise for speech, random phonemes, tokens."""
    audio_config, generator = config.audio, torch.Generator().manual_seed(0)
    tokens = round(config.seconds * audio_config.tokens_per_second)
    frames = tokens * FRAMES_PER_TOKEN
    codes = math.prod(config.model.tokenizer.fsq_levels)
    log_mel = LogMel(audio_config)
    examples = []
    for item in range(config.items):
        audio = 0.1 * torch.randn(frames * audio_config.hop_samples, generator=generator)
        mel = log_mel(audio[None])[0]
        ids, marks = random_text(config.seconds, generator)
        durations = torch.full((len(ids),), tokens // len(ids))
        durations[: tokens % len(ids)] += 1
        examples.append(
            Example(
                id=f"noise-{item}",
                audio=audio,
                mel=mel,
                f0=torch.full((frames,), 120.0),
                phonemes=ids,
                marks=marks,
                tokens=torch.randint(codes, (tokens,), generator=generator),
                durations=durations,
                reference=mel[:, : frames * 3 // 5],
                speaker=item % _SPEAKERS,
            )
        )
    return collate(examples, audio_config)


def _stage(config: BenchmarkConfig, stage: str) -> Iterator[Measurement]:
    """Whole updates of one stage, adversaries included, by the trainer that runs use."""
    baseline = 0.0
    placement = place(config.trainer)
    batch, updates = synthetic_batch(config), config.updates + 1
    for precision in config.precisions:
        run = RunConfig(
            audio=config.audio,
            data=DataConfig(manifest=""),
            model=config.model,
            objective=config.objective,
            optimizer=config.optimizer,
            train=TrainConfig(updates=updates, modules=STAGES[stage]),
        )
        stopwatch = _Stopwatch(config.clock)
        torch.manual_seed(0)
        memory = PeakMemory(_device(config))
        with quiet_lightning():
            trainer = lightning.Trainer(
                accelerator=placement.accelerator,
                precision=precision,  # type: ignore[arg-type]
                devices=1,
                max_epochs=1,
                logger=False,
                callbacks=[stopwatch],
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(VoiceCloner(run, _SPEAKERS), train_dataloaders=repeat(batch, updates))
        median = statistics.median(stopwatch.seconds[1:])
        baseline = baseline or median
        yield measurement(
            f"train/{stage}",
            median,
            "seconds",
            (baseline, _DTYPES[config.precisions[0]]),
            memory.megabytes(),
            _device(config),
            _DTYPES[precision],
            {"seconds_per_audio_second": median / (config.items * config.seconds)},
        )


def _device(config: BenchmarkConfig) -> torch.device:
    return torch.device("cuda" if place(config.trainer).accelerator == "gpu" else "cpu")


class _Stopwatch(lightning.Callback):
    """Seconds of each update."""

    def __init__(self, clock: str) -> None:
        self._now = CLOCKS[clock]
        self.seconds: list[float] = []
        self._started = 0.0

    def on_train_batch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *batch: object
    ) -> None:
        self._started = self._now()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *outputs: object
    ) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        self.seconds.append(self._now() - self._started)
