"""One row an arm: quality, memory, time, and what the memory peak consists of (row 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...analysis.values import Analysis, ArmSummary
from ...plan import AS_PRACTISED, CONTROLLED, FULL
from .. import formats
from ..texts import Wording
from . import (
    PARTS,
    READINGS,
    Cell,
    Line,
    Table,
    arm_name,
    filter_keys,
    full_arm,
    is_reference,
    line,
    memory_block,
    memory_cells,
    memory_times,
    per_process,
    shown_arms,
    train_cells,
    unique_arms,
)

_FAILURE_LENGTH = 100  # characters
_MOST_SEEDS = 12  # written one by one
_PEAKS = ("controlled", "as-practised", "reserved", "high_water", "peak")  # columns


def quality_table(analysis: Analysis, say: Wording) -> Table:
    """Loss, perplexity, bits per byte and what was kept of the gain; one value a seed."""
    keys = ("arm", "texts", "loss", "perplexity", "bits", "gain", "performance", "rate")
    arms = shown_arms(analysis)
    rows = tuple(_quality_row(analysis, arm, say) for arm in arms)
    return Table(say("table.quality"), _columns(keys, say), rows, _keys(arms))


def _quality_row(analysis: Analysis, arm: ArmSummary, say: Wording) -> tuple[Cell, ...]:
    cells = train_cells(arm)
    perplexities = [_perplexity(loss) for loss in arm.eval_losses]
    return (
        _name_and_failures(arm, say),
        line(formats.count(arm.dataset_size or None, say)),
        _per_seed(arm.eval_losses, lambda x: formats.decimals(x, 3, say), cells, say),
        _per_seed(perplexities, lambda x: formats.decimals(x, 2, say), cells, say),
        _linked(formats.decimals(arm.bits_per_byte, 3, say), arm.bits_per_byte, cells),
        *_kept(analysis, arm, cells, say),
        line(formats.rate(arm.learning_rate, say)),
    )


def _kept(
    analysis: Analysis, arm: ArmSummary, cells: tuple[str, ...], say: Wording
) -> tuple[Cell, Cell]:
    """Shares of the gain and of the perplexity; the other model has none of this one's."""
    if is_reference(arm, analysis):
        return line(say("across.reference")), line(say("across.not_comparable"))
    gain, performance = arm.gain_retention, arm.performance_retention
    return (
        _linked(formats.percent(gain, say), gain, cells),
        _linked(formats.percent(performance, say), performance, cells),
    )


def memory_table(analysis: Analysis, say: Wording) -> Table:
    """Parameters, and the peak in both readings with the process or reserved peak beside it."""
    arms = unique_arms(analysis)
    reserved = any(_block_value(arm, "peak_reserved_bytes") is not None for arm in arms)
    beside = "reserved" if reserved else "high_water"
    keys = ("arm", "trainable", "total", "reduction", "controlled", "as-practised", beside)
    rows = tuple(_memory_row(analysis, arm, reserved, say) for arm in arms)
    columns = _columns(keys, say, per_process(analysis, say))
    return Table(say("table.memory"), columns, rows, _keys(arms, sized=False))


def _memory_row(
    analysis: Analysis, arm: ArmSummary, reserved: bool, say: Wording
) -> tuple[Cell, ...]:
    beside = _block_value(arm, "peak_reserved_bytes" if reserved else "process_peak_bytes")
    controlled = memory_cells(analysis, arm, CONTROLLED)
    any_cell = arm.cells[:1]
    metric = "parameter_reduction_ratio"
    reduction = formats.metric_value(metric, arm.parameter_reduction_ratio, say)
    if is_reference(arm, analysis):
        reduction = say("across.reference")
    return (
        line(arm_name(arm, say)),
        line(formats.count(arm.trainable_parameters or None, say), *any_cell),
        line(formats.count(arm.total_parameters or None, say), *any_cell),
        line(reduction, *any_cell),
        _peak(analysis, arm, CONTROLLED, say),
        _peak(analysis, arm, AS_PRACTISED, say),
        _linked(formats.size(beside, say), beside, controlled),
    )


def _peak(analysis: Analysis, arm: ArmSummary, reading: str, say: Wording) -> Cell:
    block = memory_block(arm, reading)
    peak = block.get("peak_allocated_bytes") if block else None
    cells = memory_cells(analysis, arm, reading) if peak is not None else ()
    times = memory_times(arm, reading, say)
    value = line(formats.size(peak, say), *cells)
    return (*value, Line(times, quiet=True)) if times else value


def time_table(analysis: Analysis, say: Wording) -> Table:
    """Optimizer-step time, throughput, and what a user has to keep."""
    keys = ("arm", "texts", "time", "time_ratio", "throughput", "saved", "saved_share")
    arms = shown_arms(analysis)
    rows = tuple(_time_row(analysis, arm, say) for arm in arms)
    return Table(say("table.time"), _columns(keys, say), rows, _keys(arms))


def _time_row(analysis: Analysis, arm: ArmSummary, say: Wording) -> tuple[Cell, ...]:
    cells = train_cells(arm)
    kind = "model" if arm.training_method == FULL else "adapter"
    full = full_arm(analysis, arm.dataset_size)
    whole = full.saved_bytes if full and not is_reference(arm, analysis) else None
    share = whole / arm.saved_bytes if whole and arm.saved_bytes else None
    saved = _linked(formats.size(arm.saved_bytes, say), arm.saved_bytes, cells)
    if arm.saved_bytes is not None:
        saved += line(say(f"saved.{kind}"), quiet=True)
    return (
        line(arm_name(arm, say)),
        line(formats.count(arm.dataset_size or None, say)),
        _per_seed(arm.train_seconds, lambda x: formats.duration(x, say), cells, say),
        _time_ratio(analysis, arm, cells, say),
        _linked(formats.decimals(arm.tokens_per_second, 0, say), arm.tokens_per_second, cells),
        saved,
        _saved_share(analysis, arm, share, cells, say),
    )


def _saved_share(
    analysis: Analysis, arm: ArmSummary, share: float | None, cells: tuple[str, ...], say: Wording
) -> Cell:
    if is_reference(arm, analysis):
        return line(say("across.reference"))
    return _linked(formats.metric_value("parameter_reduction_ratio", share, say), share, cells)


def _time_ratio(analysis: Analysis, arm: ArmSummary, cells: tuple[str, ...], say: Wording) -> Cell:
    if is_reference(arm, analysis):
        return line(say("across.reference"))
    if arm.training_method == FULL:
        return line(say("reference"))
    return _linked(formats.ratio(arm.time_ratio, say), arm.time_ratio, cells)


def across_table(analysis: Analysis, say: Wording) -> Table:
    """Full fine-tuning of the other model and the LoRA arms, each ratio to that full fine-tuning.

    Empty where one model was compared with itself.
    """
    across = analysis.across
    keys = ("arm", "texts", "trainable", "reduction", "controlled", "as-practised", "time",
            "time_ratio", "bits", "across_gain")  # fmt: skip
    columns = _columns(keys, say, per_process(analysis, say))
    if across is None:
        return Table(say("heading.across", model="", base=""), columns, ())
    names = {"model": formats.clean(across.model), "base": formats.clean(across.base_model)}
    rows = tuple(_across_row(analysis, arm, say) for arm in across.arms)
    return Table(say("heading.across", **names), columns, rows, _keys(across.arms))


def _across_row(analysis: Analysis, arm: ArmSummary, say: Wording) -> tuple[Cell, ...]:
    cells, any_cell = train_cells(arm), arm.cells[:1]
    gain, speed = arm.gain_retention, arm.time_ratio
    metric = "parameter_reduction_ratio"
    reduction = formats.metric_value(metric, arm.parameter_reduction_ratio, say)
    ratios = (
        line(reduction, *any_cell),
        _linked(formats.ratio(speed, say), speed, cells),
        _linked(formats.percent(gain, say), gain, cells),
    )
    if arm.training_method == FULL:
        ratios = (line(say("reference")),) * 3
    return (
        line(arm_name(arm, say)),
        line(formats.count(arm.dataset_size or None, say)),
        line(formats.count(arm.trainable_parameters or None, say), *any_cell),
        ratios[0],
        _peak(analysis, arm, CONTROLLED, say),
        _peak(analysis, arm, AS_PRACTISED, say),
        _per_seed(arm.train_seconds, lambda x: formats.duration(x, say), cells, say),
        ratios[1],
        _linked(formats.decimals(arm.bits_per_byte, 3, say), arm.bits_per_byte, cells),
        ratios[2],
    )


def breakdown_table(analysis: Analysis, say: Wording) -> Table:
    """Bytes by category at the moment of the peak, per arm and reading."""
    rows, arms = [], []
    for reading in READINGS:
        for arm in unique_arms(analysis):
            block = memory_block(arm, reading)
            if block and block.get("peak_allocated_bytes") is not None:
                rows.append(_breakdown_row(analysis, arm, reading, block, say))
                arms.append(arm)
    parts = tuple(say(f"part.{part}") for part in PARTS)
    named = _columns(("arm", "reading", "peak", "phase"), say, per_process(analysis, say))
    columns = (*named, *parts)
    return Table(say("heading.breakdown"), columns, tuple(rows), _keys(arms, sized=False))


def _breakdown_row(
    analysis: Analysis, arm: ArmSummary, reading: str, block: dict[str, Any], say: Wording
) -> tuple[Cell, ...]:
    cells = memory_cells(analysis, arm, reading)
    breakdown = block.get("breakdown") or {}
    phase = block.get("peak_phase")
    named = phase in ("forward", "backward", "optimizer")
    return (
        line(arm_name(arm, say)),
        line(say(f"reading.{reading}")),
        line(formats.size(block["peak_allocated_bytes"], say), *cells),
        line(say(f"phase.{phase}") if named else say("not_measured")),
        *(_linked(formats.size(v, say), v, cells) for v in map(breakdown.get, PARTS)),
    )


def _keys(arms: Iterable[ArmSummary], sized: bool = True) -> tuple[dict[str, Any], ...]:
    """What the page filters rows by; memory does not depend on the number of texts."""
    kept = ("label", "size") if sized else ("label",)
    return tuple({k: v for k, v in filter_keys(arm).items() if k in kept} for arm in arms)


def _columns(keys: tuple[str, ...], say: Wording, memory: str = "") -> tuple[str, ...]:
    """The columns' names; ``memory`` is added to those of a peak."""
    return tuple(say(f"column.{key}") + (memory if key in _PEAKS else "") for key in keys)


def _name_and_failures(arm: ArmSummary, say: Wording) -> Cell:
    """The arm's name, and in short what went wrong; the whole message is further down."""
    told = arm.failures_ja if say.language == "ja" and arm.failures_ja else arm.failures
    short = (formats.shorten(text, _FAILURE_LENGTH) for text in told)
    return (*line(arm_name(arm, say)), *(Line(text, quiet=True) for text in short))


def _linked(text: str, value: float | None, cells: tuple[str, ...]) -> Cell:
    return line(text, *(cells if value is not None else ()))


def _per_seed(
    values: Sequence[float], form: Callable[[float], str], cells: tuple[str, ...], say: Wording
) -> Cell:
    """One line a seed; of many seeds the mean and the range, with all their records."""
    if not values:
        return line(say("not_measured"))
    if len(values) > _MOST_SEEDS:
        mean = f"{say('mean')} {form(math.fsum(values) / len(values))}"
        ends = say("overview.range", low=form(min(values)), high=form(max(values)))
        return (Line(mean, cells), Line(f"{ends} · {say('seeds', n=len(values))}", quiet=True))
    if len(cells) != len(values):
        return tuple(Line(form(value), cells) for value in values)
    return tuple(Line(form(value), (cell,)) for value, cell in zip(values, cells, strict=True))


def _perplexity(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf


def _block_value(arm: ArmSummary, key: str) -> float | None:
    block = arm.memory.get(CONTROLLED) or memory_block(arm, AS_PRACTISED)
    return block.get(key) if block else None
