"""The rules of a configuration (row 1): a check names the field, the rule and the value got."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..language import Statement
from ..plain_text import is_plain, shown
from .launching import check_launcher, check_shares
from .trainer_args import as_float, reserved_names, service_names, with_floats

if TYPE_CHECKING:
    from .benchmark_config import LoRABenchmarkConfig

SEARCH = "search"
_SEARCH_DEFAULTS: dict[str, Any] = {
    "trials": 5,
    "steps": None,  # half of training_steps
    "validation_size": 48,
    "factor": 3.0,
    "centres": {"full": 1e-4, "lora": 2e-3},
}
PRECISIONS = ("fp32", "bf16", "fp16", "amp-bf16", "amp-fp16")
# Beyond these nothing could be run, and counting cells alone would fill the memory.
MAX_WHOLE = 2**31 - 1
MAX_SEEDS = 1000
MAX_MINUTES = 10_000_000.0
_AT_MOST = Statement(f" and at most {MAX_WHOLE:,}", f"{MAX_WHOLE:,}以下")
_WHOLE = Statement(f"a whole number of at least 1{_AT_MOST.en}", f"1以上{_AT_MOST.ja}の整数")
_NAME = Statement(
    "text, not empty and without control characters", "空でなく、制御文字を含まない文字列"
)
_FLAG = Statement("true or false", "true か false ")
_MAPPING = Statement("a mapping", "マッピング")
_PLAIN = Statement("text keys and plain values", "文字列のキーと単純な値だけのマッピング")


@dataclass(frozen=True)
class Search:
    """The search for learning rates: every arm gets ``trials`` short runs, scored on validation.

    The grid starts as three rates a ``factor`` apart around the arm's centre, grows while the best
    lies at its edge, and is refined around the best with what is left of the budget.
    """

    trials: int  # of every arm
    steps: int  # optimizer steps of a trial
    validation_size: int  # texts that are in neither training nor evaluation
    factor: float
    centres: dict[str, float]  # {full, lora}


def check(c: LoRABenchmarkConfig) -> None:
    """Every field; whole numbers become floats where those are meant. Raises ConfigError."""
    for name in ("model_name", "base_model_name", "output_dir", "claims"):
        _require(_name(getattr(c, name)), name, _NAME, c)
    sizes = c.dataset_sizes
    rule = Statement("a list of at least one size", "1つ以上のサイズのリスト")
    _require(isinstance(sizes, list) and sizes, "dataset_sizes", rule, c)
    rule = Statement(f"whole numbers of at least 1{_AT_MOST.en}", f"1以上{_AT_MOST.ja}の整数")
    for size in sizes:
        _require(_whole(size), "dataset_sizes", rule, c)
    rule = Statement("distinct sizes", "互いに異なるサイズ")
    _require(len(set(sizes)) == len(sizes), "dataset_sizes", rule, c)
    for name in ("training_steps", "eval_steps", "batch_size", "seeds", "evaluation_size"):
        _require(_whole(getattr(c, name)), name, _WHOLE, c)
    _require(
        c.seeds <= MAX_SEEDS,
        "seeds",
        Statement(f"at most {MAX_SEEDS}", f"{MAX_SEEDS}以下の整数"),
        c,
    )
    rule = Statement("at least 2 tokens", "2以上の整数 (トークン数) ")
    _require(_whole(c.max_length) and c.max_length >= 2, "max_length", rule, c)
    configurations = c.lora_configurations
    rule = Statement("a list of at least one configuration", "1つ以上の設定のリスト")
    listed = isinstance(configurations, list) and configurations
    _require(listed, "lora_configurations", rule, c)
    labels = [adapter.label for adapter in c.adapters]
    rule = Statement("distinct configurations", "互いに異なる設定")
    _require(len(set(c.adapters)) == len(labels), "lora_configurations", rule, c)
    _check_rates(c)
    _check_precision(c)
    _check_dataset(c)
    _check_trainer_args(c)
    limit = c.time_limit_minutes
    in_time = limit is None or (_positive(limit) and limit <= MAX_MINUTES)
    rule = Statement(
        f"minutes above 0, at most {MAX_MINUTES:,.0f}", f"0より大きく{MAX_MINUTES:,.0f}以下の分数"
    )
    _require(in_time, "time_limit_minutes", rule, c)
    for name in ("trust_remote_code", "allow_pickle", "estimate_scale", "probes"):
        _require(isinstance(getattr(c, name), bool), name, _FLAG, c)
    prompts = isinstance(c.samples, list) and all(_text(prompt) for prompt in c.samples)
    rule = Statement(
        "a list of prompts: texts that are not empty; [] for none",
        "空でない文字列 (プロンプト) のリスト、不要なら [] ",
    )
    _require(prompts, "samples", rule, c)
    rule = Statement("distinct prompts", "互いに異なるプロンプト")
    _require(len(set(c.samples)) == len(c.samples), "samples", rule, c)
    c.launcher = check_launcher(c.launcher)
    check_shares(c.processes, c.batch_size, c.trainer_args)
    _set_floats(c)


def _set_floats(c: LoRABenchmarkConfig) -> None:
    """Numbers that YAML read as whole although the field is a float: one setting, one id."""
    c.lora_configurations = [
        {**raw, "dropout": as_float(raw["dropout"])}
        if isinstance(raw, Mapping) and "dropout" in raw
        else raw
        for raw in c.lora_configurations
    ]
    c.trainer_args = with_floats(c.trainer_args)
    c.time_limit_minutes = as_float(c.time_limit_minutes)


def _check_rates(c: LoRABenchmarkConfig) -> None:
    rule = Statement(
        "{full: ..., lora: ...}, 'search', or one shared learning_rate",
        "{full: ..., lora: ...} か 'search'、または共通の learning_rate ",
    )
    given = c.learning_rate is not None or c.learning_rates is not None
    _require(given, "learning_rates", rule, c)
    if c.learning_rate is not None:
        c.learning_rate = _rate(c.learning_rate, "learning_rate")
    if c.search and c.learning_rates != SEARCH:
        raise ConfigError(
            "search: its settings are used with 'learning_rates: search' only",
            "search: この設定は 'learning_rates: search' のときだけ使えます",
        )
    if c.learning_rates == SEARCH:
        search_of(c)
        return
    if c.learning_rates is None:
        return
    rule = Statement("{full: ..., lora: ...} or 'search'", "{full: ..., lora: ...} か 'search' ")
    _require(isinstance(c.learning_rates, Mapping), "learning_rates", rule, c)
    assert isinstance(c.learning_rates, Mapping)
    arms = ["full", "lora", *(adapter.label for adapter in c.adapters)]
    for key in c.learning_rates:
        if key not in arms:
            raise unknown_key("learning_rates", key, arms)
    c.learning_rates = {k: _rate(v, f"learning_rates.{k}") for k, v in c.learning_rates.items()}
    c.learning_rate_of("full", "full")
    for adapter in c.adapters:
        c.learning_rate_of("lora", adapter.label)


def search_of(c: LoRABenchmarkConfig) -> Search:
    """The search settings with their defaults, checked."""
    _require(isinstance(c.search, Mapping), "search", _MAPPING, c)
    for key in c.search:
        if key not in _SEARCH_DEFAULTS:
            raise unknown_key("search", key, [*_SEARCH_DEFAULTS])
    values = {**_SEARCH_DEFAULTS, **{k: v for k, v in c.search.items() if v is not None}}
    if values["steps"] is None:
        values["steps"] = max(1, c.training_steps // 2)
    for name, least in (("trials", 3), ("steps", 1), ("validation_size", 1)):
        if not _whole(values[name]) or values[name] < least:
            raise ConfigError(
                f"search.{name}: must be a whole number of at least {least}{_AT_MOST.en}; "
                f"got {shown(values[name])}",
                f"search.{name}: {least}以上{_AT_MOST.ja}の整数を指定してください (現在の値: "
                f"{shown(values[name])})",
            )
    if not _positive(values["factor"]) or not 1 < values["factor"] <= 100:
        raise ConfigError(
            f"search.factor: must be a number above 1, at most 100; got {shown(values['factor'])}",
            "search.factor: 1より大きく100以下の数を指定してください (現在の値: "
            f"{shown(values['factor'])})",
        )
    centres = values["centres"]
    if not isinstance(centres, Mapping) or not set(centres) <= {"full", "lora"}:
        raise ConfigError(
            f"search.centres: must be {{full: ..., lora: ...}}; got {shown(centres)}",
            "search.centres: {full: ..., lora: ...} を指定してください (現在の値: "
            f"{shown(centres)})",
        )
    given = {k: _rate(v, f"search.centres.{k}") for k, v in centres.items()}
    for key, rate in given.items():
        if not 1e-12 <= rate <= 1e3:
            raise ConfigError(
                f"search.centres.{key}: must lie between 1e-12 and 1000; got {rate!r}",
                f"search.centres.{key}: 1e-12以上1000以下にしてください (現在の値: {rate!r})",
            )
    values["centres"] = {**_SEARCH_DEFAULTS["centres"], **given}
    values["factor"] = as_float(values["factor"])
    return Search(**values)


def _check_precision(c: LoRABenchmarkConfig) -> None:
    names = ", ".join(PRECISIONS)
    rule = Statement(
        f"one of {names}, or {{full: ..., lora: ...}}",
        f"{names} のいずれか、または {{full: ..., lora: ...}} ",
    )
    if isinstance(c.precision, Mapping):
        c.precision = dict(c.precision)
        _require(set(c.precision) == {"full", "lora"}, "precision", rule, c)
        values = list(c.precision.values())
    else:
        values = [c.precision]
    _require(all(value in PRECISIONS for value in values), "precision", rule, c)


def _check_dataset(c: LoRABenchmarkConfig) -> None:
    d = c.dataset
    _require(_plain(d), "dataset", Statement(_PLAIN.en, "文字列、または" + _PLAIN.ja), c)
    ok = _name(d) or (isinstance(d, Mapping) and all(map(_name, d.values())) and d.get("path"))
    rule = Statement(
        "'generated', a path, a Hub id, or a mapping with 'path'; texts",
        "'generated'、パス、Hub の ID、または 'path' を含むマッピング (値は文字列) ",
    )
    _require(ok, "dataset", rule, c)
    if isinstance(d, Mapping):
        fields = {"path", "text_field", "messages", "prompt", "completion"}
        unknown = sorted(set(d) - fields)
        known = sorted(fields)
        rule = Statement(f"keys among {known}", f"{known} のうちのキーだけのマッピング")
        _require(not unknown, "dataset", rule, c)


def _check_trainer_args(c: LoRABenchmarkConfig) -> None:
    _require(isinstance(c.trainer_args, Mapping), "trainer_args", _MAPPING, c)
    _require(_plain(c.trainer_args), "trainer_args", _PLAIN, c)
    accumulation = c.trainer_args.get("gradient_accumulation_steps", 1)
    if not _whole(accumulation):
        raise ConfigError(
            "trainer_args.gradient_accumulation_steps: must be a whole number of at least 1; "
            f"got {shown(accumulation)}",
            "trainer_args.gradient_accumulation_steps: 1以上の整数を指定してください (現在の値: "
            f"{shown(accumulation)})",
        )
    owned = reserved_names(c.trainer_args)
    if owned:
        raise ConfigError(
            f"trainer_args.{owned[0]}: the benchmark's own field decides this; remove it here",
            f"trainer_args.{owned[0]}: ベンチマーク自身の項目で決まります。"
            "ここからは削除してください",
        )
    services = service_names(c.trainer_args)
    if services:
        raise ConfigError(
            f"trainer_args.{services[0]}: would send results to a service; remove it here, and "
            "follow a run with --report-to",
            f"trainer_args.{services[0]}: 結果を外部サービスに送る設定です。ここからは削除し、"
            "実行の様子は --report-to で追ってください",
        )


def _require(ok: object, name: str, rule: Statement, config: LoRABenchmarkConfig) -> None:
    if not ok:
        got = shown(getattr(config, name))
        raise ConfigError(
            f"{name}: must be {rule.en}; got {got}",
            f"{name}: {rule.ja}を指定してください (現在の値: {got})",
        )


def _plain(value: object, depth: int = 0) -> bool:
    """True for what JSON can hold, with text keys, not nested without end."""
    if depth > 20:
        return False
    if isinstance(value, Mapping):
        texts = all(isinstance(key, str) and _utf8(key) for key in value)
        return texts and all(_plain(item, depth + 1) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_plain(item, depth + 1) for item in value)
    if isinstance(value, str):
        return _utf8(value)
    return value is None or isinstance(value, bool | int | float)


def _utf8(text: str) -> bool:
    """False for half a character: a lone surrogate, which no file and no id can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and _utf8(value)


def _name(value: object) -> bool:
    """A name or path that can be shown, logged and hashed."""
    return isinstance(value, str) and bool(value) and is_plain(value)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_WHOLE


def _positive(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value <= sys.float_info.max  # type: ignore[operator]


def _rate(value: object, where: str) -> float:
    number = value
    if isinstance(value, str):  # other YAML readers hand 2e-3 over as text
        try:
            number = float(value)
        except ValueError:
            pass
    if not _positive(number):
        raise ConfigError(
            f"{where}: must be a finite number above 0; got {shown(value)}",
            f"{where}: 0より大きい有限の数を指定してください (現在の値: {shown(value)})",
        )
    return float(number)  # type: ignore[arg-type]


def unknown_key(where: str, key: object, known: Sequence[str]) -> ConfigError:
    """The error for a key that is none of those known, with the one it may have meant."""
    import difflib

    name, keys = shown(key), ", ".join(known)
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {keys}"
    hint_ja = f"{close[0]!r} のことですか" if close else f"使えるキー: {keys}"
    return ConfigError(
        f"{where}: unknown key {name}; {hint}",
        f"{where}: 不明なキー {name} があります。{hint_ja}",
    )
