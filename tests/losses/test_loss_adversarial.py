import math

import pytest
import torch

from losses.adversarial import (
    ADVERSARIAL_KINDS,
    Judgement,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)


def judge(scores, mask=None):
    return Judgement(scores=scores, mask=mask)


@pytest.mark.parametrize(
    ("kind", "discriminator", "generator"),
    [
        ("lsgan", ((2 - 1) ** 2 + 0.5**2), (0.5 - 1) ** 2),
        ("hinge", 0 + 1.5, -0.5),
        ("bce", math.log1p(math.exp(-2)) + math.log1p(math.exp(0.5)), math.log1p(math.exp(-0.5))),
        ("wasserstein", 0.5 - 2, -0.5),
    ],
)
def test_values_by_hand(kind, discriminator, generator):
    real, fake = [judge(torch.full((2, 3), 2.0))], [judge(torch.full((2, 3), 0.5))]
    assert discriminator_loss(real, fake, kind).item() == pytest.approx(discriminator)
    assert generator_loss(fake, kind).item() == pytest.approx(generator)


@pytest.mark.parametrize(
    ("kind", "score", "value"),
    [("lsgan", 0.5, 0.5), ("hinge", 0.0, 2.0), ("bce", 0.0, 2 * math.log(2))],
)
def test_undecided_value_does_not_depend_on_the_number_of_discriminators(kind, score, value):
    one = [judge(torch.full((2, 3), score))]
    assert discriminator_loss(one, one, kind).item() == pytest.approx(value)
    assert discriminator_loss(one * 5, one * 5, kind).item() == pytest.approx(value)


@pytest.mark.parametrize("kind", ADVERSARIAL_KINDS)
def test_padding_changes_nothing(kind):
    torch.manual_seed(0)
    real, fake = torch.randn(2, 5), torch.randn(2, 5)
    mask = torch.ones(2, 8, dtype=torch.bool)
    mask[:, 5:] = False
    padding = torch.full((2, 3), torch.inf)
    padded_real = [judge(torch.cat([real, padding], 1), mask)]
    padded_fake = [judge(torch.cat([fake, padding], 1), mask)]
    torch.testing.assert_close(
        discriminator_loss(padded_real, padded_fake, kind),
        discriminator_loss([judge(real)], [judge(fake)], kind),
    )
    torch.testing.assert_close(
        generator_loss(padded_fake, kind), generator_loss([judge(fake)], kind)
    )


@pytest.mark.parametrize("kind", ADVERSARIAL_KINDS)
def test_gradients_by_finite_differences(kind):
    torch.manual_seed(0)
    real = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    fake = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda r, f: discriminator_loss([judge(r)], [judge(f)], kind), (real, fake)
    )
    assert torch.autograd.gradcheck(lambda f: generator_loss([judge(f)], kind), (fake,))


@pytest.mark.parametrize("kind", ADVERSARIAL_KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_scores_stay_finite(kind, dtype):
    scores = torch.tensor([[1e4, -1e4]], dtype=dtype, requires_grad=True)
    loss = discriminator_loss([judge(scores)], [judge(scores)], kind)
    (loss + generator_loss([judge(scores)], kind)).backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()


def test_r1_is_the_squared_gradient_norm_of_the_mean_score():
    # D(x) = mean_j (a x_j^2) over 3 positions: gradient 2 a x / 3.
    inputs = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]], requires_grad=True)
    slope = torch.tensor(1.5, requires_grad=True)
    penalty = r1_penalty([judge(slope * inputs.square())], inputs)
    assert penalty.item() == pytest.approx((14 + 1) / 2)
    penalty.backward()
    assert slope.grad.item() == pytest.approx(2 * 7.5 / 1.5)


def test_r1_over_masked_positions_equals_the_item_alone():
    alone = torch.randn(1, 3, requires_grad=True)
    padded = torch.cat([alone.detach(), torch.zeros(1, 2)], 1).requires_grad_()
    mask = torch.tensor([[True, True, True, False, False]])
    torch.testing.assert_close(
        r1_penalty([judge(padded.exp(), mask)], padded), r1_penalty([judge(alone.exp())], alone)
    )


def test_r1_gradient_by_finite_differences():
    inputs = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    def penalty(weight):
        return r1_penalty([judge((weight * inputs).tanh()), judge(weight * inputs**2)], inputs)

    weight = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(penalty, (weight,))


def test_r1_without_gradient_says_what_to_do():
    inputs = torch.randn(1, 3)
    with pytest.raises(ValueError, match="requires_grad_"):
        r1_penalty([judge(inputs)], inputs)


def test_gradient_penalty_of_a_linear_discriminator_by_hand():
    # D(x) = w . x has the gradient w everywhere: penalty (||w|| - 1)^2.
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    penalty = gradient_penalty(
        lambda x: [judge((x * weight).sum(1, keepdim=True))], torch.randn(4, 2), torch.randn(4, 2)
    )
    assert penalty.item() == pytest.approx(16.0)
    penalty.backward()
    torch.testing.assert_close(weight.grad, 2 * 4 * torch.tensor([0.6, 0.8]))


def test_gradient_penalty_is_measured_between_real_and_fake():
    seen = []

    def discriminate(inputs):
        seen.append(inputs.detach())
        return [judge(inputs.sum(dim=(1, 2), keepdim=True)[:, 0])]

    generator = torch.Generator().manual_seed(1)
    gradient_penalty(discriminate, torch.zeros(3, 2, 4), torch.ones(3, 2, 4), generator)
    shares = seen[0].flatten(1)
    assert (shares == shares[:, :1]).all()
    assert len(shares[:, 0].unique()) == 3
    assert (shares > 0).all()
    assert (shares < 1).all()


def test_gradient_penalty_at_a_flat_discriminator_has_no_nan():
    weight = torch.zeros(2, requires_grad=True)
    penalty = gradient_penalty(lambda x: [judge(x * weight)], torch.randn(3, 2), torch.randn(3, 2))
    penalty.backward()
    assert penalty.item() == pytest.approx(1.0)
    assert torch.isfinite(weight.grad).all()


def test_misuse_is_refused():
    one = [judge(torch.zeros(1, 1))]
    with pytest.raises(ValueError, match="lsgan"):
        generator_loss(one, "lsgn")
    with pytest.raises(ValueError, match="pairs"):
        discriminator_loss(one, one * 2)
    with pytest.raises(ValueError, match="no judgement"):
        generator_loss([])
    with pytest.raises(ValueError, match="feature masks"):
        Judgement(torch.zeros(1, 1), [torch.zeros(1, 2)], None, [None, None])
