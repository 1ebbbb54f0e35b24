"""Precision and reduction shared by every loss: fp32 at least, means over valid positions only."""

import torch
from jaxtyping import Float
from torch import Tensor

_LOW_PRECISION = (torch.float16, torch.bfloat16)


def at_least_float32(values: Tensor) -> Tensor:
    """Return half and bfloat16 tensors as float32 and any other tensor as it is.

    Float64 stays float64, so that gradients can be checked by finite differences.
    """
    return values.float() if values.dtype in _LOW_PRECISION else values


def broadcast_mask(mask: Tensor, values: Tensor) -> Tensor:
    """Return a bool mask expanded to the shape of `values`.

    Args:
        mask: Bool, True where there is data; as many axes as `values`, each equal to that of
            `values` or 1.
        values: The tensor whose positions are masked.

    Raises:
        ValueError: The mask is not bool or its shape does not fit. Axes are never added: a
            `[batch, frames]` mask would silently mask the channels of `[batch, channels, frames]`
            whenever batch and channels happen to be equal.
    """
    if mask.dtype != torch.bool:
        raise ValueError(f"a mask must be bool (True where there is data), not {mask.dtype}")
    fits = mask.ndim == values.ndim and all(
        m in (1, v) for m, v in zip(mask.shape, values.shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"mask {tuple(mask.shape)} does not fit values {tuple(values.shape)}: give it as many "
            "axes, each of equal size or 1"
        )
    return mask.expand_as(values)


def zero_padding(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return `values` with 0 at padded positions.

    Done before a formula rather than after it: garbage in the padding (inf, NaN) would otherwise
    reach the gradient as 0 * inf.
    """
    if mask is None:
        return values
    return torch.where(broadcast_mask(mask, values), values, torch.zeros_like(values))


def masked_mean(values: Float[Tensor, "*shape"], mask: Tensor | None) -> Float[Tensor, ""]:
    """Return the mean of `values` over the positions where `mask` is True.

    Args:
        values: Any float tensor.
        mask: Bool, see `broadcast_mask`; None means that every position is valid.

    Returns:
        The mean, at least float32. A mask with nothing valid gives 0 and a zero gradient: an empty
        item must not turn a whole update into NaN.
    """
    values = at_least_float32(values)
    if mask is None:
        return values.mean()
    valid = broadcast_mask(mask, values)
    return zero_padding(values, mask).sum() / valid.sum().clamp(min=1)
