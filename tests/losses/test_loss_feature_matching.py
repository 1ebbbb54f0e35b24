import pytest
import torch

from losses.adversarial import Judgement
from losses.feature_matching import feature_matching_loss


def judge(features, masks=None):
    return Judgement(torch.zeros(2, 1), features, None, masks or [])


def test_value_by_hand_is_the_mean_over_layers_and_discriminators():
    real = [judge([torch.zeros(2, 3), torch.zeros(2, 5, 2)]), judge([torch.zeros(2, 1)])]
    fake = [
        judge([torch.ones(2, 3), torch.full((2, 5, 2), 3.0)]),
        judge([torch.full((2, 1), -4.0)]),
    ]
    assert feature_matching_loss(real, fake).item() == ((1 + 3) / 2 + 4) / 2


def test_only_the_generated_side_gets_a_gradient():
    real = torch.randn(2, 3, requires_grad=True)
    fake = torch.randn(2, 3, requires_grad=True)
    feature_matching_loss([judge([real])], [judge([fake])]).backward()
    assert real.grad is None
    torch.testing.assert_close(fake.grad, (fake - real).sign().detach() / 6)


def test_padding_changes_nothing():
    torch.manual_seed(0)
    real, fake = torch.randn(2, 4, 6), torch.randn(2, 4, 6)
    mask = torch.arange(9)[None, None] < 6
    mask = mask.expand(2, 1, 9)
    padded = [torch.cat([x, torch.full((2, 4, 3), torch.nan)], 2) for x in (real, fake)]
    for relative in (False, True):
        torch.testing.assert_close(
            feature_matching_loss([judge([padded[0]], [mask])], [judge([padded[1]])], relative),
            feature_matching_loss([judge([real])], [judge([fake])], relative),
        )


def test_relative_distance_does_not_depend_on_the_scale_of_the_features():
    torch.manual_seed(0)
    real, fake = torch.randn(2, 8), torch.randn(2, 8)
    small = feature_matching_loss([judge([real])], [judge([fake])], relative=True)
    large = feature_matching_loss([judge([100 * real])], [judge([100 * fake])], relative=True)
    torch.testing.assert_close(small, large)


def test_gradient_by_finite_differences():
    torch.manual_seed(0)
    real = torch.randn(2, 4, dtype=torch.float64)
    fake = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda f: feature_matching_loss([judge([real])], [judge([f])], relative=True), (fake,)
    )


def test_bf16_features_are_compared_in_fp32():
    # 256 + 1 is not representable in bf16, where the sum of many ones would stall.
    real = judge([torch.zeros(2, 4096, dtype=torch.bfloat16)])
    fake = judge([torch.ones(2, 4096, dtype=torch.bfloat16)])
    assert feature_matching_loss([real], [fake]).item() == 1.0


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="no features"):
        feature_matching_loss([judge([])], [judge([])])
    with pytest.raises(ValueError, match="numbers of feature maps"):
        feature_matching_loss([judge([torch.zeros(2, 1)])], [judge([])])
    with pytest.raises(ValueError, match="pairs"):
        feature_matching_loss([judge([torch.zeros(2, 1)])], [])
