import math

import pytest
import torch
from torch.nn import functional

from losses.diffusion import NOISE_KINDS, NoiseSchedule, min_snr_weight, noise_prediction_loss


def test_cosine_schedule_by_hand():
    schedule = NoiseSchedule(100, "cosine")

    def f(t):
        return math.cos((t / 100 + 0.008) / 1.008 * math.pi / 2) ** 2

    assert schedule.signal[0].item() == pytest.approx(f(1) / f(0), rel=1e-5)
    assert schedule.signal[49].item() == pytest.approx(f(50) / f(0), rel=1e-5)
    assert 0 < schedule.signal[-1].item() < 1e-3


def test_linear_schedule_by_hand():
    schedule = NoiseSchedule(1000, "linear")
    assert schedule.signal[0].item() == pytest.approx(1 - 1e-4, rel=1e-6)
    assert schedule.signal[1].item() == pytest.approx(
        (1 - 1e-4) * (1 - 1e-4 - (0.02 - 1e-4) / 999), rel=1e-6
    )
    # Fewer steps end at about as much noise.
    assert NoiseSchedule(100, "linear").signal[-1].log().item() == pytest.approx(
        schedule.signal[-1].log().item(), rel=0.2
    )


@pytest.mark.parametrize("kind", ["cosine", "linear"])
@pytest.mark.parametrize("steps", [2, 10, 1000])
def test_signal_falls_and_never_ends(kind, steps):
    schedule = NoiseSchedule(steps, kind)
    assert (schedule.signal.diff() < 0).all()
    assert (schedule.signal > 0).all()
    assert schedule.signal[0] < 1
    assert not schedule.state_dict()


def test_diffused_data_have_unit_variance_and_the_clean_data_come_back():
    torch.manual_seed(0)
    schedule = NoiseSchedule(50)
    clean, noise = torch.randn(4, 10, 500), torch.randn(4, 10, 500)
    step = torch.tensor([0, 10, 30, 45])
    noisy = schedule.diffuse(clean, noise, step)
    torch.testing.assert_close(noisy.var(dim=(1, 2)), torch.ones(4), atol=0.06, rtol=0)
    torch.testing.assert_close(
        schedule.estimate_clean(noisy, noise, step), clean, atol=1e-3, rtol=1e-3
    )
    assert schedule.diffuse(clean.bfloat16(), noise.bfloat16(), step).dtype == torch.float32


def test_min_snr_weight_by_hand():
    weights = min_snr_weight(torch.tensor([0.1, 5.0, 50.0]))
    torch.testing.assert_close(weights, torch.tensor([1.0, 1.0, 0.1]))
    schedule = NoiseSchedule(1000)
    snr = schedule.signal_to_noise(torch.arange(1000))
    torch.testing.assert_close(snr, schedule.signal / (1 - schedule.signal))
    assert torch.isfinite(min_snr_weight(snr)).all()


def test_losses_equal_torch():
    torch.manual_seed(0)
    predicted, noise = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    for kind, expected in (
        ("mse", functional.mse_loss(predicted, noise)),
        ("mae", functional.l1_loss(predicted, noise)),
        ("huber", functional.huber_loss(predicted, noise)),
    ):
        torch.testing.assert_close(noise_prediction_loss(predicted, noise, kind=kind), expected)


def test_weights_apply_per_item():
    predicted, noise = torch.ones(2, 3, 4), torch.zeros(2, 3, 4)
    loss = noise_prediction_loss(predicted, noise, None, torch.tensor([0.5, 2.0]))
    assert loss.item() == pytest.approx(1.25)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_padding_changes_nothing(kind):
    torch.manual_seed(0)
    predicted, noise, weights = torch.randn(2, 3, 7), torch.randn(2, 3, 7), torch.tensor([0.3, 1.0])
    mask = (torch.arange(7) < 5)[None, None].expand(2, 1, 7)
    garbage = predicted.clone()
    garbage[..., 5:] = torch.nan
    garbage.requires_grad_()
    loss = noise_prediction_loss(garbage, noise, mask, weights, kind)
    torch.testing.assert_close(
        loss, noise_prediction_loss(predicted[..., :5], noise[..., :5], None, weights, kind)
    )
    loss.backward()
    assert torch.isfinite(garbage.grad).all()


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_gradients_by_finite_differences(kind):
    torch.manual_seed(0)
    predicted = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(2, 5, dtype=torch.float64)
    weights = torch.tensor([0.3, 1.0])
    assert torch.autograd.gradcheck(
        lambda p: noise_prediction_loss(p, noise, None, weights, kind), (predicted,)
    )


def test_gradient_through_the_clean_estimate_by_finite_differences():
    schedule = NoiseSchedule(20).double()
    noisy = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    step = torch.tensor([3, 15])
    assert torch.autograd.gradcheck(
        lambda x, e: schedule.estimate_clean(x, e, step), (noisy, noise)
    )


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="cosine"):
        NoiseSchedule(10, "quadratic")
    with pytest.raises(ValueError, match="at least 2"):
        NoiseSchedule(1)
    with pytest.raises(ValueError, match="huber"):
        noise_prediction_loss(torch.zeros(1, 1), torch.zeros(1, 1), kind="quantile")
    with pytest.raises(ValueError, match="gamma"):
        min_snr_weight(torch.ones(1), 0.0)
