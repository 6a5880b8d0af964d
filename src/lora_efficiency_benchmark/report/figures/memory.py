"""The figure of peak memory by part (row 6): why the ratio is what it is."""

from __future__ import annotations

from typing import Any

from ...analysis.values import Analysis, ArmSummary
from ...plan import AS_PRACTISED, CONTROLLED
from ...units import to_gib
from .. import formats
from ..tables import (
    PARTS,
    arm_name,
    filter_keys,
    memory_block,
    memory_cells,
    memory_times,
    per_process,
    unique_arms,
)
from ..texts import Wording
from .style import MOST_ARMS, WIDTH, Spec, layer, number_axis

_PART_COLOURS = {
    "weights": "#7CC4F0", "adapter": "#F0A830", "gradients": "#F3E75B", "optimizer": "#E0A3C4",
    "activations": "#58C9A3", "logits_and_loss": "#F09A6A", "temporaries": "#C4C4C4",
    "unknown": "#DDDDDD",
}  # fmt: skip
"""Those of Okabe and Ito, lightened so that dark text can stand on them."""


def memory_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """Stacked bars: what each arm holds at its peak, one panel a reading."""
    panels = []
    for reading in (CONTROLLED, AS_PRACTISED):
        arms = [arm for arm in unique_arms(analysis) if _peak(arm, reading) is not None]
        if any(reading in arm.memory for arm in arms):
            panels.append((reading, arms[:MOST_ARMS]))
    if not panels:
        return None
    peaks = [_peak(arm, reading) or 0 for reading, arms in panels for arm in arms]
    longest = max(map(to_gib, peaks)) * 1.28  # room for the words after the bar
    charts = [_panel(analysis, arms, reading, longest, say) for reading, arms in panels]
    return {"vconcat": charts, "resolve": {"scale": {"color": "shared"}}}


def _peak(arm: ArmSummary, reading: str) -> float | None:
    block = memory_block(arm, reading)
    return block.get("peak_allocated_bytes") if block else None


def _panel(
    analysis: Analysis, arms: list[ArmSummary], reading: str, longest: float, say: Wording
) -> Spec:
    parts = [row for arm in arms for row in _parts(analysis, arm, reading, longest, say)]
    totals = [_total(arm, reading, say) for arm in arms]
    y = {"field": "arm", "type": "nominal", "title": None, "sort": [t["arm"] for t in totals]}
    axis = number_axis(say("figure.memory.x") + per_process(analysis, say), [0, longest])
    along = {"x": {"field": "start", **axis}, "x2": {"field": "end"}, "y": y}
    tip = {"tooltip": {"field": "tip"}}
    bar = {"type": "bar", "stroke": "white", "strokeWidth": 1}
    inside = {"type": "text", "color": "#111111", "fontSize": 11}
    middle = {"x": {"field": "middle", **axis}, "y": y, "text": {"field": "name"}}
    after = {"type": "text", "align": "left", "dx": 6, "fontWeight": 600}
    end = {"x": {"field": "end", **axis}, "y": y, "text": {"field": "words"}}
    return {
        "title": say(f"precision.{reading}"),
        "width": WIDTH,
        "height": {"step": 30},
        "layer": [
            layer(parts, bar, {**along, **tip, "color": _part_colour(parts, say)}),
            layer([row for row in parts if row["name"]], inside, {**middle, **tip}),
            layer(totals, after, end),
        ],
    }


def _part_colour(parts: list[dict[str, Any]], say: Wording) -> Spec:
    unknown = all(row["part"] == say("part.unknown") for row in parts)
    named = ("unknown",) if unknown else PARTS
    scale = {
        "domain": [say(f"part.{part}") for part in named],
        "range": [_PART_COLOURS[part] for part in named],
    }
    legend = {"orient": "top", "columns": 4, "symbolType": "square"}
    title = say("figure.memory.legend")
    return {"field": "part", "type": "nominal", "title": title, "scale": scale, "legend": legend}


def _parts(
    analysis: Analysis, arm: ArmSummary, reading: str, longest: float, say: Wording
) -> list[dict[str, Any]]:
    block = memory_block(arm, reading) or {}
    breakdown = block.get("breakdown") or {"unknown": block.get("peak_allocated_bytes")}
    cells = memory_cells(analysis, arm, reading)
    rows, start = [], 0.0
    for key in (*PARTS, "unknown"):
        width = to_gib(breakdown.get(key) or 0)
        if width <= 0:
            continue
        name = say(f"part.{key}")
        fits = width / longest * WIDTH > 8 + 6.0 * formats.text_width(name)
        rows.append({
            **_of(arm), "arm": arm_name(arm, say), "part": name, "name": name if fits else "",
            "start": start, "end": start + width, "middle": start + width / 2,
            "tip": [arm_name(arm, say), f"{name}: {formats.size(breakdown[key], say)}"],
            "record": formats.record_href(cells[0]) if cells else None,
        })  # fmt: skip
        start += width
    return rows


def _total(arm: ArmSummary, reading: str, say: Wording) -> dict[str, Any]:
    peak = _peak(arm, reading) or 0
    words = formats.size(peak, say)
    times = memory_times(arm, reading, say)
    if times:
        words = f"{words} · {times}"
    return {**_of(arm), "arm": arm_name(arm, say), "end": to_gib(peak), "words": words}


def _of(arm: ArmSummary) -> dict[str, Any]:
    """What the page filters by: memory does not depend on the number of texts."""
    return {key: value for key, value in filter_keys(arm).items() if key == "label"}
