"""GPT writing tokens, beside a Llama of the same sizes and beside what memory allows."""

from __future__ import annotations

import importlib
import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gpt.decoding import Generated
from gpt.model import GPT, GPTConfig
from gpt.sampling import SamplingConfig
from timbre.measuring.measurement import (
    Measurement,
    bandwidth_bytes,
    copy_bandwidth,
    measurement,
    rounds,
)

_LOG = logging.getLogger(__name__)
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
_COPY = "copy"


@dataclass(frozen=True)
class DecodingConfig:
    """The decoding workload: that of a zero-shot sentence with a spoken prompt."""

    phonemes: int = 60
    """Phonemes of the text."""
    prompt: int = 75
    """Tokens of the prompt, read at once with the phonemes."""
    tokens: int = 250
    """Tokens that are written, greedily."""
    batches: tuple[int, ...] = (1, 4)
    """Sentences written at once."""
    weights: tuple[str, ...] = ("float32", "float16", "bfloat16", "int8")
    """What weights are kept in; see `gpt.packed.pack_linear`."""
    native: tuple[bool, ...] = (True,)
    """true: in C where that is possible; false: by torch's operations; or both."""


def measure_decoding(
    config: DecodingConfig, sizes: GPTConfig, repeats: int, device: torch.device, clock: str
) -> Iterator[Measurement]:
    """One measurement for each batch size and kind of weights, and one for transformers.

    `more` has `speedup` (over transformers fp32, median of the rounds' ratios), `bandwidth_share`
    (bytes of weights that were read each second, of the bytes that a copy moves each second),
    `agreement` (share of the written tokens that the fp32 full forward would have chosen) and
    `native` (1: layers were computed in C; 0: by torch, and the workload's name ends in `_torch`).
    """
    torch.manual_seed(0)
    prompt, tokens = config.phonemes + config.prompt, config.tokens
    # The plain layout reads a prompt of that many positions at once, as the Llama does.
    plain = replace(
        sizes,
        layout="plain",
        max_tokens_per_phoneme=tokens,
        max_positions=prompt + tokens + 2,
    )
    gpt = GPT(plain).to(device).eval()
    with torch.no_grad():
        gpt.head.bias[-1] = -1e4  # random weights would end anywhere: only the last position ends
    for rows in config.batches:
        text = _text(gpt, rows, prompt, device)
        written: dict[str, Generated] = {}
        parts: dict[str, Callable[[], object]] = {_COPY: copy_bandwidth(device)}
        llama = make_llama(sizes, prompt + tokens, device)
        if llama is not None:
            ids = torch.randint(sizes.codes, (rows, prompt), device=device)
            parts["transformers"] = _writes(llama, ids, tokens)
        labels = [("transformers", "float32", "_transformers")] if llama is not None else []
        in_c: dict[str, bool] = {}
        for weights, native in itertools.product(config.weights, config.native):
            part = weights if native else f"{weights} torch"
            labels.append((part, weights, "" if native else "_torch"))
            parts[part], in_c[part] = _speaks(gpt, text, weights, native, part, written)
        times = rounds(parts, repeats, device, clock)
        slow = labels[0][0]
        bandwidth = bandwidth_bytes() / times.medians[_COPY]
        speed = {part: rows * tokens / seconds for part, seconds in times.medians.items()}
        for part, weights, ending in labels:
            more = {"copy_gb_s": bandwidth / 1e9, "speedup": times.ratio(slow, part)}
            if part in written:
                read = _weight_count(gpt) * _BYTES[weights] * tokens / times.medians[part]
                more |= {
                    "bandwidth_share": read / bandwidth,
                    "agreement": _agreement(gpt, text, written[part]),
                    "native": float(in_c[part]),
                }
            yield measurement(
                f"decode/batch{rows}{ending}",
                speed[part],
                "tokens/s",
                (speed[slow], slow if slow != "transformers" else "transformers float32"),
                times.peak_mb[part],
                device,
                weights,
                more,
            )


def _text(gpt: GPT, rows: int, prompt: int, device: torch.device) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (rows, prompt)
    return {
        "phonemes": torch.randint(1, gpt.config.symbols, shape, generator=generator).to(device),
        "marks": torch.zeros(*shape, len(gpt.config.mark_sizes), dtype=torch.long, device=device),
        "phoneme_lengths": torch.full((rows,), prompt, device=device),
        "z_spk": torch.randn(rows, gpt.config.speaker_channels, generator=generator).to(device),
    }


def _speaks(
    gpt: GPT,
    text: dict[str, Tensor],
    weights: str,
    native: bool,
    part: str,
    written: dict[str, Generated],
) -> tuple[Callable[[], object], bool]:
    """What writes the text into `written[part]`, and whether its layers are computed in C."""
    gpt.prepare(weights, native=None if native else False)
    packed = gpt.packed
    assert packed is not None

    def write() -> None:
        gpt.packed = packed
        with torch.inference_mode():
            written[part] = gpt.generate(
                **text,
                sampling=SamplingConfig(temperature=0.0),
                generator=torch.Generator().manual_seed(0),
            )

    return write, packed.transformer.native is not None


def _agreement(gpt: GPT, text: dict[str, Tensor], written: Generated) -> float:
    """Share of greedily written tokens that the fp32 full forward chooses at the same place."""
    with torch.inference_mode():
        outputs = gpt(
            **text, tokens=written.tokens, token_lengths=written.token_lengths, durations=None
        )
    chosen = outputs.logits[..., :-1].argmax(-1)
    free = (outputs.targets >= 0) & (outputs.targets < gpt.config.codes)
    return float((chosen == outputs.targets)[free].float().mean())


def _weight_count(gpt: GPT) -> int:
    """Weights that every step reads."""
    layers = [m for m in gpt.transformer.modules() if isinstance(m, nn.Linear)]
    return sum(layer.weight.numel() for layer in layers) + gpt.head.weight.numel()


def make_llama(sizes: GPTConfig, positions: int, device: torch.device) -> Any:
    """A Llama of the same layers, width, heads and feed-forward; None without transformers."""
    try:
        transformers = importlib.import_module("transformers")
    except ImportError:
        _LOG.info("transformers is not installed: decoding is compared with itself in float32")
        return None
    transformers.utils.logging.set_verbosity_error()
    config = transformers.LlamaConfig(
        vocab_size=sizes.codes + 2,
        hidden_size=sizes.width,
        intermediate_size=sizes.ff_channels,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=positions,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return transformers.LlamaForCausalLM(config).to(device).eval()


def _writes(llama: Any, ids: Tensor, tokens: int) -> Callable[[], object]:
    def write() -> object:
        return llama.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            do_sample=False,
            use_cache=True,
        )

    return write
