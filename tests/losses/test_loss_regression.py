import math

import pytest
import torch
from torch.nn import functional

from losses.regression import (
    REGRESSION_KINDS,
    RegressionParameters,
    multi_quantile_loss,
    reconstruction,
)

PARAMETERS = RegressionParameters(huber_delta=0.7, quantile=0.9, quantiles=[0.1, 0.5, 0.8])


def pair(dtype=torch.float32):
    torch.manual_seed(0)
    return torch.randn(2, 3, 5, dtype=dtype), torch.randn(2, 3, 5, dtype=dtype)


def test_mse_mae_and_huber_equal_torch():
    prediction, target = pair()
    for kind, expected in (
        ("mse", functional.mse_loss(prediction, target)),
        ("mae", functional.l1_loss(prediction, target)),
        ("huber", functional.huber_loss(prediction, target, delta=0.7)),
    ):
        torch.testing.assert_close(
            reconstruction(prediction, target, kind=kind, parameters=PARAMETERS), expected
        )


def test_log_cosh_equals_its_definition():
    prediction, target = pair()
    expected = (prediction - target).cosh().log().mean()
    torch.testing.assert_close(reconstruction(prediction, target, kind="log_cosh"), expected)


def test_quantile_by_hand():
    target = torch.zeros(2)
    prediction = torch.tensor([-1.0, 1.0])  # Too little by 1, too much by 1.
    value = reconstruction(prediction, target, kind="quantile", parameters=PARAMETERS)
    assert value.item() == pytest.approx((0.9 + 0.1) / 2)
    low = reconstruction(prediction[:1], target[:1], kind="quantile", parameters=PARAMETERS)
    assert low.item() == pytest.approx(0.9)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_the_minimum_of_the_quantile_loss_is_the_quantile(quantile):
    torch.manual_seed(0)
    samples = torch.rand(2001)
    grid = torch.linspace(0, 1, 101)
    parameters = RegressionParameters(quantile=quantile)
    losses = torch.stack(
        [
            reconstruction(x.expand(2001), samples, kind="quantile", parameters=parameters)
            for x in grid
        ]
    )
    assert grid[losses.argmin()].item() == pytest.approx(
        samples.quantile(quantile).item(), abs=0.01
    )


def test_multi_quantile_is_the_mean_of_its_quantiles():
    prediction, target = pair()
    parts = [
        reconstruction(prediction, target, None, "quantile", RegressionParameters(quantile=q))
        for q in PARAMETERS.quantiles
    ]
    expected = torch.stack(parts).mean()
    shared = reconstruction(prediction, target, None, "multi_quantile", PARAMETERS)
    torch.testing.assert_close(shared, expected)
    stacked = prediction.unsqueeze(-1).expand(-1, -1, -1, 3)
    torch.testing.assert_close(
        multi_quantile_loss(stacked, target, tuple(PARAMETERS.quantiles)), expected
    )


@pytest.mark.parametrize("kind", REGRESSION_KINDS)
def test_gradients_by_finite_differences(kind):
    prediction, target = pair(torch.float64)
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: reconstruction(p, target, None, kind, PARAMETERS), (prediction,)
    )


def test_multi_quantile_gradient_by_finite_differences():
    torch.manual_seed(0)
    predictions = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randn(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda p: multi_quantile_loss(p, target, (0.1, 0.5, 0.9)), (predictions,)
    )


@pytest.mark.parametrize("kind", REGRESSION_KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_differences_stay_finite(kind, dtype):
    prediction = torch.tensor([1e5, -1e5, 0.0, 1e-30], dtype=dtype, requires_grad=True)
    loss = reconstruction(prediction, torch.zeros(4, dtype=dtype), kind=kind)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(prediction.grad).all()


def test_log_cosh_is_linear_far_away():
    loss = reconstruction(torch.tensor([1e4]), torch.zeros(1), kind="log_cosh")
    assert loss.item() == pytest.approx(1e4 - math.log(2), rel=1e-6)


@pytest.mark.parametrize("kind", REGRESSION_KINDS)
def test_padding_changes_nothing_not_even_the_gradient(kind):
    prediction, target = pair()
    padding = torch.full((2, 3, 4), torch.inf)
    padded = torch.cat([prediction, padding], 2).requires_grad_()
    mask = (torch.arange(9) < 5)[None, None]
    loss = reconstruction(
        padded, torch.cat([target, padding], 2), mask.expand(2, 1, 9), kind, PARAMETERS
    )
    torch.testing.assert_close(loss, reconstruction(prediction, target, None, kind, PARAMETERS))
    loss.backward()
    assert torch.isfinite(padded.grad).all()
    assert padded.grad[..., 5:].abs().sum() == 0


def test_multi_quantile_padding_changes_nothing():
    predictions, target = torch.randn(2, 5, 2), torch.randn(2, 5)
    mask = (torch.arange(5) < 3)[None].expand(2, 5)
    torch.testing.assert_close(
        multi_quantile_loss(predictions, target, (0.2, 0.8), mask),
        multi_quantile_loss(predictions[:, :3], target[:, :3], (0.2, 0.8)),
    )


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="mae"):
        reconstruction(torch.zeros(1), torch.zeros(1), kind="l1")
    with pytest.raises(ValueError, match="huber_delta"):
        RegressionParameters(huber_delta=0.0)
    with pytest.raises(ValueError, match="quantiles"):
        RegressionParameters(quantile=1.0)
    with pytest.raises(ValueError, match="2 quantiles for 3"):
        multi_quantile_loss(torch.zeros(1, 3), torch.zeros(1), (0.1, 0.9))
    with pytest.raises(ValueError, match="between 0 and 1"):
        multi_quantile_loss(torch.zeros(1, 1), torch.zeros(1), (1.5,))
