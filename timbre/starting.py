"""The bundles whose weights a run starts from."""

from __future__ import annotations

import copy
from collections.abc import Collection

import torch
from omegaconf import DictConfig, OmegaConf

from timbre.bundle import find_bundle, load_bundle, load_discriminators, take_modules
from timbre.commands import as_text
from timbre.config import RunConfig
from timbre.networks import Networks
from timbre.objective import MODULES

_SYMBOLIC = ("base", "none")


def with_sources(
    composed: DictConfig, config: RunConfig, keys: Collection[str] | None = None
) -> DictConfig:
    """The composed configuration with folders in place of the names of bundles to start from.

    A name means the newest run of a voice: another one as soon as the new run has its folder.

    Args:
        composed: As it is.
        config: The same, parsed.
        keys: Those that are looked at; None: all.

    Raises:
        InputError: There is no such bundle.
    """
    teacher = "objective.semantic.teacher"
    sources = {"init": config.init, teacher: config.objective.semantic.teacher}
    sources |= {f"init_parts.{name}": source for name, source in config.init_parts.items()}
    found = copy.deepcopy(composed)
    for key, source in sources.items():
        if source is not None and source not in _SYMBOLIC and (keys is None or key in keys):
            folder = str(find_bundle(source).resolve())
            OmegaConf.update(found, key, as_text(folder), force_add=True)
    return found


def initial_modules(config: RunConfig) -> dict[str, list[str]]:
    """The modules that each bundle gives their first weights."""
    sources = {name: config.source_of(name) for name in MODULES}
    return {
        source: [name for name in MODULES if sources[name] == source]
        for source in dict.fromkeys(sources.values())
        if source != "none"
    }


def take_initial_weights(networks: Networks, config: RunConfig) -> set[str]:
    """Gives fresh networks the weights of the bundles that the run starts from.

    Returns:
        Names of the tensors that came from a bundle.

    Raises:
        InputError: A bundle has another audio geometry or other sizes.
    """
    known: set[str] = set()
    for source, names in initial_modules(config).items():
        bundle = load_bundle(find_bundle(source))
        known.update(take_modules(networks, bundle, names, config.audio))
    return known


def initial_discriminators(config: RunConfig) -> dict[str, torch.Tensor]:
    """Weights of the discriminators that taught the decoder and vocoder the run starts from."""
    taught = {"sovits": "mel_adversary.", "vocoder": "wave_adversary."}
    return {
        name: tensor
        for source, modules in initial_modules(config).items()
        for name, tensor in load_discriminators(find_bundle(source)).items()
        if name.startswith(tuple(taught[module] for module in modules if module in taught))
    }
