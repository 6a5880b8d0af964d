"""Exact sizes of a model under several methods (row 4): no weights loaded, nothing rounded."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..config.adapters import AdapterSettings, parse_adapter
from ..config.architectures import architecture_of
from ..config.benchmark_config import SPEC_CONFIGURATIONS
from ..config.methods import Method, full, lora
from ..errors import TargetModulesError, both_lines
from ..language import Statement
from ..units import to_mib
from .adapter_modules import check_targets
from .loading import Counts, count
from .structure import apply_method, build_structure

_SHORT_KEYS = {("q_proj", "v_proj"): "q,v", ("q_proj", "k_proj", "v_proj", "o_proj"): "q,k,v,o"}


@dataclass(frozen=True)
class Skipped:
    """A configuration of the specification that a model's layers cannot express."""

    label: str  # such as "r=4 q,v"
    reason: Statement  # one line
    instead: str  # a METHOD to try


def count_methods(
    model_name: str, methods: Sequence[Method], trust_remote_code: bool = False
) -> list[dict[str, Any]]:
    """One row of ``count --json`` for each method, in order.

    Parameters are elements of the logical tensors, tied tensors once; bytes are those of fp32
    weights; ``model_size_mb`` is MiB of parameters and buffers, adapter included. Raises
    ModelError, TargetModulesError or ConfigError.
    """
    base = build_structure(model_name, trust_remote_code)
    everything = count(apply_method(base, full())).trainable
    return [_row(model_name, method, base, everything) for method in methods]


def _row(model_name: str, method: Method, base: Any, everything: int) -> dict[str, Any]:
    counts: Counts = count(apply_method(copy.deepcopy(base), method))
    return {
        "model": model_name,
        "method": method.text or method.label,
        "trainable_parameters": counts.trainable,
        "total_parameters": counts.total,
        "parameter_reduction_ratio": everything / counts.trainable if counts.trainable else None,
        "trainable_bytes": counts.trainable_bytes,
        "model_size_mb": to_mib(counts.model_size_bytes),
        "label": method.label,
        "resolved": method.resolved(),
    }


def specification_methods(
    model_name: str, trust_remote_code: bool = False
) -> tuple[list[Method], list[Skipped]]:
    """Full fine-tuning and the specification's configurations, in the model's own module names.

    What the model's layers cannot express is returned apart, with the reason. Raises ModelError.
    """
    model = build_structure(model_name, trust_remote_code)
    found, skipped = [full()], []
    for raw in SPEC_CONFIGURATIONS:
        adapter = parse_adapter(raw)
        here = _in_own_names(adapter, model_name, model)
        if isinstance(here, Skipped):
            skipped.append(here)
        else:
            found.append(lora(here))
    return found, skipped


def _in_own_names(adapter: AdapterSettings, name: str, model: Any) -> AdapterSettings | Skipped:
    architecture = architecture_of(name)
    key = _SHORT_KEYS[adapter.target_modules]
    if architecture is None:
        try:
            check_targets(model, adapter.target_modules)
        except TargetModulesError as error:
            instead = f"lora:r={adapter.r},targets=all-linear"
            return Skipped(adapter.label, both_lines(error), instead)
        return adapter
    if key in architecture.targets:
        return replace(adapter, target_modules=architecture.targets[key])
    instead = f"lora:r={adapter.r},targets={'+'.join(architecture.own_targets)}"
    return Skipped(adapter.label, architecture.inexpressible[key], instead)
