"""Weights of linear layers, laid out for generation: at full width, in 16 bits, or in 8."""

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int8
from torch import Tensor

WEIGHTS = ("float32", "float16", "bfloat16", "int8")
"""What weights can be kept in: writing a token reads all of them, so fewer bytes are faster."""

Linear = Callable[[Float[Tensor, "positions inputs"]], Float[Tensor, "positions outputs"]]


def best_weights(device: torch.device) -> str:
    """float16 where it computes with full-width inputs, which loses nothing of a bundle's weights.

    Bundles are saved in 16 bits. Of torch's products, only FBGEMM's (x86 processors) multiply them
    by fp32 inputs.
    """
    return "float16" if device.type == "cpu" and _has_fbgemm() else "float32"


def pack_linear(
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"] | None,
    kind: str,
) -> Linear:
    """Return x -> x W' + b on fp32 inputs and outputs, with its own copy of W in `kind`.

    On one core, weights of 24 layers of width 512 and one position (100 M weights): torch's own
    fp32 layer 26 ms, packed float32 20, float16 7.9, bfloat16 8.0, int8 4.9.

    * float32: oneDNN's blocked layout on CPUs.
    * float16: FBGEMM on CPUs, fp32 inputs and sums: only the weights are rounded.
    * bfloat16: oneDNN on CPUs; inputs are rounded to 8 bits of mantissa too.
    * int8: one scale for each output; inputs are rounded to 8 bits too, with one scale for all
      positions, so the rounding of one row depends on the others.

    Raises:
        ValueError: unknown kind, or one that this device has no product for.
    """
    if kind not in WEIGHTS:
        raise ValueError(f"weights {kind!r} are unknown: use one of {', '.join(WEIGHTS)}")
    weight = weight.detach().float()
    bias = None if bias is None else bias.detach().float()
    if weight.device.type != "cpu":
        return _cast(weight, bias, kind)
    if kind in ("float16", "int8"):
        if not _has_fbgemm():
            raise ValueError(f"weights={kind} needs FBGEMM (x86 processors): use float32")
        return _fbgemm(weight, bias, kind)
    if torch.backends.mkldnn.is_available():
        return _onednn(weight, bias, getattr(torch, kind))
    return _cast(weight, bias, kind)


def _cast(weight: Tensor, bias: Tensor | None, kind: str) -> Linear:
    if kind == "int8":
        raise ValueError("weights=int8 is for CPUs: use bfloat16 or float16")
    dtype = getattr(torch, kind)
    # A copy: a view of the parameter would follow its training, which the other kinds do not.
    narrow = weight.to(dtype, copy=True)
    offset = None if bias is None else bias.to(dtype, copy=True)
    return lambda x: F.linear(x.to(dtype), narrow, offset).float()


def _onednn(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Linear:
    blocked = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype), 1)
    offset = None if bias is None else bias.to(dtype)
    product = torch.ops.mkldnn._linear_pointwise.default
    if dtype == torch.float32:
        return lambda x: product(x, blocked, offset, "none", [], "")
    return lambda x: product(x.to(dtype), blocked, offset, "none", [], "").float()


def _fbgemm(weight: Tensor, bias: Tensor | None, kind: str) -> Linear:
    operators = torch.ops.quantized
    if kind == "float16":
        half = operators.linear_prepack_fp16(weight, bias)
        product = operators.linear_dynamic_fp16.default
        return lambda x: product(x, half)
    rounded, scale = round_to_bytes(weight)
    zero = torch.zeros(len(scale), dtype=torch.int64)
    with warnings.catch_warnings():
        # torch calls quantized tensors deprecated, but offers no other packing for this product.
        warnings.filterwarnings("ignore", message=".*deprecated", category=UserWarning)
        quantized = torch._make_per_channel_quantized_tensor(rounded, scale.double(), zero, 0)
        packed = operators.linear_prepack(quantized, bias)
    dynamic = operators.linear_dynamic.default
    return lambda x: dynamic(x, packed)


def round_to_bytes(
    weight: Float[Tensor, "outputs inputs"],
) -> tuple[Int8[Tensor, "outputs inputs"], Float[Tensor, " outputs"]]:
    """Weights as signed bytes, and what one of them is worth in each output."""
    scale = weight.abs().amax(1).clamp_min(1e-8) / 127
    return (weight / scale[:, None]).round().to(torch.int8), scale


def _has_fbgemm() -> bool:
    return "fbgemm" in torch.backends.quantized.supported_engines
