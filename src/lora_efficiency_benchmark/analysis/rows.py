"""The public rows of the specification, and the arms that tables and figures show (row 5)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..language import Statement
from ..plan import CONTROLLED, FULL, LORA
from ..records.results import OK, CellRecord, LoRAEfficiencyResult
from ..units import bits_per_byte, to_mib, to_minutes
from .metrics import gain_retention, memory_reduction, performance_retention, time_ratio
from .pairing import Arm, Comparison, eval_loss, number
from .values import ArmSummary
from .wording import ending, run_name

NAN = math.nan


def result_rows(comparison: Comparison) -> tuple[LoRAEfficiencyResult, ...]:
    """One row a finished training run; full fine-tuning first within a size and seed."""
    rows = [
        _row(comparison, arm, record, gains)
        for arm in comparison.arms
        for gains in [_gain(comparison, arm)]
        for record in arm.train.values()
    ]
    return tuple(sorted(rows, key=lambda row: (row.dataset_size, row.seed)))


def arm_summaries(
    comparison: Comparison, model: str = "", full_model: str = ""
) -> tuple[ArmSummary, ...]:
    """Every arm, sizes ascending, full fine-tuning first.

    ``model`` and ``full_model`` name the models of the LoRA arms and of full fine-tuning, where an
    analysis compares two.
    """
    return tuple(
        _summary(comparison, arm, full_model if arm.adapter is None else model)
        for arm in comparison.arms
    )


def failure_line(record: CellRecord) -> dict[str, str]:
    """A cell without a result, for the list of failures."""
    error = record.error or {}
    return {
        "cell_id": record.cell_id,
        "status": record.status,
        "kind": str(error.get("kind", "unknown")),
        "message": str(error.get("message", "")),
    }


def failures(records: Iterable[CellRecord]) -> tuple[dict[str, str], ...]:
    """All cells without a result."""
    return tuple(failure_line(record) for record in records if record.status != OK)


def _row(
    comparison: Comparison, arm: Arm, record: CellRecord, gains: Mapping[int, float]
) -> LoRAEfficiencyResult:
    cell, parameters, training = record.cell, record.parameters, record.training
    seconds = number(training, "train_seconds")
    loss = eval_loss(record)
    controlled, practised = arm.memory.get(CONTROLLED), _practised(arm)
    saved = number(record.saved, "bytes")
    reserved = _memory_mib(controlled, "peak_reserved_bytes")
    peak = _memory_mib(controlled, "peak_allocated_bytes")
    return LoRAEfficiencyResult(
        model_name=cell.model_name,
        training_method=FULL if arm.adapter is None else LORA,
        dataset_size=cell.dataset_size,
        lora_config=arm.adapter.to_dict() if arm.adapter else None,
        trainable_parameters=int(number(parameters, "trainable") or 0),
        total_parameters=int(number(parameters, "total") or 0),
        parameter_reduction_ratio=_or_nan(_parameter_ratio(comparison, arm)),
        peak_memory_mb=_or_nan(peak),
        training_time_minutes=NAN if seconds is None else to_minutes(seconds),
        eval_loss=_or_nan(loss),
        eval_perplexity=_or_nan(number(record.evaluation, "perplexity")),
        model_size_mb=to_mib(number(parameters, "model_size_bytes") or NAN),
        measurement_timestamp=record.ended_at,
        seed=cell.seed,
        precision=cell.precision,
        learning_rate=cell.learning_rate,
        peak_memory_as_practised_mb=_memory_mib(practised, "peak_allocated_bytes"),
        peak_reserved_mb=reserved,
        tokens_per_second=number(training, "tokens_per_second"),
        bits_per_byte=number(record.evaluation, "bits_per_byte"),
        performance_retention=_performance(comparison, arm, cell.seed),
        gain_retention=gains.get(cell.seed),
        saved_size_mb=None if saved is None else to_mib(saved),
        isolated=record.isolated,
        cell_id=record.cell_id,
    )


def _summary(comparison: Comparison, arm: Arm, model: str) -> ArmSummary:
    records = list(arm.train.values())
    evaluations = [r.evaluation for r in records]
    ratios, bounds = _memory_ratios(comparison, arm)
    gains = list(_gain(comparison, arm).values())
    retentions = [_performance(comparison, arm, r.cell.seed) for r in records]
    cells = {r.cell_id for r in (*records, *arm.memory.values(), *arm.failed)}
    failed = [_failure_text(record) for record in arm.failed]
    return ArmSummary(
        label=arm.label,
        training_method=FULL if arm.adapter is None else LORA,
        dataset_size=arm.dataset_size,
        adapter=arm.adapter.to_dict() if arm.adapter else None,
        trainable_parameters=int(number(arm.parameters, "trainable") or 0),
        total_parameters=int(number(arm.parameters, "total") or 0),
        parameter_reduction_ratio=_parameter_ratio(comparison, arm),
        eval_losses=tuple(loss for r in records if (loss := eval_loss(r)) is not None),
        bits_per_byte=_mean([number(e, "bits_per_byte") for e in evaluations]),
        gain_retention=gain_retention(comparison, arm).value if arm.adapter else _mean(gains),
        performance_retention=_mean(retentions),
        train_seconds=tuple(s for r in records if (s := number(r.training, "train_seconds"))),
        tokens_per_second=_mean([number(r.training, "tokens_per_second") for r in records]),
        time_ratio=time_ratio(comparison, arm).value if arm.adapter else None,
        learning_rate=_learning_rate(arm),
        memory={k: dict(r.memory) for k, r in sorted(arm.memory.items()) if r.memory},
        memory_ratio=ratios,
        saved_bytes=_saved(records),
        curves=tuple(_curve(record) for record in records),
        cells=tuple(sorted(cells)),
        failures=tuple(text.en for text in failed),
        failures_ja=tuple(text.ja for text in failed),
        memory_ratio_bound=bounds,
        model=model,
    )


def _memory_ratios(comparison: Comparison, arm: Arm) -> tuple[dict[str, float], dict[str, str]]:
    if arm.adapter is None:
        return ({CONTROLLED: 1.0} if _memory_mib(arm.memory.get(CONTROLLED), _PEAK) else {}), {}
    ratios: dict[str, float] = {}
    bounds: dict[str, str] = {}
    for reading in sorted(arm.memory):
        measured = memory_reduction(comparison, arm, reading)
        if measured.value is not None:
            ratios[reading] = measured.value
            if measured.bound is not None:
                bounds[reading] = measured.bound
    return ratios, bounds


_PEAK = "peak_allocated_bytes"


def _practised(arm: Arm) -> CellRecord | None:
    return next((r for reading, r in arm.memory.items() if reading != CONTROLLED), None)


def _parameter_ratio(comparison: Comparison, arm: Arm) -> float | None:
    own = number(arm.parameters, "trainable")
    return comparison.full_trainable / own if comparison.full_trainable and own else None


def _gain(comparison: Comparison, arm: Arm) -> dict[int, float]:
    """Gain retention by seed; 1 for full fine-tuning by definition, where it gained at all."""
    if arm.adapter is not None:
        return dict(gain_retention(comparison, arm).values)
    base = eval_loss(comparison.base) if comparison.base else None
    losses = {seed: eval_loss(record) for seed, record in arm.train.items()}
    return {s: 1.0 for s, v in losses.items() if base is not None and v is not None and v < base}


def _performance(comparison: Comparison, arm: Arm, seed: int) -> float | None:
    """Perplexity ratio; None across models, whose perplexities count other tokens."""
    if comparison.across_models:
        return None
    if arm.adapter is None:
        return 1.0 if eval_loss(arm.train[seed]) is not None else None
    pair = next((p for p in comparison.pairs(arm) if p.seed == seed), None)
    return performance_retention(pair.full, pair.lora) if pair else None


def _learning_rate(arm: Arm) -> float | None:
    records = (*arm.train.values(), *arm.failed, *arm.memory.values())
    return next((r.cell.learning_rate for r in records), None)


def _saved(records: Sequence[CellRecord]) -> int | None:
    sizes = (number(record.saved, "bytes") for record in records)
    return next((int(size) for size in sizes if size), None)


def _curve(record: CellRecord) -> dict[str, Any]:
    training = record.training or {}
    return {
        "seed": record.cell.seed,
        "loss": list(training.get("loss_curve") or []),
        "evaluation": _held_out(record),
    }


def _held_out(record: CellRecord) -> list[dict[str, Any]]:
    """Points of the held-out loss, in bits per byte too where the record counts tokens and bytes.

    Every point is the loss on the same texts, so their tokens and bytes are those of the last.
    """
    points = (record.training or {}).get("evaluation_curve") or []
    tokens, length = (number(record.evaluation, name) for name in ("tokens", "raw_bytes"))
    if not tokens or not length:
        return list(points)
    return [
        {**point, "bits_per_byte": bits_per_byte(loss * tokens, int(length))}
        if (loss := number(point, "loss")) is not None
        else dict(point)
        for point in points
    ]


def _failure_text(record: CellRecord) -> Statement:
    """What failed, how, and what the cell said of it."""
    line, run = failure_line(record), run_name(record.cell.kind, record.cell.seed)
    kind, message = line["kind"], line["message"]
    return Statement(
        f"{run.en}: {kind} {message}".strip(), f"{run.ja}: {ending(kind).ja} {message}".strip()
    )


def _memory_mib(record: CellRecord | None, name: str) -> float | None:
    value = number(record.memory, name) if record is not None and record.status == OK else None
    return None if value is None else to_mib(value)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _or_nan(value: float | None) -> float:
    return NAN if value is None else value
