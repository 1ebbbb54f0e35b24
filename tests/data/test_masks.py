"""Masks and segments."""

import pytest
import torch

from data.masks import length_mask, segments


def test_length_mask_is_true_where_there_is_data():
    mask = length_mask(torch.tensor([0, 2, 4]), 4)
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[False] * 4, [True, True, False, False], [True] * 4]


def test_length_beyond_the_size_is_cut():
    assert length_mask(torch.tensor([9]), 3).all()


def test_segments_are_the_slices():
    x = torch.arange(2 * 3 * 10).float().reshape(2, 3, 10)
    cut = segments(x, torch.tensor([1, 6]), 4)
    torch.testing.assert_close(cut, torch.stack([x[0, :, 1:5], x[1, :, 6:10]]))


def test_segments_pass_gradients_to_the_cut_only():
    x = torch.zeros(1, 2, 6, requires_grad=True)
    segments(x, torch.tensor([2]), 3).sum().backward()
    assert x.grad[0].tolist() == [[0, 0, 1, 1, 1, 0]] * 2


def test_segment_beyond_the_end_is_refused():
    with pytest.raises((IndexError, RuntimeError)):
        segments(torch.zeros(1, 1, 5), torch.tensor([3]), 3)
