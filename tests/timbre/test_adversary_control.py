"""When discriminators learn, and when they teach."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from timbre.adversary_config import AdversaryConfig, Gate
from timbre.module import VoiceCloner
from timbre.objective import Objective, ObjectiveConfig
from timbre.optimization import build_optimizers


def discriminators(module: VoiceCloner, name: str = "mel") -> list[Tensor]:
    adversary = getattr(module, f"{name}_adversary")
    return [p.detach().clone() for p in adversary.discriminators.parameters()]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_after_the_freeze_the_weights_of_the_adversarial_terms_grow() -> None:
    config = ObjectiveConfig(adv=AdversaryConfig(freeze_steps=3, ramp_steps=3))
    objective = Objective(config)
    adv = [objective.weight("adv", update) for update in range(8)]
    assert adv == [0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    matching = [objective.weight("feature_matching", update) for update in range(8)]
    assert matching == [2 * weight for weight in adv]
    assert objective.weight("wave_adv", 0) == 1.0


def test_pauses_come_round_after_the_freeze() -> None:
    config = AdversaryConfig(freeze_steps=2, pause_every=4, pause_steps=1)
    paused = [update for update in range(2, 16) if config.pauses(update)]
    assert paused == [5, 9, 13]
    assert not any(AdversaryConfig().pauses(update) for update in range(50))


def test_paused_discriminators_teach_but_do_not_learn(updated) -> None:
    words = ["objective.adv.pause_every=2", "objective.adv.pause_steps=1", "schedule.warmup=0"]
    first, second = updated(*words, updates=1), updated(*words, updates=2)
    assert same(discriminators(first), discriminators(second))
    assert not same(discriminators(first, "wave"), discriminators(second, "wave"))
    assert first.scalars["disc_learns"] == 1.0
    assert second.scalars["disc_learns"] == 0.0
    assert second.scalars["wave_disc_learns"] == 1.0
    assert second.scalars["adv"] > 0
    assert 0 <= second.scalars["accuracy/0"] <= 1
    assert "r1" not in second.scalars


def test_the_gate_has_two_limits() -> None:
    gate = Gate(AdversaryConfig(gate_high=0.9, gate_low=0.7, gate_decay=0.0))
    states = []
    for accuracy in (0.6, 0.8, 0.95, 0.8, 0.75, 0.65, 0.8, 0.92):
        gate.observe(torch.tensor(accuracy))
        states.append(gate.is_closed)
    assert states == [False, False, True, True, True, False, False, True]


def test_the_gate_looks_at_an_average_that_is_saved() -> None:
    config = AdversaryConfig(gate_high=0.9, gate_decay=0.9)
    gate = Gate(config)
    gate.observe(torch.tensor(1.0))
    assert not gate.is_closed  # one update does not close it
    for _ in range(30):
        gate.observe(torch.tensor(1.0))
    assert gate.is_closed
    resumed = Gate(config)
    resumed.load_state_dict(gate.state_dict())
    assert resumed.is_closed
    assert torch.equal(resumed.accuracy, gate.accuracy)
    ungated = Gate(AdversaryConfig())
    ungated.load_state_dict(gate.state_dict())
    assert not ungated.is_closed


def test_a_closed_gate_stops_learning_until_the_accuracy_falls(updated) -> None:
    """Guessing counts as too good here, so it closes after the first update."""
    words = ["objective.adv.gate_high=0.2", "objective.adv.gate_low=0.0", "schedule.warmup=0"]
    first, third = updated(*words, updates=1), updated(*words, updates=3)
    assert first.mel_adversary is not None
    assert first.mel_adversary.gate.is_closed
    assert same(discriminators(first), discriminators(third))
    assert third.scalars["disc_learns"] == 0.0


def test_discriminators_may_learn_at_a_share_of_their_generators_rate(configured) -> None:
    words = ["train.modules=[gpt,sovits,vocoder]", "optimizer.rates.discriminator_ratio=0.5"]
    config = configured(*words, "optimizer.rates.sovits=4e-4", "optimizer.rates.vocoder=1e-4")
    _, optimizer = build_optimizers(VoiceCloner(config, speakers=2))
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == {
        "discriminators_sovits": 2e-4,
        "discriminators_vocoder": 5e-5,
    }


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"kind": "gan"}, "lsgan"),
        ({"freeze_steps": -1}, "0 or more"),
        ({"kind": "wasserstein", "gradient_penalty_weight": 0.0}, "above 0, for example 10"),
        ({"pause_steps": 3, "pause_every": 3}, "less than pause_every"),
        ({"gate_high": 0.6}, "gate_low < gate_high"),
        ({"gate_decay": 1.0}, "0 <= decay < 1"),
    ],
)
def test_impossible_controls_are_refused(change: dict, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        AdversaryConfig(**change)
