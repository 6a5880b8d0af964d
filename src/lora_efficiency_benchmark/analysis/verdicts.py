"""From a measurement to the verdict on one configuration (row 5).

Deterministic metrics are judged by value. Noisy ones are judged by the interval over seeds:

    VERIFIED   its lower end reaches verified_at
    FAILED     it lies wholly below partial_at
    PARTIAL    it lies wholly from partial_at to below verified_at
    UNDECIDED  anything else, and always with one seed
"""

from __future__ import annotations

from ..claims import Claim
from .intervals import LEVEL, mean_interval, seeds_to_decide, standard_deviation
from .metrics import Measurement
from .values import FAILED, NOT_MEASURED, PARTIAL, UNDECIDED, VERIFIED, ConfigurationVerdict
from .wording import Text, plural


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
