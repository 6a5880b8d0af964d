"""Architecture presets: each one builds, has the stated size, and names modules that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lora_efficiency_benchmark.config.architectures import (
    Architecture,
    architecture_of,
    close_names,
    find_architecture,
    load_architectures,
    parse_architecture,
)
from lora_efficiency_benchmark.errors import ConfigError, ModelError
from lora_efficiency_benchmark.models.adapter_modules import check_targets
from lora_efficiency_benchmark.models.loading import count, load_base_model
from lora_efficiency_benchmark.models.structure import build_structure, load_model_structure

PRESETS = load_architectures()
GOOD: dict[str, Any] = {
    "name": "toy", "hub_id": "someone/toy", "source": "by hand", "model_type": "llama",
    "parameters": 10, "config": {"hidden_size": 8},
    "targets": {"q,v": ["q_proj", "v_proj"], "q,k,v,o": ["q_proj"]},
}  # fmt: skip
WHY = {"en": "one fused layer", "ja": "1つの層にまとまっています"}


@pytest.mark.parametrize("architecture", PRESETS.values(), ids=list(PRESETS))
def test_a_preset_builds_with_its_size_and_targets(architecture: Architecture) -> None:
    model = build_structure(architecture.name)
    assert model.device.type == "meta"
    assert count(model).total == architecture.parameters
    for names in (*architecture.targets.values(), architecture.own_targets):
        check_targets(model, names)


def test_what_is_asked_for_is_there() -> None:
    wanted = "llama-2-7b llama-3.1-8b opt-6.7b mistral-7b qwen2.5-32b gemma-2-9b open-calm-7b"
    assert set(wanted.split()) <= set(PRESETS)
    assert "(" not in "".join(PRESETS), "names are typed in shells"


def test_known_sizes() -> None:
    """The totals these models are known by, written down apart from the presets."""
    stated = {
        "llama-2-7b": 6_738_415_616, "llama-2-13b": 13_015_864_320, "llama-3.1-8b": 8_030_261_248,
        "llama-3.2-1b": 1_235_814_400, "mistral-7b": 7_241_732_096, "opt-1.3b": 1_315_758_080,
        "qwen2.5-0.5b": 494_032_768, "qwen2.5-7b": 7_615_616_512, "gemma-2-2b": 2_614_341_888,
        "deepseek-r1-distill-qwen-1.5b": 1_777_088_000, "smollm2-135m": 134_515_008,
    }  # fmt: skip
    assert {name: PRESETS[name].parameters for name in stated} == stated


def test_names_are_found_in_any_case_and_by_hub_id() -> None:
    assert find_architecture("Llama-2-7B") is PRESETS["llama-2-7b"]
    assert find_architecture("meta-llama/Llama-2-7b-hf") is None
    assert architecture_of("meta-llama/Llama-2-7b-hf") is PRESETS["llama-2-7b"]
    assert architecture_of("someone/else") is None
    assert close_names("Llama2-7b")[0] == close_names("meta-llama/Llama-2-7b")[0] == "llama-2-7b"
    assert close_names("someone/else") == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"colour": 1}, "colour"),
        ({"parameters": "7B"}, "parameters"),
        ({"name": "other"}, "name"),
        ({"config": {}}, "config"),
        ({"targets": {"q,v": ["q_proj"]}}, "q,k,v,o"),
        ({"targets": {}, "inexpressible": {"q,v": WHY, "q,k,v,o": WHY}}, "own_targets"),
        ({"inexpressible": {"q,v": "fused"}}, "inexpressible.q,v: must be the reason as ja and en"),
        ({"inexpressible": {"q,v": {"en": "fused"}}}, "inexpressible.q,v"),
        ({"inexpressible": {"q,v": {**WHY, "ja": ""}}}, "inexpressible.q,v"),
    ],
)
def test_a_wrong_file_is_refused_by_field(change: dict[str, Any], complaint: str) -> None:
    assert parse_architecture(GOOD, Path("toy.yaml")).targets["q,v"] == ("q_proj", "v_proj")
    with pytest.raises(ConfigError, match=rf"toy\.yaml: {complaint}"):
        parse_architecture({**GOOD, **change}, Path("toy.yaml"))


def test_why_a_target_cannot_be_expressed_is_known_in_both_languages() -> None:
    for preset in PRESETS.values():
        for key, why in preset.inexpressible.items():
            assert "層" in why.ja, (preset.name, key)
            assert preset.to_dict()["inexpressible"][key] == why.en


@pytest.mark.parametrize("load", [load_base_model, load_model_structure])
def test_a_preset_cannot_be_trained(load: Any) -> None:
    with pytest.raises(ModelError, match=r"configuration only.*meta-llama/Llama-2-7b-hf"):
        load("llama-2-7b")


def test_a_local_folder_goes_before_a_preset(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llama-2-7b").symlink_to(tiny_model_dir)
    monkeypatch.chdir(tmp_path)
    assert count(build_structure("llama-2-7b")).total < 1_000_000
    assert load_model_structure("llama-2-7b")[1] is not None
