import math
from itertools import pairwise

import pytest
import torch

from losses.schedules import ANNEALING_KINDS, RATE_KINDS, Annealing, RateSchedule


@pytest.mark.parametrize("kind", ANNEALING_KINDS)
def test_annealing_is_low_before_its_start_and_high_after_its_end(kind):
    annealing = Annealing(kind, start=10, updates=100, low=0.1, high=0.7)
    assert annealing.at(0) == pytest.approx(0.1)
    assert annealing.at(9) == pytest.approx(0.1)
    assert annealing.at(110) == pytest.approx(0.7)
    assert annealing.at(10**9) == pytest.approx(0.7)


@pytest.mark.parametrize("kind", ["linear", "sigmoid"])
def test_annealing_grows_without_jumps(kind):
    annealing = Annealing(kind, updates=100)
    weights = [annealing.at(update) for update in range(130)]
    steps = [b - a for a, b in pairwise(weights)]
    assert min(steps) >= 0
    assert max(steps) < 0.04
    assert weights[0] == 0
    assert annealing.at(50) == pytest.approx(0.5)


def test_linear_by_hand_and_constant():
    annealing = Annealing("linear", start=20, updates=200, high=2.0)
    assert annealing.at(70) == pytest.approx(0.5)
    assert Annealing("constant", start=20).at(20) == 1.0


def test_sigmoid_by_hand():
    # At a quarter the logistic argument is -3; ends rescaled from logistic(-6), logistic(6).
    low, quarter = 1 / (1 + math.exp(6)), 1 / (1 + math.exp(3))
    expected = (quarter - low) / (1 - 2 * low)
    assert Annealing("sigmoid", updates=100).at(25) == pytest.approx(expected)


def test_cyclical_restarts_and_holds_like_the_paper():
    # 4 cycles of 100 updates: ramp for 50, hold for 50.
    annealing = Annealing("cyclical", updates=400, cycles=4, ramp_share=0.5)
    for cycle in range(4):
        assert annealing.at(100 * cycle) == 0
        assert annealing.at(100 * cycle + 25) == pytest.approx(0.5)
        assert annealing.at(100 * cycle + 50) == 1
        assert annealing.at(100 * cycle + 99) == 1
    assert annealing.at(400) == 1


def test_rate_constant_after_warmup():
    rate = RateSchedule("constant", warmup=4)
    assert [rate.at(update) for update in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def torch_rates(scheduler_class, count, **arguments):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = scheduler_class(optimizer, **arguments)
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_rates_equal_torch_schedulers():
    lr = torch.optim.lr_scheduler
    for schedule, expected in (
        (
            RateSchedule("exponential", decay=0.9),
            torch_rates(lr.ExponentialLR, 50, gamma=0.9),
        ),
        (
            RateSchedule("cosine", updates=50, final=0.1),
            torch_rates(lr.CosineAnnealingLR, 50, T_max=50, eta_min=0.1),
        ),
        (
            RateSchedule("cosine_restarts", updates=7),
            torch_rates(lr.CosineAnnealingWarmRestarts, 50, T_0=7),
        ),
        (
            RateSchedule("cosine_restarts", updates=5, growth=2.0, final=0.2),
            torch_rates(lr.CosineAnnealingWarmRestarts, 200, T_0=5, T_mult=2, eta_min=0.2),
        ),
    ):
        ours = [schedule.at(update) for update in range(len(expected))]
        assert ours == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("growth", [1.1, 1.5, 3.0])
def test_restarts_stay_in_range_and_begin_anew(growth):
    rate = RateSchedule("cosine_restarts", updates=20, growth=growth, final=0.1)
    values = [rate.at(update) for update in range(3000)]
    assert min(values) >= 0.1
    assert max(values) <= 1.0
    assert sum(b > a for a, b in pairwise(values)) >= 3


def test_rate_ends_at_final_and_counts_from_the_end_of_the_warmup():
    rate = RateSchedule("cosine", warmup=10, updates=100, final=0.05)
    assert rate.at(10) == 1.0
    assert rate.at(60) == pytest.approx(0.525)
    assert rate.at(110) == pytest.approx(0.05)
    assert rate.at(10**7) == pytest.approx(0.05)
    floor = RateSchedule("exponential", decay=0.5, decay_updates=10, final=0.2)
    assert floor.at(10) == pytest.approx(0.5)
    assert floor.at(1000) == 0.2


@pytest.mark.parametrize("kind", RATE_KINDS)
def test_every_rate_is_a_multiplier(kind):
    rate = RateSchedule(kind, warmup=3, updates=10)
    assert all(0 <= rate.at(update) <= 1 for update in range(100))


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "lin"},
        {"start": -1},
        {"updates": 0},
        {"cycles": 0},
        {"ramp_share": 0.0},
        {"ramp_share": 1.5},
    ],
)
def test_impossible_annealing_is_refused(fields):
    with pytest.raises(ValueError, match=r"kind|annealing|ramp_share"):
        Annealing(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "cos"},
        {"warmup": -1},
        {"updates": 0},
        {"final": 1.5},
        {"decay": 0.0},
        {"decay_updates": 0},
        {"growth": 0.5},
    ],
)
def test_impossible_rates_are_refused(fields):
    with pytest.raises(ValueError, match="|".join([*fields, "rate"])):
        RateSchedule(**fields)
