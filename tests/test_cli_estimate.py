"""``lora-bench estimate``: JSON, exit codes, tables in both languages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lora_efficiency_benchmark.cli import app
from lora_efficiency_benchmark.cli import estimate as cli_estimate
from lora_efficiency_benchmark.errors import ConfigError, LoraBenchError
from lora_efficiency_benchmark.estimate.predict import CONTEXT_BYTES

LORA = "lora:r=4,targets=q_proj+v_proj"
SMALL = ("--batch-size", "2", "--seq-len", "64")
KEYS = {
    "model", "method", "trainable_parameters", "total_parameters", "peak_allocated_bytes",
    "peak_reserved_range_bytes", "context_bytes", "peak_phase", "breakdown", "options", "fits",
    "largest", "seconds",
}  # fmt: skip
PARTS = [
    "weights", "adapter", "gradients", "optimizer", "activations", "logits_and_loss", "temporaries",
]  # fmt: skip


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["estimate", *arguments])


def rows(*arguments: str, code: int = 0) -> list[dict[str, Any]]:
    done = call(*arguments, "--json")
    assert done.exit_code == code, (done.output, done.exception)
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def peak(*arguments: str) -> int:
    return int(rows(*arguments)[0]["peak_allocated_bytes"])


LARGEST = {"batch_size": 1234, "seq_len": None, "rank": 5}


@pytest.fixture
def no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for the largest has tests of its own, and takes seconds."""
    from lora_efficiency_benchmark.estimate import fitting

    monkeypatch.setattr(fitting, "largest_that_fits", lambda predictor, limit: LARGEST)


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> str:
    return str(tiny_model_dir)


def test_json_keys_and_sums(model: str) -> None:
    found = rows(model, "full", LORA, *SMALL)
    assert [row["method"] for row in found] == ["full", LORA]
    for row in found:
        assert set(row) >= KEYS
        assert list(row["breakdown"]) == PARTS
        assert sum(row["breakdown"].values()) == row["peak_allocated_bytes"]
        low, high = row["peak_reserved_range_bytes"]
        assert row["peak_allocated_bytes"] <= high
        assert low <= high
        assert row["context_bytes"] == CONTEXT_BYTES
        assert (row["fits"], row["largest"]) == (None, None)
        assert row["options"]["precision"] == "amp-bf16"
    resolved = found[1]["options"]["method"]
    assert (resolved["alpha"], resolved["dropout"]) == (8, 0.1)


@pytest.mark.usefixtures("no_search")
def test_fits_is_reserved_and_context_against_the_gpu(model: str) -> None:
    row = rows(model, LORA, *SMALL, "--gpu", "24GiB", "--strict")[0]
    assert row["fits"] is True
    assert row["largest"] == LARGEST
    needed = row["peak_reserved_range_bytes"][1] + row["context_bytes"]
    assert row["needed_bytes"] == needed
    assert rows(model, LORA, *SMALL, "--gpu", f"{needed}B")[0]["fits"] is True
    row = rows(model, LORA, *SMALL, "--gpu", f"{needed - 1}B", "--strict", code=3)[0]
    assert row["fits"] is False


def test_on_a_cpu_there_is_no_reserve(model: str) -> None:
    row = rows(model, LORA, *SMALL, "--device", "cpu")[0]
    assert row["peak_reserved_range_bytes"] is None
    assert row["context_bytes"] == 0
    assert row["needed_bytes"] == row["peak_allocated_bytes"]


def test_more_needs_more(model: str) -> None:
    base = peak(model, LORA, *SMALL)
    assert peak(model, LORA, "--batch-size", "4", "--seq-len", "64") > base
    assert peak(model, LORA, "--batch-size", "2", "--seq-len", "128") > base
    assert peak(model, LORA.replace("r=4", "r=16"), *SMALL) > base
    assert peak(model, LORA, *SMALL, "--precision", "fp32") != base


@pytest.mark.usefixtures("no_search")
def test_options_reach_the_step(model: str) -> None:
    given = {
        "optimizer": "sgd", "attention": "eager", "adapter_dtype": "float32", "accumulation": 2,
        "max_grad_norm": 0.0, "loop": "plain", "padded": False, "gradient_checkpointing": True,
    }  # fmt: skip
    row = rows(
        model, LORA, *SMALL, "--optimizer", "sgd", "--attention", "eager", "--adapter-dtype",
        "float32", "--accumulation", "2", "--max-grad-norm", "0", "--loop", "plain", "--packed",
        "--gradient-checkpointing", "--dtype", "bfloat16", "--gpu", "RTX-4090",
    )[0]  # fmt: skip
    assert given.items() <= row["options"].items()
    assert (row["options"]["precision"], row["options"]["arch"]) == ("bf16", "sm89")


@pytest.mark.parametrize(
    ("precision", "dtype", "resolved"),
    [
        (None, None, "amp-bf16"), ("amp-fp16", None, "amp-fp16"), (None, "float32", "fp32"),
        (None, "bfloat16", "bf16"), ("fp16", "float16", "fp16"),
    ],
)  # fmt: skip
def test_dtype_is_short_for_a_pure_precision(
    precision: str | None, dtype: str | None, resolved: str
) -> None:
    assert cli_estimate._precision(precision, dtype) == resolved


def test_dtype_against_precision() -> None:
    with pytest.raises(ConfigError, match="not amp-bf16"):
        cli_estimate._precision("amp-bf16", "bfloat16")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((LORA, "--gpu", "RTX-9999"), "--gpu RTX-9999"),
        ((LORA, "--gpu", "24"), "unit"),
        (("lora:r=4,targets=nope",), "nope"),
        ((LORA, "--precision", "fp8"), "--precision fp8"),
        ((LORA, "--dtype", "half"), "--dtype half"),
        ((LORA, "--batch-size", "0"), "--batch-size 0"),
        ((LORA, "--seq-len", "100000"), "--seq-len 100000"),
        ((LORA, "--optimizer", "lion"), "--optimizer lion"),
        ((LORA, "--lang", "fr"), "--lang fr"),
        (("full", "--quantization", "nf4"), "cannot be trained"),
        (("lora",), "method 'lora'"),
    ],
)
def test_what_the_user_can_fix(model: str, arguments: tuple[str, ...], complaint: str) -> None:
    done = call(model, *arguments)
    assert isinstance(done.exception, LoraBenchError), done.output
    assert complaint in str(done.exception)
    assert done.stdout == ""


def test_strict_without_a_gpu_is_a_usage_error(model: str) -> None:
    assert call(model, LORA, "--strict").exit_code == 2


def test_two_gpus_are_a_usage_error(model: str) -> None:
    done = call(model, LORA, "--gpu", "24GiB", "--gpu", "80GiB")
    assert done.exit_code == 2
    assert "--gpu: give it once" in done.stderr


def test_a_pattern_that_is_none(model: str, tmp_path: Path) -> None:
    config = {"peft_type": "LORA", "target_modules": "((("}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    done = call(model, f"peft:{tmp_path}", *SMALL)
    assert isinstance(done.exception, ConfigError), done.output
    assert "is no regular expression" in str(done.exception)


def test_an_unknown_model_is_one_line() -> None:
    command = [sys.executable, "-m", "lora_efficiency_benchmark.cli", "estimate", "no/such", "full"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "no/such" in done.stderr


def test_the_default_methods_skip_what_cannot_be(model: str) -> None:
    done = call(model, *SMALL, "--quantization", "nf4", "--lang", "en")
    assert done.exit_code == 0, done.output
    assert "full: left out" in done.stderr
    assert "r=32 q,k,v,o" in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("no_search")
def test_strict_is_not_passed_by_methods_that_were_left_out(model: str) -> None:
    """Full fine-tuning of quantised weights cannot be estimated; so it does not fit."""
    options = (*SMALL, "--gpu", "24GiB", "--strict")
    assert call(model, *options, "--quantization", "nf4").exit_code == 3
    assert call(model, *options).exit_code == 0


@pytest.mark.usefixtures("no_search")
def test_strict_asks_nothing_of_what_the_layers_cannot_express() -> None:
    """Fused attention has no q and v of its own: the configuration does not exist."""
    done = call("open-calm-1b", *SMALL, "--gpu", "1000GiB", "--strict", "--lang", "en")
    assert done.exit_code == 0, done.output
    assert "cannot express it" in done.stderr


@pytest.mark.usefixtures("no_search")
def test_tables_in_both_languages(model: str) -> None:
    done = call(model, "full", LORA, *SMALL, "--gpu", "1GiB", "--lang", "en")
    assert "fits" in done.stdout
    assert "batch 1,234 · length none · rank 5" in done.stdout
    assert "nothing was run" in done.stdout
    assert "alpha=8, target_modules=q_proj+v_proj, dropout=0.1" in done.stdout
    done = call(model, LORA, *SMALL, "--gpu", "0.1GiB", "--lang", "ja")
    assert "収まらない" in done.stdout
    assert "長さ なし" in done.stdout
    assert "推定値" in done.stdout


def test_help_starts_without_torch() -> None:
    code = "import lora_efficiency_benchmark.cli, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
