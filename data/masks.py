"""Masks of padded batches and cuts out of them."""

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor


def length_mask(lengths: Int[Tensor, " batch"], size: int) -> Bool[Tensor, "batch {size}"]:
    """Return the mask of a padded batch, True where there is data.

    Args:
        lengths: valid positions of each item; values above `size` are cut to it.
        size: padded length of the batch, in the same positions.
    """
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def segments(
    x: Shaped[Tensor, "batch channels time"], starts: Int[Tensor, " batch"], size: int
) -> Shaped[Tensor, "batch channels {size}"]:
    """Cut one segment of `size` positions out of each item, beginning at its start.

    Args:
        x: batch to cut; gradients flow back into the cut positions.
        starts: first position of each segment, with `starts + size <= time`.
        size: length of every segment, in positions.

    Raises:
        IndexError: a segment leaves the tensor (raised by torch; on CUDA a device-side assert).
    """
    positions = starts[:, None] + torch.arange(size, device=x.device)[None, :]
    return x.gather(2, positions[:, None, :].expand(-1, x.shape[1], -1))
