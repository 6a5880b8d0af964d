"""Claims at their own scale, judged on estimates (row 5).

An estimate is the trace of a training step of a model that nobody ran here. Its verdicts carry the
basis ESTIMATED and stand apart: they enter neither the joint verdict nor the rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..config.claims import Claim
from ..language import Statement
from .estimated_words import CROSS_MODEL, SAME_MODEL, Setting, arithmetic_text, reason_text
from .pairing import number
from .values import NOT_MEASURED, VERIFIED, ConfigurationVerdict, EstimatedClaim
from .verdicts import judge_value
from .wording import NOTHING

MEMORY = "memory_reduction_ratio"
Entry = Mapping[str, Any]


def judge_estimates(
    claims: Sequence[Claim], entries: Sequence[Entry]
) -> tuple[EstimatedClaim, ...]:
    """Every claim that a count or an allocation decides, once a comparison, models and tokens."""
    return tuple(
        _judge(claim, setting, found)
        for claim in claims
        if not claim.noisy
        for setting, found in _groups(claim, claims, entries)
    )


def _groups(
    claim: Claim, claims: Sequence[Claim], entries: Sequence[Entry]
) -> list[tuple[Setting, list[Entry]]]:
    comparisons = _comparisons(claim, claims)
    groups: dict[Setting, list[Entry]] = {}
    for entry in entries:
        if entry["comparison"] not in comparisons:
            continue
        if claim.metric == MEMORY and entry["reading"] != claim.precision:
            continue
        groups.setdefault(_setting(claim, entry), []).append(entry)
    return sorted(groups.items(), key=lambda group: group[0].order)


def _comparisons(claim: Claim, claims: Sequence[Claim]) -> tuple[str, ...]:
    """Both, unless the claims file itself tells them apart."""
    if claim.comparison == CROSS_MODEL:
        return (CROSS_MODEL,)
    own = any(
        (c.metric, c.precision, c.comparison) == (claim.metric, claim.precision, CROSS_MODEL)
        for c in claims
    )
    return (SAME_MODEL,) if own else (SAME_MODEL, CROSS_MODEL)


def _setting(claim: Claim, entry: Entry) -> Setting:
    models = (entry["comparison"], entry["model"], entry["base_model"])
    if claim.metric != MEMORY:  # a count depends on neither precision nor tokens
        return Setting(*models, claim.precision)
    return Setting(*models, entry["reading"], entry["batch_size"], entry["seq_len"])


def _judge(claim: Claim, setting: Setting, entries: Sequence[Entry]) -> EstimatedClaim:
    found = _per_configuration(claim, entries)
    values = [v.value for v in found if v.value is not None]
    mean = math.fsum(values) / len(values) if values else None
    verification = NOT_MEASURED if mean is None else judge_value(claim, mean)
    arithmetic = NOTHING
    if claim.metric == MEMORY and verification not in (VERIFIED, NOT_MEASURED):
        arithmetic = _arithmetic(claim, setting, entries)
    reason = reason_text(claim, setting, found, arithmetic)
    return EstimatedClaim(
        id=claim.id,
        metric=claim.metric,
        comparison=setting.comparison,
        basis="ESTIMATED",
        precision=setting.reading,
        claimed=claim.claimed,
        text=dict(claim.text),
        mean=mean,
        verification=verification,
        per_configuration=found,
        reason=reason.en,
        source=claim.source,
        joint=False,
        reason_ja=reason.ja,
        verified_at=claim.verified_at,
        partial_at=claim.partial_at,
        model=setting.model,
        base_model=setting.base_model,
        batch_size=setting.batch_size,
        seq_len=setting.seq_len,
        arithmetic=arithmetic.en,
        arithmetic_ja=arithmetic.ja,
    )


def _per_configuration(claim: Claim, entries: Sequence[Entry]) -> tuple[ConfigurationVerdict, ...]:
    """One verdict a configuration, in the order of the entries; the first with a value counts."""
    found: dict[str, ConfigurationVerdict] = {}
    for entry in entries:
        name = entry["configuration"]
        if name not in found or found[name].value is None:
            found[name] = _configuration(claim, entry)
    return tuple(found.values())


def _configuration(claim: Claim, entry: Entry) -> ConfigurationVerdict:
    value, reason = _ratio(claim, entry)
    return ConfigurationVerdict(
        configuration=entry["configuration"],
        value=value,
        ci95=None,
        num_seeds=0,
        verification=NOT_MEASURED if value is None else judge_value(claim, value),
        reason=reason.en,
        reason_ja=reason.ja,
    )


def _ratio(claim: Claim, entry: Entry) -> tuple[float | None, Statement]:
    """Full over LoRA, or why there is no such figure."""
    if entry.get("skipped"):
        return None, Statement(
            str(entry["skipped"]), str(entry.get("skipped_ja") or entry["skipped"])
        )
    key = "peak_allocated_bytes" if claim.metric == MEMORY else "trainable_parameters"
    for side in ("full", "lora"):
        estimate = entry.get(side) or {}
        untraceable = estimate.get("untraceable")
        if untraceable:
            en = f"{side}: the step could not be traced ({untraceable})"
            ja = estimate.get("untraceable_ja") or untraceable
            return None, Statement(en, f"{side}: ステップの追跡不可({ja})")
    full, lora = number(entry.get("full"), key), number(entry.get("lora"), key)
    if not full or not lora:
        return None, Statement("no estimate", "推定値なし")
    return full / lora, NOTHING


def _arithmetic(claim: Claim, setting: Setting, entries: Sequence[Entry]) -> Statement:
    """The frozen weights are those of any configuration: the first with a figure stands for all."""
    usable = (e for e in entries if _ratio(claim, e)[0] is not None)
    first = next(usable, None)
    return arithmetic_text(claim, setting, first["full"], first["lora"]) if first else NOTHING
