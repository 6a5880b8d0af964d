"""Runs side by side in one place (row 5): records of several folders in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...config.adapters import AdapterSettings
from ...config.claims import Claim
from ...language import Statement
from ...records.results import CellRecord
from ..flow import analyze
from ..intervals import corrected
from ..pairing import Arm, compare_arms
from ..selection import select
from ..values import Analysis
from ..wording import NOTHING
from .facts import Side, differing_facts, not_stated
from .permissions import permissions, permit
from .quantities import (
    Quantity,
    Reading,
    claim_quantity,
    common_seeds,
    difference_of,
    interval_of,
    is_ratio_clear,
    other_orders,
    raw_quantities,
    seeds_that_would_show,
)
from .values import (
    NO,
    STATED,
    ComparedConfiguration,
    ComparedQuantity,
    Permission,
    RunDifference,
    RunFacts,
    RunsComparison,
    RunValue,
    UnsharedConfiguration,
)
from .words import configuration_sentence, whole_sentence

RATES = ("learning_rate", "full_learning_rate")  # named beside a difference
ORDER = "data_order"
_ANOTHER_ORDER = Statement(
    "no seed saw its texts in the same order in both runs",
    "どのシードでも、テキストの順序が2つの実行で異なる",
)
_SOME_ORDERS = Statement(
    "of {} common seeds, {} saw their texts in another order and are left out",
    "共通の{}シードのうち{}シードは、テキストの順序が異なるため除いた",
)
_NO_SEED = Statement("the runs have no seed in common", "共通のシードがない")
_OUT_OF_MEMORY = Statement("an arm ran out of memory", "メモリ不足で終わった設定がある")
_NO_GAIN = Statement(
    "full fine-tuning's own gain is not clearly above zero",
    "フルファインチューニングの改善幅がゼロより大きいと言い切れない",
)
Place = tuple[AdapterSettings | None, int]


@dataclass(frozen=True)
class RunInput:
    """What one folder holds."""

    name: str
    records: Sequence[CellRecord]
    claims: Sequence[Claim]
    base_model: str | None = None
    unfinished: int | None = None  # planned cells without a record, where the plan is known


def compare_runs(runs: Sequence[RunInput]) -> RunsComparison:
    """Put runs side by side; every difference is to the first one. Raises ValueError on one run."""
    if len(runs) < 2:
        raise ValueError("a comparison needs two runs")
    sides = [_side(run) for run in runs]
    allowed = permissions(sides)
    arms = [_arms(side) for side in sides]
    shared = [p for p in arms[0] if any(p in other for other in arms[1:])]
    level = corrected(_comparisons(arms, shared))
    quantities = (*map(claim_quantity, _claims(runs)), *raw_quantities())
    configurations = tuple(
        _configuration(sides, arms, place, _first_of(shared, place), quantities, allowed, level)
        for place in shared
    )
    differing = differing_facts(sides)
    unshared = _unshared(arms, shared)
    return RunsComparison(
        runs=tuple(_facts(side) for side in sides),
        differences=differing,
        not_stated=not_stated(sides),
        permissions=allowed,
        configurations=configurations,
        unshared=unshared,
        sentence=whole_sentence(differing, allowed, configurations, unshared),
    )


def _side(run: RunInput) -> Side:
    selection = select(run.records, run.base_model)
    found: Analysis = analyze(run.records, run.claims, (), run.base_model, run.unfinished)
    return Side(run.name, selection, compare_arms(selection), found, run.unfinished)


def _facts(side: Side) -> RunFacts:
    settings, environment = side.analysis.settings, side.analysis.environment
    imported = environment.get("imported")
    return RunFacts(
        name=side.name,
        model=str(settings.get("model") or ""),
        device=(environment.get("device") or {}).get("name"),
        dataset_sizes=tuple(settings.get("dataset_sizes") or ()),
        num_seeds=len(settings.get("seeds") or ()),
        imported=None if imported is None else str(imported),
        joint=side.analysis.joint.verification,
        sentence=dict(side.analysis.joint.sentence),
        unfinished=side.unfinished,
    )


def _claims(runs: Sequence[RunInput]) -> list[Claim]:
    """Claims about one model, by id; the first run's where several have one."""
    found: dict[str, Claim] = {}
    for claim in (claim for run in runs for claim in run.claims):
        if claim.comparison == "same-model":
            found.setdefault(claim.id, claim)
    return list(found.values())


def _arms(side: Side) -> dict[Place, Arm]:
    return {(arm.adapter, arm.dataset_size): arm for arm in side.comparison.arms}


def _comparisons(arms: Sequence[dict[Place, Arm]], shared: Sequence[Place]) -> int:
    """How many differences of one quantity are looked at: configurations times other runs."""
    return sum(place in other for place in shared for other in arms[1:])


def _first_of(shared: Sequence[Place], place: Place) -> bool:
    """Whether this is the first data size of its adapter."""
    return next(p for p in shared if p[0] == place[0]) == place


def _configuration(
    sides: Sequence[Side],
    arms: Sequence[dict[Place, Arm]],
    place: Place,
    first: bool,
    quantities: Sequence[Quantity],
    allowed: Sequence[Permission],
    level: float,
) -> ComparedConfiguration:
    here = [each.get(place) for each in arms]
    wanted = [q for q in quantities if first or not q.once]
    wanted = [q for q in wanted if q.claim is None or place[0] is not None]
    compared = [_quantity(sides, here, q, allowed, level) for q in wanted]
    compared = [q for q in compared if q.claim or any(v.value is not None for v in q.values)]
    label = next(arm.label for arm in here if arm is not None)
    kept = tuple(compared)
    runs = tuple(arm is not None for arm in here)
    return ComparedConfiguration(label, place[1], runs, kept, configuration_sentence(label, kept))


def _quantity(
    sides: Sequence[Side],
    arms: Sequence[Arm | None],
    quantity: Quantity,
    allowed: Sequence[Permission],
    level: float,
) -> ComparedQuantity:
    empty = Reading(RunValue(None, None, 0))
    pairs = zip(sides, arms, strict=True)
    readings = [quantity.read(side, arm) if arm is not None else empty for side, arm in pairs]
    return ComparedQuantity(
        name=quantity.name,
        metric=quantity.metric,
        rule=quantity.rule,
        claim=quantity.claim is not None,
        exact=quantity.exact,
        values=tuple(reading.value for reading in readings),
        differences=tuple(
            _difference(readings[0], reading, quantity, run, allowed, level)
            for run, reading in enumerate(readings[1:], 1)
        ),
        text={"en": quantity.text.en, "ja": quantity.text.ja},
    )


def _difference(
    a: Reading,
    b: Reading,
    quantity: Quantity,
    run: int,
    allowed: Sequence[Permission],
    level: float,
) -> RunDifference:
    may = permit(allowed, quantity.rule, run, _arm_reasons(a, b))
    may = _with_rates(may, a, b)
    order = None if may.comparable == NO else _order_reason(a, b)
    if order is not None:
        comparable = NO if order is _ANOTHER_ORDER else STATED
        may = replace(may, comparable=comparable, because=(*may.because, ORDER))
    nothing = RunDifference(run, may.comparable, may.because, None, None, None, 0, False)
    if a.value.value is None or b.value.value is None:
        return nothing
    if may.comparable == NO:
        return _because(nothing, order)
    if quantity.exact:
        if a.value.bound or b.value.bound:
            return _because(nothing, _OUT_OF_MEMORY)
        exact = b.value.value - a.value.value
        return RunDifference(run, may.comparable, may.because, exact, None, None, 0, exact != 0)
    mean = difference_of(a, b)
    if mean is None or not (is_ratio_clear(a, level) and is_ratio_clear(b, level)):
        gain = _NO_GAIN if quantity.metric == "gain_retention" else None
        return _because(nothing, gain if common_seeds(a, b) else _NO_SEED)
    interval = interval_of(mean, level)
    shown = interval is not None and not interval[0] <= 0 <= interval[1]
    needed = None if shown or mean.value == 0 else seeds_that_would_show(mean, level)
    found = RunDifference(
        run, may.comparable, may.because, mean.value, interval, level, mean.count, shown, needed
    )
    return _because(found, order)


def _order_reason(a: Reading, b: Reading) -> Statement | None:
    """What it means for a pair of runs that seeds saw their texts in another order; None if none.

    Runs of a seed are compared with each other only where they saw the same texts in one order.
    """
    common, other = common_seeds(a, b), other_orders(a, b)
    if not other:
        return None
    if len(other) == len(common):
        return _ANOTHER_ORDER
    numbers = (len(common), len(other))
    return Statement(_SOME_ORDERS.en.format(*numbers), _SOME_ORDERS.ja.format(*numbers))


def _because(found: RunDifference, why: Statement | None) -> RunDifference:
    said = why or NOTHING
    return replace(found, reason=said.en, reason_ja=said.ja)


def _arm_reasons(a: Reading, b: Reading) -> list[str]:
    """What forbids the comparison for this arm alone."""
    if a.value.value is None or b.value.value is None:
        return []
    found = [name for name in _unequal(a, b) if name not in RATES]
    return [*found, *(["exclusive"] if not (a.exclusive and b.exclusive) else [])]


def _with_rates(may: Permission, a: Reading, b: Reading) -> Permission:
    """Another learning rate is part of what a difference in quality shows, and is named."""
    found = tuple(name for name in _unequal(a, b) if name in RATES)
    if may.comparable == NO or not found:
        return may
    return replace(may, comparable=STATED, because=(*may.because, *found))


def _unequal(a: Reading, b: Reading) -> list[str]:
    first, second = dict(a.shape or {}), dict(b.shape or {})
    return [name for name in first if name in second and first[name] != second[name]]


def _unshared(
    arms: Sequence[dict[Place, Arm]], shared: Sequence[Place]
) -> tuple[UnsharedConfiguration, ...]:
    places = dict.fromkeys(place for each in arms for place in each if place not in shared)
    return tuple(
        UnsharedConfiguration(
            configuration=next(each[place].label for each in arms if place in each),
            dataset_size=place[1],
            adapter=place[0].to_dict() if place[0] is not None else None,
            runs=tuple(place in each for each in arms),
        )
        for place in places
    )
