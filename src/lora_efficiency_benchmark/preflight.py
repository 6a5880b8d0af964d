"""What can be known to fail before anything is measured (row 4): model, targets, arguments, data.

The model is built on the meta device, from its configuration alone, so the check costs a second or
two whatever the model's size.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from .config.benchmark_config import LoRABenchmarkConfig
from .config.launching import DDP, DEEPSPEED
from .dataset import load_split
from .errors import ConfigError
from .measure.environment import accelerator_in_use, describe_environment
from .models import bf16_matmul, loading
from .models.adapter_modules import check_adapter
from .models.structure import load_model_structure
from .plan import Cell, expand
from .training.trainer import settings_of, training_arguments


def preflight(config: LoRABenchmarkConfig) -> dict[str, Any]:
    """Facts for the head line of a run: ``{"model", "parameters", "environment"}``.

    Both models of a cross-model comparison are checked. Raises ModelError, TargetModulesError,
    DataError or ConfigError.
    """
    facts = _preflight(config)
    reference = config.reference
    if reference is not None:
        _preflight(reference)
    return facts


def _preflight(config: LoRABenchmarkConfig) -> dict[str, Any]:
    if not config.allow_pickle:
        loading.refuse_pickle(config.model_name)
    model, tokenizer = load_model_structure(config.model_name, config.trust_remote_code)
    for adapter in config.adapters:
        check_adapter(model, adapter)
    _check_length(config, model)
    on_accelerator = accelerator_in_use()
    trained = next(cell for cell in expand(config) if cell.kind == "train")
    _check_processes(trained, on_accelerator)
    training_arguments(settings_of(trained, on_accelerator), config.output_dir)
    load_split(
        config.dataset,
        train_size=max(config.dataset_sizes),
        evaluation_size=config.evaluation_size,
        seed=0,
        tokenizer=tokenizer,
        validation_size=config.searched.validation_size if config.searched else 0,
    )
    device = "cuda" if on_accelerator else "cpu"
    return {
        "model": loading.display_name(config.model_name),
        "parameters": loading.count(model).total,
        "environment": describe_environment(bf16_matmul.prepare(device)),
    }


def _check_processes(cell: Cell, on_accelerator: bool) -> None:
    """Whether this machine has what several processes need."""
    count = torch.cuda.device_count() if on_accelerator else cell.processes
    if cell.processes > 1 and count < cell.processes:
        raise ConfigError(
            f"launcher.processes: is {cell.processes}, and {count} devices are visible; lower it, "
            "or set CUDA_VISIBLE_DEVICES",
            f"launcher.processes: {cell.processes} ですが、見えるデバイスは {count} 個です。"
            "減らすか、CUDA_VISIBLE_DEVICES を設定してください",
        )
    if cell.strategy in ("", DDP):
        return
    if not on_accelerator:  # accelerate would train plain copies without a word
        raise ConfigError(
            f"launcher.accelerate_config: {cell.strategy} needs accelerators, and cells run on the "
            "CPU here; leave it out",
            f"launcher.accelerate_config: {cell.strategy} にはアクセラレーターが必要ですが、"
            "ここではセルを CPU で実行します。外してください",
        )
    if cell.strategy == DEEPSPEED and importlib.util.find_spec("deepspeed") is None:
        raise ConfigError(
            "launcher.accelerate_config: deepspeed is not installed; pip install deepspeed",
            "launcher.accelerate_config: deepspeed が入っていません。"
            "pip install deepspeed で入れてください",
        )


def _check_length(config: LoRABenchmarkConfig, model: Any) -> None:
    """Positions a model was never built for would be an index error, or worse, silence."""
    longest = getattr(model.config, "max_position_embeddings", None)
    if isinstance(longest, int) and config.max_length > longest:
        raise ConfigError(
            f"max_length: {config.max_length} is beyond the {longest} positions of "
            f"{config.model_name}; lower it",
            f"max_length: {config.max_length} は {config.model_name} の最大長 {longest} を"
            "超えています。減らしてください",
        )
