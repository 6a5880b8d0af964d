"""The figure of held-out quality across two models (row 6), in bits per byte.

Losses per token of two tokenizers measure different things, so they never share an axis; bits per
byte of the same text do.
"""

from __future__ import annotations

import math
from typing import Any

from ...analysis.values import AcrossModels, Analysis, ArmSummary
from ...plan import FULL
from .. import formats
from ..tables import arm_name, filter_keys, train_cells
from ..texts import Wording
from .style import WIDTH, Spec, arm_scales, layer, number_axis, padded

_MOST_ARMS = 8  # lines that can be told apart


def across_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """One panel a data size: a line an arm from its untrained model on, means over seeds."""
    across = analysis.across
    if across is None:
        return None
    labels = list(dict.fromkeys((arm.training_method, arm.label) for arm in across.arms))
    arms = [a for a in across.arms if (a.training_method, a.label) in labels[:_MOST_ARMS]]
    drawn = [(arm, points) for arm in arms if (points := _points(analysis, across, arm))]
    if not drawn:
        return None
    scales = arm_scales(list(dict.fromkeys(arm_name(arm, say) for arm, _ in drawn)))
    sizes = list(dict.fromkeys(arm.dataset_size for arm, _ in drawn))
    panels = []
    for size in sizes:
        of_size = [(arm, points) for arm, points in drawn if arm.dataset_size == size]
        panel = _panel([row for arm, points in of_size for row in _rows(arm, points, say)],
                       scales, say)  # fmt: skip
        title = {"title": say("per_texts", n=f"{size:,}")} if len(sizes) > 1 else {}
        panels.append({**panel, **title})
    return panels[0] if len(panels) == 1 else {"vconcat": panels}


def _points(analysis: Analysis, across: AcrossModels, arm: ArmSummary) -> list[tuple[int, float]]:
    """Step and bits per byte, mean over the seeds that were evaluated there; step 0: untrained."""
    base = across.base if arm.training_method == FULL else analysis.base
    before = (base or {}).get("bits_per_byte")
    at: dict[int, list[float]] = {0: [before]} if before is not None else {}
    for curve in arm.curves:
        for point in curve.get("evaluation") or ():
            if point.get("bits_per_byte") is not None and point.get("step") is not None:
                at.setdefault(point["step"], []).append(point["bits_per_byte"])
    means = [(step, math.fsum(bits) / len(bits)) for step, bits in sorted(at.items())]
    return [(step, bits) for step, bits in means if math.isfinite(bits)] if len(at) > 1 else []


def _rows(arm: ArmSummary, points: list[tuple[int, float]], say: Wording) -> list[dict[str, Any]]:
    name, cells = arm_name(arm, say), train_cells(arm)
    return [
        {
            **filter_keys(arm),
            "arm": name,
            "step": step,
            "bits": round(bits, 4),
            "tip": [name, f"{say('figure.curves.x')}: {step}", f"{say('column.bits')}: {bits:.3f}"],
            "record": formats.record_href(cells[0]) if cells else None,
        }
        for step, bits in points
    ]


def _panel(rows: list[dict[str, Any]], scales: Spec, say: Wording) -> Spec:
    x = {"field": "step", "type": "quantitative", "title": say("figure.curves.x"),
         "axis": {"tickMinStep": 1, "tickCount": 8}}  # fmt: skip
    y = {
        "field": "bits",
        **number_axis(say("column.bits"), padded([r["bits"] for r in rows], 0.08)),
    }
    line = {"x": x, "y": y, "color": scales["color"]}
    dots = {"x": x, "y": y, **scales, "tooltip": {"field": "tip"}}
    dot = {"type": "point", "filled": True, "size": 70, "opacity": 1}
    layers = [layer(rows, {"type": "line", "strokeWidth": 1.6}, line), layer(rows, dot, dots)]
    return {"width": WIDTH, "height": 240, "layer": layers}
