"""The same runs asked two ways (row 5): gain kept at equal steps, and at equal training time.

LoRA's steps are usually shorter, so equal steps favour full fine-tuning's quality and equal time
LoRA's. At equal time both arms of a pair are read at the total time of the faster one; in between
evaluations the held-out loss is interpolated. The slower arm is then caught before its learning
rate has come down, so a run planned for that time might do better: a lower bound for it.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence

from ..language import Statement
from ..records.results import CellRecord
from .contrasts import PairedRatio
from .intervals import is_clear, ratio_interval
from .metrics import gain_retention
from .pairing import Arm, Comparison, Pair, eval_loss, number
from .values import MatchedArm
from .wording import NOTHING

WIDEST_GAP = 0.26
"""Share of a run between two evaluations over which a loss may be interpolated: a quarter, and a
little for steps that differ in length. A loss curve is too bent for more."""

_TOO_RARE = Statement(
    "evaluated too rarely; lower eval_steps to a quarter of training_steps",
    "評価の間隔が過大。eval_steps を training_steps の4分の1以下にしてください",
)
_UNCLEAR = Statement(
    "full fine-tuning's own gain is not clear by then",
    "その時点でのフルファインチューニングの改善が不確か",
)

Curve = list[tuple[float, float]]  # (training seconds, held-out nats per token), ascending


def matched_arms(comparison: Comparison) -> tuple[MatchedArm, ...]:
    """One entry for every LoRA arm with paired runs."""
    return tuple(_matched(comparison, arm) for arm in comparison.lora if comparison.pairs(arm))


def _matched(comparison: Comparison, arm: Arm) -> MatchedArm:
    steps = gain_retention(comparison, arm).ratio
    pairs = comparison.pairs(arm)
    ratio, seconds, reason = _at_equal_time(comparison.base, pairs)
    return MatchedArm(
        label=arm.label,
        dataset_size=arm.dataset_size,
        equal_steps=steps.value if steps else None,
        equal_steps_ci95=ratio_interval(steps) if steps else None,
        equal_time=ratio.value if ratio else None,
        equal_time_ci95=ratio_interval(ratio) if ratio else None,
        seconds=seconds,
        num_seeds=ratio.count if ratio else 0,
        cells=tuple(cell for pair in pairs for cell in pair.cells),
        reason=reason.en,
        reason_ja=reason.ja,
    )


def _at_equal_time(
    base: CellRecord | None, pairs: Sequence[Pair]
) -> tuple[PairedRatio | None, float | None, Statement]:
    """Gains at the faster arm's total time, its mean over seeds, and why there are none."""
    before = eval_loss(base) if base is not None else None
    if before is None:
        return None, None, Statement("no base loss", "学習前の損失なし")
    lora: dict[int, float] = {}
    full: dict[int, float] = {}
    times = []
    for pair in pairs:
        curves = [loss_by_time(record, before) for record in (pair.lora, pair.full)]
        if not all(curves):
            return None, None, Statement("time was not measured", "学習時間は未測定")
        time = min(curve[-1][0] for curve in curves)
        losses = [loss_at(curve, time) for curve in curves]
        if losses[0] is None or losses[1] is None:
            return None, None, _TOO_RARE
        lora[pair.seed], full[pair.seed] = before - losses[0], before - losses[1]
        times.append(time)
    ratio = PairedRatio(lora, full)
    if not is_clear(ratio):
        return None, None, _UNCLEAR
    return ratio, math.fsum(times) / len(times), NOTHING


def loss_by_time(record: CellRecord, base_loss: float) -> Curve:
    """Held-out loss against training seconds, from the untrained model on; empty where unknown.

    Only runs that had the machine to themselves have a time.
    """
    block = record.training or {}
    if block.get("exclusive") is not True:
        return []
    ends = list(itertools.accumulate(block.get("step_seconds") or []))
    curve = [(0.0, base_loss)]
    for point in block.get("evaluation_curve") or []:
        step, loss = number(point, "step"), number(point, "loss")
        if step is None or loss is None or not 1 <= step <= len(ends):
            return []
        curve.append((ends[int(step) - 1], loss))
    return curve if len(curve) > 1 and curve[-1][0] == ends[-1] else []


def loss_at(curve: Curve, seconds: float) -> float | None:
    """The loss at a time, interpolated; None where the evaluations around it are too far apart."""
    times = [time for time, _ in curve]
    after = bisect.bisect_left(times, seconds)
    if after < len(curve) and times[after] == seconds:
        return curve[after][1]
    if not 0 < after < len(curve) or times[after] - times[after - 1] > WIDEST_GAP * times[-1]:
        return None
    (t0, low), (t1, high) = curve[after - 1], curve[after]
    return low + (high - low) * (seconds - t0) / (t1 - t0)
