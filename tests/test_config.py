"""What a user may ask for, and what every wrong field answers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from lora_efficiency_benchmark.config.benchmark_config import (
    LoRABenchmarkConfig,
    load_config,
    parse_override,
)
from lora_efficiency_benchmark.config.trainer_args import RESERVED_TRAINER_ARGS
from lora_efficiency_benchmark.config.yaml_io import (
    dump_yaml,
    load_yaml_file,
    parse_yaml,
    preset_names,
    preset_path,
)
from lora_efficiency_benchmark.errors import ConfigError, UserError
from lora_efficiency_benchmark.plan import expand

RATES = {"full": 1e-4, "lora": 2e-3}
Q_V = ["q_proj", "v_proj"]


def config(**fields: Any) -> LoRABenchmarkConfig:
    return load_config({"learning_rates": dict(RATES), **fields})


def refusal(**fields: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config(**fields)
    message = str(caught.value)
    assert "\n" not in message, "an error is one line"
    return message


def from_text(tmp_path: Path, text: str, **overrides: Any) -> LoRABenchmarkConfig:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, **overrides)


# ---- what is right --------------------------------------------------------------------------


def test_defaults_are_the_specifications() -> None:
    c = config()
    assert c.dataset_sizes == [1000, 5000, 10000]
    assert [(a.r, a.alpha) for a in c.adapters] == [(4, 8), (8, 16), (16, 32), (32, 64)]
    assert c.adapters[0].target_modules == ("q_proj", "v_proj")
    assert c.adapters[1].target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert {a.dropout for a in c.adapters} == {0.1}
    assert c.base_model_name == c.model_name


def test_defaults_are_not_shared_between_configurations() -> None:
    config().lora_configurations.clear()
    assert len(config().lora_configurations) == 4


def test_round_trip_through_yaml(tmp_path: Path) -> None:
    c = config(
        dataset_sizes=[200, 100],
        precision={"full": "amp-bf16", "lora": "bf16"},
        dataset={"path": "資料/本文.txt"},
        trainer_args={"weight_decay": 1e-2, "max_grad_norm": math.inf},
        time_limit_minutes=1.5,
        launcher={"isolation": "spawn"},
    )
    text = c.to_yaml()
    assert "資料/本文.txt" in text
    assert from_text(tmp_path, text) == c


def test_a_shared_learning_rate_is_accepted() -> None:
    c = load_config({"learning_rate": 5e-4})
    assert c.learning_rate_of("full", "full") == 5e-4
    assert c.learning_rate_of("lora", "r=8 q,k,v,o") == 5e-4


def test_the_closest_learning_rate_wins() -> None:
    c = config(learning_rates={**RATES, "r=4 q,v": 3e-3})
    assert c.learning_rate_of("lora", "r=4 q,v") == 3e-3
    assert c.learning_rate_of("lora", "r=8 q,k,v,o") == 2e-3
    assert c.learning_rate_of("full", "full") == 1e-4


@pytest.mark.parametrize("text", ["2e-3", "2E-3", "0.002", "2.0e-3", "'2e-3'"])
def test_exponents_without_a_point_are_numbers(tmp_path: Path, text: str) -> None:
    assert from_text(tmp_path, f"learning_rate: {text}").learning_rate == 0.002
    nested = from_text(tmp_path, f"learning_rates: {{full: {text}, lora: {text}}}")
    assert nested.learning_rates == {"full": 0.002, "lora": 0.002}


def test_exponents_inside_trainer_args_are_numbers_too(tmp_path: Path) -> None:
    c = from_text(tmp_path, "learning_rate: 1e-4\ntrainer_args: {weight_decay: 1e-2}")
    assert c.trainer_args["weight_decay"] == 0.01


def test_a_text_that_looks_like_a_number_survives_writing(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(dump_yaml({"model_name": "1e5", "rate": 1e-5}), encoding="utf-8")
    assert load_yaml_file(path) == {"model_name": "1e5", "rate": 1e-5}


def test_overrides_replace_fields(tmp_path: Path) -> None:
    c = from_text(tmp_path, "learning_rate: 1e-4\nseeds: 3", seeds=5)
    assert c.seeds == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training_steps=5", ("training_steps", 5)),
        ("learning_rate=2e-3", ("learning_rate", 0.002)),
        ("dataset_sizes=[10, 20]", ("dataset_sizes", [10, 20])),
        ("model_name=nan", ("model_name", "nan")),
        ("output_dir=a=b", ("output_dir", "a=b")),
    ],
)
def test_overrides_from_the_command_line(text: str, expected: tuple[str, Any]) -> None:
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["seeds", "=5", "seeds=[1", "output_dir=2026-13-45"])
def test_bad_overrides(text: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_override(text)


@pytest.mark.parametrize("name", ["source", "self", "trainig_steps"])
def test_an_unknown_override_is_a_plain_error(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        load_config({"learning_rate": 1e-4}, **{name: 1})


# ---- presets --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names("benchmarks"))
def test_every_preset_is_a_whole_configuration(name: str) -> None:
    c = load_config(name)
    labels = [adapter.label for adapter in c.adapters]
    assert len(set(labels)) == len(labels)
    assert c.learning_rates is not None, "a preset gives each arm its own rate"
    assert len(expand(c)) > len(labels)


def test_the_presets_of_the_documentation_exist() -> None:
    assert {"quick", "paper-r5"} <= set(preset_names("benchmarks"))
    assert "paper-r5" in preset_names("claims")


def test_a_file_is_used_where_no_preset_has_its_name(tmp_path: Path) -> None:
    path = tmp_path / "quick.yaml"
    path.write_text("learning_rate: 1e-4", encoding="utf-8")
    assert preset_path("benchmarks", str(path)) == path
    with pytest.raises(ConfigError, match=r"neither a file nor a benchmarks preset .*quick"):
        preset_path("benchmarks", "quik")


# ---- files ----------------------------------------------------------------------------------


def test_unknown_key_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'traning_steps'; did you mean 'training_"):
        from_text(tmp_path, "learning_rate: 1e-4\ntraning_steps: 3")


def test_unknown_key_without_a_neighbour_lists_the_known_ones() -> None:
    assert "known keys: model_name, base_model_name" in refusal(zzz=1)


def test_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_config(tmp_path / "absent.yaml")


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a file"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, 2", "line 1"),
        ("learning_rate: 1e-4\n  seeds: : 3", "line 2"),
        ("\tseeds: 1", "line 1"),
        ("- a\n- b", "must be a mapping of fields, got list"),
        ("", "must be a mapping of fields, got NoneType"),
        ("just text", "must be a mapping of fields, got str"),
        ("output_dir: 2026-13-45", "not plain YAML"),
        ("seeds: 1\nlearning_rate: 1e-4\nseeds: 2", "line 3 is not plain YAML: the key 'seeds' is"),
    ],
)
def test_unreadable_yaml_is_one_line_with_the_place(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, text)
    message = str(caught.value)
    assert expected in message
    assert "config.yaml" in message
    assert "\n" not in message


def test_merge_keys_are_not_duplicates() -> None:
    assert parse_yaml("x: &a {p: 1}\ny: {<<: *a, p: 2}")["y"] == {"p": 2}


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "sjis.yaml"
    path.write_bytes("model_name: 日本語".encode("shift_jis"))
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(path)


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.system", "!!python/object/new:os.system", "!!python/name:os.system"],
)
def test_executable_yaml_is_refused_and_not_run(tmp_path: Path, tag: str) -> None:
    trace = tmp_path / "ran"
    with pytest.raises(ConfigError, match="not plain YAML"):
        from_text(tmp_path, f'output_dir: {tag} ["touch {trace}"]')
    assert not trace.exists()


# ---- fields ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[], [0], [-5], [10, 10], [True], [1.5], ["10"], 10, None])
def test_dataset_sizes(sizes: Any) -> None:
    assert "dataset_sizes: must be" in refusal(dataset_sizes=sizes)


NOT_WHOLE = [0, -1, True, 2.0, "3", None]


@pytest.mark.parametrize("value", NOT_WHOLE)
@pytest.mark.parametrize(
    "name", ["training_steps", "eval_steps", "batch_size", "seeds", "evaluation_size", "max_length"]
)
def test_whole_numbers(name: str, value: Any) -> None:
    message = refusal(**{name: value})
    assert name in message
    assert repr(value) in message


@pytest.mark.parametrize("rank", [0, -4, 1.5, True, "8", None])
def test_rank(rank: Any) -> None:
    message = refusal(lora_configurations=[{"r": rank, "target_modules": Q_V}])
    assert "lora_configurations[0].r: rank must be a whole number of at least 1" in message
    assert repr(rank) in message


@pytest.mark.parametrize("value", [[], None, "r=8", [3], {}])
def test_configurations_must_be_a_list_of_mappings(value: Any) -> None:
    assert "lora_configurations" in refusal(lora_configurations=value)


def test_the_same_configuration_twice() -> None:
    one = {"r": 8, "target_modules": Q_V}
    other = {"r": 8, "alpha": 16.0, "target_modules": Q_V, "dropout": 0.1}
    assert "distinct" in refusal(lora_configurations=[one, other])


RATES_REFUSED = [
    math.nan, math.inf, -math.inf, -1e-4, 0, 0.0, True, "fast", "nan", "", None, [1e-4], 10**400,
]  # fmt: skip


@pytest.mark.parametrize("rate", RATES_REFUSED)
def test_learning_rates(rate: Any) -> None:
    message = refusal(learning_rates={"full": 1e-4, "lora": rate})
    assert "learning_rates.lora: must be a finite number above 0" in message
    if rate is None:
        return
    with pytest.raises(ConfigError, match="learning_rate: must be a finite number above 0"):
        load_config({"learning_rate": rate})


@pytest.mark.parametrize("rates", [{"full": 1e-4}, {"lora": 1e-4}, {}, 1e-4, "seek", [1e-4]])
def test_every_arm_needs_a_rate(rates: Any) -> None:
    assert "learning_rates" in refusal(learning_rates=rates)


def test_no_rate_at_all() -> None:
    with pytest.raises(ConfigError, match="learning_rates: must be"):
        load_config({})


def test_a_rate_for_an_unknown_arm() -> None:
    assert "did you mean 'lora'" in refusal(learning_rates={**RATES, "lore": 1e-3})


def test_rates_by_label_only_are_enough() -> None:
    arms = [{"r": 8, "target_modules": Q_V}]
    c = config(lora_configurations=arms, learning_rates={"full": 1e-4, "r=8 q,v": 1e-3})
    assert c.learning_rate_of("lora", "r=8 q,v") == 1e-3


@pytest.mark.parametrize(
    "precision",
    ["float32", "BF16", "", None, True, 16, ["bf16"], {"full": "bf16"}, {"full": "x", "lora": "x"},
     {"full": "bf16", "lora": "bf16", "base": "bf16"}],
)  # fmt: skip
def test_precision_words(precision: Any) -> None:
    assert "precision: must be one of fp32, bf16, fp16, amp-bf16" in refusal(precision=precision)


def test_precision_readings() -> None:
    assert not config().as_practised
    assert not config(precision={"full": "bf16", "lora": "bf16"}).as_practised
    mixed = config(precision={"full": "amp-bf16", "lora": "bf16"})
    assert mixed.as_practised
    assert (mixed.precision_of("full"), mixed.precision_of("lora")) == ("amp-bf16", "bf16")


@pytest.mark.parametrize("name", sorted(RESERVED_TRAINER_ARGS))
def test_trainer_args_may_not_overrule_the_benchmark(name: str) -> None:
    assert f"trainer_args.{name}" in refusal(trainer_args={name: 1})


def test_what_changes_batches_between_arms_is_reserved() -> None:
    assert {"learning_rate", "max_steps", "auto_find_batch_size"} <= RESERVED_TRAINER_ARGS


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("model_name", ["", None, 5]),
        ("base_model_name", [5, ["x"]]),
        ("output_dir", ["", None, 5]),
        ("claims", ["", None]),
        ("trainer_args", [[], "x", None]),
        ("dataset", ["", None, 5, [], {}, {"path": 5}, {"path": "x", "column": "y"}]),
        ("time_limit_minutes", [0, -1, math.nan, math.inf, True, "5"]),
        ("trust_remote_code", ["yes", 1, None]),
        ("estimate_scale", ["yes", 1, None]),
        ("launcher", ["fork", {"isolation": "thread"}, {"gpus": 2}, {"address": 6379}]),
    ],
)
def test_other_fields(field: str, values: list[Any]) -> None:
    for value in values:
        assert field in refusal(**{field: value})


def test_config_errors_are_user_errors() -> None:
    assert issubclass(ConfigError, UserError)


def test_replacing_the_configurations_drops_the_rates_of_the_old_ones() -> None:
    new = [{"r": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}]
    config = load_config("quick", lora_configurations=new)
    assert config.learning_rates == {"full": 1e-4, "lora": 2e-3, "r=8 q,k,v,o": 6e-3}
    with pytest.raises(ConfigError, match="unknown key 'r=4 q,v'"):
        load_config("quick", lora_configurations=new, learning_rates={"lora": 1, "r=4 q,v": 1})
