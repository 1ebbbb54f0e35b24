"""Writing a voice as ONNX graphs, tables and a description."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from data.errors import InputError
from data.files import write_whole
from data.mel import FRAMES_PER_TOKEN
from timbre.bundle import LEXICON, find_bundle, load_bundle
from timbre.exporting.graphs import DecoderGraph, PromptGraph, StepGraph
from timbre.exporting.vocoder_graph import VocoderGraph
from timbre.networks import Networks
from timbre.speech import longest_tokens
from timbre.voices import known_voice, referred_voice
from vocoder.prior_istft import PriorISTFTGenerator

_LOG = logging.getLogger(__name__)
_OPSET = 17
_KINDS = ("regression", "flow_matching")
_TOKENS, _PHONEMES, _PAST = 24, 12, 3
"""Sizes of the example that is traced; those of the graphs may all change."""


@dataclass(frozen=True)
class ExportConfig:
    """What `scripts/export.py` is told."""

    voice: str
    """A bundle, a run, `base`, or the name of a trained voice."""
    output: str
    """Folder for the graphs."""
    speaker: str | None = None
    """Which voice of a bundle that has several, or a mixture of them."""
    reference: str | None = None
    """Recordings, separated by commas, whose mean voice to take instead."""


@dataclass(frozen=True)
class _Graph:
    """One file: the module, example inputs by name, outputs, and the axes that may change."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]
    axes: dict[str, dict[int, str]]


def export_voice(config: ExportConfig) -> None:
    """Writes `prompt`, `step`, `decoder` and `vocoder` `.onnx`, `tables.npz` and `voice.json`.

    The voice's lexicon, if it has one, is `lexicon.tsv` as in its bundle.

    Raises:
        InputError: The voice cannot be used, or its networks are of a kind that has no graph.
    """
    if importlib.util.find_spec("onnx") is None:
        raise InputError("exporting needs the package onnx: pip install 'timbre-voice[export]'")
    bundle = load_bundle(find_bundle(config.voice))
    networks = bundle.networks
    check_kinds(networks)
    if config.reference is not None:
        z_spk = referred_voice(bundle, [Path(part) for part in config.reference.split(",")])
    else:
        z_spk = known_voice(bundle, config.speaker)
    networks.vocoder.fold_weight_norm()
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    for graph in graphs(networks, z_spk):
        write_graph(folder / f"{graph.name}.onnx", graph)
    gpt = networks.gpt
    np.savez(
        folder / "tables.npz",
        tokens=(gpt.token.weight * gpt.embedding_scale).detach().numpy(),
        counts=(gpt.count.weight * gpt.embedding_scale).detach().numpy(),
        longest=longest_tokens(torch.arange(gpt.config.symbols)).numpy(),
        z_spk=z_spk.float().numpy(),
    )
    block = gpt.config
    description = {
        "name": bundle.name,
        "language": bundle.language or "en",
        "sample_rate_hz": bundle.audio.sample_rate_hz,
        "hop_samples": bundle.audio.hop_samples,
        "frames_per_token": FRAMES_PER_TOKEN,
        "mel_channels": bundle.audio.mel_channels,
        "codes": block.codes,
        "past": [block.layers, 2, block.heads, 0, block.width // block.heads],
    }
    (folder / "voice.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
    write_lexicon(folder / LEXICON, bundle.lexicon)
    _LOG.info("%s: speak with docs/examples/speak_onnx.py", folder)


def write_lexicon(path: Path, lexicon: Path | None) -> None:
    """Copies a voice's lexicon; without one, none of an earlier voice stays there."""
    write_whole(path, None if lexicon is None else lexicon.read_bytes())


def check_kinds(networks: Networks) -> None:
    """Refuses networks that have no graph.

    Raises:
        InputError: Names what is not exported.
    """
    gpt, decoder = networks.config.gpt, networks.config.decoder
    if gpt.layout != "interleaved":
        raise InputError("only voices of layout=interleaved are exported; this one is plain")
    if decoder.kind not in _KINDS:
        raise InputError(f"a {decoder.kind} decoder is not exported; train one of {_KINDS}")


def graphs(networks: Networks, z_spk: Tensor) -> list[_Graph]:
    """All graphs of a voice, with example inputs."""
    gpt, decoder, audio = networks.gpt, networks.sovits.decoder, networks.vocoder.audio
    config = gpt.config
    frames = _TOKENS * FRAMES_PER_TOKEN
    channels = config.width // config.heads
    phonemes = torch.arange(1, _PHONEMES + 1)[None]
    latents = torch.randn(1, _TOKENS, config.width)
    mel = torch.randn(1, audio.mel_channels, frames) - 4
    vocoder: nn.Module = networks.vocoder
    sound = {"mel": mel}
    if isinstance(networks.vocoder, PriorISTFTGenerator):
        vocoder = VocoderGraph(networks.vocoder)
        sound["noise"] = torch.randn(1, frames * audio.hop_samples)
    return [
        _Graph(
            "prompt",
            PromptGraph(gpt),
            {
                "phonemes": phonemes,
                "marks": torch.zeros(1, _PHONEMES, len(config.mark_sizes), dtype=torch.long),
                "z_spk": z_spk.float(),
            },
            ["context", "speaker"],
            {"phonemes": {1: "phonemes"}, "marks": {1: "phonemes"}, "context": {0: "contexts"}},
        ),
        _Graph(
            "step",
            StepGraph(gpt),
            {
                "x": torch.randn(1, config.width),
                "position": torch.tensor([_PAST]),
                "past": torch.randn(config.layers, 2, config.heads, _PAST, channels),
            },
            ["scores", "hidden", "present"],
            {"past": {3: "past"}, "present": {3: "positions"}},
        ),
        _Graph(
            "decoder",
            DecoderGraph(decoder),
            {
                "z_sem": latents,
                "z_spk": z_spk.float(),
                "noise": torch.randn(1, frames, audio.mel_channels),
            },
            ["mel"],
            {"z_sem": {1: "tokens"}, "noise": {1: "frames"}, "mel": {2: "frames"}},
        ),
        _Graph(
            "vocoder",
            vocoder,
            sound,
            ["audio"],
            {"mel": {2: "frames"}, "noise": {1: "samples"}, "audio": {1: "samples"}},
        ),
    ]


def write_graph(path: Path, graph: _Graph) -> None:
    """Traces a module and writes its graph."""
    present = {*graph.inputs, *graph.outputs}
    with torch.no_grad(), warnings.catch_warnings():
        # The tracer warns that sizes become constants: of those that never change. Its successor
        # needs two packages more, and takes ten times as long for the same graphs.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(graph.inputs),
            output_names=graph.outputs,
            dynamic_axes={name: axes for name, axes in graph.axes.items() if name in present},
        )
