"""The config.yaml of an output folder, read as the run that wrote it meant it (row 1).

What a later version refuses was accepted then, and the ids of the records are made from it: to
read a result again, nothing of it may change. A run is checked by today's rules, ``load_config``.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..plain_text import shown
from .benchmark_config import LoRABenchmarkConfig, from_mapping, is_complete, load_config
from .trainer_args import reserved_names, service_names
from .yaml_io import load_yaml_file

_AS_WRITTEN = ("lora_configurations", "trainer_args")  # what ids are made from, number by number


def load_stored_config(path: Path, tell: Callable[[str, str], None]) -> LoRABenchmarkConfig:
    """The configuration; each kind of key that is refused today is told, in English and Japanese.

    A field that is no longer there is ignored; a refused argument of the Trainer stays part of the
    cells. A file that no run wrote, since it leaves fields out, is checked by today's rules. Raises
    ConfigError.
    """
    data = load_yaml_file(path)
    if not isinstance(data, Mapping) or not is_complete(data):
        return load_config(path)  # no run wrote it: today's rules
    known = {f.name for f in dataclasses.fields(LoRABenchmarkConfig)}
    gone = [shown(key) for key in data if key not in known]
    if gone:
        keys = ", ".join(gone)
        tell(f"{path}: unknown key {keys} ignored", f"{path}: 不明なキー {keys} は無視します")
    kept = {key: value for key, value in data.items() if key in known}
    refused = _refused(kept.get("trainer_args"))
    if refused:
        names = ", ".join(f"trainer_args.{name}" for name in refused)
        tell(
            f"{path}: {names} kept as it was; a run refuses it today",
            f"{path}: {names} は当時のまま扱います(現在の run では指定できません)",
        )
    allowed = {"trainer_args": _without(kept["trainer_args"], refused)} if refused else {}
    config = from_mapping(kept, str(path), **allowed)
    for name in _AS_WRITTEN:
        if name in kept:
            setattr(config, name, kept[name])
    return config


def as_written(config: LoRABenchmarkConfig, path: Path) -> LoRABenchmarkConfig:
    """``config`` with equal numbers as an earlier run into its folder wrote them at ``path``.

    ``0`` and ``0.0`` are one setting; the ids of records that stand there were made from one form.
    """
    try:
        stored = load_stored_config(path, lambda en, ja: None)
    except ConfigError:  # none there, or nothing that can be gone on with
        return config
    found = copy.copy(config)
    found.lora_configurations = [
        next((old for old in stored.lora_configurations if old == raw), raw)
        for raw in config.lora_configurations
    ]
    found.trainer_args = {
        name: old if (old := stored.trainer_args.get(name)) == value else value
        for name, value in config.trainer_args.items()
    }
    return found


def _refused(arguments: Any) -> list[str]:
    if not isinstance(arguments, Mapping):
        return []
    names = [name for name in arguments if isinstance(name, str)]
    return sorted({*reserved_names(names), *service_names(names)})


def _without(arguments: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}
