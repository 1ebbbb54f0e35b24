"""Annealing, free bits and capacity of the KL."""

from __future__ import annotations

import pytest
import torch

from losses.schedules import Annealing
from sovits.speaker_encoder import SpeakerPosterior
from timbre.kl import KLConfig, trained_kl
from timbre.objective import Objective, ObjectiveConfig, TermWeights

CHANNELS = 4


def posterior(mean: list[float], by_flows: float = 0.0) -> SpeakerPosterior:
    """Unit variance, so that a dimension's KL is mean² / 2; the flows add a constant."""
    means = torch.tensor([mean, mean], requires_grad=True)
    kl = 0.5 * means.square().sum(1) + by_flows
    zeros = torch.zeros(2, CHANNELS)
    return SpeakerPosterior(means, zeros, means, means, kl, torch.zeros(2))


def pushed(config: KLConfig, mean: list[float], by_flows: float = 0.0) -> tuple[float, list[bool]]:
    """The trained KL, and which dimensions it moves."""
    given = posterior(mean, by_flows)
    value = trained_kl(given, config)
    value.backward()
    assert given.mean.grad is not None
    return value.item(), (given.mean.grad[0] != 0).tolist()


def test_free_nats_cost_nothing_and_are_not_pushed_down() -> None:
    below, above = [1.0, 0.0, 0.0, 0.0], [3.0, 1.0, 1.0, 1.0]
    assert pushed(KLConfig(free_nats=0.5), below) == (0.5, [False] * 4)
    value, moved = pushed(KLConfig(free_nats=0.5), above)
    assert value == pytest.approx(6 / 4)
    assert all(moved)
    assert pushed(KLConfig(free_nats=0.0), below) == (pytest.approx(0.5 / 4), [True] + [False] * 3)


def test_free_nats_per_dimension_leave_the_small_ones_alone() -> None:
    """KL per dimension 4.5, 0.5, 0.08, 0.02: only the first two pay, whatever the mean is."""
    config = KLConfig(free_nats=0.1, per_dimension=True)
    value, moved = pushed(config, [3.0, 1.0, 0.4, 0.2], by_flows=2.0)
    assert value == pytest.approx((4.5 + 0.5 + 0.1 + 0.1 + 2.0) / 4)
    assert moved == [True, True, False, False]


def test_without_free_nats_both_forms_are_the_kl_itself() -> None:
    mean = [3.0, 1.0, 0.4, 0.2]
    given = posterior(mean, by_flows=2.0)
    for per_dimension in (False, True):
        value = trained_kl(given, KLConfig(free_nats=0.0, per_dimension=per_dimension))
        torch.testing.assert_close(value, given.kl.mean() / CHANNELS)


def test_capacity_pulls_from_both_sides() -> None:
    config = KLConfig(capacity_nats=0.5)
    for mean, direction in (([1.0, 1.0, 0.5, 0.5], -1), ([3.0, 1.0, 1.0, 1.0], 1)):
        given = posterior(mean)
        trained_kl(given, config).backward()
        assert given.mean.grad is not None
        assert torch.equal(given.mean.grad.sign(), direction * torch.ones(2, CHANNELS))
    assert trained_kl(posterior([2.0, 0.0, 0.0, 0.0]), config).item() == 0.0


def test_annealing_counts_updates_or_epochs() -> None:
    annealing = Annealing(kind="linear", updates=10)
    weights = TermWeights(kl=3.0)
    by_updates = Objective(ObjectiveConfig(weights, kl=KLConfig(annealing)), updates_per_epoch=4)
    config = KLConfig(annealing, annealing_unit="epochs")
    by_epochs = Objective(ObjectiveConfig(weights, kl=config), updates_per_epoch=4)
    for update in (0, 3, 10, 22):
        assert by_epochs.weight("kl", 4 * update) == by_updates.weight("kl", update)
    assert by_epochs.weight("kl", 20) == pytest.approx(1.5)
    assert by_epochs.weight("kl", 40) == 3.0


@pytest.mark.parametrize("kind", ["constant", "linear", "cyclical", "sigmoid"])
def test_every_annealing_composes_and_ends_at_the_weight(kind: str, configured) -> None:
    config = configured(f"objective.kl.annealing.kind={kind}", "objective.kl.annealing.updates=8")
    objective = Objective(config.objective)
    weights = [objective.weight("kl", update) for update in range(12)]
    assert weights[8:] == [1.0] * 4
    assert min(weights) >= 0
    assert max(weights) == 1.0
    assert (weights[0] == 1.0) == (kind == "constant")


def test_impossible_controls_are_refused() -> None:
    for change, advice in (
        ({"annealing_unit": "days"}, "updates or epochs"),
        ({"free_nats": -1.0}, "0 or more"),
        ({"capacity_nats": 1.0, "per_dimension": True}, "unset it or capacity_nats"),
    ):
        with pytest.raises(ValueError, match=advice):
            KLConfig(**change)
