"""The first screen (row 6): one card a claim, what was found against what was claimed.

Every configuration has a row in every card, in the same order, so that the joint question (one
configuration, all claims) can be read across. Positions are percent of the track's width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...analysis.values import Analysis, ClaimVerdict, ConfigurationVerdict
from .. import formats
from ..tables.claims import (
    compared_models,
    condition,
    configuration_labels,
    found_value,
    records_behind,
)
from ..texts import Wording

_MOST_ROWS = 12
_LOGARITHMIC = "parameter_reduction_ratio"


@dataclass(frozen=True)
class Mark:
    """One measured value on a track."""

    at: float
    low: float | None  # ends of the interval, cut at the edges of the track
    high: float | None
    verdict: str
    words: str  # value, interval and verdict, for readers who do not see the mark


@dataclass(frozen=True)
class Row:
    """One configuration: its marks (one a data size) and the value in words."""

    name: str
    marks: tuple[Mark, ...]
    value: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """One claim."""

    text: str
    claimed: str
    mean: str  # what the verdict is on; empty where nothing was measured
    verdict: str
    rows: tuple[Row, ...]
    more: int  # configurations that found no room
    claimed_at: float
    verified_at: float | None
    reason: str
    condition: str
    joint: bool
    models: str  # which two, where full fine-tuning and LoRA are of different ones


@dataclass(frozen=True)
class JointRow:
    """The joint verdict of one configuration at one data size."""

    name: str
    verdict: str


def claim_cards(analysis: Analysis, say: Wording) -> list[Card]:
    """Cards in the order of the claims."""
    labels = configuration_labels(analysis)
    return [_card(analysis, claim, labels, say) for claim in analysis.claims]


def joint_rows(analysis: Analysis, say: Wording) -> list[JointRow]:
    """Configurations in the order of the claims, with the size where several were tested."""
    entries = analysis.joint.configurations
    several = len({entry.get("dataset_size") for entry in entries}) > 1
    order = {label: place for place, label in enumerate(configuration_labels(analysis))}
    ranked = sorted(entries, key=lambda entry: order.get(entry["configuration"], len(order)))
    rows = []
    for entry in ranked[:_MOST_ROWS]:
        name, size = formats.clean(entry["configuration"]), entry.get("dataset_size")
        if several and size is not None:
            name = f"{name} · {say('texts', n=f'{size:,}')}"
        rows.append(JointRow(name, entry["verification"]))
    return rows


def joint_left_out(analysis: Analysis) -> int:
    """How many entries the joint card has no room for."""
    return max(0, len(analysis.joint.configurations) - _MOST_ROWS)


def _card(analysis: Analysis, claim: ClaimVerdict, labels: list[str], say: Wording) -> Card:
    place = _scale(claim)
    shown = labels[:_MOST_ROWS]
    return Card(
        text=formats.clean(claim.text[say.language]),
        claimed=say("overview.claimed", value=_stated(claim, claim.claimed, say)),
        mean=_mean(claim, say),
        verdict=claim.verification,
        rows=tuple(_row(analysis, claim, label, place, say) for label in shown),
        more=len(labels) - len(shown),
        claimed_at=place(claim.claimed),
        verified_at=place(claim.verified_at) if claim.verified_at is not None else None,
        reason=formats.clean(say.either(claim.reason, claim.reason_ja)),
        condition=condition(analysis, claim, say),
        joint=claim.joint,
        models=compared_models(analysis, claim, say),
    )


def _mean(claim: ClaimVerdict, say: Wording) -> str:
    if claim.mean is None:
        return ""
    return say("overview.mean", value=formats.metric_value(claim.metric, claim.mean, say))


def _stated(claim: ClaimVerdict, value: float, say: Wording) -> str:
    return formats.claimed_value(claim.metric, value, say)


def _scale(claim: ClaimVerdict) -> Callable[[float], float]:
    """From a value to percent of the track; intervals may reach beyond it, values never do."""
    values = [v.value for v in claim.per_configuration if v.value is not None]
    known = [v for v in (*values, claim.claimed, claim.verified_at) if v is not None]
    usable = [v for v in known if math.isfinite(v)]
    logarithmic = claim.metric == _LOGARITHMIC and min(usable) > 0
    form: Callable[[float], float] = math.log if logarithmic else float
    low, high = form(min(usable)), form(max(usable))
    margin = 0.12 * (high - low) or 0.12 * abs(high) or 1.0

    def place(value: float) -> float:
        if logarithmic and value <= 0:
            return 0.0
        share = (form(value) - low + margin) / (high - low + 2 * margin)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    return place


def _row(
    analysis: Analysis,
    claim: ClaimVerdict,
    label: str,
    place: Callable[[float], float],
    say: Wording,
) -> Row:
    found = [v for v in claim.per_configuration if v.configuration == label]
    marks = tuple(_mark(claim, v, place, say) for v in found if _finite(v))
    first = next((v for v in found if v.value is not None), None)
    cells = records_behind(analysis, claim, first) if first else ()
    return Row(formats.clean(label), marks, _value(claim, found, say), cells)


def _finite(found: ConfigurationVerdict) -> bool:
    return found.value is not None and math.isfinite(found.value)


def _mark(
    claim: ClaimVerdict, found: ConfigurationVerdict, place: Callable[[float], float], say: Wording
) -> Mark:
    parts = [found_value(claim, found, say)]
    if found.dataset_size is not None:
        parts.insert(0, say("texts", n=f"{found.dataset_size:,}"))
    low = high = None
    if found.ci95 is not None:
        low, high = (place(end) for end in found.ci95)
        ends = [formats.metric_value(claim.metric, end, say) for end in found.ci95]
        parts.append(say("interval", low=ends[0], high=ends[1]))
    parts.append(say(f"verdict.{found.verification}"))
    return Mark(place(found.value or 0.0), low, high, found.verification, " · ".join(parts))


def _value(claim: ClaimVerdict, found: Iterable[ConfigurationVerdict], say: Wording) -> str:
    """The value in words; from lowest to highest where there is one a data size."""
    measured = sorted((v for v in found if _finite(v)), key=lambda v: v.value or 0.0)
    if not measured:
        return say("not_measured")
    ends = [found_value(claim, v, say) for v in (measured[0], measured[-1])]
    if ends[0] == ends[1]:
        return ends[0]
    return say("overview.range", low=ends[0], high=ends[1])
