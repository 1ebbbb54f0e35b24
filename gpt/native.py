"""The cached transformer's pass in C (`native.c`), compiled at its first use on this machine."""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from gpt.packed import WEIGHTS, round_to_bytes

_LOG = logging.getLogger(__name__)
_SOURCE = Path(__file__).with_suffix(".c")
_FLAGS = ("-O3", "-shared", "-fPIC", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math")
_VARIANTS = (
    ("-march=native", "-fopenmp"),
    ("-mcpu=native", "-fopenmp"),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)
"""The first that compiles is taken: compilers differ, and Apple's has no OpenMP."""
_TILE, _PAD = 4, 16
"""Multiples that outputs and inputs of weights are padded to, as in `native.c`."""

Product = Float[Tensor, "outputs inputs"]


class _Model(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("layers", "width", "heads", "hidden", "kind")),
        *((name, ctypes.c_void_p) for name in ("weights", "scales", "norms", "rotation")),
    )


class _Batch(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("rows", "new", "first", "size")),
        *((name, ctypes.c_int64) for name in ("layer_stride", "row_stride", "threads")),
        *((name, ctypes.c_void_p) for name in ("x", "cache", "positions", "starts")),
    )


class NativeLayers:
    """All layers and the final norm, packed behind each other as `native.c` reads them.

    Sums are fp32 of fp32 inputs, whatever the weights are. A position's hidden state is the same
    bit for bit whichever positions are computed beside it, on however many threads.

    Args:
        library: of `load_library`.
        layers: the products of each: paired query, key and value; attention's output; gate and
            value, behind each other; the feed-forward layer's output.
        norms: two weights of each layer and the last one's, each multiplied by sqrt(width).
        rotation: unit complex numbers, those of each position in its channel pairs.
        heads: of attention.
        weights: one of `gpt.packed.WEIGHTS`; int8 has one scale for each output.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        layers: Sequence[Sequence[Product]],
        norms: Float[Tensor, "norms width"],
        rotation: Tensor,
        heads: int,
        weights: str,
    ):
        self._library, self._heads, self._kind = library, heads, WEIGHTS.index(weights)
        self._norms, self._rotation = norms.contiguous(), torch.view_as_real(rotation).contiguous()
        self._hidden = layers[0][3].shape[1]
        dtype = getattr(torch, weights)
        shapes = [_padded(product).shape for product in layers[0]]
        size, outputs = sum(shape.numel() for shape in shapes), sum(shape[0] for shape in shapes)
        self._weights = torch.empty(len(layers), size, dtype=dtype)
        self._scales = torch.empty(len(layers), outputs if weights == "int8" else 0)
        for layer, own, scales in zip(layers, self._weights, self._scales, strict=True):
            qkv, out, gate_and_value, feed_forward_out = layer
            # A gate beside its value: whoever computes the one has the other.
            gated = torch.stack(gate_and_value.chunk(2), 1).flatten(0, 1)
            padded = [_padded(product) for product in (qkv, out, gated, feed_forward_out)]
            if weights == "int8":
                rounded = [round_to_bytes(product) for product in padded]
                padded = [values for values, _ in rounded]
                torch.cat([scale for _, scale in rounded], out=scales)
            torch.cat([product.to(dtype).flatten() for product in padded], out=own)

    def __call__(
        self,
        x: Float[Tensor, "rows new width"],
        positions: Int[Tensor, "rows new"],
        slots: Float[Tensor, "layers rows 2 heads size channels"],
        starts: Int[Tensor, " rows"] | None,
        first: int,
    ) -> Float[Tensor, "rows new width"]:
        """Return hidden states; keys and values go into the slots from `first` on.

        Args:
            x: inputs, fp32.
            positions: of the inputs in their sequences.
            slots: of the cache; only its two first axes may be strided.
            starts: each row's first slot.
            first: slot of the first input.
        """
        rows, new, width = x.shape
        x = x.clone(memory_format=torch.contiguous_format)
        positions = positions.contiguous()
        starts = None if starts is None else starts.contiguous()
        model = _Model(
            *(len(self._weights), width, self._heads, self._hidden, self._kind),
            *(t.data_ptr() for t in (self._weights, self._scales, self._norms, self._rotation)),
        )
        batch = _Batch(
            *(rows, new, first, slots.shape[4], slots.stride(0), slots.stride(1)),
            torch.get_num_threads(),
            *(t.data_ptr() for t in (x, slots, positions)),
            None if starts is None else starts.data_ptr(),
        )
        if self._library.transform(ctypes.byref(model), ctypes.byref(batch)):
            raise MemoryError(f"no memory for {rows} x {new} positions")
        return x


def _padded(product: Product) -> Float[Tensor, "padded_outputs padded_inputs"]:
    outputs, inputs = product.shape
    return F.pad(product, (0, -inputs % _PAD, 0, -outputs % _TILE))


@functools.cache
def load_library() -> ctypes.CDLL | None:
    """The compiled `native.c`; None, and one line in the log, where it cannot be compiled."""
    try:
        return ctypes.CDLL(str(compiled(_cache_folder())))
    except (OSError, subprocess.SubprocessError) as error:
        _LOG.info("GPT writes without native code, which is slower: %s", error)
        return None


def compiled(folder: Path) -> Path:
    """Compile `native.c` into a folder, unless it is there already; any number of processes may.

    Raises:
        FileNotFoundError: there is no compiler.
        subprocess.SubprocessError: it refuses, or takes minutes.
    """
    found = (shutil.which(name) for name in ("cc", "gcc", "clang"))
    compiler = os.environ.get("CC") or next(filter(None, found), None)
    if compiler is None:
        raise FileNotFoundError("no C compiler was found: install gcc or clang, or set CC")
    source = _SOURCE.read_bytes()
    identity = repr((_FLAGS, _VARIANTS, compiler, _processor())).encode()
    target = folder / f"native-{hashlib.sha256(source + identity).hexdigest()[:16]}.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as building:
        result = Path(building) / target.name
        command = [*shlex.split(compiler), *_FLAGS, str(_SOURCE), "-o", str(result), "-lm"]
        for variant in _VARIANTS:
            done = subprocess.run([*command, *variant], capture_output=True, text=True, timeout=300)
            if done.returncode == 0:
                break
        done.check_returncode()
        os.replace(result, target)
    return target


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "timbre"


def _processor() -> str:
    """What -march=native depends on: a home may be shared by machines of several kinds."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return f"{platform.machine()} {platform.processor()}"
    keys = ("model name", "flags", "CPU part", "Features")
    lines = info.read_text(encoding="utf-8").splitlines()
    return "\n".join(sorted({line for line in lines if line.startswith(keys)}))
