"""A traced step against a real one, a few layers against all, a recording against a trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from estimate_cases import ARCHITECTURES, small_config
from lora_efficiency_benchmark.config.methods import parse_method
from lora_efficiency_benchmark.errors import ConfigError, ModelError
from lora_efficiency_benchmark.estimate.allocator import replay
from lora_efficiency_benchmark.estimate.history import history
from lora_efficiency_benchmark.estimate.options import EstimateOptions
from lora_efficiency_benchmark.estimate.predict import Predictor
from lora_efficiency_benchmark.estimate.real_step import measured_peak
from lora_efficiency_benchmark.estimate.step import record_step
from lora_efficiency_benchmark.estimate.stream import STEP_END
from lora_efficiency_benchmark.measure.allocations import CATEGORIES
from lora_efficiency_benchmark.models.structure import apply_method

LORA = "lora:r=8,targets=all-linear"
QUICK = ("llama", "gpt_neox")  # in ``make test``; the others with the slow tests
EVERY = [
    pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.slow) for kind in ARCHITECTURES
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``folders(kind)``: a folder with the configuration of a small model."""

    def make(kind: str, **changes: Any) -> str:
        path: Path = tmp_path_factory.mktemp(kind)
        small_config(kind, **changes).save_pretrained(path)
        return str(path)

    return make


def predictor(folder: str, method: str, **options: Any) -> Predictor:
    return Predictor(folder, parse_method(method), EstimateOptions(seq_len=64, **options))


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("method", ["full", LORA])
@pytest.mark.parametrize("kind", EVERY)
def test_repeated_layers_equal_traced_layers(
    folders: Any, kind: str, method: str, checkpointing: bool
) -> None:
    asked = predictor(folders(kind), method, gradient_checkpointing=checkpointing)
    repeated = asked.stream(4, 64)
    traced = record_step(
        asked.config, lambda model: apply_method(model, asked.method), asked.options
    ).ordered()
    assert repeated.same_structure(traced)
    assert repeated.peak() == traced.peak()
    assert asked.counts.trainable > 0


def test_the_peak_of_a_real_step_on_this_cpu(folders: Any) -> None:
    """One combination here; benchmarks/estimator_accuracy.py trains them all."""
    folder = folders("llama")
    for method in ("full", LORA):
        options = EstimateOptions(
            seq_len=64, device="cpu", precision="amp-bf16", gradient_checkpointing=True
        )
        predicted = Predictor(folder, parse_method(method), options).estimate()
        measured = measured_peak(folder, parse_method(method), options)
        assert predicted.peak_allocated_bytes == pytest.approx(measured, rel=0.002)


@pytest.mark.parametrize("method", ["full", LORA])
def test_a_recording_gives_what_a_trace_gives(folders: Any, method: str) -> None:
    asked = predictor(folders("llama"), method)
    recording = asked.recording(seq_len=200)
    replayed, traced = recording.at(6, 200, 8), asked.stream(6, 200)
    assert replayed.same_structure(traced)
    assert replayed.peak() == traced.peak()
    points = [(2, 72, 4), (6, 200, 8), (33, 328, 16)]
    peaks = [recording.at(*point).peak().allocated_bytes for point in points]
    np.testing.assert_array_equal(recording.allocated_peaks(points), peaks)


def test_the_breakdown_adds_up_and_every_release_follows_its_allocation(folders: Any) -> None:
    stream = predictor(folders("llama"), LORA).stream(4, 64)
    peak = stream.peak()
    assert sum(peak.breakdown.values()) == peak.allocated_bytes
    alive: set[int] = set()
    for block, sign in zip(stream.blocks.tolist(), stream.signs.tolist(), strict=True):
        if block == STEP_END:
            continue
        assert (block in alive) == (sign < 0)
        (alive.discard if sign < 0 else alive.add)(block)


def test_a_history_of_equal_steps_repeats_itself(folders: Any) -> None:
    stream = predictor(folders("llama"), "full").stream(4, 64)
    ends = [replay(history([stream] * n, [])).end_allocated_bytes for n in (2, 3, 4)]
    assert len(set(ends)) == 1


def test_what_saves_memory_saves_it(folders: Any) -> None:
    folder = folders("llama", num_hidden_layers=2)

    def peak(method: str, **options: Any) -> int:
        return predictor(folder, method, **options).stream(4, 64).peak().allocated_bytes

    assert peak(LORA) < peak("full")
    assert peak("full", optimizer="sgd") < peak("full")
    assert peak("full", optimizer="adamw_8bit") < peak("full")
    assert peak(LORA, gradient_checkpointing=True) < peak(LORA)
    assert peak(LORA, precision="bf16") < peak(LORA, precision="fp32")
    assert peak(LORA, attention="eager") > peak(LORA)


@pytest.mark.slow
def test_a_four_bit_base_holds_half_a_byte_a_weight(folders: Any) -> None:
    folder = folders(
        "llama", hidden_size=128, intermediate_size=512, vocab_size=100, num_hidden_layers=2
    )
    weights = {
        kind: predictor(folder, LORA, precision="bf16", quantization=kind)
        .estimate()
        .breakdown["weights"]
        for kind in ("none", "int8", "nf4")
    }
    assert weights["nf4"] < weights["int8"] < weights["none"]
    with pytest.raises(ConfigError, match="quantised weights cannot be trained"):
        predictor(folder, "full", quantization="nf4")


def test_a_length_beyond_the_positions_is_refused(folders: Any) -> None:
    with pytest.raises(ConfigError, match="beyond the 512 positions"):
        predictor(folders("opt"), "full").stream(2, 600)


def test_what_cannot_be_traced_says_why(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama import modeling_llama

    def forward(self: Any, x: Any) -> Any:
        return x[x.sum(-1).nonzero()[0]]  # as many rows as the values say

    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", forward)
    with pytest.raises(ModelError, match="cannot be traced without weights"):
        predictor(folders("llama"), "full").stream(2, 64)


def adapter_file(tmp_path: Path, **values: Any) -> str:
    """``peft:PATH`` of a LoRA adapter that treats some layers in its own way."""
    lora = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
    raw = {"peft_type": "LORA", **({} if "peft_type" in values else lora), **values}
    (tmp_path / "adapter_config.json").write_text(json.dumps(raw), encoding="utf-8")
    return f"peft:{tmp_path}"


@pytest.mark.parametrize(
    "values",
    [
        {"layers_to_transform": [6]},
        pytest.param({"rank_pattern": {"layers.5.self_attn.q_proj": 32}}, marks=pytest.mark.slow),
        {"exclude_modules": r".*layers\.[0-4]\..*"},
        pytest.param(
            {"target_modules": r".*layers\.(5|6)\.self_attn\.q_proj"}, marks=pytest.mark.slow
        ),
        {"target_modules": ["layers.6.self_attn.q_proj", "layers.0.self_attn.v_proj"]},
        pytest.param(
            {"layers_to_transform": list(range(7))}, marks=pytest.mark.slow
        ),  # every layer, by number
        {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4},
    ],
    ids=lambda values: next(iter(values)),
)
def test_adapters_that_name_layers(folders: Any, tmp_path: Path, values: dict[str, Any]) -> None:
    asked = predictor(folders("llama"), adapter_file(tmp_path, **values))
    traced = record_step(
        asked.config, lambda model: apply_method(model, asked.method), asked.options
    ).ordered()
    assert asked.stream(4, 64).peak() == traced.peak()
    held = traced.sizes[traced.categories == CATEGORIES.index("adapter")].sum()
    assert held == 4 * asked.counts.trainable  # fp32


def test_layers_of_different_widths_are_all_traced(folders: Any) -> None:
    """OpenELM-like: the configuration has one width a layer; Llama's own code does not."""
    asked = predictor(folders("llama", widths=[8, 8, 8, 16, 8, 8, 8]), "full")
    assert asked._repetition is None
    assert predictor(folders("llama"), "full")._repetition is not None


def test_passes_left_out_are_counted(folders: Any) -> None:
    """Five accumulated passes are run as three; what is left out is on the device all the same."""
    folder = folders("llama", num_hidden_layers=2)
    peaks = [
        predictor(folder, "full", accumulation=n, loop=loop).stream(4, 64).peak()
        for loop in ("trainer", "plain")
        for n in (3, 5)
    ]
    assert peaks[1].allocated_bytes - peaks[0].allocated_bytes == 2 * 3 * 4 * 64 * 8
    assert peaks[2] == peaks[3]
