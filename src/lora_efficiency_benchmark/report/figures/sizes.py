"""The figure of what more data changes (row 6); only where several data sizes were tested."""

from __future__ import annotations

import math
from typing import Any

from ...analysis.values import Analysis, ArmSummary
from .. import formats
from ..tables import arm_name, filter_keys, train_cells
from ..texts import Wording
from .style import WIDTH, Spec, arm_scales, layer, number_axis, padded

_MOST_ARMS = 8  # lines that can be told apart


def several_sizes(analysis: Analysis) -> bool:
    """Whether the run compares data sizes at all."""
    return len({arm.dataset_size for arm in analysis.arms if arm.eval_losses}) > 1


def sizes_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """Held-out loss, and the share of the gain kept, against the number of training texts."""
    labels = list(dict.fromkeys(arm.label for arm in analysis.arms if arm.eval_losses))
    arms = [arm for arm in analysis.arms if arm.label in labels[:_MOST_ARMS]]
    scales = arm_scales(list(dict.fromkeys(arm_name(arm, say) for arm in arms)))
    panels = [
        _panel([row for arm in arms if (row := _row(arm, key, say))], f"figure.sizes.{key}",
               scales, say)
        for key in ("loss", "gain")
    ]  # fmt: skip
    drawn = [panel for panel in panels if panel]
    return {"vconcat": drawn} if drawn else None


def _row(arm: ArmSummary, key: str, say: Wording) -> dict[str, Any] | None:
    losses = [loss for loss in arm.eval_losses if math.isfinite(loss)]
    value = math.fsum(losses) / len(losses) if losses else None
    words = formats.decimals(value, 3, say)
    if key == "gain":
        value = arm.gain_retention
        words = formats.percent(value, say)
    if value is None or not math.isfinite(value):
        return None
    cells = train_cells(arm)
    texts = say("per_texts", n=f"{arm.dataset_size:,}")
    return {
        **filter_keys(arm),
        "arm": arm_name(arm, say),
        "texts": arm.dataset_size,
        "value": value,
        "tip": [arm_name(arm, say), texts, f"{say(f'figure.sizes.{key}')}: {words}"],
        "record": formats.record_href(cells[0]) if cells else None,
    }


def _panel(rows: list[dict[str, Any]], key: str, scales: Spec, say: Wording) -> Spec | None:
    sizes = sorted({row["texts"] for row in rows})
    if len(sizes) < 2:
        return None
    domain = [sizes[0] / 1.15, sizes[-1] * 1.15]
    x = {"field": "texts", **number_axis(say("figure.sizes.x"), domain, type="log")}
    x["axis"] = {"values": sizes, "format": ",", "grid": False}
    y = {"field": "value", **number_axis(say(key), padded([r["value"] for r in rows], 0.08))}
    if key.endswith("gain"):
        y["axis"] = {"format": "~%", "tickCount": 6}
    lines = {"x": x, "y": y, "color": scales["color"]}
    dots = {"x": x, "y": y, **scales, "tooltip": {"field": "tip"}}
    dot = {"type": "point", "filled": True, "size": 80, "opacity": 1}
    layers = [layer(rows, {"type": "line", "strokeWidth": 1.6}, lines), layer(rows, dot, dots)]
    return {"width": WIDTH, "height": 220, "layer": layers}
