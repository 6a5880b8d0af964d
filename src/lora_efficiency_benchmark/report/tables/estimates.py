"""Estimates at the claim's own scale, and how far estimates were off on this run (row 6).

Everything here says ESTIMATED in words; nothing of it links to a record as if it had been measured.
"""

from __future__ import annotations

import math

from ...analysis.values import Analysis, ConfigurationVerdict, EstimatedClaim, EstimatorCell
from .. import formats
from ..texts import Wording
from . import Cell, Line, Table, full_name, line

PARAMETERS, MEMORY = "parameter_reduction_ratio", "memory_reduction_ratio"


def estimates_table(analysis: Analysis, say: Wording) -> Table:
    """One row a claim, comparison, models and tokens a step; configurations across."""
    claims = analysis.estimated_claims
    found = (v.configuration for claim in claims for v in claim.per_configuration)
    labels = list(dict.fromkeys(found))
    keys = ("claim", "compared", "condition")
    columns = [say(f"column.{key}") for key in keys]
    columns += [*map(formats.clean, labels), say("column.overall")]
    rows = (_row(claim, labels, say) for claim in claims)
    return Table(say("heading.estimates"), tuple(columns), tuple(rows))


def estimator_table(analysis: Analysis, say: Wording) -> Table:
    """Memory cells of this run: estimate, measurement, error; running out of memory is said."""
    known = analysis.estimator
    keys = ("arm", "reading", "peak_estimated", "peak", "estimate_error")
    cells = (*known.cells, *known.out_of_memory) if known else ()
    rows = [_cell_row(cell, say) for cell in cells]
    for entry in known.untraceable if known else ():
        reason = formats.clean(say.either(entry["reason"], entry["reason_ja"]))
        why = say("estimator.untraceable", reason=reason)
        reading = say.known("reading", entry["reading"])
        name = _arm(entry["label"], entry.get("model", ""), say)
        rows.append((line(name), line(reading), line(why), (), ()))
    columns = tuple(say(f"column.{key}") for key in keys)
    return Table(say("heading.estimator"), columns, tuple(rows))


def estimator_line(analysis: Analysis, say: Wording) -> str:
    """The estimator's error on this run in one sentence, or that nothing can be compared."""
    known = analysis.estimator
    if known is None or known.max_absolute is None or known.mean_absolute is None:
        return say("estimator.none")
    return say(
        "estimator.error",
        most=_percent(known.max_absolute),
        mean=_percent(known.mean_absolute),
        n=len(known.cells),
        under=sum(cell.error is not None and cell.error < 0 for cell in known.cells),
    )


def terminal_estimates(analysis: Analysis, say: Wording) -> list[str]:
    """A heading with the error, then one line a comparison; nothing where nothing was estimated."""
    claims = analysis.estimated_claims
    if not claims:
        shown = analysis.estimator is not None
        return [say("estimator.terminal", error=estimator_line(analysis, say))] if shown else []
    known = analysis.estimator
    error = say("estimator.short.none")
    if known is not None and known.max_absolute is not None:
        error = say("estimator.short", most=_percent(known.max_absolute))
    pairs = list(dict.fromkeys((c.comparison, c.model, c.base_model) for c in claims))
    lines = [say("estimates.terminal", error=error)]
    for pair in pairs:
        own = [c for c in claims if (c.comparison, c.model, c.base_model) == pair]
        lines.append("  " + _terminal_line(own, say))
    return lines


def _row(claim: EstimatedClaim, labels: list[str], say: Wording) -> tuple[Cell, ...]:
    thresholds = {
        "verified": _stated(claim, claim.verified_at, say),
        "partial": _stated(claim, claim.partial_at, say),
    }
    head = (
        Line(formats.clean(claim.text[say.language])),
        Line(say("estimates.claimed", value=_stated(claim, claim.claimed, say)), quiet=True),
        Line(say("thresholds", **thresholds), quiet=True),
    )
    compared = (
        Line(say(f"comparison.{claim.comparison}")),
        Line(_models(claim, say), quiet=True),
    )
    by_label = {v.configuration: v for v in claim.per_configuration}
    found = (_found(claim, by_label.get(label), say) for label in labels)
    return (head, compared, _condition(claim, say), *found, _overall(claim, say))


def _condition(claim: EstimatedClaim, say: Wording) -> Cell:
    if claim.batch_size is None or claim.seq_len is None:
        return line(say("estimates.count"))
    tokens = f"{claim.batch_size * claim.seq_len:,}"
    shape = {"batch": claim.batch_size, "length": f"{claim.seq_len:,}", "tokens": tokens}
    return (
        Line(say(f"precision.{claim.precision}")),
        Line(say("condition.tokens", **shape), quiet=True),
    )


def _found(claim: EstimatedClaim, found: ConfigurationVerdict | None, say: Wording) -> Cell:
    if found is None:
        return line(say("estimates.absent"))
    reason = formats.clean(say.either(found.reason, found.reason_ja))
    if found.value is None:
        return (Line(say("estimates.absent")), Line(reason, quiet=True))
    value = f"{_value(claim, found.value, say)} ({say('estimated')})"
    return (Line(value), _verdict(found.verification, say))


def _overall(claim: EstimatedClaim, say: Wording) -> Cell:
    why = Line(formats.clean(say.either(claim.reason, claim.reason_ja)), quiet=True)
    if claim.mean is None:
        return (Line(say("estimates.absent")), why)
    mean = Line(f"{say('mean')} {_value(claim, claim.mean, say)}", quiet=True)
    return (_verdict(claim.verification, say), mean, why)


def _verdict(verification: str, say: Wording) -> Line:
    shown = say("estimates.verdict", verdict=say(f"verdict.{verification}"))
    return Line(shown, (), verification)


def _models(claim: EstimatedClaim, say: Wording) -> str:
    model, base = formats.clean(claim.model), formats.clean(claim.base_model)
    if model == base:
        return model
    return say("estimates.models", model=model, base=base)


def _value(claim: EstimatedClaim, value: float, say: Wording) -> str:
    """As elsewhere, with one decimal more where three digits would end at the point."""
    if claim.metric == PARAMETERS and 99.95 <= value < 999.95:
        return say("ratio", number=f"{value:.1f}")
    return formats.metric_value(claim.metric, value, say)


def _stated(claim: EstimatedClaim, value: float | None, say: Wording) -> str:
    return formats.claimed_value(claim.metric, value if value is not None else math.nan, say)


def _cell_row(cell: EstimatorCell, say: Wording) -> tuple[Cell, ...]:
    measured = say("kind.out_of_memory")
    if cell.measured is not None:
        measured = formats.size(cell.measured, say)
    error = "" if cell.error is None else f"{100 * cell.error:+.2f}%"
    return (
        line(_arm(cell.label, cell.model, say)),
        line(say(f"reading.{cell.reading}")),
        line(f"{formats.size(cell.estimated, say)} ({say('estimated')})"),
        line(measured, cell.cell_id),
        line(error),
    )


def _arm(label: str, model: str, say: Wording) -> str:
    return full_name(model, say) if label == "full" else formats.clean(label)


def _percent(share: float) -> str:
    """Rounded up: a run whose estimates are off by 0.14 % is not within 0.1 %."""
    if 0 < share < 0.00095:
        return f"{math.ceil(1e5 * share - 1e-9) / 1000:.3f}"
    return f"{math.ceil(1000 * share - 1e-9) / 10:.1f}" if share < 1 else f"{100 * share:.0f}"


def _terminal_line(claims: list[EstimatedClaim], say: Wording) -> str:
    """The configuration closest to the claimed parameter ratio, its memory at each length."""
    name = _closest(claims)
    head = f"{_models(claims[0], say)}, {formats.clean(name)}"
    parts = []
    for reading in dict.fromkeys((c.metric, c.precision) for c in claims):
        own = [c for c in claims if (c.metric, c.precision) == reading]
        values = [text for c in own if (text := _terminal_value(c, name, say))]
        if values:
            parts.append(_named(reading, ", ".join(values), say))
    tail = say("estimates.absent") if not parts else "; ".join(parts)
    return f"{head}: {tail}{_first_arithmetic(claims, say)}"


def _named(reading: tuple[str, str], values: str, say: Wording) -> str:
    metric, precision = reading
    if metric == PARAMETERS:
        return values
    return say("estimates.memory", reading=say(f"reading.{precision}"), values=values)


def _terminal_value(claim: EstimatedClaim, name: str, say: Wording) -> str:
    found = next((v for v in claim.per_configuration if v.configuration == name), None)
    if found is None or found.value is None:
        return ""
    value = _value(claim, found.value, say)
    if claim.batch_size is None or claim.seq_len is None:
        return value
    return say("estimates.at", value=value, batch=claim.batch_size, length=claim.seq_len)


def _closest(claims: list[EstimatedClaim]) -> str:
    """The claim's own configuration, as far as the specification has one."""
    counted = [c for c in claims if c.metric == PARAMETERS] or claims
    known = [v for v in counted[0].per_configuration if v.value]
    if not known:
        return counted[0].per_configuration[0].configuration
    claimed = counted[0].claimed

    def distance(found: ConfigurationVerdict) -> float:
        return abs(math.log((found.value or claimed) / claimed)) if claimed > 0 else 0.0

    return min(known, key=distance).configuration


def _first_arithmetic(claims: list[EstimatedClaim], say: Wording) -> str:
    texts = (say.either(c.arithmetic, c.arithmetic_ja) for c in claims if c.arithmetic)
    first = next(texts, "")
    return f" ({formats.clean(first)})" if first else ""
