"""The figure of gain kept against trainable parameters (row 6), with its Pareto front.

The front is found by the figure itself, so that it stays true when arms are filtered out: going
from few parameters to many, a point is on it where it keeps more than every point before it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...analysis.values import Analysis, ArmSummary, ClaimVerdict
from ...plan import FULL
from .. import formats
from ..tables import arm_name, filter_keys, train_cells
from ..texts import Wording
from .label_placement import LINE, Box, place_labels
from .style import CLAIM, FULL_GREY, LORA, WIDTH, Spec, layer, number_axis

HEIGHT = 300
_MOST_NAMES = 20  # in one panel: with more points only the Pareto front is named


@dataclass(frozen=True)
class _Compared:
    """Arms whose gains are shares of the same one: of one model, or across two."""

    arms: Sequence[ArmSummary]
    claims: Sequence[ClaimVerdict]
    name: str  # above its panels; empty where there is only one comparison
    y_title: str


def quality_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """One panel a comparison and data size: a point an arm, its interval, and the claimed values.

    Shares of two different gains never stand in one panel.
    """
    panels = [panel for group in _comparisons(analysis, say) for panel in _panels(group, say)]
    if not panels:
        return None
    return panels[0] if len(panels) == 1 else {"vconcat": panels}


def _comparisons(analysis: Analysis, say: Wording) -> list[_Compared]:
    def of(comparison: str) -> list[ClaimVerdict]:
        return [claim for claim in analysis.claims if claim.comparison == comparison]

    y_title, across = say("figure.quality.y"), analysis.across
    if across is None:
        return [_Compared(analysis.arms, analysis.claims, "", y_title)]
    names = {"model": formats.clean(across.model), "base": formats.clean(across.base_model)}
    return [
        _Compared(
            analysis.arms, of("same-model"), say("across.panel", model=names["model"]), y_title
        ),
        _Compared(
            across.arms, of("cross-model"), say("estimates.models", **names), say("across.y")
        ),
    ]


def _panels(group: _Compared, say: Wording) -> list[Spec]:
    measured = [arm for arm in group.arms if _drawable(arm)]
    if not any(arm.training_method != FULL for arm in measured):
        return []
    claimed = _claimed(group)
    x_range, y_range = _ranges(measured, claimed)
    sizes = list(dict.fromkeys(arm.dataset_size for arm in measured))
    panels = []
    for size in sizes:
        points = [_point(arm, group, y_range, say) for arm in measured
                  if arm.dataset_size == size]  # fmt: skip
        panel = _panel(points, claimed, (x_range, y_range), group.y_title, say)
        texts = say("per_texts", n=f"{size:,}") if len(sizes) > 1 else ""
        title = " · ".join(part for part in (group.name, texts) if part)
        panels.append({**panel, **({"title": title} if title else {})})
    return panels


def _drawable(arm: ArmSummary) -> bool:
    kept = arm.gain_retention
    return arm.trainable_parameters > 0 and kept is not None and math.isfinite(kept)


def _claimed(group: _Compared) -> dict[str, float]:
    """Claimed trainable parameters (full / claimed ratio) and claimed share of the gain."""
    full = next((a for a in group.arms if a.training_method == FULL), None)
    found: dict[str, float] = {}
    for claim in group.claims:
        if claim.metric == "parameter_reduction_ratio" and full and full.trainable_parameters:
            found.setdefault("x", full.trainable_parameters / claim.claimed)
        elif claim.metric == "gain_retention":
            found.setdefault("y", claim.claimed)
    return found


def _ranges(
    arms: list[ArmSummary], claimed: dict[str, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    xs = [arm.trainable_parameters for arm in arms] + ([claimed["x"]] if "x" in claimed else [])
    ys = [arm.gain_retention or 0.0 for arm in arms] + [claimed.get("y", 1.0)]
    margin = 0.15 * max(max(ys) - min(ys), 0.2)
    return (min(xs) / 3, max(xs) * 2), (min(ys) - margin, max(ys) + margin)


def _point(
    arm: ArmSummary, group: _Compared, y_range: tuple[float, float], say: Wording
) -> dict[str, Any]:
    kept, full = arm.gain_retention or 0.0, arm.training_method == FULL
    name, percent = arm_name(arm, say), formats.percent(kept, say)
    cells = train_cells(arm)
    row: dict[str, Any] = {
        **filter_keys(arm),
        "x": arm.trainable_parameters,
        "y": kept,
        "text": f"{name}  {percent}",
        "shape": "square" if full else "circle",
        "colour": FULL_GREY if full else LORA,
        "tip": [name, f"{group.y_title}: {percent}",
                f"{say('column.trainable')}: {arm.trainable_parameters:,}"],
        "record": formats.record_href(cells[0]) if cells else None,
    }  # fmt: skip
    interval = _interval(arm, group)
    if interval is not None:  # drawn up to the frame; the table has the exact ends
        row["low"], row["high"] = (min(max(end, y_range[0]), y_range[1]) for end in interval)
        low, high = (formats.percent(end, say) for end in interval)
        row["tip"].append(say("interval", low=low, high=high))
    return row


def _interval(arm: ArmSummary, group: _Compared) -> tuple[float, float] | None:
    for claim in group.claims:
        for found in claim.per_configuration if claim.metric == "gain_retention" else ():
            if (found.configuration, found.dataset_size) == (arm.label, arm.dataset_size):
                return found.ci95
    return None


def _panel(
    points: list[dict[str, Any]],
    claimed: dict[str, float],
    ranges: tuple[tuple[float, float], tuple[float, float]],
    y_title: str,
    say: Wording,
) -> Spec:
    marks = [*points]
    x_range, y_range = ranges
    if len(claimed) == 2:
        name = say("figure.quality.claimed")
        marks.append({**claimed, "text": name, "tip": [name], "shape": "diamond", "colour": CLAIM})
    named = marks if len(marks) <= _MOST_NAMES else _worth_a_name(marks)
    _add_labels(named, claimed, x_range, y_range)
    x = number_axis(say("figure.quality.x"), x_range, type="log")
    x["axis"] = {"format": "~s", "tickCount": 5, "grid": False}
    y = number_axis(y_title, y_range)
    y["axis"] = {"format": "~%", "tickCount": 6}
    layers = [*_claimed_lines(claimed, x, y), _leaders(named, x, y), _front(points, x, y)]
    layers += [*_dots(marks, points, x, y), *_names(named, x, y)]
    return {"width": WIDTH, "height": HEIGHT, "layer": layers}


def _worth_a_name(marks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The claim, full fine-tuning, and the points that no smaller one equals."""
    found: list[dict[str, Any]] = []
    best = -math.inf
    for row in sorted(marks, key=lambda row: (row["x"], -row["y"])):
        if row["shape"] != "circle" or row["y"] > best:
            found.append(row)
        best = max(best, row["y"]) if row["shape"] != "diamond" else best
    return found[:_MOST_NAMES]


def _claimed_lines(claimed: dict[str, float], x: Spec, y: Spec) -> list[Spec]:
    dashed = {"type": "rule", "strokeDash": [5, 4], "color": CLAIM, "opacity": 0.8}
    return [
        layer([{"at": claimed[field]}], dashed, {field: {"field": "at", **axis}})
        for axis, field in ((x, "x"), (y, "y"))
        if field in claimed
    ]


def _leaders(named: list[dict[str, Any]], x: Spec, y: Spec) -> Spec:
    """Thin lines from points to names that had to move away."""
    place = {"x": {"field": "x", **x}, "y": {"field": "y", **y}}
    ends = {**place, "x2": {"field": "edge_x"}, "y2": {"field": "edge_y"}}
    thin = {"type": "rule", "color": FULL_GREY, "strokeWidth": 1}
    return layer([row for row in named if row["far"]], thin, ends)


def _front(points: list[dict[str, Any]], x: Spec, y: Spec) -> Spec:
    kept = {"label", "size", "x", "y"}
    rows = [{key: value for key, value in row.items() if key in kept} for row in points]
    step = {"type": "line", "interpolate": "step-after", "color": LORA, "opacity": 0.45,
            "strokeWidth": 2}  # fmt: skip
    front = layer(rows, step, {"x": {"field": "x", **x}, "y": {"field": "y", **y}})
    order = [{"field": "x"}, {"field": "y", "order": "descending"}]
    front["transform"] += [
        {"window": [{"op": "max", "field": "y", "as": "best"}], "sort": order},
        {"filter": "datum.y >= datum.best"},
    ]
    return front


def _dots(
    marks: list[dict[str, Any]], points: list[dict[str, Any]], x: Spec, y: Spec
) -> list[Spec]:
    across = {"x": {"field": "x", **x}}
    span = {**across, "y": {"field": "low", **y}, "y2": {"field": "high"}}
    rule = {"type": "rule", "color": LORA, "strokeWidth": 2}
    style = {"shape": {"field": "shape", "type": "nominal", "scale": None},
             "color": {"field": "colour", "type": "nominal", "scale": None},
             "tooltip": {"field": "tip"}}  # fmt: skip
    dot = {"type": "point", "filled": True, "size": 110, "opacity": 1}
    place = {**across, "y": {"field": "y", **y}}
    intervals = [row for row in points if "low" in row]
    return [layer(intervals, rule, span), layer(marks, dot, {**place, **style})]


def _names(named: list[dict[str, Any]], x: Spec, y: Spec) -> list[Spec]:
    at = {"x": {"field": "text_x", **x}, "y": {"field": "text_y", **y}, "text": {"field": "text"}}
    return [
        layer([row for row in named if row["align"] == align],
              {"type": "text", "align": align, "baseline": "middle"}, at)
        for align in ("left", "right")
    ]  # fmt: skip


def _front_lines(pixels: list[tuple[float, float]], rows: list[dict[str, Any]]) -> list[Box]:
    """Where the Pareto front runs, so that no name stands on it while there is room."""
    front: list[tuple[float, float]] = []
    for (x, y), row in sorted(zip(pixels, rows, strict=True), key=lambda pair: pair[0]):
        if row["shape"] != "diamond" and (not front or y < front[-1][1]):
            front.append((x, y))
    boxes = []
    for (x, y), (right, top) in itertools.pairwise(front):
        boxes += [Box(x, y - 2, right, y + 2), Box(right - 2, top, right + 2, y)]
    return boxes


def _add_labels(
    rows: list[dict[str, Any]],
    claimed: dict[str, float],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> None:
    """Free places for the names, off the lines, written back as data coordinates."""
    low, high = (math.log10(end) for end in x_range)
    across, down = WIDTH / (high - low), HEIGHT / (y_range[1] - y_range[0])

    def right(value: float) -> float:
        return (math.log10(value) - low) * across

    def below(value: float) -> float:
        return (y_range[1] - value) * down

    pixels = [(right(row["x"]), below(row["y"])) for row in rows]
    intervals = [
        Box(x - 3, below(row["high"]), x + 3, below(row["low"]))
        for row, (x, _) in zip(rows, pixels, strict=True)
        if "low" in row
    ]
    lines = (
        [Box(right(claimed["x"]) - 2, 0, right(claimed["x"]) + 2, HEIGHT)] if "x" in claimed else []
    )
    if "y" in claimed:
        lines.append(Box(0, below(claimed["y"]) - 2, WIDTH, below(claimed["y"]) + 2))
    lines += _front_lines(pixels, rows)
    frame = Box(0, 0, WIDTH, HEIGHT)
    boxes = place_labels(pixels, [row["text"] for row in rows], frame, intervals, lines)
    for row, box, (x, y) in zip(rows, boxes, pixels, strict=True):
        middle = (box.top + box.bottom) / 2
        row["align"] = "right" if box.right < x else "left"  # the text begins or ends here
        start = box.right if box.right < x else box.left
        row["far"] = abs(middle - y) > 1.5 * LINE  # a thin line then leads from point to name
        edge_x, edge_y = min(max(x, box.left), box.right), box.top if middle > y else box.bottom
        row["text_x"], row["edge_x"] = (
            float(f"{10 ** (px / across + low):.6g}") for px in (start, edge_x)
        )
        row["text_y"], row["edge_y"] = (round(y_range[1] - py / down, 5) for py in (middle, edge_y))
