import math

import pytest
import torch
from torch.nn import functional

from losses.classification import (
    CLASSIFICATION_KINDS,
    IGNORE,
    ClassificationParameters,
    adaptive_label_smoothing,
    categorical_focal,
    categorical_hinge,
    classification,
    cross_entropy,
)
from losses.distillation import distillation_loss


def batch(dtype=torch.float32):
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 5, dtype=dtype)
    targets = torch.tensor([[0, 4, 2, IGNORE], [1, 3, IGNORE, IGNORE]])
    return logits, targets


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_equals_torch(smoothing, weighted):
    logits, targets = batch()
    weights = torch.tensor([1.0, 0.5, 2.0, 3.0, 0.1]) if weighted else None
    expected = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), weights, label_smoothing=smoothing
    )
    torch.testing.assert_close(cross_entropy(logits, targets, smoothing, weights), expected)


def test_a_batch_without_targets_gives_zero_and_not_nan():
    logits = torch.randn(1, 3, 4, requires_grad=True)
    targets = torch.full((1, 3), IGNORE)
    for kind in CLASSIFICATION_KINDS:
        loss = classification(logits, targets, kind)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == 0
        assert gradient.abs().sum() == 0
    assert cross_entropy(logits, targets, class_weights=torch.ones(4)).item() == 0


def test_adaptive_smoothing_by_hand():
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    p = logits.softmax(-1)[0]
    entropy = -(p * p.log()).sum()
    share = 0.3 * (1 - entropy / math.log(3))
    expected = -(1 - share) * p[1].log() - share * p.log().mean()
    value = adaptive_label_smoothing(logits, torch.tensor([1]), 0.3)
    torch.testing.assert_close(value, expected)


def test_adaptive_smoothing_leaves_uncertain_predictions_hard_and_smooths_certain_ones():
    uncertain, certain = torch.zeros(1, 4), torch.tensor([[50.0, 0.0, 0.0, 0.0]])
    target = torch.tensor([0])
    torch.testing.assert_close(
        adaptive_label_smoothing(uncertain, target, 0.2), cross_entropy(uncertain, target)
    )
    torch.testing.assert_close(
        adaptive_label_smoothing(certain, target, 0.2), cross_entropy(certain, target, 0.2)
    )


def test_categorical_hinge_by_hand_and_against_torch():
    logits = torch.tensor([[3.0, 1.0, 2.5], [0.0, 5.0, 1.0]])
    value = categorical_hinge(logits, torch.tensor([0, 1]))
    assert value.item() == pytest.approx((0.5 + 0.0) / 2)
    # With two classes the sum over classes of PyTorch's loss (times K) is the maximum.
    two = torch.randn(6, 2)
    targets = torch.tensor([0, 1, 0, 1, 1, 0])
    torch.testing.assert_close(
        categorical_hinge(two, targets), 2 * functional.multi_margin_loss(two, targets)
    )


def test_focal_without_gamma_is_cross_entropy_and_with_gamma_by_hand():
    logits, targets = batch()
    torch.testing.assert_close(
        categorical_focal(logits, targets, 0.0), cross_entropy(logits, targets)
    )
    p = torch.tensor([0.9, 0.1])
    value = categorical_focal(p.log()[None], torch.tensor([0]), 2.0)
    assert value.item() == pytest.approx(-(0.1**2) * math.log(0.9), rel=1e-5)


@pytest.mark.parametrize("kind", sorted(set(CLASSIFICATION_KINDS) - {"adaptive_label_smoothing"}))
def test_gradients_by_finite_differences(kind):
    logits, targets = batch(torch.float64)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: classification(x, targets, kind), (logits,))


def test_gradient_of_adaptive_smoothing_is_that_of_its_soft_targets():
    logits = torch.randn(1, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        adaptive_label_smoothing(logits, torch.tensor([2]), 0.4), logits
    )
    p = logits.detach().softmax(-1)
    share = 0.4 * (1 + (p * p.log()).sum() / math.log(4))
    soft = share / 4 + (1 - share) * torch.eye(4, dtype=torch.float64)[2]
    torch.testing.assert_close(gradient, p - soft)


@pytest.mark.parametrize("kind", CLASSIFICATION_KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_logits_stay_finite(kind, dtype):
    logits = torch.tensor([[1e4, -1e4, 0.0], [0.0, 1e4, 1e4]], dtype=dtype, requires_grad=True)
    loss = classification(logits, torch.tensor([1, 1]), kind)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_a_certain_right_answer_has_a_finite_gradient(gamma):
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    categorical_focal(logits, torch.tensor([0]), gamma).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("kind", CLASSIFICATION_KINDS)
def test_ignored_positions_change_nothing(kind):
    logits, targets = batch()
    padded = torch.cat([logits, torch.full((2, 3, 5), torch.nan)], 1).requires_grad_()
    ignored = torch.cat([targets, torch.full((2, 3), IGNORE)], 1)
    loss = classification(padded, ignored, kind)
    torch.testing.assert_close(loss, classification(logits, targets, kind))
    loss.backward()
    assert torch.isfinite(padded.grad).all()


def test_distillation_equals_torch_and_is_zero_at_agreement():
    torch.manual_seed(0)
    student, teacher = torch.randn(3, 6), torch.randn(3, 6)
    expected = 9 * functional.kl_div(
        (student / 3).log_softmax(-1), (teacher / 3).softmax(-1), reduction="batchmean"
    )
    torch.testing.assert_close(distillation_loss(student, teacher, 3.0), expected)
    assert distillation_loss(teacher, teacher + 5, 3.0).item() == pytest.approx(0, abs=1e-5)


def test_distillation_teaches_the_student_only():
    torch.manual_seed(0)
    student = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    distillation_loss(student, teacher).backward()
    assert teacher.grad is None
    assert torch.autograd.gradcheck(lambda s: distillation_loss(s, teacher.detach()), (student,))


def test_distillation_padding_and_extreme_teachers():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    mask = (torch.arange(5) < 3)[None].expand(2, 5)
    torch.testing.assert_close(
        distillation_loss(student, teacher, 2.0, mask),
        distillation_loss(student[:, :3], teacher[:, :3], 2.0),
    )
    certain = torch.tensor([[1e4, -1e4]], dtype=torch.bfloat16)
    student = torch.zeros(1, 2, requires_grad=True)
    loss = distillation_loss(student, certain, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert torch.isfinite(student.grad).all()


def test_misuse_is_refused():
    logits, targets = batch()
    with pytest.raises(ValueError, match="label_smoothing"):
        cross_entropy(logits, targets, 1.0)
    with pytest.raises(ValueError, match="cross_entropy"):
        classification(logits, targets, "ce")
    with pytest.raises(ValueError, match="temperature"):
        distillation_loss(logits, logits, 0.0)
    with pytest.raises(ValueError, match="focal_gamma"):
        ClassificationParameters(focal_gamma=-1.0)
    with pytest.raises(ValueError, match="margin"):
        ClassificationParameters(margin=0.0)
