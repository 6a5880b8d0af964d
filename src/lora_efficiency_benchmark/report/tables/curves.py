"""Tables of what the figures of curves and of data sizes draw (row 6), for readers of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ...analysis.values import Analysis, ArmSummary
from .. import formats
from ..texts import Wording
from . import Cell, Line, Table, arm_name, filter_keys, line, train_cells

_MOST_STEPS = 12  # of one arm


def curves_table(analysis: Analysis, say: Wording) -> Table:
    """One row an arm and data size: training loss at both ends, held-out loss at every evaluation.

    Means over the seeds that have a finite loss at that step; nats per token.
    """
    arms = [arm for arm in analysis.arms if _means(arm, "loss") or _means(arm, "evaluation")]
    keys = ("arm", "texts", "train_first", "train_last", "held_out")
    columns = tuple(say(f"column.{key}") for key in keys)
    rows = tuple(_curve_row(arm, say) for arm in arms)
    return Table(say("figure.curves"), columns, rows, tuple(map(filter_keys, arms)))


def sizes_table(analysis: Analysis, say: Wording) -> Table:
    """One row an arm, one column a data size: held-out loss (mean over seeds) and gain kept."""
    sizes = sorted({arm.dataset_size for arm in analysis.arms})
    labels = list(dict.fromkeys(arm.label for arm in analysis.arms))
    at = {(arm.label, arm.dataset_size): arm for arm in analysis.arms}
    rows, keys = [], []
    for label in labels:
        found = [at.get((label, size)) for size in sizes]
        first = next(arm for arm in found if arm is not None)
        rows.append((line(arm_name(first, say)), *(_at_size(arm, say) for arm in found)))
        keys.append({k: v for k, v in filter_keys(first).items() if k == "label"})
    columns = (say("column.arm"), *(say("per_texts", n=f"{size:,}") for size in sizes))
    return Table(say("figure.sizes"), columns, tuple(rows), tuple(keys))


def _curve_row(arm: ArmSummary, say: Wording) -> tuple[Cell, ...]:
    training, held_out = _means(arm, "loss"), _means(arm, "evaluation")
    cells = train_cells(arm)
    ends = [_at_step(point, cells, say) for point in (*training[:1], *training[-1:])]
    missing = line(say("not_measured"))
    shown = tuple(_at_step(point, cells, say)[0] for point in _thinned(held_out))
    return (
        line(arm_name(arm, say)),
        line(formats.count(arm.dataset_size or None, say)),
        *(ends or [missing, missing]),
        shown or missing,
    )


def _at_step(point: tuple[int, float], cells: tuple[str, ...], say: Wording) -> Cell:
    step, loss = point
    return (Line(say("curves.at", step=step, loss=formats.decimals(loss, 3, say)), cells[:1]),)


def _means(arm: ArmSummary, key: str) -> list[tuple[int, float]]:
    """Step and mean loss over seeds, ascending."""
    at: dict[int, list[float]] = {}
    for curve in arm.curves:
        for point in curve.get(key) or ():
            step, loss = point.get("step"), point.get("loss")
            if step is not None and loss is not None and math.isfinite(loss):
                at.setdefault(step, []).append(loss)
    return [(step, _mean(losses)) for step, losses in sorted(at.items())]


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most so many, evenly; the last one is always kept."""
    every = math.ceil((len(points) - 1) / (_MOST_STEPS - 1))
    return list(points) if every <= 1 else [*points[:-1:every], points[-1]]


def _at_size(arm: ArmSummary | None, say: Wording) -> Cell:
    if arm is None:
        return line(say("not_measured"))
    losses = [loss for loss in arm.eval_losses if math.isfinite(loss)]
    cells = train_cells(arm) if losses else ()
    loss = formats.decimals(_mean(losses) if losses else None, 3, say)
    kept = say("sizes.kept", kept=formats.percent(arm.gain_retention, say))
    return (Line(loss, cells), Line(kept, quiet=True))


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return math.fsum(known) / len(known)
