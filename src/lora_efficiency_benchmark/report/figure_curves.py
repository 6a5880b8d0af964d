"""The figure of training and evaluation curves (row 6): small multiples, one an arm and size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..analysis.values import Analysis, ArmSummary
from ..plan import FULL
from .figure_style import FULL_GREY, LORA, Spec, number_axis, padded, shown
from .tables import filter_keys, full_arm, sized_name
from .texts import Wording

_MOST_PANELS = 24
_MOST_POINTS = 60  # of one line
_MOST_LINES = 3  # seeds drawn one by one; more become their mean, within lowest and highest


def curves_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """One panel an arm and data size, full fine-tuning behind it in grey."""
    values: list[dict[str, Any]] = []
    with_curve = [(arm, own) for arm in analysis.arms if (own := _lines(arm, "own"))]
    for arm, own in with_curve[:_MOST_PANELS]:
        rows = own
        if arm.training_method != FULL:
            full = full_arm(analysis, arm.dataset_size)
            rows = [*(_lines(full, "full") if full else []), *own]
        place = {**filter_keys(arm), "panel": sized_name(arm, analysis, say)}
        values += [{**place, **row} for row in rows]
    if not values:
        return None
    panels = list(dict.fromkeys(row["panel"] for row in values))
    facet = {"field": "panel", "type": "nominal", "title": None, "sort": panels}
    spec = {"width": 205, "height": 130, "layer": _layers(values, say)}
    return {**shown(values), "facet": facet, "columns": 3, "spec": spec}


def _layers(values: list[dict[str, Any]], say: Wording) -> list[Spec]:
    ends = [row[key] for row in values for key in ("loss", "low", "high") if key in row]
    y = {"field": "loss", **number_axis(say("figure.curves.y"), padded(ends, 0.05))}
    x = {"field": "step", "type": "quantitative", "title": say("figure.curves.x"),
         "axis": {"tickMinStep": 1, "tickCount": 5}}  # fmt: skip
    at = {"x": x, "y": y, "detail": [{"field": "seed"}]}
    band = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
    tip = [{"field": "step", "title": say("figure.curves.x")},
           {"field": "loss", "title": say("figure.curves.y"), "format": ".3f"}]  # fmt: skip
    dashed = {"type": "line", "color": FULL_GREY, "strokeWidth": 1.4, "strokeDash": [4, 3]}
    square = {"type": "point", "shape": "square", "filled": True, "size": 55, "color": LORA}

    def chosen(who: str, what: str, mark: Spec, encoding: Spec) -> Spec:
        test = f"datum.who == '{who}' && datum.what == '{what}'"
        return {"transform": [{"filter": test}], "mark": mark, "encoding": encoding}

    area = {"mark": {"type": "area", "color": LORA, "opacity": 0.25}, "encoding": band}
    pooled = any("low" in row for row in values)
    return [
        *([{"transform": [{"filter": _BAND}], **area}] if pooled else []),
        chosen("full", "training", dashed, at),
        chosen("own", "training", {"type": "line", "color": LORA, "strokeWidth": 1.6}, at),
        chosen("own", "held-out", {**square, "opacity": 1}, {**at, "tooltip": tip}),
    ]


_BAND = "datum.who == 'own' && datum.what == 'training' && datum.low != null"


def _lines(arm: ArmSummary, who: str) -> list[dict[str, Any]]:
    """Rows of an arm's training and held-out losses, seed by seed or pooled over many seeds."""
    rows: list[dict[str, Any]] = []
    for key, what in (("loss", "training"), ("evaluation", "held-out")):
        seeds = [(curve.get("seed"), _finite(curve.get(key) or ())) for curve in arm.curves]
        seeds = [(seed, points) for seed, points in seeds if points]
        common = {"who": who, "what": what}
        if len(seeds) > _MOST_LINES:
            pooled = _thinned(_pooled([points for _, points in seeds]))
            rows += [{**common, "seed": "all", **row} for row in pooled]
            continue
        for seed, points in seeds:
            one = [{"step": step, "loss": round(loss, 4)} for step, loss in points]
            rows += [{**common, "seed": seed, **row} for row in _thinned(one)]
    return rows


def _pooled(seeds: Sequence[Sequence[tuple[int, float]]]) -> list[dict[str, Any]]:
    at: dict[int, list[float]] = {}
    for points in seeds:
        for step, loss in points:
            at.setdefault(step, []).append(loss)
    return [
        {
            "step": step,
            "loss": round(math.fsum(losses) / len(losses), 4),
            "low": round(min(losses), 4),
            "high": round(max(losses), 4),
        }
        for step, losses in sorted(at.items())
    ]


def _thinned(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every n-th point, so that a long run stays a small file; the last one is always kept."""
    every = math.ceil(len(points) / _MOST_POINTS) or 1
    return points if every == 1 else [*points[:-1:every], points[-1]]


def _finite(points: Iterable[Mapping[str, Any]]) -> list[tuple[int, float]]:
    pairs = [(point.get("step"), point.get("loss")) for point in points]
    return [(s, x) for s, x in pairs if s is not None and x is not None and math.isfinite(x)]
