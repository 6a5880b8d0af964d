"""One quantity of one configuration in one run, and how two runs' values differ (row 5).

A difference is this run minus the first one. Of counts and peaks it is exact. Of a mean over seeds
it is paired by seed, which works where both runs trained in the same data order; its interval is
that of ``intervals``, over the seeds that both runs have and, for losses, over held-out texts.

A difference of two ratios theta = E[x] / E[y] is judged by its linear part (the delta method):

    theta_b - theta_a + (x_b - theta_b * y_b) / mean(y_b) - (x_a - theta_a * y_a) / mean(y_a)

whose mean is the difference and whose scatter is its error to first order. It needs both y clearly
above zero, as the interval of either ratio does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...config.claims import Claim
from ...language import Statement
from ...plan import AS_PRACTISED, CONTROLLED
from ...records.results import OK, CellRecord
from ..contrasts import Document, PairedRatio
from ..intervals import LOSS_SD, TIME_RELATIVE_SD, is_clear, plan, ratio_interval
from ..metrics import Measurement, measure
from ..pairing import Arm, documents, eval_loss, number
from ..recommend.differences import plain_mean
from ..wording import NOTHING, noun
from .facts import Side
from .permissions import BITS, MEMORY, PARAMETERS, QUALITY, TIME
from .values import RunValue


@dataclass(frozen=True)
class Reading:
    """One quantity of one arm: the value to show, and what a difference is made of."""

    value: RunValue
    by_seed: PairedRatio | None = None  # a plain mean (y = 1) or a ratio; None where exact
    orders: Mapping[int, Any] | None = None  # seed -> hash of its data order
    shape: Mapping[str, Any] | None = None  # what must agree for this arm: sequence length, source
    exclusive: bool = True  # False where the runs did not have the machine to themselves


@dataclass(frozen=True)
class Quantity:
    """What is compared, and by which rule."""

    name: str
    metric: str
    rule: str  # one of permissions.QUANTITIES
    exact: bool
    text: Statement
    read: Callable[[Side, Arm], Reading]
    claim: Claim | None = None
    once: bool = False  # the same at every data size: shown at the first one only


_RULES = {
    "parameter_reduction_ratio": PARAMETERS,
    "memory_reduction_ratio": MEMORY,
    "gain_retention": QUALITY,
    "time_ratio": TIME,
}


def raw_quantities() -> tuple[Quantity, ...]:
    """What every arm has, full fine-tuning too."""
    return (
        Quantity("trainable_parameters", "count", PARAMETERS, True,
                 Statement("trainable parameters", "学習可能パラメータ数"),
                 lambda side, arm: _trainable(arm), once=True),
        Quantity("peak_allocated_bytes", "bytes", MEMORY, True,
                 Statement("peak memory (controlled)", "ピークメモリ(同一精度)"),
                 lambda side, arm: _peak(arm, CONTROLLED), once=True),
        Quantity("peak_allocated_bytes_as_practised", "bytes", MEMORY, True,
                 Statement("peak memory (as practised)", "ピークメモリ(慣用の設定)"),
                 lambda side, arm: _peak(arm, AS_PRACTISED), once=True),
        Quantity("eval_loss", "nats", QUALITY, False,
                 Statement("held-out loss", "評価損失"), lambda side, arm: _loss(arm)),
        Quantity("bits_per_byte", "bits", BITS, False,
                 Statement("bits per byte", "ビット/バイト"), lambda side, arm: _bits(arm)),
        Quantity("train_seconds", "seconds", TIME, False,
                 Statement("training time", "学習時間"), lambda side, arm: _seconds(arm)),
    )  # fmt: skip


def claim_quantity(claim: Claim) -> Quantity:
    """A claim of the first run as a quantity: the ratio, with each run's own verdict."""
    name = noun(claim.metric)
    practised = claim.metric == "memory_reduction_ratio" and claim.precision == AS_PRACTISED
    reading = Statement(" (as practised)", "(慣用の設定)") if practised else NOTHING
    return Quantity(
        name=claim.id,
        metric=claim.metric,
        rule=_RULES[claim.metric],
        exact=not claim.noisy,
        text=Statement(f"claim on {name.en}{reading.en}", f"{name.ja}の主張{reading.ja}"),
        read=lambda side, arm: _claimed(side, arm, claim),
        claim=claim,
        once=not claim.noisy,
    )


def difference_of(a: Reading, b: Reading) -> PairedRatio | None:
    """b - a as a mean over common seeds, in the form the intervals take; None without a seed."""
    if a.by_seed is None or b.by_seed is None:
        return None
    apart = other_orders(a, b)
    seeds = [s for s in common_seeds(a, b) if s not in apart]
    if not seeds:
        return None
    x, y = a.by_seed.over(seeds), b.by_seed.over(seeds)
    if any(side.mean_y <= 0 for side in (x, y)):
        return None
    shift = y.value - x.value
    first, second = _influence(x), _influence(y)
    values = {s: shift + second(y.x[s], y.y[s]) - first(x.x[s], x.y[s]) for s in seeds}
    planned = sum(p.planned.at(p.value) / p.mean_y**2 for p in (x, y))
    return plain_mean(values, planned, _texts(x, y, shift))


def common_seeds(a: Reading, b: Reading) -> list[int]:
    """Seeds that both readings have."""
    if a.by_seed is None or b.by_seed is None:
        return []
    return [seed for seed in a.by_seed.x if seed in b.by_seed.x]


def other_orders(a: Reading, b: Reading) -> list[int]:
    """Common seeds of which both readings say that they saw the data, in another order."""
    first, second = a.orders or {}, b.orders or {}
    stated = (s for s in common_seeds(a, b) if None not in (first.get(s), second.get(s)))
    return [seed for seed in stated if first[seed] != second[seed]]


def is_ratio_clear(reading: Reading, level: float) -> bool:
    """False where the lower part of a ratio may be zero, so that no difference can be given."""
    return reading.by_seed is None or is_clear(reading.by_seed, level)


def interval_of(mean: PairedRatio, level: float) -> tuple[float, float] | None:
    """Interval of a difference; None with fewer than two seeds."""
    return ratio_interval(mean, level)


def seeds_that_would_show(mean: PairedRatio, level: float) -> int | None:
    """Seeds with which a difference like this one would leave zero out; None if impractical."""
    return plan(mean, [0.0], level).seeds


def _influence(ratio: PairedRatio) -> Callable[[float, float], float]:
    theta, scale = ratio.value, ratio.mean_y
    return lambda x, y: (x - theta * y) / scale


def _texts(a: PairedRatio, b: PairedRatio, shift: float) -> tuple[Document, ...]:
    """What every held-out text adds to the difference; none where the texts are not the same.

    Each side is averaged over all its seeds, also where the two have only some in common.
    """
    tokens = [d.tokens for d in a.documents]
    if not tokens or tokens != [d.tokens for d in b.documents]:
        return ()
    first, second = _influence(a), _influence(b)
    return tuple(
        Document(shift * p.tokens + second(q.x, q.y) - first(p.x, p.y), p.tokens, p.tokens)
        for p, q in zip(a.documents, b.documents, strict=True)
    )


# ---- readings ------------------------------------------------------------------------------------


def _trainable(arm: Arm) -> Reading:
    value = number(arm.parameters, "trainable")
    if value is None:
        return _nothing("no parameter count", "パラメータ数なし")
    cells = tuple(r.cell_id for r in (*arm.memory.values(), *arm.train.values()))[:1]
    return Reading(RunValue(value, None, 0, cells=cells))


def _peak(arm: Arm, reading: str) -> Reading:
    """Full fine-tuning as practised is its controlled cell, which is not shown twice."""
    record = arm.memory.get(reading)
    if record is None and arm.adapter is None and reading != CONTROLLED:
        return Reading(RunValue(None, None, 0))
    value = number(record.memory, "peak_allocated_bytes") if record is not None else None
    if record is None or value is None or record.status != OK:
        kind = str((record.error or {}).get("kind", "")) if record is not None else ""
        if kind == "out_of_memory":
            return _nothing("ran out of memory", "メモリ不足")
        return _nothing("no memory cell", "メモリ測定なし")
    shape = {name: (record.memory or {}).get(name) for name in ("sequence_length", "source")}
    shape["precision"] = record.cell.precision
    return Reading(RunValue(value, None, 0, cells=(record.cell_id,)), shape=shape)


def _loss(arm: Arm) -> Reading:
    return _mean(arm, eval_loss, lambda r: documents(r), LOSS_SD)


def _bits(arm: Arm) -> Reading:
    return _mean(arm, lambda r: number(r.evaluation, "bits_per_byte"),
                 lambda r: documents(r, across_models=True), 2 * LOSS_SD)  # fmt: skip


def _seconds(arm: Arm) -> Reading:
    values = [s for r in arm.train.values() if (s := number(r.training, "train_seconds"))]
    mean = math.fsum(values) / len(values) if values else 0.0
    found = _mean(arm, lambda r: number(r.training, "train_seconds"), lambda r: None,
                  TIME_RELATIVE_SD * mean)  # fmt: skip
    alone = all((r.training or {}).get("exclusive") is True for r in arm.train.values())
    shape = {"tokens": sorted({(r.training or {}).get("tokens") or 0 for r in arm.train.values()})}
    return Reading(found.value, found.by_seed, found.orders, shape, alone)


def _mean(
    arm: Arm,
    value: Callable[[CellRecord], float | None],
    texts: Callable[[CellRecord], list[tuple[float, float]] | None],
    planned_sd: float,
) -> Reading:
    """Mean over seeds; its interval covers the held-out texts too where each is known."""
    known = {seed: v for seed, r in arm.train.items() if (v := value(r)) is not None}
    if not known:
        return _nothing("no result of this arm", "この設定の結果なし")
    mean = plain_mean(known, planned_sd**2, _mean_texts([texts(arm.train[s]) for s in known]))
    cells = tuple(arm.train[seed].cell_id for seed in known)
    shown = RunValue(mean.value, ratio_interval(mean), len(known), cells=cells)
    orders = {seed: (arm.train[seed].training or {}).get("order_sha256") for seed in known}
    return Reading(shown, mean, orders, {"learning_rate": _rates(arm)})


def _rates(arm: Arm) -> list[float]:
    return sorted({record.cell.learning_rate or 0.0 for record in arm.train.values()})


def _mean_texts(rows: Sequence[list[tuple[float, float]] | None]) -> tuple[Document, ...]:
    known = [row for row in rows if row]
    if len(known) < len(rows) or len({tuple(n for _, n in row) for row in known}) != 1:
        return ()
    return tuple(
        Document(math.fsum(row[i][0] for row in known) / len(known), tokens, tokens)
        for i, (_, tokens) in enumerate(known[0])
    )


def _claimed(side: Side, arm: Arm, claim: Claim) -> Reading:
    """The claim's metric on this arm, and the verdict that the run's own claims gave it."""
    measured: Measurement | None = _at(measure(side.comparison, claim), arm)
    judged = next((c for c in side.analysis.claims if c.id == claim.id), None)
    found = _at(judged.per_configuration, arm) if judged else None
    verification = found.verification if found else None
    if measured is None:
        return _nothing("no such claim on this arm", "この設定についての主張なし")
    value = RunValue(
        measured.value,
        found.ci95 if found else None,
        len(measured.values) if measured.ratio is None else measured.ratio.count,
        verification,
        measured.bound,
        measured.cells,
        measured.reason.en if measured.value is None else "",
        measured.reason.ja if measured.value is None else "",
    )
    like = _like(arm, claim)
    full = side.comparison.full_arm(arm.dataset_size)
    rates = _rates(full) if full is not None and claim.metric == "gain_retention" else []
    shape = {**(like.shape or {}), **({"full_learning_rate": rates} if rates else {})}
    return Reading(value, measured.ratio, like.orders, shape)


def _like(arm: Arm, claim: Claim) -> Reading:
    """The quantity under a claim's ratio: what must agree for it must agree for the ratio."""
    if claim.metric == "memory_reduction_ratio":
        return _peak(arm, claim.precision)
    if claim.metric == "parameter_reduction_ratio":
        return _trainable(arm)
    return _seconds(arm) if claim.metric == "time_ratio" else _loss(arm)


def _at(entries: Sequence[Any], arm: Arm) -> Any:
    """The entry of an arm: at its data size where there is one, else the one without a size."""
    own = [entry for entry in entries if entry.configuration == arm.label]
    exact = (entry for entry in own if entry.dataset_size == arm.dataset_size)
    return next(exact, next((entry for entry in own if entry.dataset_size is None), None))


def _nothing(en: str, ja: str) -> Reading:
    return Reading(RunValue(None, None, 0, reason=en, reason_ja=ja))
