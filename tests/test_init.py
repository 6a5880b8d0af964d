"""A first configuration: what fits is chosen, and the file loads, plans and gives its reasons."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lora_efficiency_benchmark import starting
from lora_efficiency_benchmark.cli import app
from lora_efficiency_benchmark.config.adapters import parse_adapter
from lora_efficiency_benchmark.config.benchmark_config import DEFAULT_MODEL, load_config
from lora_efficiency_benchmark.config.yaml_io import parse_yaml
from lora_efficiency_benchmark.errors import ConfigError, DataError
from lora_efficiency_benchmark.plan import FULL
from lora_efficiency_benchmark.starting import Data, Fit, Start, Step, Target, choose_fit
from lora_efficiency_benchmark.starting.text import start_text
from lora_efficiency_benchmark.units import GIB

CARD = Target("Some-GPU", 24 * GIB, "cuda", "sm89")
ADAPTERS = (
    parse_adapter({"r": 4, "target_modules": ["q_proj", "v_proj"]}),
    parse_adapter({"r": 16, "target_modules": ["all-linear"]}),
)
JAPANESE = re.compile(r"[ぁ-んァ-ン一-龥]")


def sized(full: float, lora: float, a_text: float) -> Callable[[Step, str], int]:
    """A model whose arms need so many GiB, and more for every text; savings halve their part."""

    def needed(step: Step, arm: str) -> int:
        fixed = full if arm == FULL else lora
        if step.optimizer != "adamw_torch":
            fixed /= 2
        if arm != FULL and step.lora_precision == "bf16":
            fixed /= 2
        texts = step.batch_size * a_text * step.max_length / 512
        return int(GIB * (fixed + (texts / 2 if step.checkpointing else texts)))

    return needed


def start(fit: Fit, **fields: object) -> Start:
    data = Data("generated", 2000, 200, 48)
    values = {"model_name": "some/model", "target": CARD, "data": data, "adapters": ADAPTERS}
    return Start(**{**values, "fit": fit, "training_steps": 200, "eval_steps": 50, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sizes", "fits", "expected"),
    [
        ((8, 3, 1), True, (4, 512, {})),
        ((8, 3, 5), True, (2, 512, {})),
        ((8, 3, 14), True, (1, 512, {})),
        ((8, 3, 20), True, (1, 512, {"gradient_checkpointing": True})),
        ((8, 3, 7), True, (2, 512, {})),
        ((30, 3, 7), True, (2, 512, {"gradient_checkpointing": True, "optim": "adafactor"})),
        ((30, 3, 28), True, (2, 128, {"gradient_checkpointing": True, "optim": "adafactor"})),
        ((90, 10, 2), False, (4, 512, {})),
        ((90, 10, 20), False, (1, 512, {"gradient_checkpointing": True})),
    ],
)
def test_the_least_altered_step_that_fits(
    sizes: tuple[float, float, float], fits: bool, expected: tuple[int, int, dict[str, object]]
) -> None:
    found = choose_fit(CARD, 512, sized(*sizes))
    assert found.full_fits is fits
    step = found.step
    assert (step.batch_size, step.max_length, step.trainer_args) == expected
    assert step.precision == step.lora_precision == "amp-bf16"
    assert found.lora_bytes <= CARD.limit_bytes
    assert (found.full_bytes <= CARD.limit_bytes) is fits


def test_lora_on_a_bf16_base_where_nothing_else_fits() -> None:
    step = choose_fit(CARD, 512, sized(200, 60, 1)).step
    assert (step.precision, step.lora_precision) == ("amp-bf16", "bf16")
    with pytest.raises(ConfigError, match="not even LoRA fits") as caught:
        choose_fit(CARD, 512, sized(2000, 600, 1))
    assert "\n" not in str(caught.value)


def test_a_margin_is_kept() -> None:
    """A step that takes the whole device is not taken for one that fits."""
    exactly = choose_fit(CARD, 512, sized(24 - 4, 1, 1))
    assert (exactly.step.batch_size, exactly.full_bytes) != (4, 24 * GIB)
    assert exactly.full_bytes <= starting.SHARE * 24 * GIB


def test_old_devices_have_no_bf16() -> None:
    assert Target("T4", 15 * GIB, "cuda", "sm75").precision == "amp-fp16"
    for arch in ("sm80", "sm120", "gfx90a", None):
        assert Target("x", GIB, "cuda", arch).precision == "amp-bf16"


def test_a_length_that_was_cut_to_fit_is_said() -> None:
    fit = choose_fit(CARD, 512, sized(30, 3, 28))
    assert (fit.step.max_length, fit.wished_length) == (128, 512)
    english = start_text(start(fit), "en", "config.yaml").replace("\n# ", " ")
    assert "Texts are CUT at 128 tokens to make it fit; it did not with 512." in english
    assert "512 から 128 トークンに縮めました" in start_text(start(fit), "ja", "config.yaml")
    whole = choose_fit(CARD, 512, sized(8, 3, 1))
    assert whole.wished_length is None
    assert "CUT" not in start_text(start(whole), "en", "config.yaml")


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("sizes", [(8, 3, 1), (8, 3, 20), (90, 10, 20), (200, 60, 1)])
def test_the_file_loads_and_gives_a_reason_for_every_value(
    language: str, sizes: tuple[float, float, float]
) -> None:
    fit = choose_fit(CARD, 512, sized(*sizes))
    text = start_text(start(fit), language, "config.yaml")
    config = load_config(parse_yaml(text))
    assert config.learning_rates == "search"
    assert config.seeds == 3
    assert config.batch_size == fit.step.batch_size
    assert config.max_length == fit.step.max_length
    assert config.trainer_args == fit.step.trainer_args
    assert config.precision_of("lora") == fit.step.lora_precision
    assert config.adapters == list(ADAPTERS)
    assert f"{fit.full_bytes / GIB:.1f} GiB" in text
    flat = text.replace("\n# ", " ")
    assert ("It is tried" in flat or "試みたうえで" in flat) is not fit.full_fits
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"[a-z_]+:", line):
            assert lines[number - 1].startswith("# "), f"no reason above {line}"
        if line.startswith("  - "):
            assert "  # " in line
    comments = [line for line in lines if line.startswith("# ")]
    assert all(bool(JAPANESE.search(line)) is (language == "ja") for line in comments)


@pytest.mark.parametrize(
    "name", ["a\nseeds: 99", "a: b # c", "日本語 モデル", "'\"\\", "no", "1e5", "- x", "../a b/c"]
)
def test_any_name_stays_a_name(name: str) -> None:
    fit = choose_fit(CARD, 512, sized(8, 3, 1))
    target = Target(name, 24 * GIB, "cuda")
    data = Data(name, 20, 4, 2, documents=26, max_length=96)
    text = start_text(start(fit, model_name=name, target=target, data=data), "en", name)
    values = parse_yaml(text)
    assert values["model_name"] == values["dataset"] == name
    assert values["seeds"] == 3
    assert re.fullmatch(r"lora_benchmark_[a-z0-9._-]+", values["output_dir"])


def test_code_of_strangers_runs_only_where_it_was_asked_for() -> None:
    fit = choose_fit(CARD, 512, sized(8, 3, 1))
    assert "trust_remote_code" not in parse_yaml(start_text(start(fit), "en", "c.yaml"))
    trusted = parse_yaml(start_text(start(fit, trust_remote_code=True), "en", "c.yaml"))
    assert trusted["trust_remote_code"] is True


def test_a_preset_is_written_as_its_hub_id_and_sized_as_itself() -> None:
    assert starting.model_names("llama-2-7b") == ("meta-llama/Llama-2-7b-hf", "llama-2-7b")
    assert starting.model_names("Qwen/Qwen2.5-1.5B") == ("Qwen/Qwen2.5-1.5B", "qwen2.5-1.5b")
    assert starting.model_names(DEFAULT_MODEL)[0] == DEFAULT_MODEL
    assert starting.model_names("./mine") == ("./mine", "./mine")


@pytest.mark.parametrize(
    ("model", "modules"),
    [
        ("llama-3.2-1b", [("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "o_proj")]),
        ("opt-1.3b", [("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "out_proj")]),
        ("open-calm-1b", [("query_key_value", "dense")]),
    ],
)
def test_modules_by_the_models_own_names(model: str, modules: list[tuple[str, ...]]) -> None:
    found = [adapter.target_modules for adapter in starting.choose_adapters(model)]
    assert found[-1] == ("all-linear",)
    assert found[:-1] == modules


def test_texts_of_ones_own_decide_sizes_and_length(tiny_model_dir: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"{i} の文書です。" + "長い話。" * (i % 7)}) for i in range(90)]
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    cpu = Target("cpu", 8 * GIB, "cpu")
    data = starting.choose_data(str(path), str(tiny_model_dir), cpu)
    assert (data.documents, data.train, data.evaluation, data.validation) == (90, 50, 9, 4)
    assert data.max_length is not None
    assert 64 <= data.max_length <= 256
    assert data.max_length % 32 == 0
    path.write_text(lines[0], encoding="utf-8")
    with pytest.raises(DataError):
        starting.choose_data(str(path), str(tiny_model_dir), cpu)


def call(*arguments: str) -> tuple[int, str]:
    """Exit code and output; what main() prints for a user error is the exception here."""
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output + (f"\n{done.exception}" if done.exception else "")


@pytest.mark.slow
def test_init_then_plan(tiny_model_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    code, output = call(
        "init", str(tiny_model_dir), "-o", str(path), "--gpu", "2GiB", "--lang", "en"
    )
    assert code == 0, output
    assert "both fit" in output
    config = load_config(path)
    assert config.model_name == str(tiny_model_dir)
    assert config.max_length == 256, "the tiny model has no more positions"
    text = path.read_text(encoding="utf-8")
    assert "ESTIMATED, nothing was run" in text
    code, output = call("plan", str(path), "--lang", "en")
    assert code == 0, output
    trials = [line for line in output.splitlines() if line.startswith("trial")]
    assert sum("5 trials" in line for line in trials) == 4, "one line an arm"
    assert sum("shared rate" in line for line in trials) == len(trials) - 4 == 3, "LoRA, at full's"
    assert "1000003" not in output
    before = text
    code, output = call("init", str(tiny_model_dir), "-o", str(path), "--gpu", "2GiB")
    assert code == 1
    assert "--force" in output
    assert path.read_text(encoding="utf-8") == before


def test_the_output_is_checked_before_anything_is_estimated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(starting, "find_start", lambda *_: pytest.fail("estimated first"))
    code, output = call("init", "-o", str(tmp_path / "absent" / "config.yaml"))
    assert code == 1
    assert "cannot be written" in output


@pytest.mark.parametrize("option", ["", "--dataset", "--output"])
def test_a_name_that_no_file_can_hold_is_one_line(
    option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starting, "find_start", lambda *_: pytest.fail("estimated first"))
    code, output = call("init", *([option] if option else []), os.fsdecode(b"caf\xe9.txt"))
    assert code == 1
    assert f"{option or 'MODEL'} caf?.txt: the name is not UTF-8" in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_next_command_can_be_pasted_and_the_cut_is_said(
    language: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    found = start(choose_fit(CARD, 512, sized(30, 3, 28)))
    monkeypatch.setattr(starting, "find_start", lambda *_: found)
    code, output = call("init", "-o", "my config;.yaml", "--lang", language)
    assert code == 0, output
    assert "lora-bench plan 'my config;.yaml'" in output
    assert {"en": "128 tokens instead of 512", "ja": "512 から 128 トークン"}[language] in output
    assert "lora-bench run 'my config;.yaml'" in Path("my config;.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpu", "RTX-409"], "did you mean"),
        (["-o", "/no/such/folder/config.yaml", "--gpu", "4GiB"], "cannot be written"),
        (["/no/such/model"], "no such file or folder"),
        (["--dataset", "/no/such/texts.txt"], "no such file or folder"),
        (["-o", "."], "is a folder"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starting, "_needed", lambda *_: GIB)
    code, output = call("init", *arguments)
    assert code == 1
    assert words in output
    assert not list(tmp_path.iterdir())
