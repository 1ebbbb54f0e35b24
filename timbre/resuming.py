"""What may change when a run goes on."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from data.errors import InputError
from timbre.commands import TRAINING_TEXTS, as_text, told_apart
from timbre.config import RunConfig, parse
from timbre.objective import MODULES
from timbre.rundir import RunDir
from timbre.starting import with_sources

_KEPT = (
    *("model.", "audio.", "train.modules", "train.frozen", "train.lora.rank", "train.lora.alpha"),
    *("train.lora.modules", "objective.adv.enabled", "objective.wave_adv.enabled"),
    *("objective.balance.kind", "objective.balance.names", "optimizer.name", "optimizer.options."),
)
"""Beginnings of the keys that stay what they are: a checkpoint has the states that they ask for."""
_SWITCHES = (
    *("objective.weights.policy", "objective.weights.preference", "train.average_decay"),
    *("optimizer.rates.discriminator_ratio", "init", *(f"init_parts.{name}" for name in MODULES)),
)
"""Keys that may change, but not between something and nothing."""


def changed_config(run: RunDir, overrides: list[str]) -> DictConfig:
    """The saved configuration of a run, with what the words beside `resume=` change in it.

    Raises:
        InputError: A word replaces or removes more than a value, or changes which weights and
            states there are.
    """
    texts, words = told_apart(overrides, TRAINING_TEXTS)
    before = run.load_config()
    changed = copy.deepcopy(before)
    for override in OverridesParser.create().parse_overrides(words):
        key = override.key_or_group
        if override.is_delete() or "/" in key or key in run.groups:
            raise InputError(
                f"resume={run.folder}: {override.input_line} would replace a whole group of the "
                "run's configuration; change single keys, or start a new run with init=RUN/voice"
            )
        OmegaConf.update(changed, key, override.value(), force_add=True)
    for key, text in (texts | {"resume": as_text(str(run.folder))}).items():
        OmegaConf.update(changed, key, text, force_add=True)
    config = parse(RunConfig, changed)
    _check_states(parse(RunConfig, before), config, run)
    return with_sources(changed, config, texts)


def _check_states(before: RunConfig, after: RunConfig, run: RunDir) -> None:
    was, asked = _values(before), _values(after)
    for key in sorted(was.keys() | asked.keys()):
        old, new = was.get(key), asked.get(key)
        switched = key in _SWITCHES and _is_something(old) != _is_something(new)
        if switched or (key.startswith(_KEPT) and old != new):
            raise InputError(
                f"resume={run.folder}: {key} decides which weights and states there are; it was "
                f"{old} and cannot become {new}. Start a new run with init={run.voice}"
            )


def _is_something(value: object) -> bool:
    return value not in (None, 0, "none")


def _values(config: RunConfig) -> dict[str, Any]:
    """All values by their dotted keys; `init_parts` names every module's source."""
    sources = {name: config.source_of(name) for name in MODULES}
    return dict(_flat("", asdict(config) | {"init_parts": sources}))


def _flat(prefix: str, node: dict[str, Any]) -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in node.items():
        name = f"{prefix}{key}"
        flat += _flat(f"{name}.", value) if isinstance(value, dict) else [(name, value)]
    return flat
