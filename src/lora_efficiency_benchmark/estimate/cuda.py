"""What CUDA and ROCm do otherwise than a CPU, for code that runs on fake CPU tensors (row 4).

- autocast: operators that CUDA runs in fp32 (PyTorch documentation, "CUDA Ops that can autocast to
  float32"); the list for CPUs is shorter
- dropout keeps a mask of one byte an element, where the CPU keeps one in the input's dtype
- ``foreach`` is the default of optimizers and of gradient clipping
- attention runs in fused kernels (``attention.py``)
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from .attention import fused_attention
from .options import EstimateOptions
from .patching import replaced

_TO_FLOAT32 = (
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal",
    "rsqrt", "sinh", "tan", "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", "softplus",
    "layer_norm", "native_layer_norm", "group_norm", "norm.Scalar", "norm.ScalarOpt_dim",
    "cosine_similarity", "nll_loss", "nll_loss_nd", "mse_loss", "smooth_l1_loss", "kl_div",
    "softmax.int", "log_softmax.int", "cumsum", "cumprod", "sum", "sum.dim_IntList", "prod",
)  # fmt: skip
_CPU_AUTOCAST = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)


@contextmanager
def cuda_rules(options: EstimateOptions) -> Iterator[None]:
    """Inside, fake CPU tensors are treated as CUDA treats its own."""
    functional: Any = torch.nn.functional
    optimizers: Any = sys.modules[torch.optim.Optimizer.__module__]
    with ExitStack() as stack:
        stack.enter_context(_autocast_lists())
        stack.enter_context(replaced(functional, "dropout", _dropout))
        stack.enter_context(
            replaced(functional, "scaled_dot_product_attention", fused_attention(options.arch))
        )
        owners = [sys.modules[f"torch.optim.{name}"] for name in ("adam", "sgd")]
        for owner in (optimizers, *owners):
            stack.enter_context(replaced(owner, "_default_to_fused_or_foreach", _default_foreach))
        stack.enter_context(
            replaced(torch.nn.utils.clip_grad, "_has_foreach_support", lambda *_, **__: True)
        )
        yield


def _default_foreach(
    params: list[torch.Tensor], differentiable: bool, use_fused: bool = False
) -> tuple[bool, bool]:
    """``(fused, foreach)`` as on CUDA, where nothing was asked for."""
    return False, not differentiable


def _dropout(
    input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    if not training or p == 0.0:
        return input
    return torch.native_dropout(input, p, True)[0]


@contextmanager
def _autocast_lists() -> Iterator[None]:
    """Register CUDA's fp32 list for CPU autocast; gone when the block ends."""
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "overriding a previously registered kernel": intended
            for name in _TO_FLOAT32:
                packet, _, overload = name.partition(".")
                operator = getattr(getattr(torch.ops.aten, packet), overload or "default")
                library.impl(name, _in_float32(operator), "AutocastCPU")
        yield
    finally:
        library._destroy()


def _in_float32(operator: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(_CPU_AUTOCAST):
            return operator(*(_widen(a) for a in args), **kwargs)

    return run


def _widen(value: Any) -> Any:
    half = (torch.bfloat16, torch.float16)
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in half else value
