"""Discriminators that taught a bundle are saved beside it, and teach runs that start from it."""

from __future__ import annotations

import torch

from timbre.adversary import discriminator_weights, take_discriminators
from timbre.bundle import load_discriminators

STILL = ["train.updates=1", "optimizer.rates.discriminators=0"]


def test_a_run_begins_with_the_discriminators_of_its_base(train_here, base_run) -> None:
    """At a rate of 0 they leave the run as they came; at the usual one they have learned."""
    taught = load_discriminators(base_run.voice)
    assert {name.split(".")[0] for name in taught} == {"mel_adversary", "wave_adversary"}
    code, run = train_here(*STILL)
    assert code == 0
    kept = load_discriminators(run.voice)
    assert kept.keys() == taught.keys()
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, taught[name], rtol=0, atol=1e-3)


def test_discriminators_come_from_the_bundle_of_what_they_taught(train_here, base_run) -> None:
    code, run = train_here(*STILL, "init_parts.sovits=none")
    assert code == 0
    taught, kept = load_discriminators(base_run.voice), load_discriminators(run.voice)
    same = {name for name in kept if torch.allclose(kept[name], taught[name], atol=1e-3)}
    assert any(name.startswith("wave_adversary.") for name in same)
    weights = {name for name in kept if name.startswith("mel_adversary.") and kept[name].ndim > 1}
    assert weights
    assert not weights & same


def test_discriminators_that_do_not_fit_stay_fresh(updated, caplog) -> None:
    module = updated(updates=1)
    before = {name: tensor.clone() for name, tensor in discriminator_weights(module).items()}
    other = {name: torch.zeros_like(tensor) for name, tensor in before.items()}
    grown = next(name for name in other if name.startswith("mel_adversary."))
    other[grown] = torch.zeros(3, 3, 3)
    take_discriminators(module, other)
    for name, tensor in discriminator_weights(module).items():
        fresh = name.startswith("mel_adversary.")
        torch.testing.assert_close(tensor, before[name] if fresh else other[name])
    assert "discriminators of the mel_adversary are of other sizes" in caplog.text
