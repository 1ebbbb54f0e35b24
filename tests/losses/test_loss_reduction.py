import pytest
import torch

from losses.reduction import at_least_float32, masked_mean


def test_masked_mean_ignores_padding_even_if_it_is_not_finite():
    values = torch.tensor([[1.0, 2.0, torch.nan], [3.0, torch.inf, -torch.inf]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert masked_mean(values, mask).item() == 2.0


def test_masked_mean_counts_elements_of_a_broadcast_mask():
    values = torch.arange(12.0).reshape(1, 3, 4)
    mask = torch.tensor([[[True, True, False, False]]])
    torch.testing.assert_close(masked_mean(values, mask), values[:, :, :2].mean())


def test_empty_mask_gives_zero_and_a_zero_gradient():
    values = torch.ones(2, 3, requires_grad=True)
    loss = masked_mean(values, torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert values.grad is not None
    assert values.grad.abs().sum() == 0


@pytest.mark.parametrize(
    "mask", [torch.ones(2, 2, dtype=torch.bool), torch.ones(2, 2, 5), torch.ones(2, 1, 4).bool()]
)
def test_masks_of_wrong_shape_or_type_are_refused(mask):
    with pytest.raises(ValueError, match="mask"):
        masked_mean(torch.zeros(2, 2, 5), mask)


def test_low_precision_is_raised_and_double_is_kept():
    assert at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert at_least_float32(torch.zeros(1, dtype=torch.float16)).dtype == torch.float32
    assert at_least_float32(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    # 2^20 ones cannot be counted in bf16 (it stops at 256).
    assert masked_mean(torch.ones(1 << 20, dtype=torch.bfloat16), None).item() == 1.0
