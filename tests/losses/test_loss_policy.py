import math

import pytest
import torch
from torch.nn import functional

from losses.classification import IGNORE, cross_entropy
from losses.policy_gradient import MovingBaseline, leave_one_out, reinforce_loss
from losses.preference import dpo_loss, preference_margin
from losses.token_log_probs import TokenLogProbs, token_log_probs


def batch(dtype=torch.float32):
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 5, dtype=dtype)
    return logits, torch.tensor([[1, 2, 3, 4], [0, 4, IGNORE, IGNORE]])


def log_probs(*per_token):
    values = torch.tensor(per_token).unsqueeze(1)
    return TokenLogProbs(values, torch.ones_like(values, dtype=torch.bool))


def test_token_log_probs_agree_with_cross_entropy():
    logits, targets = batch()
    result = token_log_probs(logits, targets)
    assert result.mask.sum().item() == 6
    torch.testing.assert_close(-result.values.sum() / 6, cross_entropy(logits, targets))
    expected = logits[1, :2].log_softmax(-1)[torch.arange(2), targets[1, :2]].mean()
    torch.testing.assert_close(result.per_token()[1], expected)


def test_padding_changes_nothing_and_an_empty_item_is_zero():
    logits, targets = batch()
    padded = torch.cat([logits, torch.full((2, 2, 5), torch.nan)], 1).requires_grad_()
    result = token_log_probs(padded, functional.pad(targets, (0, 2), value=IGNORE))
    torch.testing.assert_close(result.per_token(), token_log_probs(logits, targets).per_token())
    result.values.sum().backward()
    assert torch.isfinite(padded.grad).all()
    empty = token_log_probs(logits, torch.full((2, 4), IGNORE))
    assert empty.per_token().tolist() == [0, 0]


def test_reinforce_gradient_is_the_policy_gradient():
    # d/d logit of -A log p(y) = A (p - onehot), per token and item.
    logits, targets = batch(torch.float64)
    logits.requires_grad_()
    advantages = torch.tensor([2.0, -1.0], dtype=torch.float64, requires_grad=True)
    reinforce_loss(token_log_probs(logits, targets), advantages).backward()
    p = logits.detach().softmax(-1)
    expected = 2.0 * (p[0] - functional.one_hot(targets[0], 5)) / 4 / 2
    torch.testing.assert_close(logits.grad[0], expected)
    assert logits.grad[1, 2:].abs().sum() == 0
    assert advantages.grad is None


def test_reinforce_finds_the_rewarded_token():
    generator = torch.Generator().manual_seed(0)
    logits = torch.zeros(6, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(100):
        tokens = torch.multinomial(logits.detach().softmax(0), 16, True, generator=generator)
        rewards = (tokens == 3).float().unsqueeze(0)
        loss = reinforce_loss(
            token_log_probs(logits.expand(16, 1, 6), tokens.unsqueeze(1)), leave_one_out(rewards)[0]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert logits.softmax(0)[3] > 0.9


def test_leave_one_out_by_hand():
    rewards = torch.tensor([[1.0, 2.0, 6.0]])
    torch.testing.assert_close(leave_one_out(rewards), torch.tensor([[-3.0, -1.5, 4.5]]))
    with pytest.raises(ValueError, match="at least 2"):
        leave_one_out(rewards[:, :1])


def test_moving_baseline_uses_earlier_batches_only_and_can_be_restored():
    baseline = MovingBaseline(momentum=0.75)
    assert baseline.advantages(torch.tensor([1.0, 3.0])).tolist() == [-1.0, 1.0]
    assert baseline.advantages(torch.tensor([6.0, 6.0])).tolist() == [4.0, 4.0]
    assert baseline.value == pytest.approx(3.0)
    restored = MovingBaseline(0.75, baseline.value)
    assert restored.advantages(torch.tensor([3.0])).tolist() == [0.0]
    with pytest.raises(ValueError, match="momentum"):
        MovingBaseline(1.0)


def test_dpo_by_hand():
    margin = preference_margin(log_probs(-1.0), log_probs(-2.0), log_probs(-1.5), log_probs(-1.75))
    assert margin.item() == pytest.approx(0.5 + 0.25)
    assert dpo_loss(margin, 2.0).item() == pytest.approx(math.log1p(math.exp(-1.5)))
    assert dpo_loss(torch.zeros(3)).item() == pytest.approx(math.log(2))


def test_dpo_is_length_normalised():
    logits = torch.zeros(1, 8, 5)
    long = token_log_probs(logits, torch.ones(1, 8, dtype=torch.long))
    short = token_log_probs(logits[:, :2], torch.ones(1, 2, dtype=torch.long))
    zero = log_probs(0.0)
    assert preference_margin(long, short, zero, zero).item() == pytest.approx(0, abs=1e-6)


def test_dpo_trains_the_policy_and_not_the_reference():
    logits, targets = batch(torch.float64)
    policy = logits.clone().requires_grad_()
    reference = logits.clone().requires_grad_()
    other = targets.roll(1, dims=1)

    def loss(policy):
        return dpo_loss(
            preference_margin(
                token_log_probs(policy, targets),
                token_log_probs(policy, other),
                token_log_probs(reference, targets),
                token_log_probs(reference, other),
            )
        )

    loss(policy).backward()
    assert reference.grad is None
    assert torch.autograd.gradcheck(loss, (policy,))
    before = token_log_probs(policy, targets).per_token()
    with torch.no_grad():
        policy -= 0.5 * policy.grad
    assert (token_log_probs(policy, targets).per_token() > before).all()


def test_extreme_values_stay_finite_in_bf16():
    logits = torch.tensor([[[1e4, -1e4], [0.0, 1e4]]], dtype=torch.bfloat16, requires_grad=True)
    result = token_log_probs(logits, torch.tensor([[1, 1]]))
    zero = TokenLogProbs(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool))
    loss = dpo_loss(preference_margin(result, zero, zero, zero), 10.0)
    loss = loss + reinforce_loss(result, torch.tensor([1e4]))
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_impossible_beta_is_refused():
    with pytest.raises(ValueError, match="beta"):
        dpo_loss(torch.zeros(1), 0.0)
