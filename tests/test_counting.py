"""Exact counts on structures without weights, and the commands that print them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lora_efficiency_benchmark.config.adapters import parse_adapter
from lora_efficiency_benchmark.config.methods import Method, parse_method
from lora_efficiency_benchmark.errors import ConfigError, ModelError, TargetModulesError
from lora_efficiency_benchmark.models import counting
from lora_efficiency_benchmark.models.counting import count_methods, specification_methods

KEYS = [
    "model", "method", "trainable_parameters", "total_parameters", "parameter_reduction_ratio",
    "trainable_bytes", "model_size_mb",
]  # fmt: skip
PEFT_LORA = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}
QKVO = "q_proj+k_proj+v_proj+o_proj"


def rows_of(model: str, *texts: str) -> list[dict[str, Any]]:
    return count_methods(model, [parse_method(text) for text in texts])


def trainable(model: str, text: str) -> int:
    return int(rows_of(model, text)[0]["trainable_parameters"])


def peft(**config: Any) -> Method:
    return Method("peft", peft_config=config)


def test_the_claimed_two_hundred_times() -> None:
    text = f"lora:r=32,alpha=64,targets={QKVO}"
    full, lora = rows_of("llama-2-7b", "full", text)
    assert list(full)[: len(KEYS)] == KEYS
    assert full["trainable_parameters"] == full["total_parameters"] == 6_738_415_616
    assert full["parameter_reduction_ratio"] == 1
    assert lora["method"] == text
    assert lora["trainable_parameters"] == 32 * 4 * 32 * (4096 + 4096) == 33_554_432
    assert lora["total_parameters"] == 6_738_415_616 + 33_554_432
    assert lora["parameter_reduction_ratio"] == 6_738_415_616 / 33_554_432
    assert round(lora["parameter_reduction_ratio"], 1) == 200.8
    assert lora["trainable_bytes"] == 4 * 33_554_432
    assert lora["model_size_mb"] > full["model_size_mb"]


def test_grouped_keys_and_tied_weights() -> None:
    full, lora = rows_of("qwen2.5-0.5b", "full", f"lora:r=8,targets={QKVO}")
    assert full["total_parameters"] == 494_032_768, "the tied output matrix is counted once"
    query, key = 896 + 896, 896 + 2 * 64
    assert lora["trainable_parameters"] == 24 * 8 * (2 * query + 2 * key)


def test_dora_adds_a_magnitude_per_output_and_rslora_adds_nothing() -> None:
    plain = trainable("llama-3.2-1b", "lora:r=8,targets=q_proj+v_proj")
    assert trainable("llama-3.2-1b", "lora:r=8,targets=q_proj+v_proj,rslora=true") == plain
    dora = trainable("llama-3.2-1b", "lora:r=8,targets=q_proj+v_proj,dora=true")
    assert dora == plain + 16 * (2048 + 512)


def test_opt_refuses_o_proj_and_lists_out_proj() -> None:
    with pytest.raises(TargetModulesError, match=r"o_proj matches nothing.*out_proj"):
        rows_of("opt-1.3b", f"lora:r=8,targets={QKVO}")
    text = "lora:r=8,targets=q_proj+k_proj+v_proj+out_proj"
    assert trainable("opt-1.3b", text) == 24 * 4 * 8 * (2048 + 2048)


def test_fused_layers_of_neox_and_gpt2() -> None:
    with pytest.raises(TargetModulesError, match="query_key_value"):
        rows_of("open-calm-1b", "lora:r=8,targets=q_proj+v_proj")
    assert trainable("open-calm-1b", "lora:r=8,targets=query_key_value") == 24 * 8 * 4 * 2048
    # GPT-2 stores the transposed weight (Conv1D): 2048 in, 6144 out
    assert trainable("japanese-gpt-1b", "lora:r=8,targets=c_attn") == 24 * 8 * (2048 + 6144)
    assert trainable("japanese-gpt-1b", "lora:r=8,targets=all-linear") > 24 * 8 * (2048 + 6144)


def test_other_peft_methods(tiny_model_dir: Path) -> None:
    ia3 = peft(
        peft_type="IA3", target_modules=["k_proj", "v_proj", "down_proj"],
        feedforward_modules=["down_proj"],
    )  # fmt: skip
    prompt = peft(peft_type="PROMPT_TUNING", num_virtual_tokens=8, task_type=None)
    norms = peft(peft_type="LN_TUNING", target_modules=["input_layernorm"])
    pissa = peft(peft_type="LORA", r=4, target_modules=["q_proj"], init_lora_weights="pissa")
    gpt2 = peft(peft_type="LORA", r=4, target_modules=["c_attn"], fan_in_fan_out=False)
    rows = count_methods(str(tiny_model_dir), [ia3, prompt, norms, pissa])
    assert [row["trainable_parameters"] for row in rows] == [
        2 * (16 + 16 + 64), 8 * 32, 2 * 32, 2 * 4 * (32 + 32),
    ]  # fmt: skip
    assert rows[0]["method"] == "IA3 down_proj,k_proj,v_proj"
    assert count_methods("japanese-gpt-1b", [gpt2])[0]["trainable_parameters"] == 24 * 4 * 8192


@pytest.mark.parametrize(
    ("config", "error", "complaint"),
    [
        ({"peft_type": "IA3", "target_modules": ["k_proj", "nope"]}, TargetModulesError, "nope"),
        ({"peft_type": "LORA", "target_modules": "nope"}, TargetModulesError, "nope"),
        ({"peft_type": "LORRA"}, ConfigError, "unknown peft_type 'LORRA'"),
        ({"peft_type": "LORA", "task_type": "SEQ_CLS"}, ConfigError, "SEQ_CLS"),
        ({"peft_type": "LORA", "r": -1, "target_modules": ["q_proj"]}, ConfigError, "r"),
        ({"peft_type": "LORA", "target_modules": "((("}, ConfigError, r"'\(\(\(' is no regular"),
        ({**PEFT_LORA, "modules_to_save": ["norm", "nope"]}, TargetModulesError, r"nope.*has"),
        ({"peft_type": "UNILORA", "target_modules": ["q_proj"]}, ConfigError, "needs the weights"),
    ],
)
def test_what_peft_refuses_is_one_line(
    tiny_model_dir: Path, config: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint) as caught:
        count_methods(str(tiny_model_dir), [peft(**config)])
    assert "\n" not in str(caught.value)


def test_modules_to_save_by_the_end_of_their_names(tiny_model_dir: Path) -> None:
    """As PEFT takes them: ``layernorm`` means both norms of each of the two layers."""
    method = peft(**PEFT_LORA, modules_to_save=["layernorm"])
    row = count_methods(str(tiny_model_dir), [method])[0]
    assert row["trainable_parameters"] == 2 * 4 * (32 + 32) + 2 * 2 * 32


def test_the_specifications_configurations_in_own_names(tiny_model_dir: Path) -> None:
    labels = ["full", "r=4 q,v", "r=8 q,k,v,o", "r=16 q,k,v,o", "r=32 q,k,v,o"]
    methods, skipped = specification_methods(str(tiny_model_dir))
    assert ([method.label for method in methods], skipped) == (labels, [])
    methods, skipped = specification_methods("opt-1.3b")
    assert methods[2].adapter is not None
    assert methods[2].adapter.target_modules == ("q_proj", "k_proj", "v_proj", "out_proj")
    methods, skipped = specification_methods("open-calm-1b")
    assert [method.label for method in methods] == ["full"]
    assert [entry.label for entry in skipped] == labels[1:]
    parse_method(skipped[0].instead)
    assert skipped[0].reason.en == "one fused query_key_value layer"
    assert skipped[0].reason.ja == "q・k・v が1つの query_key_value 層にまとまっています"


def test_an_unknown_model() -> None:
    with pytest.raises(ModelError, match=r"no-such/model.*'lora-bench models'") as caught:
        rows_of("no-such/model", "full")
    assert "did you mean" not in str(caught.value)
    with pytest.raises(ModelError, match=r"did you mean qwen2\.5-0\.5b or"):
        rows_of("qwen2.5-05b", "full")


def test_the_hub_is_asked_without_a_line_for_each_attempt(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import AutoConfig

    hub = logging.getLogger("huggingface_hub")
    monkeypatch.setattr(hub, "propagate", True)
    before = hub.level

    def refused(*_: Any, **__: Any) -> None:
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 8s")
        raise OSError("no network")

    monkeypatch.setattr(AutoConfig, "from_pretrained", refused)
    with pytest.raises(ModelError, match="no network"):
        rows_of("no-such/model", "full")
    assert caplog.records == []
    assert hub.level == before


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lora_efficiency_benchmark.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ})


def test_count_prints_json_and_says_what_it_left_out() -> None:
    done = call("count", "open-calm-1b", "--json", "--lang", "en")
    assert done.returncode == 0, done.stderr
    assert [row["method"] for row in json.loads(done.stdout)] == ["full"]
    assert "r=4 q,v: left out" in done.stderr
    assert "query_key_value" in done.stderr


def test_what_was_left_out_is_said_in_japanese() -> None:
    done = call("count", "open-calm-1b", "--lang", "ja")
    assert done.returncode == 0, done.stderr
    assert "(q・k・v が1つの query_key_value 層にまとまっています)" in done.stderr
    assert "fused" not in done.stderr


def test_targets_that_a_model_lacks_are_a_reason_in_both_languages() -> None:
    from torch import nn

    adapter = parse_adapter({"r": 4, "target_modules": ["q_proj", "v_proj"]})
    skipped = counting._in_own_names(adapter, "someone/else", nn.Sequential(nn.Linear(2, 2)))
    assert isinstance(skipped, counting.Skipped)
    assert skipped.reason.en.isascii()
    assert not skipped.reason.ja.isascii()


def test_count_prints_a_table_in_japanese(tiny_model_dir: Path) -> None:
    done = call("count", str(tiny_model_dir), "full", f"lora:r=2,targets={QKVO}", "--lang", "ja")
    assert done.returncode == 0, done.stderr
    assert "学習パラメータ数" in done.stdout
    assert "alpha=4, target_modules=q_proj+k_proj+v_proj+o_proj, dropout=0.1" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["llama-2-7b", "lora:r=8"], "targets is missing"), (["no/such/model"], "no such file")],
)
def test_bad_input_is_one_line_and_exit_1(arguments: list[str], complaint: str) -> None:
    done = call("count", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_warnings_of_peft_are_one_line_each(tiny_model_dir: Path, tmp_path: Path) -> None:
    config = {**PEFT_LORA, "rank_pattern": {"nope": 32}, "foo": 1}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    method = f"peft:{tmp_path}"
    done = call("count", str(tiny_model_dir), method, method)
    assert done.returncode == 0, done.stderr
    unknown, unmatched = done.stderr.splitlines()
    assert unknown.startswith("Unexpected keyword arguments ['foo']")
    assert unmatched.endswith("['nope'].")
    assert ".py" not in done.stderr


def test_models_lists_the_presets() -> None:
    listed = json.loads(call("models", "--json").stdout)
    row = next(entry for entry in listed if entry["name"] == "llama-2-7b")
    assert row["parameters"] == 6_738_415_616
    assert row["targets"]["q,v"] == ["q_proj", "v_proj"]
