"""Every limit held against one candidate (row 5): within it, beyond it, or not known yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ...config.claims import Claim
from ...language import Statement
from ...plan import AS_PRACTISED
from ..intervals import LEVEL, TIME_RELATIVE_SD, plan, ratio_interval
from ..values import FAILED, NOT_MEASURED, UNDECIDED, VERIFIED
from ..verdicts import judge_configuration
from ..wording import NOTHING
from . import words
from .differences import plain_mean
from .values import MEMORY, TIME, Candidate, Limits


class Levels(NamedTuple):
    """Two-sided confidence of an interval's ends, by what they are needed for."""

    within: float = LEVEL  # the end that must be inside the limit
    outside: float = LEVEL  # the end that must be beyond it


@dataclass(frozen=True)
class Check:
    """One limit held against one candidate."""

    limit: str  # retention, memory or time
    required: float | None  # share, bytes or seconds; None: the memory of this machine
    verification: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    num_seeds: int = 0
    seeds_needed: int | None = None
    reason: Statement = NOTHING

    @property
    def met_by_value(self) -> bool:
        """True where the value, taken as exact, is within the limit."""
        if self.verification in (VERIFIED, FAILED) or self.value is None:
            return self.verification == VERIFIED
        required = self.required or 0.0
        return self.value >= required if self.limit == "retention" else self.value <= required

    @property
    def shortfall(self) -> float:
        """The share by which the value misses the limit; infinite where there is no value."""
        if self.verification == VERIFIED:
            return 0.0
        if self.value is None or self.required is None:
            return math.inf
        gap = (self.value - self.required) / (abs(self.required) or 1.0)
        return max(0.0, -gap if self.limit == "retention" else gap)


def check_limits(candidate: Candidate, limits: Limits, levels: Levels) -> tuple[Check, ...]:
    """Retention always; memory and time where they are limited, or memory ran out."""
    found = (
        _retention_check(candidate, limits, levels),
        check_memory(candidate, limits),
        _time_check(candidate, limits, levels),
    )
    return tuple(check for check in found if check is not None)


def _retention_check(candidate: Candidate, limits: Limits, levels: Levels) -> Check:
    required = limits.retention
    if candidate.diverged:
        seeds = ", ".join(map(str, candidate.diverged))
        reason = Statement(f"diverged (seed {seeds})", f"発散(シード{seeds})")
        return Check("retention", required, FAILED, reason=reason)
    measurement = candidate.retention
    if measurement.value is None:
        return Check("retention", required, NOT_MEASURED, reason=measurement.reason)
    if candidate.is_full:
        verdict = VERIFIED if required <= 1 else FAILED
        reason = NOTHING if required <= 1 else words.below(1.0, None, required)
        return Check("retention", required, verdict, 1.0, reason=reason)
    found = judge_configuration(_threshold(required), measurement, *levels)
    reason = Statement(found.reason, found.reason_ja)
    if found.verification == FAILED and found.value is not None:
        reason = words.below(found.value, found.ci95, required)
    return Check(
        "retention", required, found.verification, found.value, found.ci95, found.num_seeds,
        found.seeds_needed, reason,
    )  # fmt: skip


def _threshold(retention: float) -> Claim:
    """The user's limit as a claim: at or above it, or not."""
    return Claim(
        id="recommend", metric="gain_retention", claimed=retention, verified_at=retention,
        partial_at=retention, text={"ja": "", "en": ""}, source="the user's limit",
    )  # fmt: skip


def check_memory(candidate: Candidate, limits: Limits) -> Check | None:
    """By value; None where nothing limits it."""
    limit, needed = limits.max_memory_bytes, candidate.memory_bytes
    if candidate.needed_bytes is not None and not candidate.out_of_memory:
        needed = candidate.needed_bytes
    if candidate.out_of_memory:
        if limit is None or (needed is not None and needed >= limit):
            reason = words.ran_out(needed, limit)
            return Check(MEMORY, limit, FAILED, needed, reason=reason)
        reason = Statement(
            "ran out of memory here; how much it needs is not known",
            "このマシンではメモリ不足で、必要量は不明です",
        )
        return Check(MEMORY, limit, NOT_MEASURED, reason=reason)
    if limit is None:
        return None
    if needed is None:
        reason = Statement(
            "peak memory was not measured, so the limit cannot be checked",
            "ピークメモリが未測定のため、上限を確認できません",
        )
        return Check(MEMORY, limit, NOT_MEASURED, reason=reason)
    if needed > limit:
        others = [v for k, v in candidate.memory_by_reading.items() if k == AS_PRACTISED]
        fitting = min((v for v in others if v <= limit), default=None)
        reason = words.over_memory(needed, limit, fitting)
        return Check(MEMORY, limit, FAILED, needed, reason=reason)
    return Check(MEMORY, limit, VERIFIED, needed)


def _time_check(candidate: Candidate, limits: Limits, levels: Levels) -> Check | None:
    limit, value = limits.max_seconds, candidate.mean_seconds
    if limit is None:
        return None
    if value is None:
        reason = Statement(
            "training time was not measured, so the limit cannot be checked",
            "学習時間が未測定のため、上限を確認できません",
        )
        return Check(TIME, limit, NOT_MEASURED, reason=reason)
    found = plain_mean(candidate.seconds, (TIME_RELATIVE_SD * value) ** 2)
    ends = levels.outside, levels.within  # here the upper end must be inside
    interval = ratio_interval(found, *ends)
    if interval is not None and interval[1] <= limit:
        return Check(TIME, limit, VERIFIED, value, interval, found.count)
    if interval is not None and interval[0] > limit:
        reason = words.over_time(value, limit)
        return Check(TIME, limit, FAILED, value, interval, found.count, reason=reason)
    needed = plan(found, [limit], *ends).seeds
    would = words.seeds_would_decide(needed)
    reason = Statement(f"time is undecided; {would.en}", f"学習時間は判定保留({would.ja})")
    return Check(TIME, limit, UNDECIDED, value, interval, found.count, needed, reason)
