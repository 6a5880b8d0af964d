"""The figure of training and evaluation curves (row 6): small multiples, one an arm and size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ...analysis.values import Analysis, ArmSummary
from ...plan import FULL
from ..tables import filter_keys, full_arm, sized_name
from ..texts import Wording
from .style import FULL_GREY, LORA, Spec, number_axis, padded, shown

Point = TypeVar("Point")

_AXES = ["step", "loss", "low", "high"]  # of a line: lists, drawn point by point
_MOST_PANELS = 24
_MOST_POINTS = 40  # of one line
_MOST_LINES = 3  # seeds drawn one by one; more become their mean, within lowest and highest


def curves_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """One panel an arm and data size, full fine-tuning behind it in grey."""
    values: list[dict[str, Any]] = []
    with_curve = [(arm, own) for arm in analysis.arms if (own := _lines(arm, "own", _MOST_LINES))]
    for arm, own in with_curve[:_MOST_PANELS]:
        rows = own
        if arm.training_method != FULL:
            full = full_arm(analysis, arm.dataset_size)
            rows = [*(_behind(full) if full else []), *own]
        place = {**filter_keys(arm), "panel": sized_name(arm, analysis, say)}
        values += [{**place, **row} for row in rows]
    if not values:
        return None
    panels = list(dict.fromkeys(row["panel"] for row in values))
    facet: Spec = {"field": "panel", "type": "nominal", "title": None, "sort": panels}
    if analysis.across is not None:  # a model's name beside the arm's: longer than a panel is wide
        facet["header"] = {"labelExpr": "split(datum.label, ' · ')"}
    spec = {"width": 205, "height": 130, "layer": _layers(values, say)}
    data = shown(values)
    data["transform"].append({"flatten": _AXES[: 4 if _banded(values) else 2]})
    return {**data, "facet": facet, "columns": 3, "spec": spec}


def _banded(values: list[dict[str, Any]]) -> bool:
    return any(row["low"] for row in values)


def _layers(values: list[dict[str, Any]], say: Wording) -> list[Spec]:
    ends = [end for row in values for key in ("loss", "low", "high") for end in row[key]]
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
    return [
        *([{"transform": [{"filter": _BAND}], **area}] if _banded(values) else []),
        chosen("full", "training", dashed, at),
        chosen("own", "training", {"type": "line", "color": LORA, "strokeWidth": 1.6}, at),
        chosen("own", "held-out", {**square, "opacity": 1}, {**at, "tooltip": tip}),
    ]


_BAND = "datum.who == 'own' && datum.what == 'training' && datum.low != null"


def _behind(full: ArmSummary) -> list[dict[str, Any]]:
    """Full fine-tuning as the background of another arm's panel: its training loss alone."""
    lines = (row for row in _lines(full, "full", 1) if row["what"] == "training")
    return [{**row, "low": [], "high": []} for row in lines]


def _lines(arm: ArmSummary, who: str, most: int) -> list[dict[str, Any]]:
    """Training and held-out losses, a line a seed, pooled where there are more seeds."""
    lines: list[dict[str, Any]] = []
    for key, what in (("loss", "training"), ("evaluation", "held-out")):
        seeds = [(curve.get("seed"), _finite(curve.get(key) or ())) for curve in arm.curves]
        seeds = [(seed, points) for seed, points in seeds if points]
        common = {"who": who, "what": what}
        if len(seeds) > most:
            lines.append({**common, "seed": "all", **_pooled([points for _, points in seeds])})
        else:
            lines += [{**common, "seed": seed, **_one(points)} for seed, points in seeds]
    return lines


def _one(points: Sequence[tuple[int, float]]) -> dict[str, list[Any]]:
    kept = _thinned(points)
    losses = [round(loss, 4) for _, loss in kept]
    return {"step": [step for step, _ in kept], "loss": losses, "low": [], "high": []}


def _pooled(seeds: Sequence[Sequence[tuple[int, float]]]) -> dict[str, list[Any]]:
    """Mean, lowest and highest over seeds at every step."""
    at: dict[int, list[float]] = {}
    for points in seeds:
        for step, loss in points:
            at.setdefault(step, []).append(loss)
    kept = _thinned(sorted(at.items()))
    return {
        "step": [step for step, _ in kept],
        "loss": [round(math.fsum(losses) / len(losses), 4) for _, losses in kept],
        "low": [round(min(losses), 4) for _, losses in kept],
        "high": [round(max(losses), 4) for _, losses in kept],
    }


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Every n-th point, so that a long run stays a small file; the last one is always kept."""
    every = math.ceil(len(points) / _MOST_POINTS) or 1
    return list(points) if every == 1 else [*points[:-1:every], points[-1]]


def _finite(points: Iterable[Mapping[str, Any]]) -> list[tuple[int, float]]:
    pairs = [(point.get("step"), point.get("loss")) for point in points]
    return [(s, x) for s, x in pairs if s is not None and x is not None and math.isfinite(x)]
