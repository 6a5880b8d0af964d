"""Result files of PEFT's method_comparison (row 4, no torch).

Layout, as written by ``log_results`` in method_comparison/MetaMathQA/utils.py of huggingface/peft:

    run_info    created_at, total_time, experiment_name, train_config, peft_config (null: full
                fine-tuning), error_msg
    train_info  accelerator_memory_{reserved_avg,max,reserved_99th} (older files: cuda_memory_...),
                train_time, file_size, num_trainable_params, num_total_params, status, metrics
    meta_info   dataset_info, package_info, system_info (accelerator; older files: gpu)

What the figures are, by the code that writes them (run.py there):

- ``accelerator_memory_max`` is the peak *reserved* of the whole process, evaluation included.
- ``train_time`` covers loading the data and the final test; the ``train time`` of each entry of
  ``metrics`` is the sum over its optimizer steps, and together they are the training time.
- The data is gone through once at most, so batches times batch size is the number of texts.
- ``file_size`` of full fine-tuning is computed, and 99999999 stands for "could not be saved".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from ..language import Statement
from .fields import Fields, finite
from .files import clean, shown
from .peft_config import lora_settings
from .refusal import NotImportable
from .runs import NOT_STATED, UNKNOWN, Run, known

FORMAT = "PEFT method_comparison"
_UNSAVED = 99_999_999
_SUCCESS = "success"
_STATUSES = (_SUCCESS, "canceled", "failed")
_SETTINGS = (  # decide how a step runs, so compared runs must share them
    "optimizer_type", "lr_scheduler", "grad_norm_clip", "compile", "use_gc", "use_amp",
    "attn_implementation", "batch_size_eval",
)  # fmt: skip
_PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_TESTED_ON = "gsm8k"  # the data of the accuracy; the rest is trained on


def is_peft_result(values: Any) -> bool:
    """Whether the content looks like such a file."""
    return isinstance(values, dict) and {"run_info", "train_info"} <= values.keys()


def read_run(values: dict[str, Any], source: str) -> Run:
    """One result file. Raises NotImportable."""
    root = Fields(values)
    info, result = (root.need(root.mapping, name) for name in ("run_info", "train_info"))
    config = info.need(info.mapping, "train_config")
    if "peft_config" not in info.values:
        raise NotImportable(
            "run_info.peft_config is missing, so full and LoRA cannot be told apart",
            "run_info.peft_config がなく、フルとLoRAを区別できません",
        )
    peft_config = info.mapping("peft_config")
    adapter = lora_settings(peft_config) if peft_config else None
    optimizer = config.mapping("optimizer_kwargs") or Fields({})
    meta = root.mapping("meta_info") or Fields({}, "meta_info")
    steps, batch = (
        config.need(lambda n: config.whole(n, 1), n) for n in ("max_steps", "batch_size")
    )
    rows = result.rows("metrics")
    started = _time(info.text("created_at"))
    parameters, parameter_names = _parameters(result, full=adapter is None)
    memory, memory_names = _memory(result, rows, batch)
    training, training_names = _training(rows, result, steps, config.whole("eval_steps", 1))
    evaluation, evaluation_names = _evaluation(rows)
    return Run(
        source=source,
        format=FORMAT,
        model_name=config.need(config.text, "model_id"),
        adapter=adapter,
        precision=_precision(config),
        dataset=_dataset(meta, config),
        dataset_size=steps * batch,
        seed=config.need(config.whole, "seed"),
        training_steps=steps,
        eval_steps=config.whole("eval_steps", 1) or UNKNOWN,
        max_length=config.whole("max_seq_length") or UNKNOWN,
        batch_size=batch,
        learning_rate=optimizer.number("lr"),
        trainer_args={key: _plain(config, key) for key in _SETTINGS if key in config.values},
        environment=_environment(meta),
        started_at=started.isoformat() if started else "",
        ended_at=_end(started, info.number("total_time")),
        error=_error(result, info, rows),
        parameters=parameters,
        memory=memory,
        training=training,
        evaluation=evaluation,
        saved=_saved(result, full=adapter is None),
        figures={**parameter_names, **memory_names, **training_names, **evaluation_names}
        | {"saved.bytes": "train_info.file_size"},
        facts=_facts(info, config, optimizer, meta),
    )


def _parameters(result: Fields, full: bool) -> tuple[dict[str, Any] | None, dict[str, str]]:
    trainable = result.whole("num_trainable_params", 1)
    total = result.whole("num_total_params", 1)
    if trainable is not None and total is not None and trainable > total:
        raise result.wrong(
            "num_trainable_params",
            Statement("at most num_total_params", "num_total_params 以下の値"),
        )
    if full and None not in (trainable, total) and trainable != total:
        raise NotImportable(
            f"there is no peft_config, yet only {trainable} of {total} parameters are trained",
            f"peft_config がないのに、{total} 個中 {trainable} 個しか学習していません",
        )
    names = {
        "parameters.trainable": "train_info.num_trainable_params",
        "parameters.total": "train_info.num_total_params",
    }
    return known({"trainable": trainable, "total": total}) or None, names


def _memory(
    result: Fields, rows: Sequence[Fields], batch: int
) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Reserved memory only: the source has no peak of what was allocated."""
    names: dict[str, str] = {}
    block: dict[str, Any] = {}
    for ours, theirs in (
        ("peak_reserved_bytes", "memory_max"),
        ("reserved_99th_bytes", "memory_reserved_99th"),
        ("reserved_mean_bytes", "memory_reserved_avg"),
    ):
        for device in ("accelerator", "cuda"):
            value = result.whole(f"{device}_{theirs}", 1)
            if value is not None and ours not in block:
                block[ours], names[f"memory.{ours}"] = value, f"train_info.{device}_{theirs}"
    allocated = [row.number("mem allocated avg") for row in rows]
    have = [value for value in allocated if value is not None]
    if have:
        key = "end_of_step_allocated_mean_bytes"
        block[key] = int(math.fsum(have) / len(have))
        names[f"memory.{key}"] = "mean of train_info.metrics[].mem allocated avg"
    if not block:
        return None, {}
    scope = {"source": "accelerator", "scope": "whole process, evaluation included"}
    return {**block, **scope, "batch_size": batch}, names


def _training(
    rows: Sequence[Fields], result: Fields, steps: int, every: int | None
) -> tuple[dict[str, Any] | None, dict[str, str]]:
    intervals = [row for row in rows if row.values.get("train time") is not None]
    at = [row.need(row.whole, "step") for row in intervals]
    seconds = [row.need(row.number, "train time") for row in intervals]
    complete = (
        every is not None and at == list(range(every, steps + 1, every)) and at[-1:] == [steps]
    )
    last = rows[-1] if rows else Fields({})
    train_seconds = math.fsum(seconds) if complete else None
    tokens = last.whole("train total tokens")
    per_second = tokens / train_seconds if tokens and train_seconds else None
    block = {
        "steps": last.whole("step"),
        "train_seconds": train_seconds,
        "loop_seconds": result.number("train_time"),
        "tokens": tokens,
        "examples": last.whole("train samples"),
        "tokens_per_second": per_second,
        "loss_curve": _curve(intervals, "train loss", "loss"),
        "accuracy_curve": _curve(intervals, "valid accuracy", "accuracy"),
    }
    names = {
        "training.train_seconds": "sum of train_info.metrics[].train time",
        "training.loop_seconds": "train_info.train_time (data loading and the final test included)",
        "training.tokens": "train_info.metrics[-1].train total tokens",
        "training.examples": "train_info.metrics[-1].train samples",
        "training.tokens_per_second": "train total tokens / sum of train time",
        "training.loss_curve": "train_info.metrics[].train loss",
        "training.accuracy_curve": "train_info.metrics[].valid accuracy",
    }
    return known({k: v for k, v in block.items() if v != []}) or None, names


def _curve(rows: Sequence[Fields], theirs: str, ours: str) -> list[dict[str, Any]]:
    points = ((row.whole("step"), finite(row.logged(theirs))) for row in rows)
    return [{"step": step, ours: value} for step, value in points if value is not None]


def _evaluation(rows: Sequence[Fields]) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Accuracy of the answers: no loss, and none is made of it."""
    tested = next((row for row in rows if row.values.get("test accuracy") is not None), None)
    if tested is None:
        return None, {}
    block = known({
        "accuracy": tested.number("test accuracy", high=1.0),
        "accuracy_metric": "test accuracy",
        "forgetting_nats": finite(tested.logged("forgetting")),
    })  # fmt: skip
    names = {
        "evaluation.accuracy": "train_info.metrics[].test accuracy",
        "evaluation.forgetting_nats": "train_info.metrics[].forgetting (rise of the loss on "
        "general text)",
    }
    return block, names


def _saved(result: Fields, full: bool) -> dict[str, Any] | None:
    size = result.whole("file_size", 1)
    if size is None or size == _UNSAVED:
        return None
    return {"bytes": size, "kind": "model" if full else "adapter", "dtype": NOT_STATED}


def _error(result: Fields, info: Fields, rows: Sequence[Fields]) -> dict[str, str] | None:
    status = result.need(result.text, "status")
    if status not in _STATUSES:
        rule = " / ".join(_STATUSES)
        raise result.wrong("status", Statement(rule, f" {rule} のいずれか"))
    losses = [value for row in rows if (value := row.logged("train loss")) is not None]
    if losses and not math.isfinite(losses[-1]):
        return {"kind": "diverged", "message": f"train loss is {losses[-1]}"}
    if status == _SUCCESS:
        return None
    message = info.text("error_msg", 400) or f"the source says {status}"
    kind = "out_of_memory" if "out of memory" in message.lower() else "error"
    return {"kind": kind, "message": message}


def _precision(config: Fields) -> str:
    """The type of the weights, under autocast where that is on (float16, as torch's default is)."""
    dtype = config.text("dtype", 40)
    if dtype is None:
        return NOT_STATED
    name = _PRECISIONS.get(dtype, dtype)
    if not config.flag("use_amp"):
        return name
    return "amp-fp16" if name == "fp32" else f"{name} under autocast"


def _dataset(meta: Fields, config: Fields) -> dict[str, Any]:
    """Revisions of the training data, and the form of its texts."""
    sets = meta.mapping("dataset_info") or Fields({})
    revisions = {
        clean(name, 60): (part.text("sha", 80) if (part := sets.mapping(name)) else None)
        for name in sorted(sets.values)
        if name != _TESTED_ON
    }
    return known({**revisions, "query_template": config.text("query_template", 400)})


def _environment(meta: Fields) -> dict[str, Any]:
    packages = meta.mapping("package_info") or Fields({})
    system = meta.mapping("system_info") or Fields({})
    versions = {
        clean(key.removesuffix("-version"), 60): packages.text(key, 60)
        for key in sorted(packages.values)
        if key.endswith("-version")
    }
    words = [system.text(key, 80) for key in ("system", "release", "machine")]
    device = system.text("accelerator") or system.text("gpu")
    return known({
        "platform": " ".join(filter(None, words)) or None,
        "packages": known(versions) or None,
        "device": {"type": "accelerator", "name": device} if device else None,
    })  # fmt: skip


def _facts(info: Fields, config: Fields, optimizer: Fields, meta: Fields) -> dict[str, Any]:
    sets = meta.mapping("dataset_info") or Fields({})
    tested = sets.mapping(_TESTED_ON)
    model = meta.mapping("model_info") or Fields({})
    return known({
        "experiment": info.text("experiment_name"),
        "optimizer": {clean(key, 40): _plain(optimizer, key) for key in sorted(optimizer.values)},
        "adapter_in_fp32": config.flag("autocast_adapter_dtype"),
        "model_revision": model.text("sha", 80),
        "tested_on_revision": tested.text("sha", 80) if tested else None,
    })  # fmt: skip


def _plain(fields: Fields, key: str) -> Any:
    """A setting as a plain value: number, flag or short text; anything else as text."""
    value = fields.values[key]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if finite(fields.logged(key)) is not None else None
    return clean(value, 80) if isinstance(value, str) else shown(value)


def _time(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None


def _end(started: datetime | None, seconds: float | None) -> str:
    if started is None or seconds is None:
        return ""
    try:
        return (started + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    except OverflowError:
        return ""
