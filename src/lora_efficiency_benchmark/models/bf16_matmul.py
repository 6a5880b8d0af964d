"""bfloat16 matrix products on CPUs that have no instructions for them (row 4).

Without AVX512-BF16 or AMX, PyTorch's CPU kernels for bfloat16 products fall back to reference code
that is 5 to 80 times slower than fp32, which makes amp-bf16 unusable on a laptop. ``install``
replaces ``mm``, ``addmm`` and ``bmm`` for bfloat16 CPU tensors by the arithmetic that native units
do: operands exact in fp32, products accumulated in fp32, the result rounded once to bfloat16.

The product itself is numpy's (OpenBLAS), which is nearly twice as fast here as PyTorch's own fp32
product on processors that are not Intel's. The fp32 copies live in scratch buffers outside
PyTorch's allocator, so that peak memory reads as it would with native instructions. Records say
which one ran (``bf16_matmul: native | emulated``).
"""

from __future__ import annotations

import functools
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

NATIVE, EMULATED = "native", "emulated"
_scratch: dict[str, np.ndarray[Any, Any]] = {}
_libraries: list[Any] = []


@functools.cache
def cpu_has_bf16() -> bool:
    """True where the CPU multiplies bfloat16 in hardware (AVX512-BF16, AMX, Arm BF16)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True  # not Linux: leave PyTorch's own kernels alone
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))


def prepare(device_type: str) -> str:
    """Install the emulation where the device needs it; returns ``native`` or ``emulated``."""
    if device_type != "cpu" or cpu_has_bf16():
        return NATIVE
    install()
    return EMULATED


def install() -> None:
    """Replace the bfloat16 CPU kernels of mm, addmm and bmm, once per process."""
    if _libraries:
        return
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "overriding a previously registered kernel": intended
        library.impl("mm", _mm, "CPU")
        library.impl("addmm", _addmm, "CPU")
        library.impl("bmm", _bmm, "CPU")
    _libraries.append(library)


def _mm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if not _both_bf16(a, b):
        return torch.mm(a, b, out=a.new_empty((a.shape[0], b.shape[1])))
    return _product(a, b).to(torch.bfloat16)


def _addmm(
    bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: float = 1, alpha: float = 1
) -> torch.Tensor:
    if not _both_bf16(a, b):
        out = a.new_empty((a.shape[0], b.shape[1]))
        return torch.addmm(bias, a, b, beta=beta, alpha=alpha, out=out)
    product = _product(a, b).mul_(alpha)
    if beta != 0:  # zero means that bias is not read, even where it holds NaN
        product.add_(bias, alpha=beta)
    return product.to(torch.bfloat16)


def _bmm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if not _both_bf16(a, b):
        return torch.bmm(a, b, out=a.new_empty((a.shape[0], a.shape[1], b.shape[2])))
    return _product(a, b).to(torch.bfloat16)


def _both_bf16(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Anything else, a mix included, is PyTorch's own: it computes, or refuses."""
    return a.dtype == b.dtype == torch.bfloat16


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a @ b in fp32, in scratch memory that the next product overwrites."""
    out = _buffer("out", (*a.shape[:-1], b.shape[-1]))
    np.matmul(_widen("a", a), _widen("b", b), out=out)
    return torch.from_numpy(out)


def _widen(role: str, tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """An fp32 copy that keeps the operand's memory layout, so that the copy is a straight read."""
    flipped = tensor.stride(-1) != 1 and tensor.stride(-2) == 1
    source = tensor.transpose(-1, -2) if flipped else tensor
    copy = _buffer(role, tuple(source.shape))
    torch.from_numpy(copy).copy_(source)
    return copy.swapaxes(-1, -2) if flipped else copy


def _buffer(role: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    count = math.prod(shape)
    held = _scratch.get(role)
    if held is None or held.size < count:
        held = _scratch[role] = np.empty(count, dtype=np.float32)
    return held[:count].reshape(shape)
