"""From a configuration to its cells: order, readings, seeds, and ids that never move."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from factories import make_config
from lora_efficiency_benchmark.config.yaml_io import parse_yaml
from lora_efficiency_benchmark.plan import (
    AS_PRACTISED,
    CONTROLLED,
    FULL,
    LORA,
    MEMORY_STEPS,
    Cell,
    expand,
)

ARMS = [
    {"r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    {"r": 8, "alpha": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
]


def cells(**fields: Any) -> list[Cell]:
    return expand(make_config(**{"lora_configurations": ARMS, **fields}))


def test_one_id_is_pinned() -> None:
    """Ids name record files: a change here makes every stored run start over. Change it only
    together with the record's format version."""
    adapter = {"r": 8, "alpha": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    plan = expand(make_config(lora_configurations=[adapter]))
    ids = [cell.id for cell in plan if cell.adapter and cell.kind == "train"]
    assert ids == ["train-r-8-q-k-v-o-n2000-s0-88c7acac5e"]


@pytest.mark.parametrize("rates", ["{full: 1, lora: 2}", "search"])
def test_a_float_written_as_a_whole_number_is_the_same_cell(rates: str) -> None:
    def ids(text: str) -> list[str]:
        return [cell.id for cell in expand(make_config(**parse_yaml(text)))]

    whole = (
        f"learning_rates: {rates}\ntime_limit_minutes: 5\n"
        "lora_configurations: [{r: 4, alpha: 8, target_modules: [q_proj], dropout: 0}]\n"
        "trainer_args: {weight_decay: 0, warmup_steps: 2, max_grad_norm: 1, optim_args: null}\n"
    )
    if rates == "search":
        whole += "search: {factor: 2, centres: {full: 1, lora: 1}}\n"
    names = "dropout|weight_decay|warmup_steps|max_grad_norm|full|lora|factor|minutes"
    floats = re.sub(rf"({names}): (\d)", r"\1: \2.0", whole)
    assert floats.count(".0") >= 6
    assert ids(whole) == ids(floats) == ids(floats.replace(" 0.0", " -0.0"))
    assert ids(whole) == ids(make_config(**parse_yaml(whole)).to_yaml())


def test_ids_do_not_depend_on_the_process() -> None:
    code = (
        "from factories import make_config; from lora_efficiency_benchmark.plan import expand; "
        "print(*[c.id for c in expand(make_config())])"
    )
    outputs = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        outputs.add(done.stdout)
    assert outputs == {" ".join(c.id for c in expand(make_config())) + "\n"}


def test_ids_are_unique_and_change_with_every_setting() -> None:
    plan = cells(dataset_sizes=[100, 200], seeds=2)
    assert len({cell.id for cell in plan}) == len(plan)
    cell = next(cell for cell in plan if cell.kind == "train" and cell.adapter)
    changed: dict[str, Any] = {
        "model_name": "x", "precision": "fp32", "dataset": "x", "dataset_size": 1,
        "evaluation_size": 1, "seed": 9, "training_steps": 9, "eval_steps": 9, "max_length": 9,
        "batch_size": 9, "learning_rate": 9.0, "trainer_args": {"x": 1}, "adapter": None,
        "reading": "x", "trust_remote_code": True, "kind": "x", "training_method": "x",
    }  # fmt: skip
    assert set(changed) == set(cell.to_dict()), "a new setting belongs in this list"
    for name, value in changed.items():
        assert replace(cell, **{name: value}).id != cell.id, name


def test_ids_are_file_names() -> None:
    targets = [f"model.layers.{n}.self_attn.q_proj" for n in range(40)]
    plan = cells(lora_configurations=[{"r": 8, "target_modules": targets}])
    for cell in plan:
        assert len(cell.id) < 120
        assert not set(cell.id) & set('/\\:*?"<>| .')


def test_cells_come_back_from_plain_data() -> None:
    for cell in cells(trainer_args={"max_grad_norm": 0.5}):
        values = json.loads(json.dumps(cell.to_dict()))
        assert Cell.from_dict(values) == cell
        assert Cell.from_dict(values).id == cell.id


def test_order_base_memory_then_whole_comparisons() -> None:
    plan = cells(dataset_sizes=[200, 100], seeds=2)
    kinds = [cell.kind for cell in plan]
    assert kinds == ["base"] + ["memory"] * 5 + ["train"] * 12
    trained = [(c.dataset_size, c.seed, c.label) for c in plan if c.kind == "train"]
    assert trained == [
        (size, seed, label)
        for size in (100, 200)
        for seed in (0, 1)
        for label in ("full", "r=4 q,v", "r=8 q,k,v,o")
    ]


def test_base_cell_trains_nothing() -> None:
    base = cells(dataset_sizes=[100, 200])[0]
    assert (base.kind, base.training_method, base.learning_rate) == ("base", None, None)
    assert base.dataset_size == 200, "the audit covers the largest training set"
    assert base.label == "base"


def test_both_memory_readings() -> None:
    memory = [cell for cell in cells(precision="amp-bf16") if cell.kind == "memory"]
    controlled = [cell for cell in memory if cell.reading == CONTROLLED]
    assert [cell.label for cell in controlled] == ["full", "r=4 q,v", "r=8 q,k,v,o"]
    assert {cell.precision for cell in controlled} == {"amp-bf16"}
    practised = [cell for cell in memory if cell.reading == AS_PRACTISED]
    assert [cell.label for cell in practised] == ["r=4 q,v", "r=8 q,k,v,o"]
    assert {cell.precision for cell in practised} == {"bf16"}
    assert {cell.training_steps for cell in memory} == {MEMORY_STEPS}


def test_one_memory_reading_where_both_would_be_the_same() -> None:
    memory = [cell for cell in cells(precision="bf16") if cell.kind == "memory"]
    assert {cell.reading for cell in memory} == {CONTROLLED}


def test_a_precision_per_arm_is_the_as_practised_reading() -> None:
    plan = cells(precision={"full": "fp32", "lora": "fp16"})
    trained = [cell for cell in plan if cell.kind == "train"]
    assert {cell.reading for cell in trained} == {AS_PRACTISED}
    assert {(c.training_method, c.precision) for c in trained} == {(FULL, "fp32"), (LORA, "fp16")}
    controlled = [c for c in plan if c.kind == "memory" and c.reading == CONTROLLED]
    assert {cell.precision for cell in controlled} == {"fp32"}


def test_every_arm_shares_everything_but_its_own() -> None:
    own = {"adapter", "training_method", "learning_rate"}
    trained = [cell for cell in cells() if cell.kind == "train"]
    shared = [{k: v for k, v in cell.to_dict().items() if k not in own} for cell in trained]
    assert all(settings == shared[0] for settings in shared)
    assert [cell.learning_rate for cell in trained] == [1e-4, 2e-3, 2e-3]


def test_seeds_repeat_training_only() -> None:
    one, three = cells(seeds=1), cells(seeds=3)
    assert [c.id for c in one] == [c.id for c in three if c.seed == 0]
    assert {c.kind for c in three if c.seed > 0} == {"train"}


def test_infinite_settings_have_an_id() -> None:
    plan = cells(trainer_args={"max_grad_norm": math.inf})
    assert len({cell.id for cell in plan}) == len(plan)


@pytest.mark.parametrize("field", ["kind", "seed"])
def test_incomplete_cells_are_refused(field: str) -> None:
    values = cells()[0].to_dict()
    del values[field]
    with pytest.raises(TypeError):
        Cell.from_dict(values)
