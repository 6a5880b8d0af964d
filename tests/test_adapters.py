"""One LoRA configuration: defaults, checks, labels."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lora_efficiency_benchmark.config.adapters import ALL_LINEAR, AdapterSettings, parse_adapter
from lora_efficiency_benchmark.errors import ConfigError

Q_V = ["q_proj", "v_proj"]


def test_defaults() -> None:
    adapter = parse_adapter({"r": 8, "target_modules": Q_V})
    assert adapter == AdapterSettings(8, 16, ("q_proj", "v_proj"), 0.1, False, False)


def test_dictionary_form_is_the_specifications_and_comes_back() -> None:
    raw = {"r": 8, "alpha": 16, "target_modules": Q_V, "dropout": 0.0, "use_dora": True}
    adapter = parse_adapter(raw)
    assert adapter.to_dict() == raw
    assert parse_adapter(adapter.to_dict()) == adapter
    assert parse_adapter(adapter) is adapter


@pytest.mark.parametrize("targets", [ALL_LINEAR, [ALL_LINEAR]])
def test_all_linear_as_text_or_list(targets: Any) -> None:
    adapter = parse_adapter({"r": 8, "target_modules": targets})
    assert adapter.to_dict()["target_modules"] == ALL_LINEAR
    assert adapter.label == "r=8 all-linear"


def test_a_whole_alpha_is_one_value_however_it_is_written() -> None:
    alphas = [parse_adapter({"r": 8, "alpha": a, "target_modules": Q_V}).alpha for a in (16, 16.0)]
    assert [repr(alpha) for alpha in alphas] == ["16", "16"]
    assert parse_adapter({"r": 8, "alpha": 0.5, "target_modules": Q_V}).alpha == 0.5


def test_different_configurations_have_different_labels() -> None:
    variants = [{}, {"alpha": 8}, {"dropout": 0.0}, {"use_dora": True}, {"use_rslora": True}]
    variants += [{"alpha": 8, "dropout": 0.05}, {"r": 4}, {"target_modules": ["q_proj"]}]
    labels = [parse_adapter({"r": 8, "target_modules": Q_V, **v}).label for v in variants]
    assert len(set(labels)) == len(labels)
    assert labels[:3] == ["r=8 q,v", "r=8 q,v alpha=8", "r=8 q,v dropout=0"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"alpha": 0}, "alpha: must be a number above 0.0"),
        ({"alpha": math.inf}, "alpha: must be"),
        ({"alpha": math.nan}, "alpha: must be"),
        ({"alpha": True}, "alpha: must be"),
        ({"alpha": "16"}, "alpha: must be"),
        ({"dropout": 1}, "dropout: must be a number at least 0.0 and below 1.0"),
        ({"dropout": -0.1}, "dropout: must be"),
        ({"dropout": math.nan}, "dropout: must be"),
        ({"use_dora": 1}, "use_dora: must be true or false"),
        ({"use_rslora": "yes"}, "use_rslora: must be true or false"),
        ({"target_modules": []}, "target_modules: name at least one module"),
        ({"target_modules": None}, "target_modules: name at least one module"),
        ({"target_modules": [""]}, "target_modules: must be module names"),
        ({"target_modules": [1]}, "target_modules: must be module names"),
        ({"target_modules": ["q_proj", "q_proj"]}, "target_modules: a module is named twice"),
        ({"rank": 8}, "unknown key 'rank'"),
    ],
)
def test_refusals_name_field_and_rule(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_adapter({"r": 8, "target_modules": Q_V, **change}, "here")
    assert str(caught.value).startswith("here")
    assert expected in str(caught.value)
