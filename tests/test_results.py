"""The stored contract: a record comes back as it was, or is refused by name."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from factories import make_config
from lora_efficiency_benchmark.errors import StoreError
from lora_efficiency_benchmark.plan import expand
from lora_efficiency_benchmark.records.results import (
    FAILED,
    FORMAT_VERSION,
    OK,
    CellRecord,
    LoRAEfficiencyResult,
    decode_non_finite,
    encode_non_finite,
)

SPECIFICATION_FIELDS = [
    "model_name", "training_method", "dataset_size", "lora_config", "trainable_parameters",
    "total_parameters", "parameter_reduction_ratio", "peak_memory_mb", "training_time_minutes",
    "eval_loss", "eval_perplexity", "model_size_mb", "measurement_timestamp",
]  # fmt: skip


def record(**fields: Any) -> CellRecord:
    config = make_config(trainer_args={"max_grad_norm": math.inf})
    cell = [c for c in expand(config) if c.kind == "train"][1]
    return CellRecord(
        cell, fields.pop("status", OK), "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", **fields
    )


def test_the_public_row_starts_with_the_specifications_fields() -> None:
    names = [field.name for field in dataclasses.fields(LoRAEfficiencyResult)]
    assert names[:13] == SPECIFICATION_FIELDS


def test_round_trip_with_everything_json_cannot_say() -> None:
    original = record(
        status=FAILED,
        isolated=False,
        error={"kind": "diverged", "message": "損失が発散"},
        training={"loss_curve": [{"step": 1, "loss": math.inf}, {"step": 2, "loss": -math.inf}]},
        evaluation={"loss": math.nan, "documents": []},
        seconds={"train": 1.5},
    )
    text = json.dumps(original.to_dict(), allow_nan=False)  # strict JSON
    back = CellRecord.from_dict(json.loads(text))
    assert back.evaluation is not None
    assert math.isnan(back.evaluation["loss"])
    back.evaluation["loss"] = original.evaluation["loss"] = None  # type: ignore[index]
    assert back == original
    assert back.cell.trainer_args == {"max_grad_norm": math.inf}
    assert back.cell_id == original.cell_id


@pytest.mark.parametrize("value", [math.inf, -math.inf, 0.0, -1.5, None, True, "nan", [], {}])
def test_encoding_is_undone(value: Any) -> None:
    assert decode_non_finite(json.loads(json.dumps(encode_non_finite(value)))) == value


@pytest.mark.parametrize("version", [None, 0, FORMAT_VERSION + 1, "1"])
def test_other_versions_are_refused(version: Any) -> None:
    values = {**record().to_dict(), "format_version": version}
    with pytest.raises(StoreError, match=r"here: format version .* this program reads 1"):
        CellRecord.from_dict(values, "here")


def test_unknown_fields_are_left_out() -> None:
    values = {**record().to_dict(), "added_later": 1}
    assert CellRecord.from_dict(values) == record()


@pytest.mark.parametrize(
    "change",
    [
        {"cell": None}, {"cell": []}, {"cell": {}}, {"cell": {"kind": "train"}},
        {"status": "fine"}, {"evaluation": {"loss": {"non_finite": "large"}}},
    ],
)  # fmt: skip
def test_a_damaged_record_is_a_store_error(change: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="here: "):
        CellRecord.from_dict({**record().to_dict(), **change}, "here")


@pytest.mark.parametrize("missing", ["cell", "status", "started_at"])
def test_an_incomplete_record_is_a_store_error(missing: str) -> None:
    values = record().to_dict()
    del values[missing]
    with pytest.raises(StoreError, match="not a cell record"):
        CellRecord.from_dict(values)


def test_a_damaged_adapter_is_a_store_error() -> None:
    values = record().to_dict()
    values["cell"]["adapter"]["r"] = 0
    with pytest.raises(StoreError, match="rank"):
        CellRecord.from_dict(values)
