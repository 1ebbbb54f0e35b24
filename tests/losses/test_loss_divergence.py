import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from losses.divergence import (
    capacity_target,
    categorical_kl,
    flow_kl,
    free_bits,
    gaussian_kl,
    gaussian_log_density,
    monte_carlo_kl,
    total_free_nats,
)


def gaussians(count, dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(3, 4, dtype=dtype) * scale for scale in (1.0, 0.5, 1.0, 0.5)][:count]


def test_gaussian_kl_equals_torch_with_and_without_prior():
    mean, log_std, prior_mean, prior_log_std = gaussians(4)
    posterior = Normal(mean, log_std.exp())
    torch.testing.assert_close(
        gaussian_kl(mean, log_std), kl_divergence(posterior, Normal(0.0, 1.0))
    )
    torch.testing.assert_close(
        gaussian_kl(mean, log_std, prior_mean, prior_log_std),
        kl_divergence(posterior, Normal(prior_mean, prior_log_std.exp())),
        rtol=1e-4,
        atol=1e-5,
    )


def test_gaussian_log_density_equals_torch():
    mean, log_std, sample = gaussians(3)
    torch.testing.assert_close(
        gaussian_log_density(sample, mean, log_std), Normal(mean, log_std.exp()).log_prob(sample)
    )


def test_monte_carlo_kl_converges_to_the_analytic_one():
    torch.manual_seed(0)
    mean, log_std = torch.tensor([[0.5, -1.0]]), torch.tensor([[-0.5, 0.2]])
    sample = mean + log_std.exp() * torch.randn(20000, 2)
    zero = torch.zeros(1, 2)
    estimate = monte_carlo_kl(
        gaussian_log_density(sample, mean.expand(20000, 2), log_std.expand(20000, 2)).sum(1),
        gaussian_log_density(sample, zero.expand(20000, 2), zero.expand(20000, 2)).sum(1),
    )
    assert estimate.mean().item() == pytest.approx(
        gaussian_kl(mean, log_std).sum().item(), rel=0.03
    )


def test_flow_kl_of_an_affine_flow_converges_to_the_analytic_kl():
    # z_K = 2 z_0 + 1 is N(2 m + 1, (2 s)^2), whose KL is known.
    torch.manual_seed(0)
    count = 20000
    mean, log_std = torch.tensor([[0.3, -0.4]]), torch.tensor([[-1.0, -0.5]])
    start = mean + log_std.exp() * torch.randn(count, 2)
    log_determinant = torch.full((count,), 2 * torch.tensor(2.0).log().item())
    estimate = flow_kl(log_std.expand(count, 2), log_determinant, 2 * start + 1)
    exact = gaussian_kl(2 * mean + 1, log_std + torch.tensor(2.0).log()).sum()
    assert estimate.mean().item() == pytest.approx(exact.item(), rel=0.03)


def test_flow_kl_without_flows_and_noise_matches_per_item():
    # The entropy part is exact, so only the prior part depends on the sample.
    log_std, latent = torch.zeros(2, 3), torch.ones(2, 3)
    value = flow_kl(log_std, torch.zeros(2), latent)
    torch.testing.assert_close(value, torch.zeros(2), atol=1e-6, rtol=0)


def test_categorical_kl_equals_torch():
    torch.manual_seed(0)
    p, q = torch.randn(2, 5, 7), torch.randn(2, 5, 7)
    expected = kl_divergence(Categorical(logits=p), Categorical(logits=q)).mean()
    torch.testing.assert_close(categorical_kl(p, q), expected)


def test_categorical_kl_padding_and_certain_distributions():
    torch.manual_seed(0)
    p, q = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    mask = (torch.arange(5) < 2)[None].expand(2, 5)
    garbage = p.clone()
    garbage[:, 2:] = torch.nan
    torch.testing.assert_close(categorical_kl(garbage, q, mask), categorical_kl(p[:, :2], q[:, :2]))
    certain = torch.tensor([[1e4, 0.0, -1e4]], dtype=torch.bfloat16, requires_grad=True)
    loss = categorical_kl(certain, torch.zeros(1, 3))
    loss.backward()
    assert loss.item() == pytest.approx(torch.tensor(3.0).log().item())
    assert torch.isfinite(certain.grad).all()


def test_gradients_by_finite_differences():
    arguments = [x.requires_grad_() for x in gaussians(4, torch.float64)]
    assert torch.autograd.gradcheck(gaussian_kl, arguments)
    assert torch.autograd.gradcheck(gaussian_log_density, arguments[:3])
    assert torch.autograd.gradcheck(categorical_kl, arguments[:2])
    log_determinant = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(flow_kl, (arguments[1], log_determinant, arguments[0]))
    assert torch.autograd.gradcheck(lambda m, s: free_bits(gaussian_kl(m, s), 0.3), arguments[:2])
    assert torch.autograd.gradcheck(
        lambda m, s: capacity_target(gaussian_kl(m, s).sum(1), 2.0), arguments[:2]
    )


@pytest.mark.parametrize("value", [-1e4, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_log_stds_stay_finite(value, dtype):
    mean = torch.ones(1, 2, dtype=dtype, requires_grad=True)
    log_std = torch.full((1, 2), value, dtype=dtype, requires_grad=True)
    kl = gaussian_kl(mean, log_std)
    kl.sum().backward()
    assert kl.dtype == torch.float32
    assert torch.isfinite(kl).all()
    assert torch.isfinite(mean.grad).all()
    assert torch.isfinite(gaussian_kl(mean, mean, mean, log_std)).all()


def test_free_bits_free_only_the_dimensions_below_the_floor():
    kl = torch.tensor([[0.0, 1.0], [0.2, 3.0]], requires_grad=True)
    loss = free_bits(kl, 0.5)
    assert loss.item() == pytest.approx(0.5 + 2.0)
    loss.backward()
    torch.testing.assert_close(kl.grad, torch.tensor([[0.0, 0.5], [0.0, 0.5]]))
    assert free_bits(kl, 0.0).item() == pytest.approx(2.1)


def test_total_free_nats_stop_the_pressure_below_the_floor():
    kl = torch.tensor([1.0, 2.0], requires_grad=True)
    below = total_free_nats(kl, 2.0)
    assert below.item() == 2.0
    assert torch.autograd.grad(below, kl)[0].abs().sum() == 0
    assert torch.autograd.grad(total_free_nats(kl, 1.0), kl)[0].tolist() == [0.5, 0.5]
    assert total_free_nats(kl, 0.0).item() == 1.5


@pytest.mark.parametrize(("capacity", "sign"), [(1.0, 1.0), (5.0, -1.0)])
def test_capacity_pulls_from_both_sides(capacity, sign):
    kl = torch.tensor([2.0, 4.0], requires_grad=True)
    loss = capacity_target(kl, capacity)
    assert loss.item() == pytest.approx(2.0)
    loss.backward()
    assert kl.grad.tolist() == [sign / 2, sign / 2]


def test_negative_bounds_are_refused():
    with pytest.raises(ValueError, match="floor_nats"):
        free_bits(torch.zeros(1, 1), -0.1)
    with pytest.raises(ValueError, match="floor_nats"):
        total_free_nats(torch.zeros(1), -0.1)
    with pytest.raises(ValueError, match="capacity_nats"):
        capacity_target(torch.zeros(1), -0.1)
