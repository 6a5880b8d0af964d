"""One claim over all configurations (row 5): the specification's mean rule, and what it hides.

The mean of all configurations (and data sizes, where the metric depends on them) is held against
the thresholds. For a noisy metric the mean over configurations is judged by its own interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..config.claims import Claim
from ..language import Statement
from .contrasts import mean_of_ratios
from .intervals import ratio_interval
from .metrics import Measurement
from .values import NOT_MEASURED, UNDECIDED, ClaimVerdict, ConfigurationVerdict
from .verdicts import judge_configuration, judge_interval, judge_value, undecided
from .wording import NOTHING, listing, quantity, stated


@dataclass(frozen=True)
class JudgedClaim:
    """A claim, its measurements and the verdict on them."""

    claim: Claim
    measurements: tuple[Measurement, ...]
    verdict: ClaimVerdict


def judge_claim(
    claim: Claim,
    measurements: Sequence[Measurement],
    precision: str | None = None,
    models: tuple[str, str] = ("", ""),
) -> JudgedClaim:
    """Judge every configuration, then the mean over them as the specification does.

    ``precision`` is the reading that was measured, where it is not the claim's; ``models`` are
    those of LoRA and of full fine-tuning, where they differ.
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
        verified_at=claim.verified_at,
        partial_at=claim.partial_at,
        model=models[0],
        base_model=models[1],
    )
    return JudgedClaim(claim, tuple(measurements), verdict)


def _judge_mean(
    claim: Claim, measurements: Sequence[Measurement], entries: Sequence[ConfigurationVerdict]
) -> tuple[float | None, str, Statement]:
    """The specification's rule: the mean over configurations against the thresholds."""
    if claim.comparison != "same-model" and not measurements:
        text = Statement("no cell compares two models", "異なるモデルどうしを比べた測定なし")
        return None, NOT_MEASURED, text
    measured = [m for m in measurements if m.value is not None]
    if not measured:
        reasons = sorted({m.reason for m in measurements}) or [Statement("no result", "結果なし")]
        return None, NOT_MEASURED, _joined(reasons)
    means = [m.value for m in measured if m.value is not None]
    mean = math.fsum(means) / len(means)
    bounds = {m.bound for m in measured} - {None}
    open_text = NOTHING
    if claim.noisy:
        verification, open_text = _judge_noisy_mean(claim, measured)
    elif len(bounds) > 1:
        mean_of_bounds = Statement(
            "some values are lower and some upper bounds", "下限と上限の値が混在"
        )
        return None, UNDECIDED, mean_of_bounds
    else:
        verification = judge_value(claim, mean, next(iter(bounds), None))
    return mean, verification, _what_the_mean_hides(claim, entries, open_text)


def _judge_noisy_mean(claim: Claim, measured: Sequence[Measurement]) -> tuple[str, Statement]:
    """By the interval of the mean over configurations, which share seeds and texts."""
    ratio = mean_of_ratios([m.ratio for m in measured if m.ratio is not None])
    if ratio is None:
        return UNDECIDED, Statement("no seed is common to all", "すべてに共通するシードなし")
    verification = judge_interval(claim, ratio_interval(ratio))
    return verification, undecided(claim, ratio)[0] if verification == UNDECIDED else NOTHING


def _what_the_mean_hides(
    claim: Claim, entries: Sequence[ConfigurationVerdict], open_text: Statement
) -> Statement:
    """One sentence: how many configurations miss what, the range, and what is still open."""
    parts = [misses(claim, entries), value_range(claim, entries), open_text]
    bounded = [e.configuration for e in entries if e.bound]
    if bounded:
        names = listing(bounded)
        en = f"bounds only, as an arm ran out of memory: {names.en}"
        parts.append(Statement(en, f"メモリ不足のため境界値のみ: {names.ja}"))
    absent = sum(e.value is None for e in entries)
    if absent:
        parts.append(Statement(f"{absent} not measured", f"未測定{absent}件"))
    kept = [part for part in parts if part != NOTHING]
    return Statement("; ".join(p.en for p in kept), "、".join(p.ja for p in kept))


def _joined(reasons: Sequence[Statement]) -> Statement:
    en, ja = listing([r.en for r in reasons]), listing([r.ja for r in reasons])
    return Statement(en.en, ja.ja)


def misses(claim: Claim, entries: Sequence[ConfigurationVerdict]) -> Statement:
    """How many configurations miss the claimed value, and the threshold."""
    values = _exact(entries)
    if not values:
        return NOTHING
    missed = sum(value < claim.claimed for value in values)
    below = sum(value < claim.verified_at for value in values)
    claimed = stated(claim.claimed, claim.metric)
    bar = stated(claim.verified_at, claim.metric)
    total = len(values)
    if total == 1:
        return _the_only_one(
            bool(missed), bool(below), claimed, bar, claim.verified_at < claim.claimed
        )
    if not missed:
        en = f"all {total} reach the claimed {claimed.en}"
        return Statement(en, f"{total}件すべてが主張の{claimed.ja}に到達")
    some = Statement(
        f"{missed} of {total} miss the claimed {claimed.en}",
        f"{total}件中{missed}件が主張の{claimed.ja}に未達",
    )
    if claim.verified_at >= claim.claimed:
        return some
    if not below:
        return Statement(
            f"{some.en}, all reach {bar.en}", f"{some.ja}(しきい値{bar.ja}は全件が達成)"
        )
    return Statement(
        f"{some.en} and {below} the threshold {bar.en}",
        f"{some.ja}(しきい値{bar.ja}は{below}件が未達)",
    )


def _the_only_one(
    missed: bool, below: bool, claimed: Statement, bar: Statement, lenient: bool
) -> Statement:
    """The same for one configuration; ``lenient``: the threshold lies below the claim."""
    if not missed:
        return Statement(f"reaches the claimed {claimed.en}", f"主張の{claimed.ja}に到達")
    short = Statement(f"misses the claimed {claimed.en}", f"主張の{claimed.ja}に未達")
    if not lenient:
        return short
    if not below:
        return Statement(f"{short.en}, reaches {bar.en}", f"{short.ja}(しきい値{bar.ja}は達成)")
    return Statement(
        f"{short.en} and the threshold {bar.en}", f"{short.ja}(しきい値{bar.ja}も未達)"
    )


def value_range(claim: Claim, entries: Sequence[ConfigurationVerdict]) -> Statement:
    """From the smallest value to the largest; nothing for a single one."""
    values = _exact(entries)
    if len(values) < 2:
        return NOTHING
    low, high = quantity(min(values), claim.metric), quantity(max(values), claim.metric)
    return Statement(f"values from {low.en} to {high.en}", f"値は{low.ja}から{high.ja}")


def _exact(entries: Sequence[ConfigurationVerdict]) -> list[float]:
    """The values that are no bounds: a bound below a threshold does not show that it is missed."""
    return [e.value for e in entries if e.value is not None and e.bound is None]
