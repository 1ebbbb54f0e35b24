"""Two updates under every kind of everything: finite, and the modules that should learn do."""

from __future__ import annotations

import math
from itertools import cycle, islice

import pytest
import torch

from losses.adversarial import ADVERSARIAL_KINDS
from losses.balance import BALANCE_KINDS
from losses.binary import BINARY_KINDS
from losses.classification import CLASSIFICATION_KINDS
from losses.contrastive import CONTRASTIVE_KINDS
from losses.diffusion import BETA_KINDS, NOISE_KINDS
from losses.regression import REGRESSION_KINDS
from losses.schedules import ANNEALING_KINDS, RATE_KINDS
from sovits.decoder import DECODER_KINDS
from sovits.discriminator import NORMS
from timbre.likeness import FEATURES
from timbre.semantic import SEMANTIC_KINDS

KINDS: dict[str, tuple[str, ...]] = {
    "objective.rec.kind": REGRESSION_KINDS,
    "objective.semantic.kind": tuple(k for k in SEMANTIC_KINDS if k != "distillation"),
    "objective.speaker.kind": CLASSIFICATION_KINDS,
    "objective.contrastive.kind": CONTRASTIVE_KINDS,
    "objective.perceptual.features": FEATURES,
    "objective.adv.kind": ADVERSARIAL_KINDS,
    "objective.wave_adv.kind": ADVERSARIAL_KINDS,
    "objective.kl.annealing.kind": ANNEALING_KINDS,
    "objective.kl.annealing_unit": ("updates", "epochs"),
    "objective.kl.per_dimension": ("true", "false"),
    "model.decoder.kind": DECODER_KINDS,
    "model.decoder.diffusion.loss": NOISE_KINDS,
    "model.decoder.diffusion.schedule": BETA_KINDS,
    "model.mel_discriminator.norm": NORMS,
    "model.vocoder.prior_istft.pitch.voicing_kind": BINARY_KINDS,
    "schedule.kind": RATE_KINDS,
}
"""Settings that choose between kinds; each run takes one of each, every kind comes up in one."""
RUNS = max(map(len, KINDS.values()))
ALWAYS = [
    "schedule.warmup=0",
    "objective.kl.annealing.low=0.5",
    *(
        f"objective.weights.{term}=0.5"
        for term in ("contrastive", "perceptual", "content_consistency", "speaker_consistency")
    ),
]


def run(number: int) -> list[str]:
    """Overrides of one run; from run to run every setting goes on to its next kind."""
    chosen = [next(islice(cycle(kinds), number, None)) for kinds in KINDS.values()]
    return [f"{name}={kind}" for name, kind in zip(KINDS, chosen, strict=True)]


def test_every_kind_is_in_some_run() -> None:
    used = {word for number in range(RUNS) for word in run(number)}
    assert used == {f"{name}={kind}" for name, kinds in KINDS.items() for kind in kinds}


def check(module, before: dict[str, torch.Tensor]) -> None:
    assert not module.skipped
    assert all(math.isfinite(value) for value in module.scalars.values())
    changed = {
        name.split(".")[1]
        for name, tensor in module.state_dict().items()
        if name.startswith("networks.") and not torch.equal(tensor, before[name])
    }
    assert changed == {"gpt", "sovits", "vocoder"}


@pytest.fixture(scope="module")
def initial(updated) -> dict[str, dict[str, torch.Tensor]]:
    """Weights before any update, by kind of decoder."""
    return {
        kind: updated(f"model.decoder.kind={kind}", updates=0).state_dict()
        for kind in DECODER_KINDS
    }


@pytest.mark.parametrize("number", range(RUNS))
def test_two_updates_of_every_kind(number: int, updated, initial) -> None:
    module = updated(*ALWAYS, *run(number))
    check(module, initial[module.config.model.decoder.kind])
    terms = {"contrastive", "content_consistency", "speaker_consistency", "rec", "semantic"}
    assert {f"weighted/{term}" for term in terms} <= module.scalars.keys()


@pytest.mark.parametrize("kind", [kind for kind in BALANCE_KINDS if kind != "fixed"])
@pytest.mark.parametrize("domain", ["mel", "wave"])
def test_two_updates_under_every_balance(kind: str, domain: str, updated, initial) -> None:
    names = {
        "mel": ["names=[rec,adv,feature_matching]", "reference=rec", "adapted=adv"],
        "wave": ["names=[wave_mel,wave_adv]", "reference=wave_mel", "adapted=wave_adv"],
    }[domain]
    words = [f"objective.balance.{word}" for word in (f"kind={kind}", *names)]
    module = updated("schedule.warmup=0", *words)
    check(module, initial["flow_matching"])
    first = {"mel": "rec", "wave": "wave_mel"}[domain]
    second = {"mel": "adv", "wave": "wave_adv"}[domain]
    share = {name: module.scalars[f"weighted/{name}"].item() for name in (first, second)}
    plain = {name: module.scalars[name].item() for name in (first, second)}
    weights = module.config.objective.weights
    moved = [
        name
        for name, value in share.items()
        if not math.isclose(value, getattr(weights, name) * plain[name], rel_tol=1e-5)
    ]
    expected = {"uncertainty": [first, second], "gradient": [first, second], "adaptive": [second]}
    assert moved == expected[kind]
