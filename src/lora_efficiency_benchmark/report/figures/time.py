"""The figure of training time (row 6): bars of seconds, a dot for every seed."""

from __future__ import annotations

import math
from typing import Any

from ...analysis.values import Analysis, ArmSummary
from ...plan import FULL
from .. import formats
from ..tables import filter_keys, shown_arms, sized_name, train_cells
from ..texts import Wording
from .style import MOST_ARMS, WIDTH, Spec, layer, number_axis


def time_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """One bar an arm and data size: the mean over its seeds, with the ratio in words."""
    arms = shown_arms(analysis)
    timed = [(arm, [s for s in arm.train_seconds if math.isfinite(s)]) for arm in arms]
    measured = [(arm, seconds) for arm, seconds in timed if seconds][:MOST_ARMS]
    if not measured:
        return None
    bars = [_bar(arm, seconds, analysis, say) for arm, seconds in measured]
    dots = [
        {**bar, "seconds": s}
        for bar, (_, seconds) in zip(bars, measured, strict=True)
        for s in (seconds if len(seconds) > 1 else ())
    ]
    longest = max(bar["full"] for bar in bars) * 1.22
    x = {"field": "seconds", **number_axis(say("figure.time.x"), [0, longest])}
    y = {"field": "arm", "type": "nominal", "title": None, "sort": [bar["arm"] for bar in bars]}
    at = {"x": x, "y": y, "tooltip": {"field": "tip"}}
    end = {"x": {**x, "field": "full"}, "y": y, "text": {"field": "words"}}
    dot = {"type": "point", "filled": True, "color": "#111111", "size": 26, "opacity": 1,
           "stroke": "white", "strokeWidth": 1}  # fmt: skip
    words = {"type": "text", "align": "left", "dx": 8, "fontWeight": 600}
    layers = [
        layer(bars, {"type": "bar", "color": "#7CC4F0"}, at),
        layer(dots, dot, at),
        layer(bars, words, end),
    ]
    return {"width": WIDTH, "height": {"step": 30}, "layer": layers}


def _bar(arm: ArmSummary, seconds: list[float], analysis: Analysis, say: Wording) -> dict[str, Any]:
    name, mean = sized_name(arm, analysis, say), math.fsum(seconds) / len(seconds)
    words = formats.duration(mean, say)
    if arm.time_ratio is not None and arm.training_method != FULL:
        words = f"{words} · {formats.ratio(arm.time_ratio, say)}"
    cells = train_cells(arm)
    return {
        **filter_keys(arm),
        "arm": name,
        "seconds": mean,
        "words": words,
        "full": max(seconds),
        "tip": [name, words, f"{arm.tokens_per_second:,.0f} {say('column.throughput')}"]
        if arm.tokens_per_second is not None
        else [name, words],
        "record": formats.record_href(cells[0]) if cells else None,
    }
