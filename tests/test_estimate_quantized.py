"""Packed layers and 8-bit optimizer state against formulas, and bitsandbytes where it is there."""

from __future__ import annotations

import math
import warnings
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from estimate_cases import small_config
from lora_efficiency_benchmark.config.methods import parse_method
from lora_efficiency_benchmark.errors import ConfigError
from lora_efficiency_benchmark.estimate.optimizers import BlockwiseAdam8bit
from lora_efficiency_benchmark.estimate.options import EstimateOptions
from lora_efficiency_benchmark.estimate.predict import Predictor
from lora_efficiency_benchmark.estimate.quantized import Int8Linear, Nf4Linear, prepare_quantized
from lora_efficiency_benchmark.models.loading import create_lora_model

TOKENS, INS, OUTS = 24, 128, 320  # one call: [2, 12, 128] -> [2, 12, 320]


class Allocated(TorchDispatchMode):  # type: ignore[misc]
    """Bytes of every storage that operators return, and the most there was at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.now = self.peak = 0
        self._alive: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        known = {t.untyped_storage().data_ptr() for t in args if isinstance(t, torch.Tensor)}
        storage = out.untyped_storage()
        if id(storage) not in self._alive and storage.data_ptr() not in known:
            size = storage.nbytes()
            self.sizes.append(size)
            self.now += size
            self.peak = max(self.peak, self.now)
            self._alive[id(storage)] = weakref.ref(storage, self._gone(id(storage), size))
        return out

    def _gone(self, key: int, size: int) -> Any:
        def gone(_: Any) -> None:
            self.now -= size
            self._alive.pop(key, None)

        return gone


def held(module: torch.nn.Module) -> int:
    return sum(t.numel() * t.element_size() for t in [*module.parameters(), *module.buffers()])


def nf4_bytes(count: int) -> int:
    """Packed weights, absmaxes, their scales, their mean, and the two code tables."""
    blocks = math.ceil(count / 64)
    return math.ceil(count / 2) + blocks + 4 * math.ceil(blocks / 256) + 4 + 4 * 16 + 4 * 256


def input_of(layer: Any) -> torch.Tensor:
    return torch.randn(2, TOKENS // 2, layer.in_features, requires_grad=True) * 1


@pytest.mark.parametrize("shape", [(OUTS, INS), (64, 64), (5, 13)])
def test_what_a_layer_holds(shape: tuple[int, int]) -> None:
    outs, ins = shape
    for source in (torch.nn.Linear(ins, outs, bias=False), torch.nn.Linear(ins, outs)):
        bias = 4 * outs if source.bias is not None else 0
        assert held(Nf4Linear(source, torch.bfloat16)) == nf4_bytes(outs * ins) + bias
        assert held(Int8Linear(source, torch.float16)) == outs * ins + 4 * outs + bias
    transposed = Nf4Linear(Conv1D(outs, ins), torch.bfloat16)
    assert (transposed.in_features, transposed.out_features) == (ins, outs)


def test_four_bit_passes() -> None:
    layer = Nf4Linear(torch.nn.Linear(INS, OUTS, bias=False), torch.bfloat16)
    x = input_of(layer)
    narrow_in, narrow_out, wide_out = 2 * TOKENS * INS, 2 * TOKENS * OUTS, 4 * TOKENS * OUTS
    absmax, weight = 4 * OUTS * INS // 64, 2 * OUTS * INS
    with Allocated() as forward:
        out = layer(x)
    assert forward.sizes == [narrow_in, absmax, weight, narrow_out, wide_out]
    assert forward.peak == narrow_in + weight + narrow_out
    assert forward.now == wide_out
    storage = weakref.ref(x.untyped_storage())
    grad = torch.ones_like(out)
    del x
    assert storage() is None  # the input is not kept
    with Allocated() as backward:
        out.backward(grad)
    narrow = [narrow_out, absmax, weight, narrow_in]
    assert backward.sizes[:5] == [*narrow, 2 * narrow_in]


def test_eight_bit_passes() -> None:
    layer = Int8Linear(torch.nn.Linear(INS, OUTS, bias=False), torch.float16)
    x = input_of(layer)
    inputs, outputs = TOKENS * INS, TOKENS * OUTS
    with Allocated() as forward:
        out = layer(x)
    quantising = [2 * inputs, 4 * TOKENS, inputs, 2 * inputs, inputs]
    assert forward.sizes == [*quantising, 4 * outputs, 2 * outputs, 4 * outputs]
    assert forward.peak == inputs + 4 * TOKENS + (4 + 2 + 4) * outputs
    assert forward.now == 4 * outputs
    storage = weakref.ref(x.untyped_storage())
    grad = torch.ones_like(out)
    del x
    assert storage() is not None  # the input is kept, and not as a saved tensor
    with Allocated() as backward:
        out.backward(grad)
    assert backward.sizes[:3] == [4 * OUTS * INS, 4 * OUTS, 4 * inputs]
    del out
    assert storage() is None


def test_checkpointing_does_not_release_what_eight_bit_layers_keep() -> None:
    from torch.utils.checkpoint import checkpoint

    source = torch.nn.Linear(INS, OUTS, bias=False)
    for layer, kept in (
        (Nf4Linear(source, torch.bfloat16), False),
        (Int8Linear(source, torch.float16), True),
    ):
        x = torch.randn(TOKENS, INS, requires_grad=True)
        inner: list[Any] = []

        def run(x: torch.Tensor, layer: Any = layer, inner: Any = inner) -> torch.Tensor:
            doubled = x * 2
            inner.append(weakref.ref(doubled.untyped_storage()))
            result: torch.Tensor = layer(doubled)
            return result

        out = checkpoint(run, x, use_reentrant=False)
        assert (inner[0]() is not None) == kept
        del out


# ---- which layers -------------------------------------------------------------------------------


def base(kind: str, **changes: Any) -> Any:
    config = small_config(kind, num_hidden_layers=2, **changes)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "falcon"])
def test_every_layer_but_the_head_is_replaced(kind: str, tied: bool) -> None:
    model = base(kind, tie_word_embeddings=tied)
    layers = {
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
    }
    with torch.device("meta"):
        prepare_quantized(model, EstimateOptions(quantization="nf4", precision="bf16"))
    packed = {name for name, module in model.named_modules() if isinstance(module, Nf4Linear)}
    assert packed == layers - {"lm_head"}
    assert not any(p.requires_grad for p in model.parameters())
    rest = [m for m in model.modules() if not isinstance(m, Nf4Linear)]
    kept = {p.dtype for m in rest for p in m.parameters(recurse=False)}
    assert kept == {torch.float32}


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_a_model_without_such_layers_is_refused_in_one_line(kind: str) -> None:
    model = base("llama")
    model.model.layers = torch.nn.ModuleList()
    with pytest.raises(ConfigError) as refused:
        prepare_quantized(model, EstimateOptions(quantization=kind))
    assert str(refused.value) == (
        f"--quantization {kind}: no linear layer of this model can be quantised; "
        "use --quantization none"
    )


# ---- as PEFT uses them --------------------------------------------------------------------------


def test_autocast_leaves_the_inputs_of_adapters_alone() -> None:
    """PEFT's layers for bitsandbytes do not cast; its plain ones cast to the adapter's fp32."""
    config = small_config("llama", num_hidden_layers=1)
    model = AutoModelForCausalLM.from_config(config)
    prepare_quantized(model, EstimateOptions(quantization="nf4"))
    adapter = parse_method("lora:r=2,targets=o_proj").adapter
    assert adapter is not None
    model = create_lora_model(model, adapter)
    seen: list[torch.dtype] = []
    layer = model.base_model.model.model.layers[0].self_attn.o_proj
    layer.lora_dropout["default"].register_forward_pre_hook(lambda _, x: seen.append(x[0].dtype))
    tokens = torch.ones(1, 4, dtype=torch.long)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(tokens)
    model(tokens)
    assert seen == [torch.bfloat16, torch.float32]


def predictor(folder: Path, kind: str, method: str, **options: Any) -> Predictor:
    small_config(kind, hidden_size=128).save_pretrained(folder)
    return Predictor(str(folder), parse_method(method), EstimateOptions(seq_len=32, **options))


def test_conv1d_layers_are_packed(tmp_path: Path) -> None:
    """GPT-2 of width 128: 12 h^2 weights and 9 h biases a layer; the rest becomes fp32."""
    width, layers, words, positions = 128, 7, 1000, 512
    method = "lora:r=4,targets=c_attn+c_proj+c_fc"
    weights = {
        kind: predictor(tmp_path, "gpt2", method, quantization=kind, precision="bf16")
        .stream(2, 32)
        .peak()
        .breakdown["weights"]
        for kind in ("none", "nf4")
    }
    shapes = [3 * width**2, width**2, 4 * width**2, 4 * width**2]
    rest = (words + positions) * width + layers * 4 * width + 2 * width
    packed = layers * (sum(nf4_bytes(count) for count in shapes) + 2 * 9 * width)
    full = layers * 2 * (sum(shapes) + 9 * width)
    others = weights["none"] - full - 2 * rest  # buffers
    assert 0 <= others < 1024
    assert weights["nf4"] == packed + 4 * rest + others
    assert full / packed > 3.5


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_dora_dequantises_the_weight(tmp_path: Path, kind: str) -> None:
    peaks = [
        predictor(tmp_path, "llama", f"lora:r=4,targets=q_proj,dora={dora}", quantization=kind)
        .stream(2, 32)
        .peak()
        .allocated_bytes
        for dora in ("false", "true")
    ]
    assert peaks[1] > peaks[0]


# ---- optimizer ----------------------------------------------------------------------------------


def state_bytes(state: dict[str, torch.Tensor]) -> int:
    own = [value for name, value in state.items() if not name.startswith("qmap")]
    return sum(value.numel() * value.element_size() for value in own)


@pytest.mark.parametrize("paged", [False, True])
def test_optimizer_state_of_a_tensor(paged: bool) -> None:
    counts = (4095, 4096, 5000, 99_999, 100_000)
    parameters = [torch.nn.Parameter(torch.zeros(count)) for count in counts]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = BlockwiseAdam8bit(parameters, paged=paged)
    optimizer.step()
    for parameter, count in zip(parameters, counts, strict=True):
        on_device = 0 if paged and count >= 1e5 else 2 * count
        expected = 8 * count if count < 4096 else on_device + 8 * math.ceil(count / 256)
        assert state_bytes(optimizer.state[parameter]) == expected
    maps = {id(optimizer.state[p]["qmap1"]) for p in parameters[1:]}
    assert len(maps) == 1  # one table for all
    before = optimizer.state[parameters[0]]["state1"]
    optimizer.step()
    assert optimizer.state[parameters[0]]["state1"] is before


def test_optimizer_state_of_every_layer_counts(tmp_path: Path) -> None:
    """Rank 32 on q_proj of width 128: two tensors of 4096 elements in each of seven layers."""
    asked = predictor(tmp_path, "llama", "lora:r=32,targets=q_proj", optimizer="adamw_8bit")
    breakdown = asked.stream(2, 32).peak().breakdown
    assert breakdown["optimizer"] == 7 * 2 * (2 * 4096 + 2 * 4 * 16) + 2 * 4 * 256


# ---- the library itself -------------------------------------------------------------------------


@pytest.fixture
def library() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("bitsandbytes")


@pytest.mark.parametrize("shape", [(OUTS, INS), (48, 64)])
def test_sizes_are_those_of_the_library(library: Any, shape: tuple[int, int]) -> None:
    packed, state = library.functional.quantize_4bit(
        torch.randn(shape), quant_type="nf4", compress_statistics=True
    )
    inner = state.state2
    tensors = [packed, state.absmax, state.code, state.offset, inner.absmax, inner.code]
    source = torch.nn.Linear(*shape[::-1], bias=False)
    ours = Nf4Linear(source, torch.bfloat16)
    sizes = sorted(t.numel() * t.element_size() for t in tensors)
    assert sizes == sorted(t.numel() * t.element_size() for t in [ours.weight, *ours.buffers()])
    quantised, scales, _ = library.functional.int8_vectorwise_quant(torch.randn(shape).half())
    both = quantised.numel() + 4 * scales.numel()
    assert held(Int8Linear(source, torch.float16)) == both


def test_optimizer_state_is_that_of_the_library(library: Any) -> None:
    parameters = [torch.nn.Parameter(torch.zeros(count)) for count in (4095, 4096, 5000)]
    theirs = library.optim.AdamW8bit(parameters)
    for i, parameter in enumerate(parameters):
        theirs.init_state(theirs.param_groups[0], parameter, 0, i)
        parameter.grad = torch.zeros_like(parameter)
    ours = BlockwiseAdam8bit(parameters)
    ours.step()
    for parameter in parameters:
        real = {k: v for k, v in theirs.state[parameter].items() if isinstance(v, torch.Tensor)}
        assert state_bytes(real) == state_bytes(ours.state[parameter])


@pytest.mark.parametrize("paged", [False, True])
def test_the_trainer_keeps_the_state_of_embeddings_in_fp32(paged: bool) -> None:
    embedding = torch.nn.Parameter(torch.empty(2000, 64))
    matrix = torch.nn.Parameter(torch.empty(100, 64))
    for parameter in (embedding, matrix):
        parameter.grad = torch.zeros_like(parameter)
    optimizer = BlockwiseAdam8bit([embedding, matrix], paged=paged, fp32_state=[embedding])
    optimizer.step()
    held = {name: t.numel() * t.element_size() for name, t in optimizer.state[embedding].items()}
    expected = {} if paged else {"state1": 4 * 2000 * 64, "state2": 4 * 2000 * 64}
    assert held == expected
    assert optimizer.state[matrix]["state1"].dtype == torch.uint8
