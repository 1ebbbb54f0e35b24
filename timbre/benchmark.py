"""Speed and memory of training and synthesis, on synthetic speech and random weights."""

from __future__ import annotations

import gc
import math
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path

import lightning
import torch
from torch import Tensor

from data.batch import Batch, Example, collate
from data.datamodule import DataConfig
from data.mel import FRAMES_PER_TOKEN, AudioConfig, LogMel
from data.text.frontend import Phonemes
from data.text.symbols import MARK_SIZES, SYMBOLS
from gpt.decoding import Generated
from gpt.sampling import SamplingConfig
from sovits.decoder import MelDecoder
from timbre.config import RunConfig, TrainConfig, TrainerConfig
from timbre.devices import place
from timbre.module import VoiceCloner
from timbre.networks import ModelConfig, Networks
from timbre.objective import ObjectiveConfig
from timbre.optimization import OptimizerConfig
from timbre.speech import speak
from timbre.training import quiet_lightning

STAGES = {"tokenizer": ["tokenizer"], "acoustic": ["gpt", "sovits"], "vocoder": ["vocoder"]}
"""Training workloads and the modules that each trains, adversaries included."""
_SPEAKERS = 2
_PHONEMES_A_SECOND = 12
_TOKENS_PER_PHONEME = 2
"""Nearly what English has (1.8 at 23.4 tokens/s): random weights never end a phoneme themselves."""
_CLEAR_PEAK, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_DTYPES = {"32-true": "float32", "bf16-mixed": "bfloat16", "16-mixed": "float16"}


@dataclass(frozen=True)
class BenchmarkConfig:
    """What `scripts/benchmark.py` measures, and how often."""

    audio: AudioConfig = field(default_factory=AudioConfig)
    """configs/audio: geometry of the mel."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """configs/model: sizes and variants."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """configs/objective: terms and adversaries of a training step."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """configs/optimizer."""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    """configs/trainer: device and threads; `precisions` replaces its precision."""
    precisions: list[str] = field(default_factory=lambda: ["32-true", "bf16-mixed"])
    """Precisions of the training workloads; the first is the baseline of the others."""
    updates: int = 3
    """Measured updates of each training workload, after one that warms up."""
    repeats: int = 3
    """Measured runs of each synthesis workload, after one that warms up."""
    items: int = 8
    """Utterances in the synthetic batch."""
    seconds: float = 5.0
    """Length of an utterance, and of the sentence that is spoken."""

    def __post_init__(self) -> None:
        if min(self.updates, self.repeats, self.items) < 1 or self.seconds < 1:
            raise ValueError("updates, repeats, items and seconds must be at least 1")
        if not self.precisions or set(self.precisions) - _DTYPES.keys():
            raise ValueError(
                f"precisions is {self.precisions}; give one or more of {', '.join(_DTYPES)}"
            )


@dataclass(frozen=True)
class Measurement:
    """One workload, measured."""

    workload: str
    """`train/STAGE` or `speak/PART`."""
    median: float
    """Of the measured updates or runs."""
    unit: str
    """seconds (one update), tokens/s, or rtf: seconds of computing for one second of speech."""
    baseline: float
    """What `ratio` compares with."""
    baseline_name: str
    """Which: the median at the first precision, or real time."""
    ratio: float
    """median / baseline."""
    peak_mb: float
    """Highest memory while it ran, in 10^6 bytes: of the process, or allocated on the GPU."""
    dtype: str
    """What matrix products compute in."""
    threads: int
    """CPU threads of torch."""
    machine: str
    """Processor or GPU."""


def benchmark(config: BenchmarkConfig) -> Iterator[Measurement]:
    """Measures every workload, one after the other.

    Raises:
        InputError: The device that `trainer` asks for is not there.
    """
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    for stage in STAGES:
        yield from _training(config, stage)
    yield from _synthesis(config)


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
        ids, marks = _random_text(config.seconds, generator)
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


def _training(config: BenchmarkConfig, stage: str) -> Iterator[Measurement]:
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
        stopwatch = _Stopwatch()
        torch.manual_seed(0)
        memory = _PeakMemory(_device(config))
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
        yield Measurement(
            workload=f"train/{stage}",
            median=median,
            unit="seconds",
            baseline=baseline,
            baseline_name=_DTYPES[config.precisions[0]],
            ratio=median / baseline,
            peak_mb=memory.megabytes(),
            dtype=_DTYPES[precision],
            threads=torch.get_num_threads(),
            machine=_machine(_device(config)),
        )


def _synthesis(config: BenchmarkConfig) -> Iterator[Measurement]:
    """GPT, decoder and vocoder alone, and the whole way from phonemes to a waveform."""
    torch.manual_seed(0)
    device = _device(config)
    gpt = replace(config.model.gpt, max_tokens_per_phoneme=_TOKENS_PER_PHONEME)
    networks = Networks(replace(config.model, gpt=gpt), config.audio).to(device).eval()
    networks.vocoder.fold_weight_norm()
    generator = torch.Generator(device).manual_seed(0)
    ids, marks = _random_text(config.seconds, torch.Generator().manual_seed(0))
    phonemes = Phonemes(ids=ids.numpy(), marks=marks.numpy(), words=[], word_spans=[])
    z_spk = torch.randn(1, networks.gpt.config.speaker_channels, device=device)

    def write() -> Generated:
        lengths = torch.tensor([len(ids)], device=device)
        text = (ids[None].to(device), marks[None].to(device), lengths)
        return networks.gpt.generate(*text, z_spk, SamplingConfig(), generator)

    def decode() -> Tensor:
        decoder: MelDecoder = networks.sovits.decoder
        return decoder.sample(written.latents, written.token_lengths, z_spk, generator)

    with torch.inference_mode():
        written = write()
        mel = decode()
    speech_seconds = int(written.token_lengths[0]) / config.audio.tokens_per_second
    parts: dict[str, Callable[[], object]] = {
        "gpt": write,
        "decoder": decode,
        "vocoder": lambda: networks.vocoder(mel, generator=generator),
        "sentence": lambda: speak(networks, phonemes, z_spk, SamplingConfig(), generator),
    }
    for name, part in parts.items():
        memory = _PeakMemory(device)
        with torch.inference_mode():
            seconds = [_seconds(part, device) for _ in range(config.repeats + 1)][1:]
        rtf = statistics.median(seconds) / speech_seconds
        real_time = config.audio.tokens_per_second if name == "gpt" else 1.0
        median = real_time / rtf if name == "gpt" else rtf
        yield Measurement(
            workload=f"speak/{name}",
            median=median,
            unit="tokens/s" if name == "gpt" else "rtf",
            baseline=real_time,
            baseline_name="real time",
            ratio=median / real_time,
            peak_mb=memory.megabytes(),
            dtype="float32",
            threads=torch.get_num_threads(),
            machine=_machine(device),
        )


def _random_text(seconds: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Phonemes `[phonemes]` and marks `[phonemes, 4]` of about as long a sentence."""
    size = round(seconds * _PHONEMES_A_SECOND)
    ids = torch.randint(1, len(SYMBOLS), (size,), generator=generator)
    marks = [torch.randint(n, (size,), generator=generator) for n in MARK_SIZES.values()]
    return ids, torch.stack(marks, dim=1)


def _device(config: BenchmarkConfig) -> torch.device:
    return torch.device("cuda" if place(config.trainer).accelerator == "gpu" else "cpu")


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = f"{os.cpu_count()} cores"
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {cores}"
    return f"{platform.machine()}, {cores}"


def _seconds(part: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    part()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


class _Stopwatch(lightning.Callback):
    """Seconds of each update."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started = 0.0

    def on_train_batch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *batch: object
    ) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *outputs: object
    ) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        self.seconds.append(time.perf_counter() - self._started)


class _PeakMemory:
    """Highest memory since this was made: of the process, or allocated on the GPU."""

    def __init__(self, device: torch.device) -> None:
        gc.collect()  # the trainer before was part of a reference cycle
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
