"""Remedies that are safe to give during a run: gentler, never bolder, and never more than so often.

Each changes the module in place and says in one sentence what it did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from timbre.module import VoiceCloner

MOST = 4
"""Times that one remedy is given in a run: rates end at a sixteenth."""
_FREE_NATS = 0.5  # per dimension: below, the KL term no longer pushes (arXiv 1606.04934)


def slower_generators(module: VoiceCloner) -> str:
    """Halves the learning rates of all that is trained but the discriminators."""
    optimizers = _optimizers(module)
    return "halved the generators' learning rates: " + _halve(optimizers[0])


def slower_discriminators(module: VoiceCloner) -> str:
    """Halves the learning rate of the discriminators."""
    return "halved the discriminators' learning rate: " + _halve(_optimizers(module)[1])


def weaker_kl(module: VoiceCloner) -> str:
    """Halves the weight of the KL term and lets it push no further than to 0.5 nats."""
    config = module.objective.config
    weights = replace(config.weights, kl=config.weights.kl / 2)
    kl = replace(config.kl, free_nats=max(_FREE_NATS, config.kl.free_nats))
    # The one weighs the term, the other computes it.
    module.objective.config = module.acoustic_terms.config = replace(config, weights=weights, kl=kl)
    return (
        f"halved the KL term's weight to {weights.kl:g}; it pushes no further than to "
        f"{kl.free_nats:g} nats per dimension"
    )


TREATMENTS: dict[str, Callable[[VoiceCloner], str]] = {
    "slower_generators": slower_generators,
    "slower_discriminators": slower_discriminators,
    "weaker_kl": weaker_kl,
}
"""Remedies by the name that rules give (timbre/doctor/diagnosis.py)."""


def _optimizers(module: VoiceCloner) -> list[Any]:
    optimizers: Any = module.optimizers(use_pl_optimizer=False)
    return optimizers if isinstance(optimizers, list) else [optimizers]


def _halve(optimizer: Any) -> str:
    for group in optimizer.param_groups:
        group["peak"] /= 2
    return ", ".join(f"{group['name']} {group['peak']:.3g}" for group in optimizer.param_groups)
