"""The overrides to paste, with the run's own numbers in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timbre.doctor.adversary_rules import contests, dominates
from timbre.doctor.curves import Curves
from timbre.optimization import Rates

if TYPE_CHECKING:
    from timbre.config import RunConfig


def nothing(curves: Curves, config: RunConfig) -> list[str]:
    """No setting helps."""
    return []


def slower_generators(curves: Curves, config: RunConfig) -> list[str]:
    """Half the trained modules' rates; a rate far above the default goes down to it."""
    lower = []
    for name in config.train.modules:
        rate = getattr(config.optimizer.rates, name)
        usual = getattr(Rates(), name)
        lower.append(f"optimizer.rates.{name}={min(rate / 2, max(usual, rate / 20)):.3g}")
    return lower


def slower_and_finer(curves: Curves, config: RunConfig) -> list[str]:
    """Lower rates, shorter steps, and full precision."""
    clip = min(config.optimizer.generator_clip, 1.0)
    return [
        *slower_generators(curves, config),
        f"optimizer.generator_clip={clip:g}",
        "trainer.precision=32-true",
    ]


def tamer_speaker_encoder(curves: Curves, config: RunConfig) -> list[str]:
    """A lower rate of SoVITS, and a KL term that holds the posterior."""
    weight = config.objective.weights.kl
    rate = config.optimizer.rates.sovits
    return [
        f"optimizer.rates.sovits={min(rate / 2, max(2e-4, rate / 20)):.3g}",
        f"objective.weights.kl={max(1.0, 2 * weight) if weight < 1 else weight:g}",
        f"objective.kl.annealing.updates={max(1, config.objective.kl.annealing.updates // 2)}",
    ]


def weaker_kl(curves: Curves, config: RunConfig) -> list[str]:
    """A weight of 1 at most, annealed, and nats that cost nothing."""
    objective = config.objective
    annealed = max(objective.kl.annealing.updates, config.train.updates // 2)
    lower = [
        f"objective.weights.kl={min(1.0, objective.weights.kl / 2):g}",
        "objective.kl.annealing.kind=linear",
        f"objective.kl.annealing.updates={annealed}",
        f"objective.kl.free_nats={max(0.5, objective.kl.free_nats):g}",
    ]
    if config.data.max_items > 4:
        lower.append("data.max_items=4")
    return lower


def weaker_discriminators(curves: Curves, config: RunConfig) -> list[str]:
    """A lower rate, a later start, and a stronger gradient penalty."""
    rates = config.optimizer.rates
    name, rate, usual = "discriminators", rates.discriminators, 1e-4
    if rates.discriminator_ratio is not None:
        name, rate, usual = "discriminator_ratio", rates.discriminator_ratio, 0.5
    lower = [f"optimizer.rates.{name}={min(rate / 2, max(usual, rate / 20)):.3g}"]
    for contest in contests(curves, config):
        if dominates(contest) is not None:
            start = max(contest.config.freeze_steps, min(500, config.train.updates // 5))
            lower += [
                f"objective.{contest.name}.freeze_steps={start}",
                f"objective.{contest.name}.r1_weight={2 * contest.config.r1_weight:g}",
            ]
    return lower


def livelier_discriminators(curves: Curves, config: RunConfig) -> list[str]:
    """Twice their rate, up to the generators'."""
    rates = config.optimizer.rates
    if rates.discriminator_ratio is not None:
        return [
            f"optimizer.rates.discriminator_ratio={min(2 * rates.discriminator_ratio, 1.0):.3g}"
        ]
    highest = max(getattr(rates, name) for name in config.train.modules)
    return [f"optimizer.rates.discriminators={min(2 * rates.discriminators, highest):.3g}"]


def unstuck(curves: Curves, config: RunConfig) -> list[str]:
    """Half the rates (the seed guide's first advice)."""
    return [*_halved(config), "objective.rec.kind=mae"]


def earlier_or_gentler(curves: Curves, config: RunConfig) -> list[str]:
    """Fewer updates, ending where the held-out terms were lowest, or lower rates."""
    held_out = curves.series("val/semantic")
    if not len(held_out):
        held_out = curves.series("val/rec")
    best = int(held_out.updates[held_out.values.argmin()]) if len(held_out) else 0
    updates = max(best, config.validation.every, 1)
    return [f"train.updates={updates}", *_halved(config)]


def slower_gpt(curves: Curves, config: RunConfig) -> list[str]:
    """GPT at half its rate: it writes the durations."""
    return [f"optimizer.rates.gpt={config.optimizer.rates.gpt / 2:.3g}"]


def _halved(config: RunConfig) -> list[str]:
    """Half the rate of each trained module."""
    return [
        f"optimizer.rates.{name}={getattr(config.optimizer.rates, name) / 2:.3g}"
        for name in config.train.modules
    ]
