import pytest
import torch
from torch.nn import functional

from losses.flow_matching import flow_matching_loss, flow_path, sample_times


def test_the_path_leads_from_noise_to_data():
    torch.manual_seed(0)
    noise, data = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    torch.testing.assert_close(flow_path(noise, data, torch.zeros(2)).point, noise)
    end = flow_path(noise, data, torch.ones(2), min_std=0.1).point
    torch.testing.assert_close(end, data + 0.1 * noise)


def test_the_velocity_is_the_derivative_of_the_point():
    torch.manual_seed(0)
    noise, data = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    time = torch.tensor([0.2, 0.7], dtype=torch.float64)
    step = 1e-6
    difference = flow_path(noise, data, time + step).point - flow_path(noise, data, time).point
    torch.testing.assert_close(
        difference / step, flow_path(noise, data, time).velocity, rtol=1e-6, atol=1e-8
    )


def test_euler_steps_along_the_velocity_arrive_at_the_data():
    noise, data = torch.randn(1, 5), torch.randn(1, 5)
    point = noise
    for step in range(4):
        point = point + 0.25 * flow_path(noise, data, torch.tensor([step / 4]), 0.0).velocity
    torch.testing.assert_close(point, data)


def test_loss_equals_torch_and_padding_changes_nothing():
    torch.manual_seed(0)
    predicted, velocity = torch.randn(2, 3, 7), torch.randn(2, 3, 7)
    torch.testing.assert_close(
        flow_matching_loss(predicted, velocity), functional.mse_loss(predicted, velocity)
    )
    mask = (torch.arange(7) < 5)[None, None].expand(2, 1, 7)
    garbage = predicted.clone()
    garbage[..., 5:] = torch.inf
    garbage.requires_grad_()
    loss = flow_matching_loss(garbage, velocity, mask)
    torch.testing.assert_close(loss, flow_matching_loss(predicted[..., :5], velocity[..., :5]))
    loss.backward()
    assert torch.isfinite(garbage.grad).all()


def test_gradient_by_finite_differences():
    predicted = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    velocity = torch.randn(2, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: flow_matching_loss(p, velocity), (predicted,))


def test_bf16_and_extreme_values_stay_finite():
    big = torch.full((1, 3), 1e6, dtype=torch.bfloat16, requires_grad=True)
    sample = flow_path(big.detach(), -big.detach(), torch.tensor([0.5]))
    assert sample.point.dtype == torch.float32
    loss = flow_matching_loss(big, sample.velocity)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(big.grad).all()


def test_times_are_uniform_or_gathered_in_the_middle():
    generator = torch.Generator().manual_seed(0)
    uniform = sample_times(20000, torch.device("cpu"), generator=generator)
    middle = sample_times(20000, torch.device("cpu"), 1.0, generator)
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert uniform.var().item() == pytest.approx(1 / 12, rel=0.03)
    assert middle.mean().item() == pytest.approx(0.5, abs=0.01)
    assert middle.var() < 0.7 * uniform.var()
    assert middle.min() > 0
    assert middle.max() < 1


def test_impossible_noise_is_refused():
    with pytest.raises(ValueError, match="min_std"):
        flow_path(torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1), min_std=1.0)
