"""4-bit and 8-bit frozen bases: the sizes of bitsandbytes' layers (row 4).

nf4 (Dettmers et al. 2023, "QLoRA"): two weights a byte, one absmax a block of 64, itself quantised
to a byte with an fp32 scale a block of 256 (double quantisation). Forward and backward each
dequantise the whole matrix to the compute dtype for as long as the product takes.

int8 (Dettmers et al. 2022, "LLM.int8()"): a byte a weight, an fp32 scale a row. Forward quantises
the input; backward dequantises the weight.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .options import EstimateOptions

_BLOCK, _NESTED = 64, 256


def prepare_quantized(model: Any, options: EstimateOptions) -> None:
    """Replace every linear layer but the head, then do what PEFT's k-bit preparation does.

    ``prepare_model_for_kbit_training`` freezes the base and puts what is left in half precision
    (embeddings, norms, head) into fp32.
    """
    head = model.get_output_embeddings()
    compute = torch.float16 if "fp16" in options.precision else torch.bfloat16
    kind = {"nf4": Nf4Linear, "int8": Int8Linear}[options.quantization]
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear and child is not head:
                setattr(module, name, kind(child, compute))
    made: dict[int, Any] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in made:
                small = parameter.dtype in (torch.bfloat16, torch.float16)
                value = parameter.detach().float() if small else parameter.detach()
                made[id(parameter)] = torch.nn.Parameter(value, requires_grad=False)
            module._parameters[name] = made[id(parameter)]


class _QuantizedLinear(torch.nn.Linear):
    """Looks like a linear layer to PEFT; holds packed weights."""

    def __init__(self, source: torch.nn.Linear, compute: torch.dtype) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features = source.in_features, source.out_features
        self.compute = compute
        self.register_parameter("weight", None)
        self.bias = source.bias
        self._pack(source.in_features * source.out_features)

    def _pack(self, count: int) -> None:
        raise NotImplementedError

    def _packed(self, *shape: int, dtype: torch.dtype = torch.uint8) -> torch.nn.Parameter:
        return torch.nn.Parameter(torch.empty(shape, dtype=dtype), requires_grad=False)


class Nf4Linear(_QuantizedLinear):
    """A linear layer with 4-bit weights."""

    def _pack(self, count: int) -> None:
        self.blocks = blocks = math.ceil(count / _BLOCK)
        self.weight = self._packed(count // 2, 1)
        self.register_buffer("absmax", torch.empty(blocks, dtype=torch.uint8), persistent=False)
        self.register_buffer("nested", torch.empty(math.ceil(blocks / _NESTED)), persistent=False)
        self.register_buffer("codes", torch.empty(256 + 16), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features)."""
        inner = x.to(self.compute)
        bias = None if self.bias is None else self.bias.to(self.compute)
        out = _Product4bit.apply(inner, self.out_features, self.blocks, bias)  # type: ignore[no-untyped-call]
        return out.to(x.dtype)  # type: ignore[no-any-return]


class _Product4bit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, out_features: int, blocks: int, bias: Any) -> Any:
        ctx.shape, ctx.blocks = (out_features, x.shape[-1]), blocks
        return torch.nn.functional.linear(x, _dequantised(ctx, x), bias)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0] @ _dequantised(ctx, grads[0]), None, None, None


def _dequantised(ctx: Any, like: torch.Tensor) -> torch.Tensor:
    absmax = like.new_empty(ctx.blocks, dtype=torch.float32)
    weight = like.new_empty(ctx.shape)
    del absmax
    return weight


class Int8Linear(_QuantizedLinear):
    """A linear layer with 8-bit weights."""

    def _pack(self, count: int) -> None:
        self.weight = self._packed(self.out_features, self.in_features, dtype=torch.int8)
        self.register_buffer("scales", torch.empty(self.out_features), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features)."""
        out = _Product8bit.apply(x.to(self.compute), self.weight)  # type: ignore[no-untyped-call]
        if self.bias is not None:
            out = out + self.bias.to(out.dtype)
        return out.to(x.dtype)  # type: ignore[no-any-return]


class _Product8bit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(weight)
        rows = x.numel() // x.shape[-1]
        quantised = x.new_empty((rows, x.shape[-1]), dtype=torch.int8)
        products = x.new_empty((rows, weight.shape[0]), dtype=torch.int32)
        out = x.new_empty((*x.shape[:-1], weight.shape[0]))
        del quantised, products
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (weight,) = ctx.saved_tensors
        return grads[0] @ weight.to(grads[0].dtype), None
