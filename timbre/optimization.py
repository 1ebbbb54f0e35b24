"""Optimizers with a learning rate per module, and the schedule that both follow."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from timbre.module import VoiceCloner


UNFIT = {
    "LBFGS": "computes the loss several times a step and knows no rate per module",
    "SparseAdam": "takes sparse gradients only",
    "Muon": "takes matrices only, and there are vectors and convolutions to train",
    "Optimizer": "is what optimizers are derived from",
}
"""What torch.optim has beside optimizers that train these networks."""


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
    discriminator_ratio: float | None = None
    """Discriminators learn at this multiple of the rate of the module that they judge (sovits,
    vocoder), instead of at `discriminators`; 0.5 is a good start."""
    balance: float = 1e-3
    """Learned variances of objective.balance.kind=uncertainty."""

    def __post_init__(self) -> None:
        for name, rate in asdict(self).items():
            if rate is not None and not (math.isfinite(rate) and rate >= 0):
                raise ValueError(f"optimizer.rates.{name} is {rate}; give a number, 0 or above")
        if self.discriminator_ratio is not None and self.discriminator_ratio <= 0:
            raise ValueError(
                f"optimizer.rates.discriminator_ratio is {self.discriminator_ratio}; give a number "
                "above 0, or null"
            )


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
        found = self.kind
        if unknown := sorted(set(self.options) - set(inspect.signature(found).parameters)):
            raise ValueError(
                f"optimizer.options: {self.name} has no option {unknown[0]!r}; it has "
                f"{', '.join(inspect.signature(found).parameters)}"
            )
        if kept := sorted({"params", "lr"} & set(self.options)):
            raise ValueError(
                f"optimizer.options.{kept[0]} would be ignored: the modules' rates are "
                "optimizer.rates"
            )
        try:
            build(self, [{"params": [torch.zeros(1, requires_grad=True)], "lr": 1e-3}])
        except (ValueError, TypeError, RuntimeError, IndexError) as error:
            raise ValueError(f"optimizer.options: {self.name} says: {error}") from error

    @property
    def kind(self) -> type[torch.optim.Optimizer]:
        """The class.

        Raises:
            ValueError: There is none of that name.
        """
        found = getattr(torch.optim, self.name, None)
        if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
            raise ValueError(f"optimizer.name: torch.optim has no optimizer {self.name!r}")
        if reason := UNFIT.get(self.name):
            raise ValueError(f"optimizer.name: {self.name} {reason}; take AdamW, for example")
        return found


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
        rate = getattr(config.optimizer.rates, name)
        groups.append(_group(name, rate, members))
        adapters = module.adapters.of(name)
        groups.append(_group(f"{name}_adapters", rate * config.train.lora.rate, adapters))
    rates = config.optimizer.rates
    if any(True for _ in module.objective.parameters()):
        balance = _group("balance", rates.balance, [module.objective])
        if "weight_decay" in inspect.signature(config.optimizer.kind).parameters:
            balance["weight_decay"] = 0.0  # it would pull every variance to 1
        groups.append(balance)
    optimizers = [build(config.optimizer, [group for group in groups if group["params"]])]
    judging = {"sovits": module.mel_adversary, "vocoder": module.wave_adversary}
    judges = {name: each for name, each in judging.items() if each is not None}
    if judges and rates.discriminator_ratio is None:
        group = _group("discriminators", rates.discriminators, list(judges.values()))
        optimizers.append(build(config.optimizer, [group]))
    elif judges:
        ratio = rates.discriminator_ratio or 0.0
        own = [
            _group(f"discriminators_{name}", ratio * getattr(rates, name), [each])
            for name, each in judges.items()
        ]
        optimizers.append(build(config.optimizer, own))
    return optimizers


def set_learning_rates(module: VoiceCloner) -> None:
    """Sets every group's rate for the coming update: its peak times the schedule's multiplier."""
    multiplier = module.config.schedule.at(module.scheduled_update)
    optimizers: Any = module.optimizers(use_pl_optimizer=False)
    for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * multiplier


def gradient_norms(optimizer: Any) -> dict[str, Tensor]:
    """L2 norm of the gradient of each parameter group, that is, of each module, by its name."""
    norms = {}
    for group in optimizer.param_groups:
        gradients = [p.grad for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        norms[group["name"]] = norm.to(group["params"][0].device)
    return norms


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


def build(config: OptimizerConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """An optimizer of the configured kind over groups that have a rate each."""
    kind: Any = config.kind
    optimizer: torch.optim.Optimizer = kind(groups, **config.options)
    return optimizer
