"""The specification's ``analyze_efficiency_claims()`` dictionary, before and after data."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from factories import make_config, make_records
from lora_efficiency_benchmark.analysis import analyze, specification_dictionary
from lora_efficiency_benchmark.config.claims import load_claims

CLAIMS = load_claims("paper-r5")
SPECIFIED = ["parameter_reduction", "memory_reduction", "performance_retention"]


def dictionary(*args: Any, **fields: Any) -> dict[str, Any]:
    return specification_dictionary(analyze(make_records(*args, **fields), CLAIMS))


@pytest.mark.parametrize("claims", [CLAIMS, []])
def test_before_there_is_data(claims: list[Any]) -> None:
    result = specification_dictionary(analyze([], claims))
    assert {key: result[key] for key in SPECIFIED} == {
        "parameter_reduction": {"claimed": 200, "measured": [], "verification": "unknown"},
        "memory_reduction": {"claimed": 2.0, "measured": [], "verification": "unknown"},
        "performance_retention": {"measured": [], "analysis": []},
    }
    assert isinstance(result["parameter_reduction"]["claimed"], int)


def test_after_a_run() -> None:
    result = dictionary()
    assert list(result)[:3] == SPECIFIED
    parameters = result["parameter_reduction"]
    assert parameters["claimed"] == 200
    assert parameters["measured"] == pytest.approx([583.8325, 145.958, 72.979, 36.489], abs=1e-3)
    assert parameters["verification"] == "VERIFIED"  # the specification's mean rule: 209.8
    assert result["memory_reduction"]["verification"] == "PARTIAL"
    assert len(result["memory_reduction"]["measured"]) == 4
    retention = result["performance_retention"]
    assert retention["measured"][0] == pytest.approx(math.exp(1.97 - 2.24))
    assert len(retention["analysis"]) == len(retention["measured"]) == 4
    assert "gain kept 69.3% (UNDECIDED)" in retention["analysis"][0]


def test_our_own_keys_come_after() -> None:
    result = dictionary()
    assert set(result) - set(SPECIFIED) == {"joint", "warnings", "claims"}
    assert result["joint"]["sentence"]["en"]
    json.dumps(result, allow_nan=False)


def test_retention_has_one_entry_a_data_size() -> None:
    retention = dictionary(make_config(dataset_sizes=[1000, 2000]))["performance_retention"]
    assert len(retention["measured"]) == len(retention["analysis"]) == 8


def test_only_what_was_measured() -> None:
    result = dictionary(change=lambda r: r if r.cell.kind == "memory" else None)
    assert result["performance_retention"] == {"measured": [], "analysis": []}
    assert result["parameter_reduction"]["verification"] == "VERIFIED"
