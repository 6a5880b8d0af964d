"""4-bit and 8-bit frozen bases: what bitsandbytes' layers allocate on a GPU (row 4).

nf4 (Dettmers et al. 2023, "QLoRA"): two weights a byte, one absmax a block of 64, itself quantised
to a byte with an fp32 scale a block of 256. This double quantisation is what the paper and most
QLoRA recipes use; without it, transformers' default, a weight takes 0.37 bit more. Forward and
backward each dequantise the whole matrix to the compute dtype, in which the checkpoint is taken to
have been loaded. Nothing but the packed weight is kept for backward.

int8 (Dettmers et al. 2022, "LLM.int8()"): a byte a weight, an fp32 scale a row. Forward quantises
the input by way of fp16 and keeps it, unquantised and out of reach of checkpointing; backward
dequantises the weight to the input's dtype. Outlier columns are few and not counted.
"""

from __future__ import annotations

import math
from types import MethodType
from typing import Any

import torch

from ..errors import ConfigError
from .options import EstimateOptions
from .patching import replace_parameters

_BLOCK, _NESTED = 64, 256  # weights that share an absmax, absmaxes that share a scale
_OUTLIER = 6.0  # transformers' default threshold
# Falcon's own class is a plain linear layer. Transformers 5 passes over it, 4 did not.
_REPLACED = ("Linear", "Conv1D", "FalconLinear")


def prepare_quantized(model: Any, options: EstimateOptions) -> None:
    """Quantise what transformers quantises, then do what PEFT's k-bit preparation does.

    ``prepare_model_for_kbit_training`` freezes the base and puts what is left in half precision
    (embeddings, norms, head) into fp32. Raises ConfigError where no layer can be quantised.
    """
    if not _replace_layers(model, options):
        raise ConfigError(
            f"--quantization {options.quantization}: no linear layer of this model can be "
            "quantised; use --quantization none",
            f"--quantization {options.quantization}: このモデルに量子化できる線形層がありません。"
            "--quantization none にしてください",
        )

    def frozen(_: str, module: Any, parameter: Any) -> Any:
        # A 4-bit layer's first forward pass takes its bias back to the compute dtype.
        wanted = module.compute if isinstance(module, Nf4Linear) else torch.float32
        value = parameter.detach()
        value = value.to(wanted) if value.is_floating_point() else value
        return torch.nn.Parameter(value, requires_grad=False)

    replace_parameters(model, frozen)
    model.register_forward_pre_hook(_use_kbit_forward)  # PEFT's layers are yet to come


def _replace_layers(model: Any, options: EstimateOptions) -> bool:
    """Put packed layers in; the head and what shares its weight stay, as in transformers."""
    from transformers.quantizers.base import HfQuantizer
    from transformers.quantizers.quantizers_utils import should_convert_module

    kept = HfQuantizer.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)
    kind: type[_QuantizedLinear] = Nf4Linear if options.quantization == "nf4" else Int8Linear
    compute = kind.compute_type(options.precision)
    replaced = False
    for name, module in list(model.named_modules()):
        if type(module).__name__ in _REPLACED and should_convert_module(name, kept):
            model.set_submodule(name, kind(module, compute))
            replaced = True
    return replaced


class _QuantizedLinear(torch.nn.Linear):
    """Looks like a linear layer to PEFT; holds packed weights."""

    def __init__(self, source: Any, compute: torch.dtype) -> None:
        torch.nn.Module.__init__(self)
        shape = tuple(source.weight.shape)  # Conv1D stores the transpose
        shape = shape[::-1] if type(source).__name__ == "Conv1D" else shape
        self.out_features, self.in_features = shape
        self.compute = compute
        self.register_parameter("weight", None)
        self.bias = source.bias
        self._pack(self.out_features * self.in_features)

    @staticmethod
    def compute_type(precision: str) -> torch.dtype:
        """The 16-bit type the layer computes in.

        Traced steps autocast to bfloat16 also where fp16 is meant, so fp16 goes by that name there.
        """
        raise NotImplementedError

    def _pack(self, count: int) -> None:
        raise NotImplementedError

    def _hold(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> None:
        self.register_buffer(name, torch.empty(shape, dtype=dtype), persistent=False)

    def dequantize(self) -> torch.Tensor:
        """The whole matrix; DoRA asks for it at every pass."""
        raise NotImplementedError

    @property
    def W_q(self) -> torch.Tensor:  # noqa: N802
        """The name by which PEFT tells a layer that has ``dequantize``."""
        return self.weight


class Nf4Linear(_QuantizedLinear):
    """A linear layer with 4-bit weights."""

    @staticmethod
    def compute_type(precision: str) -> torch.dtype:
        """See the base class."""
        return torch.float16 if precision == "fp16" else torch.bfloat16

    def _pack(self, count: int) -> None:
        self.blocks = math.ceil(count / _BLOCK)
        packed = torch.empty(math.ceil(count / 2), 1, dtype=torch.uint8)
        self.weight = torch.nn.Parameter(packed, requires_grad=False)
        self._hold("code", 16)
        self._hold("absmax", self.blocks, dtype=torch.uint8)
        self._hold("offset")
        self._hold("nested_absmax", math.ceil(self.blocks / _NESTED))
        self._hold("nested_code", 256)

    def dequantize(self) -> torch.Tensor:
        """The whole matrix; the absmaxes are there in fp32 for as long as it is written."""
        absmax = torch.empty(self.blocks)
        weight = torch.empty(self.out_features, self.in_features, dtype=self.compute)
        del absmax
        return weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features)."""
        inner = x.to(self.compute)
        return _Product4bit.apply(inner, self).to(x.dtype)  # type: ignore[no-any-return,no-untyped-call]


class _Product4bit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, layer: Nf4Linear) -> Any:
        ctx.layer = layer
        return torch.nn.functional.linear(x, layer.dequantize(), layer.bias)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0] @ ctx.layer.dequantize(), None


class Int8Linear(_QuantizedLinear):
    """A linear layer with 8-bit weights."""

    scales: torch.Tensor

    @staticmethod
    def compute_type(precision: str) -> torch.dtype:
        """See the base class; it is fp16 whatever the precision."""
        return torch.bfloat16 if precision == "amp-fp16" else torch.float16

    def _pack(self, count: int) -> None:
        packed = torch.empty(self.out_features, self.in_features, dtype=torch.int8)
        self.weight = torch.nn.Parameter(packed, requires_grad=False)
        self._hold("scales", self.out_features)

    def dequantize(self) -> torch.Tensor:
        """The whole matrix in fp32."""
        return self.weight * self.scales.view(-1, 1) * (1 / 127)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features)."""
        return _Product8bit.apply(x, self)  # type: ignore[no-any-return,no-untyped-call]


class _Product8bit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, layer: Int8Linear) -> Any:
        rows = x.reshape(-1, x.shape[-1])
        if ctx.needs_input_grad[0]:
            ctx.rows = rows  # not ``save_for_backward``: checkpointing does not see it
        ctx.layer, ctx.shape = layer, x.shape
        quantised = _quantised(rows.to(layer.compute))
        out = _product(*quantised, layer, x.dtype)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        layer, dtype = ctx.layer, ctx.rows.dtype
        grad = grads[0].reshape(-1, layer.out_features).contiguous()
        weight = layer.weight.to(dtype).mul_(layer.scales.unsqueeze(1).mul(1 / 127))
        return (grad.to(dtype) @ weight).view(ctx.shape), None


def _quantised(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The input in int8 and a scale a row; on the way a mask finds the outlier columns."""
    scales = torch.empty(len(rows))
    quantised = torch.empty(rows.shape, dtype=torch.int8)
    mask = rows.abs() >= _OUTLIER
    del mask
    return quantised, scales


def _product(
    quantised: torch.Tensor, scales: torch.Tensor, layer: Int8Linear, dtype: torch.dtype
) -> torch.Tensor:
    """int32, then fp16 (the bias is added in place), then the input's dtype."""
    shape = (len(quantised), layer.out_features)
    product = torch.empty(shape, dtype=torch.int32)
    half = torch.empty(shape, dtype=layer.compute)
    out = half.to(dtype)
    del product, half  # until here
    return out


def _use_kbit_forward(model: Any, _: Any) -> None:
    """Give PEFT's wrappers of packed layers the forward that they have on bitsandbytes' layers."""
    from peft.tuners.lora.layer import Linear

    for module in model.modules():
        if type(module) is Linear and isinstance(module.base_layer, _QuantizedLinear):
            module.forward = MethodType(_lora_forward, module)


def _lora_forward(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """As in ``peft.tuners.lora.bnb``: a copy of 4-bit output, and no casts under autocast."""
    result: torch.Tensor = layer.base_layer(x)
    if isinstance(layer.base_layer, Nf4Linear):
        result = result.clone()
    casts = not torch.is_autocast_enabled("cpu")
    for name in layer.active_adapters:
        first, second, dtype = layer.lora_A[name], layer.lora_B[name], result.dtype
        x = x.to(first.weight.dtype) if casts else x
        if name in layer.lora_variant:  # DoRA
            variant = layer.lora_variant[name]
            result = variant.forward(layer, active_adapter=name, x=x, result=result)
            result = result.to(dtype) if casts else result
        else:
            update = second(first(layer.lora_dropout[name](x))) * layer.scaling[name]
            result = result + (update.to(dtype) if casts else update)
    return result
