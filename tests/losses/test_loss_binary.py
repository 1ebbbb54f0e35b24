import math

import pytest
import torch
from torch.nn import functional

from losses.binary import BINARY_KINDS, BinaryParameters, binary
from losses.overlap import dice_loss

PARAMETERS = BinaryParameters(
    positive_weight=3.0, focal_alpha=0.7, focal_gamma=1.5, dice_share=0.25
)


def batch(dtype=torch.float32):
    torch.manual_seed(0)
    logits = torch.randn(2, 6, dtype=dtype)
    return logits, torch.rand(2, 6) < 0.4


def test_bce_equals_torch():
    logits, targets = batch()
    expected = functional.binary_cross_entropy_with_logits(
        logits, targets.float(), pos_weight=torch.tensor(3.0)
    )
    torch.testing.assert_close(binary(logits, targets, None, "bce", PARAMETERS), expected)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("hinge", (0.5 + 3 + 0) / 3),
        ("squared_hinge", (0.25 + 9 + 0) / 3),
        ("exponential", (math.exp(-0.5) + math.exp(2) + math.exp(-4)) / 3),
    ],
)
def test_margin_losses_by_hand(kind, expected):
    logits, targets = torch.tensor([0.5, 2.0, -4.0]), torch.tensor([True, False, False])
    assert binary(logits, targets, None, kind).item() == pytest.approx(expected)


def test_focal_by_hand_and_without_focus():
    logits, targets = batch()
    p = torch.where(targets, logits.sigmoid(), 1 - logits.sigmoid())
    weight = torch.where(targets, 0.7, 0.3)
    expected = (-weight * (1 - p) ** 1.5 * p.log()).mean()
    torch.testing.assert_close(binary(logits, targets, None, "focal", PARAMETERS), expected)
    even = BinaryParameters(focal_alpha=0.5, focal_gamma=0.0)
    torch.testing.assert_close(
        binary(logits, targets, None, "focal", even), 0.5 * binary(logits, targets)
    )


def test_dice_by_hand():
    logits = torch.tensor([0.0, 100.0, -100.0])
    targets = torch.tensor([True, True, False])
    # p = 0.5, 1, 0: overlap 2 * 1.5 + 1, sizes 1.25 + 2 + 1.
    assert dice_loss(logits, targets).item() == pytest.approx(1 - 4 / 4.25)


def test_dice_of_nothing_found_where_nothing_is_is_zero():
    assert dice_loss(torch.full((3,), -100.0), torch.zeros(3, dtype=torch.bool)).item() == 0


def test_dice_bce_is_the_mixture():
    logits, targets = batch()
    dice = binary(logits, targets, None, "dice", PARAMETERS)
    bce = binary(logits, targets, None, "bce", PARAMETERS)
    mixed = binary(logits, targets, None, "dice_bce", PARAMETERS)
    torch.testing.assert_close(mixed, 0.25 * dice + 0.75 * bce)


@pytest.mark.parametrize("kind", BINARY_KINDS)
def test_gradients_by_finite_differences(kind):
    logits, targets = batch(torch.float64)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: binary(x, targets, None, kind, PARAMETERS), (logits,))


@pytest.mark.parametrize("kind", BINARY_KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_logits_stay_finite(kind, dtype):
    logits = torch.tensor([1e4, -1e4, 1e4, -1e4, 0.0], dtype=dtype, requires_grad=True)
    targets = torch.tensor([True, True, False, False, True])
    loss = binary(logits, targets, None, kind)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("kind", BINARY_KINDS)
def test_padding_changes_nothing(kind):
    logits, targets = batch()
    padded = torch.cat([logits, torch.full((2, 3), torch.nan)], 1).requires_grad_()
    more = torch.cat([targets, torch.ones(2, 3, dtype=torch.bool)], 1)
    mask = (torch.arange(9) < 6)[None].expand(2, 9)
    loss = binary(padded, more, mask, kind, PARAMETERS)
    torch.testing.assert_close(loss, binary(logits, targets, None, kind, PARAMETERS))
    loss.backward()
    assert torch.isfinite(padded.grad).all()
    assert padded.grad[:, 6:].abs().sum() == 0


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="bce"):
        binary(torch.zeros(1), torch.ones(1).bool(), None, "cross_entropy")
    for field in ("positive_weight", "focal_alpha", "focal_gamma", "dice_share"):
        with pytest.raises(ValueError, match=field):
            BinaryParameters(**{field: -1.0})
