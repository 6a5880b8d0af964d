"""The text form of a method, its defaults, and errors that say what to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_efficiency_benchmark.config.adapters import AdapterSettings
from lora_efficiency_benchmark.config.methods import full, lora, parse_method
from lora_efficiency_benchmark.errors import ConfigError


def test_full() -> None:
    assert parse_method("full") == full()
    assert parse_method("full").label == "full"
    assert full().resolved() == {"kind": "full"}


def test_lora_with_the_specifications_defaults() -> None:
    method = parse_method("lora:r=32,targets=q_proj+k_proj+v_proj+o_proj")
    assert method.adapter == AdapterSettings(32, 64, ("q_proj", "k_proj", "v_proj", "o_proj"), 0.1)
    assert method.label == "r=32 q,k,v,o"
    assert method.resolved() == {
        "kind": "lora", "r": 32, "alpha": 64, "dropout": 0.1,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
    }  # fmt: skip


def test_lora_with_everything_given() -> None:
    text = "lora:r=4,alpha=16,targets=all-linear,dropout=0,dora=true,rslora=true"
    method = parse_method(text)
    assert method.adapter == AdapterSettings(4, 16, ("all-linear",), 0.0, True, True)
    assert method.text == text
    assert lora(method.adapter) == parse_method(lora(method.adapter).text)
    assert hash(method) == hash(lora(method.adapter))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "write full"),
        ("lorra:r=4", "write full"),
        ("full:r=4", "write full"),
        ("peft:", "write full"),
        ("lora", "r is missing"),
        ("lora:r=4", "targets is missing.*all-linear"),
        ("lora:targets=q_proj", "r is missing"),
        ("lora:r=four,targets=q_proj", "r=four cannot be read"),
        ("lora:r=0,targets=q_proj", "at least 1"),
        ("lora:r=4,targets=", "module names"),
        ("lora:r=4,targets=q_proj+q_proj", "named twice"),
        ("lora:r=4,r=8,targets=q_proj", "give r once"),
        ("lora:r=4,targets=q_proj,dora=yes", "dora=yes cannot be read"),
        ("lora:r=4,targets=q_proj,dropout=1", "dropout"),
        ("lora:r=4,targets=q_proj,alpha=nan", "alpha"),
        ("lora:rank=4,targets=q_proj", "unknown key 'rank'; known keys: r, alpha"),
    ],
)
def test_bad_text_is_one_line_that_says_what_to_write(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_method(text)
    assert "\n" not in str(caught.value)


def test_a_peft_configuration_by_file_or_folder(tmp_path: Path) -> None:
    content = {"peft_type": "IA3", "target_modules": ["v_proj", "k_proj"]}
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(content))
    for path in (file, tmp_path):
        method = parse_method(f"peft:{path}")
        assert method.peft_config == content
        assert method.label == "IA3 k_proj,v_proj"
        assert method.resolved() == {"kind": "peft", **content}
        assert isinstance(hash(method), int)
    file.write_text(json.dumps({"peft_type": "LOHA", "r": 4, "target_modules": "q_proj"}))
    assert parse_method(f"peft:{file}").label == "LOHA r=4 q_proj"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("[]", "no peft_type"),
        ("{}", "no peft_type"),
        ('{"peft_type": "LORA", "target_modules": 5}', "target_modules: must be"),
        ('{"peft_type": "LORA", "modules_to_save": [1]}', "modules_to_save: must be"),
    ],
)
def test_a_bad_peft_file_is_named(tmp_path: Path, content: str | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(ConfigError, match=rf"adapter_config\.json: .*{complaint}"):
        parse_method(f"peft:{tmp_path}")
