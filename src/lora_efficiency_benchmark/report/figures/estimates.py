"""Figures of estimates (row 6): how far off they were here, and the claim at its own scale."""

from __future__ import annotations

from typing import Any

from ...analysis.values import Analysis, EstimatedClaim, EstimatorCell
from .. import formats
from ..tables import full_name
from ..texts import Wording
from .style import CLAIM, LORA, MOST_ARMS, WIDTH, Spec, layer, number_axis

MEMORY = "memory_reduction_ratio"
_LEAST_ERROR = 0.001  # an axis narrower than this would make noise look like an error


def estimator_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """Error of every estimate of this run, estimated / measured - 1, around a line at zero."""
    cells = analysis.estimator.cells if analysis.estimator else ()
    rows = [_error(cell, say) for cell in cells if cell.error is not None][:MOST_ARMS]
    if not rows:
        return None
    widest = 1.15 * max(_LEAST_ERROR, *(abs(row["error"]) for row in rows))
    x = number_axis(say("figure.estimator.x"), [-widest, widest])
    x["axis"] = {"format": "+.2%", "tickCount": 7}
    order = list(dict.fromkeys(row["arm"] for row in rows))
    y = {"field": "arm", "type": "nominal", "title": None, "sort": order}
    stem = {"x": {"field": "zero", **x}, "x2": {"field": "error"}, "y": y}
    at = {"x": {"field": "error", **x}, "y": y, "tooltip": {"field": "tip"}}
    dot = {"type": "point", "filled": True, "size": 90, "opacity": 1, "color": LORA}
    zero = {"type": "rule", "color": CLAIM, "strokeDash": [5, 4]}
    layers = [
        layer([{"zero": 0}], zero, {"x": {"field": "zero", **x}}),
        layer(rows, {"type": "rule", "color": LORA, "strokeWidth": 2}, stem),
        layer(rows, dot, at),
    ]
    return {"width": WIDTH, "height": {"step": 22}, "layer": layers}


def _error(cell: EstimatorCell, say: Wording) -> dict[str, Any]:
    full = cell.label == "full"
    arm = full_name(cell.model, say) if full else formats.clean(cell.label)
    name = f"{arm} · {_reading(cell.reading, say)}"
    return {
        **({} if full else {"label": formats.clean(cell.label)}),
        "arm": name,
        "zero": 0,
        "error": cell.error,
        "tip": [
            name,
            f"{say('column.peak_estimated')}: {formats.size(cell.estimated, say)}",
            f"{say('column.peak')}: {formats.size(cell.measured, say)}",
            f"{100 * (cell.error or 0):+.3f}%",
        ],
        "record": formats.record_href(cell.cell_id),
    }


def scale_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """Estimated memory ratios of the claim's own models, a row a setting, against the claim."""
    claims = [c for c in analysis.estimated_claims if c.metric == MEMORY and c.mean is not None]
    rows = [row for claim in claims for row in _ratios(claim, say)]
    if not rows:
        return None
    marked = [claims[0].claimed, claims[0].verified_at or claims[0].claimed]
    ends = [*(row["ratio"] for row in rows), *marked, 1.0]
    x = number_axis(say("figure.scale.x"), [0.95 * min(ends), 1.05 * max(ends)])
    order = list(dict.fromkeys(row["setting"] for row in rows))
    y = {"field": "setting", "type": "nominal", "title": None, "sort": order[:MOST_ARMS],
         "axis": {"labelLimit": 320}}  # fmt: skip
    at = {"x": {"field": "ratio", **x}, "y": y, "tooltip": {"field": "tip"}}
    hollow = {"type": "point", "filled": False, "size": 90, "strokeWidth": 2, "color": LORA}
    rule = {"type": "rule", "color": CLAIM, "strokeDash": [5, 4]}
    label = {"type": "text", "color": CLAIM, "dy": -8, "baseline": "bottom", "fontWeight": 600}
    claimed = [{"at": claims[0].claimed, "word": say("figure.quality.claimed")}]
    over = {"x": {"field": "at", **x}, "y": {"value": 0}, "text": {"field": "word"}}
    layers = [
        layer(claimed, rule, {"x": {"field": "at", **x}}),
        layer(claimed, label, over),
        layer([row for row in rows if row["setting"] in order[:MOST_ARMS]], hollow, at),
    ]
    return {"width": 520, "height": {"step": 26}, "layer": layers}


def _ratios(claim: EstimatedClaim, say: Wording) -> list[dict[str, Any]]:
    names = {"model": formats.clean(claim.model), "base": formats.clean(claim.base_model)}
    models = names["model"] if claim.model == claim.base_model else say("estimates.models", **names)
    shape = f"{claim.batch_size}×{claim.seq_len:,}" if claim.batch_size and claim.seq_len else ""
    setting = " · ".join(part for part in (models, shape, _reading(claim.precision, say)) if part)
    word = say("estimated")
    return [
        {
            "setting": setting,
            "ratio": found.value,
            "tip": [setting, formats.clean(found.configuration),
                    f"{formats.ratio(found.value, say)} ({word})"],
        }
        for found in claim.per_configuration
        if found.value is not None
    ]  # fmt: skip


def _reading(reading: str, say: Wording) -> str:
    return say.known("reading", reading)
