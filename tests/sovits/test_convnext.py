import pytest
import torch

from data.masks import length_mask
from sovits.convnext import ConvNeXtBlock


def test_padding_has_no_influence() -> None:
    torch.manual_seed(0)
    block = ConvNeXtBlock(8, condition_channels=4)
    x, condition = torch.randn(2, 12, 8), torch.randn(2, 4)
    mask = length_mask(torch.tensor([12, 7]), 12)
    alone = block(x[1:, :7], mask[1:, :7], condition[1:])
    together = block(x.masked_fill(~mask.unsqueeze(-1), 50.0), mask, condition)
    torch.testing.assert_close(together[1:, :7], alone)


def test_the_condition_starts_without_effect_and_is_learned() -> None:
    torch.manual_seed(0)
    block = ConvNeXtBlock(8, condition_channels=4)
    x, mask = torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)
    first, second = block(x, mask, torch.zeros(2, 4)), block(x, mask, torch.ones(2, 4))
    torch.testing.assert_close(first, second)
    second.square().sum().backward()
    assert block.modulation.weight.grad.abs().sum() > 0


def test_a_missing_or_unexpected_condition_is_refused() -> None:
    x, mask = torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool)
    with pytest.raises(ValueError, match="condition"):
        ConvNeXtBlock(8, condition_channels=4)(x, mask)
    with pytest.raises(ValueError, match="condition"):
        ConvNeXtBlock(8)(x, mask, torch.zeros(1, 4))
