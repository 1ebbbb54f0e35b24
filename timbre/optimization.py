"""Optimizers with a learning rate per module, and the schedule that both follow."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from timbre.module import VoiceCloner


@dataclass(frozen=True)
class Rates:
    """Peak learning rate of each module (the seed guide's defaults)."""

    tokenizer: float = 1e-3
    """Semantic tokenizer."""
    gpt: float = 5e-5
    """GPT."""
    sovits: float = 2e-4
    """Speaker encoder, mel decoder, speaker classifier."""
    vocoder: float = 2e-4
    """Vocoder."""
    discriminators: float = 1e-4
    """All discriminators; never above the generator's."""


@dataclass(frozen=True)
class OptimizerConfig:
    """One kind of optimizer for generators and discriminators."""

    name: str = "AdamW"
    """Class in torch.optim."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of that class: see the files of configs/optimizer."""
    rates: Rates = field(default_factory=Rates)
    """Peak learning rate per module."""
    generator_clip: float = 1.0
    """Largest norm of the generators' gradient."""
    discriminator_clip: float = 10.0
    """Largest norm of the discriminators' gradient."""

    def __post_init__(self) -> None:
        found = getattr(torch.optim, self.name, None)
        if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
            raise ValueError(f"optimizer.name: torch.optim has no optimizer {self.name!r}")
        if unknown := sorted(set(self.options) - set(inspect.signature(found).parameters)):
            raise ValueError(
                f"optimizer.options: {self.name} has no option {unknown[0]!r}; it has "
                f"{', '.join(inspect.signature(found).parameters)}"
            )


def build_optimizers(module: VoiceCloner) -> list[torch.optim.Optimizer]:
    """The generators' optimizer, and the discriminators' if the run has any.

    Each parameter group carries its module's name and peak rate.
    """
    config = module.config
    groups = []
    for name in config.train.modules:
        members: list[nn.Module | None] = [getattr(module.networks, name)]
        if name == "sovits":
            members.append(module.speaker_classifier)
        groups.append(_group(name, getattr(config.optimizer.rates, name), members))
    optimizers = [_build(config.optimizer, groups)]
    adversaries = [a for a in (module.mel_adversary, module.wave_adversary) if a is not None]
    if adversaries:
        rate = config.optimizer.rates.discriminators
        optimizers.append(_build(config.optimizer, [_group("discriminators", rate, adversaries)]))
    return optimizers


def set_learning_rates(module: VoiceCloner) -> None:
    """Sets every group's rate for the coming update: its peak times the schedule's multiplier."""
    multiplier = module.config.schedule.at(module.scheduled_update)
    optimizers: Any = module.optimizers(use_pl_optimizer=False)
    for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * multiplier


Tensors = list[Tensor] | tuple[Tensor, ...]


def warmed_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential moving average for `AveragedModel`, with d = min(decay, (1 + n) / (10 + n)).

    n counts the updates: a fixed decay would keep the random first weights for 1 / (1 - decay) of
    them.
    """

    def average(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        n = int(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return average


def _group(name: str, rate: float, members: Sequence[nn.Module | None]) -> dict[str, Any]:
    parameters = [
        parameter
        for member in members
        if member is not None
        for parameter in member.parameters()
        if parameter.requires_grad
    ]
    return {"params": parameters, "lr": rate, "peak": rate, "name": name}


def _build(config: OptimizerConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer = getattr(torch.optim, config.name)(groups, **config.options)
    return optimizer
