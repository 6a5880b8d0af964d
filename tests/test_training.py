"""One training run on the Trainer: order, pass-through, what is counted, what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from lora_efficiency_benchmark.cell import run_cell
from lora_efficiency_benchmark.config.adapters import parse_adapter
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig
from lora_efficiency_benchmark.config.trainer_args import FLOAT_TRAINER_ARGS, RESERVED_TRAINER_ARGS
from lora_efficiency_benchmark.errors import ConfigError
from lora_efficiency_benchmark.models import loading
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.training.collate import pad_batch
from lora_efficiency_benchmark.training.trainer import (
    TrainSettings,
    data_order,
    train,
    training_arguments,
)


def settings(**fields: Any) -> TrainSettings:
    defaults: dict[str, Any] = {
        "steps": 3, "batch_size": 2, "learning_rate": 1e-3, "precision": "fp32", "seed": 0,
        "eval_steps": 3, "on_accelerator": False,
    }  # fmt: skip
    return TrainSettings(**{**defaults, **fields})


def examples(count: int = 8) -> list[dict[str, Any]]:
    rows = [[3 + (i * 7 + j) % 200 for j in range(5 + i % 3)] for i in range(count)]
    return [{"input_ids": row, "labels": row} for row in rows]


def cells(model: Path, **fields: Any) -> dict[tuple[str, str], Cell]:
    config = LoRABenchmarkConfig(
        model_name=str(model), dataset_sizes=[16], training_steps=4, eval_steps=2, max_length=40,
        batch_size=2, evaluation_size=4, learning_rates={"full": 1e-3, "lora": 1e-2},
        lora_configurations=[{"r": 2, "target_modules": ["q_proj", "v_proj"]}], **fields,
    )  # fmt: skip
    return {(c.kind, c.label): c for c in expand(config) if c.reading == "controlled"}


def test_order_is_a_fresh_shuffle_an_epoch() -> None:
    order = data_order(5, 12, seed=0)
    assert sorted(order[:5]) == sorted(order[5:10]) == [0, 1, 2, 3, 4]
    assert order[:5] != order[5:10]
    assert order == data_order(5, 12, seed=0)
    assert order != data_order(5, 12, seed=1)
    assert data_order(5, 7, seed=0) == order[:7]


def test_the_trainer_sees_exactly_that_order(tiny_model_dir: Path) -> None:
    model, _ = loading.load_base_model(str(tiny_model_dir))
    seen: list[list[int]] = []
    model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["input_ids"][:, 0].tolist()),
        with_kwargs=True,
    )
    rows = examples()
    block = train(model, rows, settings(), pad_token_id=0)
    expected = [rows[i]["input_ids"][0] for i in data_order(len(rows), 6, 0)]
    assert [first for batch in seen for first in batch] == expected
    assert block["steps"] == len(block["step_seconds"]) == len(block["loss_curve"]) == 3


def test_one_step_of_adamw_by_hand(tiny_model_dir: Path) -> None:
    """The Trainer does what the method page says: AdamW, clipping at 1, linear decay."""
    rows, wanted = examples(2), data_order(2, 2, 0)
    model, _ = loading.load_base_model(str(tiny_model_dir))
    train(model, rows, settings(steps=1), pad_token_id=0)
    other, _ = loading.load_base_model(str(tiny_model_dir))
    other.train()
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-3, weight_decay=0.0)
    batch = pad_batch([rows[i] for i in wanted], 0)
    other(**batch).loss.backward()
    torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
    optimizer.step()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_trainer_args_pass_through_to_every_arm(tiny_model_dir: Path) -> None:
    arguments = training_arguments(settings(trainer_args={"weight_decay": 0.1}), "/tmp/unused")
    assert arguments.weight_decay == 0.1
    accumulated = cells(tiny_model_dir, trainer_args={"gradient_accumulation_steps": 2})
    records = {key: run_cell(cell) for key, cell in accumulated.items() if key[0] == "train"}
    blocks = [record.training for record in records.values()]
    assert [block["examples"] for block in blocks if block] == [16, 16]
    plain = run_cell(cells(tiny_model_dir, trainer_args={})["train", "full"]).training
    assert plain is not None
    for block in (*blocks, plain):
        assert block is not None
        longest_twice = 2 * 40  # batches of two, padded to the longer text, at most 40 tokens
        assert block["tokens"] <= block["padded_tokens"] <= block["examples"] // 2 * longest_twice


def test_trainer_args_the_trainer_refuses_are_one_line() -> None:
    with pytest.raises(ConfigError, match="trainer_args: TrainingArguments refuses them") as caught:
        training_arguments(settings(trainer_args={"optim": "no_such_optimizer"}), "/tmp/unused")
    assert "\n" not in str(caught.value)


def test_which_trainer_args_are_floats() -> None:
    floats = {f.name for f in dataclasses.fields(TrainingArguments) if "float" in str(f.type)}
    assert floats - RESERVED_TRAINER_ARGS == FLOAT_TRAINER_ARGS


def test_arms_share_data_order_and_differ_in_trainable_weights(tiny_model_dir: Path) -> None:
    full, lora = (run_cell(cells(tiny_model_dir)["train", label]) for label in ("full", "r=2 q,v"))
    assert full.training is not None
    assert lora.training is not None
    assert full.parameters is not None
    assert lora.parameters is not None
    assert full.training["order_sha256"] == lora.training["order_sha256"]
    assert full.training["tokens"] == lora.training["tokens"]
    # q: 32 -> 32, v: 32 -> 16 (two key-value heads of 8), rank 2, two layers
    assert lora.parameters["trainable"] == 2 * 2 * ((32 + 32) + (32 + 16))
    assert full.parameters["total"] == lora.parameters["total"] - lora.parameters["trainable"]
    for record in (full, lora):
        assert record.training is not None
        assert record.training["weights_moved"] > 0.4  # lora_A of the first step has no gradient
        assert [point["step"] for point in record.training["evaluation_curve"]] == [2, 4]


@pytest.mark.parametrize("label", ["full", "r=2 q,v"])
def test_memory_breakdown_adds_up_and_states_are_exact(tiny_model_dir: Path, label: str) -> None:
    record = run_cell(cells(tiny_model_dir)["memory", label])
    assert record.memory is not None
    assert record.parameters is not None
    breakdown, trainable = record.memory["breakdown"], record.parameters["trainable"]
    assert sum(breakdown.values()) == record.memory["peak_allocated_bytes"]
    assert breakdown["weights"] + breakdown["adapter"] == record.parameters["model_size_bytes"]
    tensors = breakdown["optimizer"] - 2 * 4 * trainable  # and one fp32 step counter a tensor
    assert 0 <= tensors <= 4 * 100
    assert record.memory["source"] == "cpu-allocator"
    assert record.memory["tokens_per_step"] == 2 * record.memory["sequence_length"]
    assert record.training is None, "the memory pass keeps nothing but memory"


def test_memory_repeats_to_the_byte(tiny_model_dir: Path) -> None:
    cell = cells(tiny_model_dir)["memory", "r=2 q,v"]
    first, second = run_cell(cell).memory, run_cell(cell).memory
    assert first is not None
    assert second is not None
    assert first["peak_allocated_bytes"] == second["peak_allocated_bytes"]
    assert first["breakdown"] == second["breakdown"]


def test_base_weights_in_bf16_when_practised(tiny_model_dir: Path) -> None:
    model, _ = loading.load_base_model(str(tiny_model_dir), "bf16")
    model = loading.create_lora_model(model, parse_adapter({"r": 2, "target_modules": ["q_proj"]}))
    kept = {n: p.dtype for n, p in model.named_parameters()}
    assert {d for n, d in kept.items() if loading.is_adapter(n)} == {torch.float32}
    assert {d for n, d in kept.items() if not loading.is_adapter(n)} == {torch.bfloat16}


def test_running_out_of_memory_is_an_observation(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(*_: Any, **__: Any) -> dict[str, Any]:
        torch.empty(1 << 50)  # a petabyte: the allocator itself refuses
        raise AssertionError("unreachable")

    monkeypatch.setattr("lora_efficiency_benchmark.cell.train", hungry)
    record = run_cell(cells(tiny_model_dir)["train", "full"])
    assert record.status == "failed"
    assert record.error is not None
    assert record.error["kind"] == "out_of_memory"
    assert "allocate memory" in record.error["message"]
    assert record.parameters is not None, "what was known before it stays"


def test_a_full_disk_while_saving_keeps_what_was_measured(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_model: Any) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lora_efficiency_benchmark.cell._saved_size", full_disk)
    record = run_cell(cells(tiny_model_dir)["train", "full"])
    assert record.status == "ok", "the training is finished; only its size on disk is unknown"
    assert record.saved is None
    assert record.evaluation is not None
    assert record.training is not None
