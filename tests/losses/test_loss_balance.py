import math

import pytest
import torch

from losses.balance import (
    BALANCE_KINDS,
    AdaptiveBalance,
    BalanceConfig,
    FixedBalance,
    GradientBalance,
    UncertaintyBalance,
    build_balance,
)


def scalars(**values):
    return {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}


def test_fixed_is_the_weighted_sum_and_weight_zero_is_only_reported():
    terms = scalars(rec=2.0, kl=3.0, adv=math.nan)
    loss = FixedBalance().combine(terms, {"rec": 10.0, "kl": 0.5, "adv": 0.0})
    assert loss.item() == pytest.approx(21.5)
    loss.backward()
    assert terms["rec"].grad.item() == 10.0
    assert terms["adv"].grad is None


@pytest.mark.parametrize("kind", BALANCE_KINDS)
def test_names_must_match(kind):
    balance = build_balance(BalanceConfig(kind=kind))
    anchor = torch.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match=r"missing \['kl'\].*missing \['rec'\]"):
        balance.combine(scalars(rec=1.0), {"kl": 1.0}, anchor)
    with pytest.raises(ValueError, match="every loss weight is 0"):
        balance.combine(scalars(rec=1.0), {"rec": 0.0}, anchor)


@pytest.mark.parametrize("kind", BALANCE_KINDS)
def test_every_kind_trains_the_model(kind):
    torch.manual_seed(0)
    body, last = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)
    output = last(body(torch.randn(5, 3)))
    balance = build_balance(BalanceConfig(kind=kind))
    terms = {"rec": output.abs().mean(), "adv": -output.mean(), "kl": body.weight.square().sum()}
    anchor = last.weight if kind == "adaptive" else output
    loss = balance.combine(terms, {"rec": 1.0, "adv": 0.5, "kl": 0.1}, anchor)
    loss.backward()
    assert torch.isfinite(body.weight.grad).all()
    assert (body.weight.grad != 0).all()


def test_uncertainty_begins_as_fixed_and_settles_at_the_logarithm_of_the_term():
    balance = UncertaintyBalance(("rec", "kl"))
    weights = {"rec": 2.0, "kl": 1.0, "adv": 3.0}
    terms = {"rec": torch.tensor(0.2), "kl": torch.tensor(5.0), "adv": torch.tensor(-1.0)}
    first = balance.combine(terms, weights)
    torch.testing.assert_close(first, FixedBalance().combine(terms, weights))
    optimizer = torch.optim.Adam(balance.parameters(), lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        balance.combine(terms, weights).backward()
        optimizer.step()
    torch.testing.assert_close(
        balance.log_variance.detach(), torch.tensor([0.2, 5.0]).log(), atol=0.02, rtol=0
    )


def test_uncertainty_gradient_by_finite_differences():
    balance = UncertaintyBalance(("rec",)).double()
    rec = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: balance.combine({"rec": x}, {"rec": 2.0}), (rec,))


def test_gradient_balance_shares_the_gradient_as_weighted_whatever_the_scale():
    torch.manual_seed(0)
    output = torch.randn(3, 4, requires_grad=True)
    balance = GradientBalance(("rec", "adv"), scale=2.0)
    weights = {"rec": 3.0, "adv": 1.0}
    for factor in (1.0, 1e4):
        balance = GradientBalance(("rec", "adv"), scale=2.0)
        first, second = output[:, :2].square().mean(), factor * output[:, 2:].sum()
        loss = balance.combine({"rec": first, "adv": second}, weights, output)
        (gradient,) = torch.autograd.grad(loss, output)
        assert gradient[:, :2].norm(dim=1).mean().item() == pytest.approx(2.0 * 0.75, rel=1e-4)
        assert gradient[:, 2:].norm(dim=1).mean().item() == pytest.approx(2.0 * 0.25, rel=1e-4)


def test_gradient_balance_averages_norms_over_updates_and_saves_them():
    output = torch.zeros(1, 1, requires_grad=True)
    balance = GradientBalance(("rec",), decay=0.5)
    for factor in (1.0, 4.0):
        loss = balance.combine({"rec": factor * output.sum()}, {"rec": 1.0}, output)
    # Bias-corrected average of 1 and 4 with decay 0.5: (0.25 * 1 + 0.5 * 4) / 0.75 = 3.
    (gradient,) = torch.autograd.grad(loss, output)
    assert gradient.item() == pytest.approx(4 / 3)
    restored = GradientBalance(("rec",), decay=0.5)
    restored.load_state_dict(balance.state_dict())
    torch.testing.assert_close(restored.norms, balance.norms)


def test_gradient_balance_leaves_terms_that_miss_the_anchor_alone():
    output = torch.ones(1, 2, requires_grad=True)
    latent = torch.tensor(2.0, requires_grad=True)
    terms = {"rec": output.sum(), "kl": latent.square()}
    loss = GradientBalance(("rec", "kl")).combine(terms, {"rec": 1.0, "kl": 0.5}, output)
    (gradient,) = torch.autograd.grad(loss, latent)
    assert gradient.item() == pytest.approx(0.5 * 4)


def test_gradient_balance_does_not_remember_a_broken_update():
    output = torch.ones(1, 1, requires_grad=True)
    balance = GradientBalance(("rec",))
    balance.combine({"rec": 2 * output.sum()}, {"rec": 1.0}, output)
    balance.combine({"rec": math.inf * output.sum()}, {"rec": 1.0}, output)
    loss = balance.combine({"rec": 2 * output.sum()}, {"rec": 1.0}, output)
    (gradient,) = torch.autograd.grad(loss, output)
    assert gradient.item() == pytest.approx(1.0)


def test_adaptive_gives_the_adversary_the_gradient_of_reconstruction():
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    terms = {"rec": 0.5 * weight.square().sum(), "adv": 1000 * weight[0]}
    balance = AdaptiveBalance()
    loss = balance.combine(terms, {"rec": 2.0, "adv": 0.5}, weight)
    (gradient,) = torch.autograd.grad(loss, weight)
    # 2 * (3, 4) has norm 10; the adversary gets half of it along the first axis.
    torch.testing.assert_close(gradient, torch.tensor([6.0 + 5.0, 8.0]))


def test_adaptive_factor_is_bounded_and_absent_without_both_terms():
    weight = torch.tensor([1.0], requires_grad=True)
    terms = {"rec": weight.sum(), "adv": 0.0 * weight.sum()}
    loss = AdaptiveBalance(max_factor=10.0).combine(terms, {"rec": 1.0, "adv": 1.0}, weight)
    assert torch.isfinite(loss)
    alone = AdaptiveBalance().combine(terms, {"rec": 3.0, "adv": 0.0})
    assert alone.item() == pytest.approx(3.0)


def test_needed_anchors_are_asked_for():
    weight = torch.ones(1, requires_grad=True)
    terms = {"rec": weight.sum(), "adv": weight.sum()}
    weights = {"rec": 1.0, "adv": 1.0}
    for balance in (AdaptiveBalance(), GradientBalance(("rec",))):
        with pytest.raises(ValueError, match="anchor"):
            balance.combine(terms, weights)
    with pytest.raises(ValueError, match="only one of"):
        AdaptiveBalance().combine(scalars(rec=1.0, adv=1.0), weights, weight)


def test_bf16_terms_are_added_in_fp32():
    terms = {f"term{index}": torch.tensor(1.0, dtype=torch.bfloat16) for index in range(300)}
    loss = FixedBalance().combine(terms, dict.fromkeys(terms, 1.0))
    assert loss.dtype == torch.float32
    assert loss.item() == 300


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="uncertainty"):
        BalanceConfig(kind="kendall")
    with pytest.raises(ValueError, match="decay"):
        GradientBalance(("rec",), decay=1.0)
