"""From measurements to verdicts (row 5).

Deterministic metrics are judged by value. Noisy ones are judged by the interval over seeds:

    VERIFIED   its lower end reaches verified_at
    FAILED     it lies wholly below partial_at
    PARTIAL    it lies wholly from partial_at to below verified_at
    UNDECIDED  anything else, and always with one seed
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..claims import Claim
from .intervals import LEVEL, mean_interval, seeds_to_decide, standard_deviation
from .metrics import Measurement
from .values import (
    FAILED,
    NOT_MEASURED,
    PARTIAL,
    UNDECIDED,
    VERIFIED,
    ClaimVerdict,
    ConfigurationVerdict,
)
from .wording import NOTHING, Text, listing, plural, quantity, stated


@dataclass(frozen=True)
class JudgedClaim:
    """A claim, its measurements and the verdict on them."""

    claim: Claim
    measurements: tuple[Measurement, ...]
    verdict: ClaimVerdict


def judge_claim(
    claim: Claim, measurements: Sequence[Measurement], precision: str | None = None
) -> JudgedClaim:
    """Judge every configuration, then the mean over them as the specification does.

    ``precision`` is the reading that was measured, where it is not the claim's.
    """
    entries = tuple(judge_configuration(claim, m) for m in measurements)
    mean, verification, reason = _judge_mean(claim, measurements, entries)
    verdict = ClaimVerdict(
        id=claim.id,
        metric=claim.metric,
        comparison=claim.comparison,
        basis="MEASURED",
        precision=precision or claim.precision,
        claimed=claim.claimed,
        text=dict(claim.text),
        mean=mean,
        verification=verification,
        per_configuration=entries,
        reason=reason.en,
        source=claim.source,
        joint=claim.joint,
        reason_ja=reason.ja,
    )
    return JudgedClaim(claim, tuple(measurements), verdict)


def judge_configuration(
    claim: Claim, measurement: Measurement, level: float = LEVEL
) -> ConfigurationVerdict:
    """One configuration; ``level`` is the confidence of a noisy metric's interval."""
    values = list(measurement.values.values())
    interval, seeds_needed = None, None
    reason = measurement.reason
    if measurement.value is None:
        verification = NOT_MEASURED
    elif not claim.noisy:
        verification = judge_value(claim, measurement.value, measurement.bound)
    else:
        interval = mean_interval(values, level)
        verification = judge_interval(claim, interval)
        if verification == UNDECIDED:
            seeds_needed = seeds_needed_for(claim, measurement, level)
            reason = _undecided_reason(claim, measurement, seeds_needed)
    return ConfigurationVerdict(
        configuration=measurement.configuration,
        value=measurement.value,
        ci95=interval,
        num_seeds=len(values),
        verification=verification,
        seeds_needed=seeds_needed,
        dataset_size=measurement.dataset_size,
        cells=measurement.cells,
        reason=reason.en,
        reason_ja=reason.ja,
        bound=measurement.bound,
    )


def judge_value(claim: Claim, value: float, bound: str | None = None) -> str:
    """VERIFIED, PARTIAL or FAILED by value; a bound decides only what lies beyond it."""
    if value >= claim.verified_at:
        verification = VERIFIED
    else:
        verification = PARTIAL if value >= claim.partial_at else FAILED
    decided = {None: True, "lower": verification == VERIFIED, "upper": verification == FAILED}
    return verification if decided[bound] else UNDECIDED


def judge_interval(claim: Claim, interval: tuple[float, float] | None) -> str:
    """The verdict of an interval; UNDECIDED where there is none (one seed) or it is too wide."""
    if interval is None:
        return UNDECIDED
    low, high = interval
    if low >= claim.verified_at:
        return VERIFIED
    if high < claim.partial_at:
        return FAILED
    return PARTIAL if low >= claim.partial_at and high < claim.verified_at else UNDECIDED


def seeds_needed_for(claim: Claim, measurement: Measurement, level: float = LEVEL) -> int | None:
    """Seeds that would decide if mean and deviation stay; None where no practical number would."""
    value = measurement.value
    if value is None:
        return None
    values = list(measurement.values.values())
    sd = standard_deviation(values) if len(values) > 1 else measurement.planned_sd
    return None if sd is None else seeds_to_decide(_distance(claim, value), sd, level)


def _distance(claim: Claim, value: float) -> float:
    """From the value to the nearest threshold that its verdict depends on."""
    return min(abs(value - claim.verified_at), abs(value - claim.partial_at))


def _undecided_reason(claim: Claim, measurement: Measurement, seeds: int | None) -> Text:
    count = len(measurement.values)
    start = (
        Text("one seed decides nothing", "1シードでは判定できない")
        if count == 1
        else Text(
            f"the interval of {count} seeds crosses a threshold",
            f"{count}シードの信頼区間がしきい値をまたぐ",
        )
    )
    if seeds is not None:
        return Text(
            f"{start.en}; about {plural(seeds, 'seed')} would",
            f"{start.ja}(判定には約{seeds}シード必要)",
        )
    if _distance(claim, measurement.value or 0.0) == 0:
        return Text(
            f"{start.en}; the value sits on a threshold", f"{start.ja}(値がしきい値上にある)"
        )
    return Text(
        f"{start.en}; more than 100 seeds would be needed", f"{start.ja}(100シードを超えても不足)"
    )


def _judge_mean(
    claim: Claim, measurements: Sequence[Measurement], entries: Sequence[ConfigurationVerdict]
) -> tuple[float | None, str, Text]:
    """The specification's rule: the mean over configurations against the thresholds."""
    if claim.comparison != "same-model":
        text = Text("no cell compares two models", "異なるモデルどうしを比べた測定がない")
        return None, NOT_MEASURED, text
    measured = [m for m in measurements if m.value is not None]
    if not measured:
        reasons = sorted({m.reason for m in measurements}) or [Text("no result", "結果がない")]
        return None, NOT_MEASURED, reasons[0]
    means = [m.value for m in measured if m.value is not None]
    mean = math.fsum(means) / len(means)
    bounds = {m.bound for m in measured} - {None}
    if claim.noisy:
        verification = judge_interval(claim, mean_interval(_means_by_seed(measured)))
    elif len(bounds) > 1:
        mean_of_bounds = Text(
            "some values are lower and some upper bounds", "下限と上限の値が混在している"
        )
        return None, UNDECIDED, mean_of_bounds
    else:
        verification = judge_value(claim, mean, next(iter(bounds), None))
    return mean, verification, _what_the_mean_hides(claim, mean, verification, entries)


def _means_by_seed(measured: Sequence[Measurement]) -> list[float]:
    """The mean over configurations, once for every seed that all of them have."""
    common = set.intersection(*(set(m.values) for m in measured))
    return [math.fsum(m.values[s] for m in measured) / len(measured) for s in sorted(common)]


def _what_the_mean_hides(
    claim: Claim, mean: float, verification: str, entries: Sequence[ConfigurationVerdict]
) -> Text:
    known = [e for e in entries if e.value is not None]
    missed = [e for e in known if e.value is not None and e.value < claim.claimed]
    below = [e for e in known if e.value is not None and e.value < claim.verified_at]
    total, value = len(known), quantity(mean, claim.metric)
    claimed = stated(claim.claimed, claim.metric)
    bar = stated(claim.verified_at, claim.metric)
    if not missed:
        en = f"the mean is {value.en}; all {total} reach the claimed {claimed.en}"
        ja = f"平均は{value.ja}、{total}件すべてが主張の{claimed.ja}を満たす"
    else:
        en = f"the mean is {value.en}; {len(missed)} of {total} miss the claimed {claimed.en}"
        ja = f"平均は{value.ja}、{total}件中{len(missed)}件が主張の{claimed.ja}に届かない"
    if missed and claim.verified_at < claim.claimed:
        en += f" and {len(below)} the threshold {bar.en}" if below else f", all reach {bar.en}"
        ja += (
            f"(しきい値{bar.ja}は{len(below)}件が未達)"
            if below
            else f"(しきい値{bar.ja}は全件が満たす)"
        )
    if verification == UNDECIDED:
        extra = _undecided_summary(entries)
        en, ja = en + extra.en, ja + extra.ja
    bounded = [e.configuration for e in entries if e.bound]
    if bounded:
        names = listing(bounded)
        en += f"; bounds only, as an arm ran out of memory: {names.en}"
        ja += f"。メモリ不足のため境界値のみ: {names.ja}"
    absent = len(entries) - total
    if absent:
        en += f"; {absent} not measured"
        ja += f"。未測定{absent}件"
    return Text(en, ja)


def _undecided_summary(entries: Sequence[ConfigurationVerdict]) -> Text:
    undecided = [e for e in entries if e.verification == UNDECIDED]
    needed = [e.seeds_needed for e in undecided if e.seeds_needed is not None]
    if not needed:
        return NOTHING
    most = max(needed)
    if all(e.num_seeds <= 1 for e in undecided):
        return Text(
            f"; one seed decides nothing, about {most} would",
            f"。1シードでは判定できず、約{most}シード必要",
        )
    return Text(f"; about {most} seeds would decide", f"。判定には約{most}シード必要")
