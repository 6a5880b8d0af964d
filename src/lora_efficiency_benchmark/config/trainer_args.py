"""Which arguments of transformers' Trainer a configuration may give, and in which form (row 1)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

# What the configuration itself decides, and trainer_args may therefore not.
RESERVED_TRAINER_ARGS = {
    "output_dir", "max_steps", "num_train_epochs", "learning_rate", "per_device_train_batch_size",
    "seed", "data_seed", "bf16", "fp16", "use_cpu", "eval_strategy", "save_strategy",
    # These would change the batches or their order, or hide a loss that is not finite.
    "auto_find_batch_size", "group_by_length", "train_sampling_strategy",
    "logging_strategy", "logging_steps", "logging_nan_inf_filter",
}  # fmt: skip
# Floats to transformers.
FLOAT_TRAINER_ARGS = {
    "warmup_steps", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm",
    "label_smoothing_factor", "neftune_noise_alpha", "eval_steps", "eval_delay", "save_steps",
}  # fmt: skip
# These talk to a service, or hold its key, which records and reports would then show.
_SERVICE_ARGS = ("push_to_hub", "hub_", "report_to", "run_name", "trackio_", "project")


def reserved_names(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that the configuration decides itself, sorted."""
    return sorted(RESERVED_TRAINER_ARGS & set(names))


def service_names(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that would send results away, sorted."""
    return sorted(name for name in names if name.startswith(_SERVICE_ARGS))


def with_floats(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, each that is a float to transformers as a float."""
    return {k: as_float(v) if k in FLOAT_TRAINER_ARGS else v for k, v in arguments.items()}


def as_float(value: Any) -> Any:
    """A number as a float, zero without a sign; anything else as it is.

    YAML reads ``0`` as a whole number and ``0.0`` as a float. The id of a cell tells them apart,
    though both are the same setting.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) + 0.0 if number and abs(value) <= sys.float_info.max else value
