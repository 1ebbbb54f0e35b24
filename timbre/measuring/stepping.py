"""Training steps of a large GPT, beside a Llama of the same sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt.layout import IGNORE
from gpt.model import GPT, GPTConfig
from timbre.measuring.decoding import make_llama
from timbre.measuring.measurement import Measurement, measurement, rounds


@dataclass(frozen=True)
class SteppingConfig:
    """The training workload."""

    items: int = 4
    """Sentences of a batch."""
    phonemes: int = 100
    """Phonemes of each."""
    tokens: int = 250
    """Tokens of each."""


def measure_stepping(
    config: SteppingConfig, sizes: GPTConfig, repeats: int, device: torch.device, clock: str
) -> Iterator[Measurement]:
    """Forward and backward pass in fp32 and in bf16 autocast, and that of a Llama in fp32.

    Without the optimizer, whose cost is the same for both. The memory of each is without the
    weights of the other, which wait beside it.
    """
    torch.manual_seed(0)
    gpt = GPT(replace(sizes, layout="interleaved")).to(device).train()
    batch = _batch(gpt, config, device)
    positions = config.phonemes + config.tokens
    parts: dict[str, Callable[[], object]] = {
        "float32": lambda: _step(gpt, batch, torch.float32),
        "bfloat16": lambda: _step(gpt, batch, torch.bfloat16),
    }
    llama = make_llama(sizes, positions, device)
    waiting_mb = dict.fromkeys(parts, 0.0 if llama is None else _megabytes(llama))
    if llama is not None:
        llama.train()
        waiting_mb["transformers"] = _megabytes(gpt)
        ids = torch.randint(sizes.codes, (config.items, positions), device=device)

        def llama_step() -> None:
            llama(input_ids=ids, labels=ids, use_cache=False).loss.backward()
            llama.zero_grad()

        parts = {"transformers": llama_step, **parts}
    times = rounds(parts, repeats, device, clock)
    slow = next(iter(parts))
    baseline = (times.medians[slow], "transformers float32" if llama is not None else slow)
    for part in parts:
        other = part == "transformers"
        yield measurement(
            "train/gpt_step_transformers" if other else "train/gpt_step",
            times.medians[part],
            "seconds",
            baseline,
            times.peak_mb[part] - waiting_mb[part],
            device,
            "float32" if other else part,
        )


def _step(gpt: GPT, batch: dict[str, Tensor], dtype: torch.dtype) -> None:
    device = batch["tokens"].device.type
    with torch.autocast(device, dtype, enabled=dtype != torch.float32):
        outputs = gpt(**batch)
        logits = outputs.logits.float().flatten(0, 1)
        loss = F.cross_entropy(logits, outputs.targets.flatten(), ignore_index=IGNORE)
    loss.backward()
    gpt.zero_grad()


def _megabytes(model: nn.Module) -> float:
    return sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6


def _batch(gpt: GPT, config: SteppingConfig, device: torch.device) -> dict[str, Tensor]:
    rows, sizes = config.items, gpt.config
    durations = torch.full((rows, config.phonemes), config.tokens // config.phonemes)
    durations[:, : config.tokens % config.phonemes] += 1
    batch = {
        "phonemes": torch.randint(1, sizes.symbols, (rows, config.phonemes)),
        "marks": torch.zeros(rows, config.phonemes, len(sizes.mark_sizes), dtype=torch.long),
        "phoneme_lengths": torch.full((rows,), config.phonemes),
        "tokens": torch.randint(sizes.codes, (rows, config.tokens)),
        "token_lengths": torch.full((rows,), config.tokens),
        "durations": durations,
        "z_spk": torch.randn(rows, sizes.speaker_channels),
    }
    return {name: value.to(device) for name, value in batch.items()}
