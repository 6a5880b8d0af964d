"""The fused attention kernels of CUDA: which one runs, what it returns and what it needs (row 4).

Without values, ``scaled_dot_product_attention`` would decompose into plain products and predict a
square of scores that fused kernels never make. Here it is replaced by the selection rule and the
buffers of PyTorch's own kernels (aten/src/ATen/native/transformers/cuda):

- flash: half precision and no mask. Keeps q, k, v, output and one fp32 log-sum-exp a row; backward
  needs an fp32 accumulator for dq, and full-size dk, dv where key-value heads are shared.
- memory-efficient: a mask, or fp32. Keeps the mask in the dtype of q as well; backward needs fp32
  accumulators for dq, and for dk and dv where a block cannot hold them in registers.
- plain products otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_HALF = (torch.bfloat16, torch.float16)
_SMALL_SHARED_MEMORY = ("sm75", "sm86", "sm89", "sm120")  # 64x64 blocks: dk and dv spill to memory


def fused_attention(arch: str | None) -> Callable[..., torch.Tensor]:
    """A stand-in for ``torch.nn.functional.scaled_dot_product_attention``."""

    def attention(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        shared = query.shape[-3] != key.shape[-3]
        fits = query.shape[-1] == value.shape[-1] <= 256
        if attn_mask is None and query.dtype in _HALF and fits:
            return _Flash.apply(query, key, value)  # type: ignore[no-any-return, no-untyped-call]
        if query.dim() == 4 and not shared:
            bias = None if attn_mask is None else _as_bias(attn_mask, query, key)
            spills = arch in _SMALL_SHARED_MEMORY or query.shape[-1] > 128
            return _Efficient.apply(query, key, value, bias, spills)  # type: ignore[no-any-return, no-untyped-call]
        return torch.ops.aten._scaled_dot_product_attention_math(  # type: ignore[no-any-return]
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )[0]

    return attention


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _as_bias(mask: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """The mask as the kernel takes it: additive, in q's dtype, rows padded to 16 elements."""
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype)
    elif mask.dtype != query.dtype:
        mask = mask.to(query.dtype)
    columns = mask.shape[-1]
    if columns % 16:
        mask = torch.nn.functional.pad(mask, (0, _round_up(columns, 16) - columns))
    return mask


def _rows(tensor: torch.Tensor, width: int | None = None) -> torch.Tensor:
    """An output in the kernels' layout: (B, S, H, D) in memory, (B, H, S, D) to look at."""
    b, h, s, d = tensor.shape
    return tensor.new_empty((b, s, h, width or d)).transpose(1, 2)


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any) -> Any:
        b, h, s, _ = query.shape
        out = _rows(query, value.shape[-1])
        log_sum = query.new_empty((b, h, s), dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, log_sum)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        query, key, value, _, _ = ctx.saved_tensors
        b, h, s, d = query.shape
        long, wide = _round_up(s, 128), _round_up(d, 32 if d <= 128 else 64)
        dq = _rows(query)
        dk, dv = _rows(key), _rows(value)
        scratch = [
            query.new_empty((b, h, long, wide), dtype=torch.float32),
            query.new_empty((b, h, long), dtype=torch.float32),
        ]
        if key.shape[1] != h:
            scratch += [_rows(query), _rows(query)]
        del scratch
        return dq, dk, dv


class _Efficient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, bias: Any, spills: bool) -> Any:
        b, h, s, _ = query.shape
        out = _rows(query, value.shape[-1])
        log_sum = query.new_empty((b, h, _round_up(s, 32)), dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, log_sum, bias)
        ctx.spills = spills
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        query, key, value = ctx.saved_tensors[:3]
        b, h, s, d = query.shape
        delta = query.new_empty((b, h, s), dtype=torch.float32)
        dq, dk, dv = _rows(query), _rows(key), _rows(value)
        parts = 3 if ctx.spills else 1
        long, wide = _round_up(s, 64), _round_up(d, 64)
        if query.dtype in _HALF:
            accumulators = query.new_empty((parts, b, h, long, wide), dtype=torch.float32)
            del accumulators
        elif ctx.spills:
            accumulators = query.new_empty((parts - 1, b, h, long, wide), dtype=torch.float32)
            del accumulators
        del delta
        return dq, dk, dv, None, None
