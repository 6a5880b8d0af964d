"""What is asked (row 1): the specification's ten fields, and what it left open.

A configuration is the dataclass itself, a YAML file, or a preset name; ``load_config`` takes any.
It is checked once, here; every error names the field, the rule and the value got.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..plain_text import shown
from .adapters import AdapterSettings, parse_adapter
from .checks import SEARCH, Search, check, search_of, unknown_key
from .yaml_io import dump_yaml, load_yaml_file, parse_yaml, preset_path

DEFAULT_MODEL = "smollm2-135m-instruct"
GENERATED = "generated"  # the data set that is made here
DEFAULT_SAMPLES = [
    "技術解説: 音声合成では、",
    "研究背景: 近年、倉庫で働く運搬ロボットの",
    "概要: 故障に強い仕組みを作るには、",
]
# Fields that a configuration stored by an older version lacks, with what it then did.
_LATER_FIELDS: dict[str, Any] = {"probes": False, "samples": []}
_MISSING_BEFORE = {*_LATER_FIELDS, "search", "estimate_scale", "allow_pickle"}
SPEC_CONFIGURATIONS: list[dict[str, Any]] = [
    {"r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    {"r": 8, "alpha": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
    {"r": 16, "alpha": 32, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
    {"r": 32, "alpha": 64, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
]


@dataclass
class LoRABenchmarkConfig:
    """One benchmark. The first ten fields are the specification's, in its order."""

    model_name: str = DEFAULT_MODEL  # preset name, local folder, .gguf file or Hub id
    base_model_name: str = ""  # full fine-tuning of this model is compared; "" = model_name
    dataset_sizes: list[int] = field(default_factory=lambda: [1000, 5000, 10000])  # texts
    lora_configurations: list[dict[str, Any]] = field(
        default_factory=lambda: [dict(c) for c in SPEC_CONFIGURATIONS]
    )
    training_steps: int = 100  # optimizer steps of every arm
    eval_steps: int = 50  # evaluate every so many steps; the last step always
    output_dir: str = "lora_benchmark_results"
    max_length: int = 128  # tokens; longer texts are cut
    batch_size: int = 4  # texts per forward pass, of all processes together
    learning_rate: float | None = (
        None  # one shared rate for all arms; unfair, so it is warned about
    )
    # ---- beyond the specification -------------------------------------------------------------
    learning_rates: dict[str, float] | str | None = None  # {full, lora}, by label, or "search"
    search: dict[str, Any] = field(default_factory=dict)  # settings of the search; see ``Search``
    seeds: int = 1  # repeats of every training cell, seeds 0 .. seeds-1
    precision: str | dict[str, str] = "amp-bf16"  # one for all arms, or {full, lora}
    dataset: str | dict[str, Any] = GENERATED  # generated, path, Hub id, or {path, fields}
    evaluation_size: int = 200  # held-out texts
    trainer_args: dict[str, Any] = field(default_factory=dict)  # to TrainingArguments, all arms
    claims: str = "paper-r5"  # preset name or YAML file
    launcher: dict[str, Any] = field(default_factory=dict)  # how cells are started: ``launching``
    time_limit_minutes: float | None = None  # per cell
    trust_remote_code: bool = False  # never on unless asked
    allow_pickle: bool = False  # read pytorch_model.bin where a model has no safetensors
    estimate_scale: bool = True  # predict the claim's own scale after the cells
    probes: bool = True  # loss on everyday English and Japanese, before and after
    samples: list[str] = field(default_factory=lambda: [*DEFAULT_SAMPLES])  # prompts to continue

    def __post_init__(self) -> None:
        """Check every field. Raises ConfigError."""
        if self.base_model_name in ("", None):
            self.base_model_name = self.model_name
        check(self)

    @property
    def adapters(self) -> list[AdapterSettings]:
        """The LoRA configurations, resolved."""
        return [
            parse_adapter(raw, f"lora_configurations[{i}]")
            for i, raw in enumerate(self.lora_configurations)
        ]

    @property
    def searched(self) -> Search | None:
        """Settings of the search for learning rates; None where the rates are given."""
        return search_of(self) if self.learning_rates == SEARCH else None

    @property
    def processes(self) -> int:
        """Processes that train a cell together."""
        return int(self.launcher.get("processes", 1))

    @property
    def accelerate(self) -> dict[str, Any] | None:
        """Settings of accelerate for several processes; None for plain data parallelism."""
        found: dict[str, Any] | None = self.launcher.get("accelerate_config")
        return found

    @property
    def as_practised(self) -> bool:
        """True where the arms train under different precisions."""
        return isinstance(self.precision, dict) and len(set(self.precision.values())) > 1

    def precision_of(self, arm: str) -> str:
        """Precision of ``"full"`` or ``"lora"``."""
        return self.precision if isinstance(self.precision, str) else self.precision[arm]

    def learning_rate_of(self, arm: str, label: str) -> float:
        """The arm's own rate (by label, then by arm), else the shared one.

        Where rates are searched, the middle of the arm's grid.
        """
        if self.searched:
            return self.searched.centres[arm]
        rates = self.learning_rates if isinstance(self.learning_rates, Mapping) else {}
        rate = rates.get(label, rates.get(arm, self.learning_rate))
        if rate is None:
            raise ConfigError(
                f"learning_rates: no rate for {label!r}; add it, or a key {arm!r}",
                f"learning_rates: {label!r} の学習率がありません。追加するか、"
                f"キー {arm!r} を追加してください",
            )
        return rate

    @property
    def reference(self) -> LoRABenchmarkConfig | None:
        """The other side of a cross-model comparison: full fine-tuning of ``base_model_name``.

        None where that is the model itself.
        """
        if self.base_model_name == self.model_name:
            return None
        other = _FullOnly.__new__(_FullOnly)  # checked already; what was stored may be older
        vars(other).update(vars(self), model_name=self.base_model_name)
        if isinstance(self.learning_rates, Mapping):
            rate = self.learning_rate_of("full", "full")
            other.learning_rates = {"full": rate, "lora": rate}
        return other

    def to_dict(self) -> dict[str, Any]:
        """Plain data, complete, with defaults."""
        return dataclasses.asdict(self)

    def to_yaml(self) -> str:
        """The same as YAML text."""
        return dump_yaml(self.to_dict())


class _FullOnly(LoRABenchmarkConfig):
    """A configuration without its LoRA arms."""

    @property
    def adapters(self) -> list[AdapterSettings]:
        """None."""
        return []


def load_config(
    source: LoRABenchmarkConfig | Mapping[str, Any] | str | Path, /, **overrides: Any
) -> LoRABenchmarkConfig:
    """A configuration from the dataclass, a mapping, a YAML file or a preset name.

    ``overrides`` replace top-level fields. Raises ConfigError.
    """
    if isinstance(source, LoRABenchmarkConfig):
        data, where = source.to_dict(), "configuration"
    elif isinstance(source, Mapping):
        data, where = dict(source), "configuration"
    else:
        path = preset_path("benchmarks", str(source))
        data, where = load_yaml_file(path), str(path)
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"{where}: must be a mapping of fields, got {type(data).__name__}",
            f"{where}: 項目のマッピングにしてください (現在の型: {type(data).__name__})",
        )
    return from_mapping(data, where, **overrides)


def from_mapping(data: Mapping[str, Any], where: str, /, **overrides: Any) -> LoRABenchmarkConfig:
    """A configuration from fields that were read from ``where``. Raises ConfigError."""
    known = [f.name for f in dataclasses.fields(LoRABenchmarkConfig)]
    merged = {**_later_fields(data), **data, **overrides}
    for key in merged:
        if key not in known:
            raise unknown_key(where, key, known)
    try:
        if "lora_configurations" in overrides and "learning_rates" not in overrides:
            merged["learning_rates"] = _rates_that_remain(data, merged["lora_configurations"])
        return LoRABenchmarkConfig(**merged)
    except ConfigError as error:
        raise error.within(where) from None


def _later_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a complete configuration of an older version leaves out, as that version acted.

    A run stores its configuration complete; read by today's defaults it would ask for cells that
    the run never had, and the records that are there would belong to nothing.
    """
    complete = is_complete(data)
    return {k: v for k, v in _LATER_FIELDS.items() if complete and k not in data}


def is_complete(data: Mapping[str, Any]) -> bool:
    """True for what a run stored, of this version or an older one; people leave fields out."""
    known = {f.name for f in dataclasses.fields(LoRABenchmarkConfig)}
    return known - _MISSING_BEFORE <= set(data)


def _rates_that_remain(data: Mapping[str, Any], configurations: Any) -> Any:
    """Rates without those for configurations that an override has replaced."""
    rates = data.get("learning_rates")
    old, new = data.get("lora_configurations"), configurations
    if not (isinstance(rates, Mapping) and isinstance(old, list) and isinstance(new, list)):
        return rates
    gone = {parse_adapter(raw).label for raw in old} - {parse_adapter(raw).label for raw in new}
    return {key: rate for key, rate in rates.items() if key not in gone}


def parse_override(text: str) -> tuple[str, Any]:
    """``"training_steps=5"`` -> ``("training_steps", 5)``; the value is YAML."""
    import yaml

    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ConfigError(
            f"--set {shown(text)}: write it as key=value",
            f"--set {shown(text)}: key=value の形で書いてください",
        )
    try:
        return key.strip(), parse_yaml(value)
    except (yaml.YAMLError, ValueError):
        raise ConfigError(
            f"--set {shown(text)}: the value is not plain YAML",
            f"--set {shown(text)}: 値が通常の YAML ではありません",
        ) from None


def dataset_name(dataset: str | Mapping[str, Any]) -> Any:
    """``generated``, a path or a Hub id, from either form of ``dataset``; None without one."""
    return dataset if isinstance(dataset, str) else dataset.get("path")
