"""Figures as declarative Vega-Lite specifications, rendered to SVG (row 6).

Every builder returns a plain dictionary, or None where there is nothing to draw. Names of arms
reach a specification only as data values, never as an expression or a field name. Colours are those
of Okabe and Ito, lightened so that dark text can stand on them; every mark is also named in words.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..analysis.values import Analysis, ArmSummary
from ..plan import AS_PRACTISED, CONTROLLED, FULL
from ..units import to_gib
from . import formats
from .figure_quality import quality_spec
from .figure_style import CONFIG, Spec, number_axis
from .rates import rates_spec
from .tables import PARTS, arm_name, full_arm, memory_block, memory_times, unique_arms
from .texts import Wording, wording

_PART_COLOURS = {
    "weights": "#7CC4F0", "adapter": "#F0A830", "gradients": "#F3E75B", "optimizer": "#E0A3C4",
    "activations": "#58C9A3", "logits_and_loss": "#F09A6A", "temporaries": "#C4C4C4",
    "unknown": "#DDDDDD",
}  # fmt: skip
_LORA, _FULL = "#0F7FBF", "#8C8C8C"


@dataclass(frozen=True)
class Figure:
    """One figure: a specification, or the reason why there is none."""

    name: str  # file name without ending
    title: str
    caption: str
    spec: Spec | None

    def to_svg(self) -> str:
        """SVG text with real text in it. Only for figures that have a specification."""
        return _render(json.dumps({**(self.spec or {}), "config": CONFIG}))


@functools.lru_cache(maxsize=16)
def _render(spec: str) -> str:
    """SVG of a specification; the page and the figure files ask for the same ones."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec))


def build_figures(analysis: Analysis, language: str) -> list[Figure]:
    """All figures in reading order; one without data has no specification and says why."""
    say = wording(language)
    builders: dict[str, Callable[[Analysis, Wording], Spec | None]] = {
        "quality": quality_spec,
        "memory": memory_spec,
        "curves": curves_spec,
        "time": time_spec,
    }
    if analysis.learning_rates:
        builders["rates"] = rates_spec
    figures = []
    for name, build in builders.items():
        spec = build(analysis, say)
        caption = say(f"figure.{name}.caption" if spec else f"missing.{name}")
        figures.append(Figure(name, say(f"figure.{name}"), caption, spec))
    return figures


def render_figures(analysis: Analysis, language: str) -> dict[str, str]:
    """File name (``quality.svg``) -> SVG text, for the figures that have data."""
    figures = build_figures(analysis, language)
    return {f"{figure.name}.svg": figure.to_svg() for figure in figures if figure.spec}


# ---- memory --------------------------------------------------------------------------------------


def memory_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """Stacked bars: what each arm holds at its peak, one panel a reading."""
    panels = []
    for reading in (CONTROLLED, AS_PRACTISED):
        arms = [arm for arm in unique_arms(analysis) if _peak(arm, reading) is not None]
        if any(reading in arm.memory for arm in arms):
            panels.append((reading, arms))
    if not panels:
        return None
    peaks = [_peak(arm, reading) or 0 for reading, arms in panels for arm in arms]
    longest = max(map(to_gib, peaks)) * 1.28  # room for the words after the bar
    charts = [_memory_panel(arms, reading, longest, say) for reading, arms in panels]
    return {"vconcat": charts, "resolve": {"scale": {"color": "shared"}}}


def _peak(arm: ArmSummary, reading: str) -> float | None:
    block = memory_block(arm, reading)
    return block.get("peak_allocated_bytes") if block else None


def _memory_panel(arms: list[ArmSummary], reading: str, longest: float, say: Wording) -> Spec:
    parts = [row for arm in arms for row in _parts(arm, reading, longest, say)]
    totals = [_total(arm, reading, say) for arm in arms]
    shown = ("unknown",) if all(row["part"] == say("part.unknown") for row in parts) else PARTS
    colour = {
        "field": "part", "type": "nominal", "title": say("figure.memory.legend"),
        "scale": {
            "domain": [say(f"part.{p}") for p in shown],
            "range": [_PART_COLOURS[p] for p in shown],
        },
        "legend": {"orient": "top", "columns": 4, "symbolType": "square"},
    }  # fmt: skip
    y = {"field": "arm", "type": "nominal", "title": None, "sort": [t["arm"] for t in totals]}
    axis = number_axis(say("figure.memory.x"), [0, longest])
    bars = {
        "data": {"values": parts},
        "mark": {"type": "bar", "stroke": "white", "strokeWidth": 1},
        "encoding": {"x": {"field": "start", **axis}, "x2": {"field": "end"}, "y": y,
                     "color": colour},
    }  # fmt: skip
    inside = {
        "data": {"values": [row for row in parts if row["name"]]},
        "mark": {"type": "text", "color": "#111111", "fontSize": 11},
        "encoding": {"x": {"field": "middle", **axis}, "y": y, "text": {"field": "name"}},
    }
    after = {
        "data": {"values": totals},
        "mark": {"type": "text", "align": "left", "dx": 6, "fontWeight": 600},
        "encoding": {"x": {"field": "end", **axis}, "y": y, "text": {"field": "words"}},
    }
    return {
        "title": say(f"precision.{reading}"),
        "width": 620,
        "height": {"step": 30},
        "layer": [bars, inside, after],
    }


def _parts(arm: ArmSummary, reading: str, longest: float, say: Wording) -> list[dict[str, Any]]:
    block = memory_block(arm, reading) or {}
    breakdown = block.get("breakdown") or {"unknown": block.get("peak_allocated_bytes")}
    rows, start = [], 0.0
    for key in (*PARTS, "unknown"):
        width = to_gib(breakdown.get(key) or 0)
        if width <= 0:
            continue
        name = say(f"part.{key}")
        fits = width / longest * 620 > 8 + 6.0 * formats.text_width(name)
        row = {"arm": arm_name(arm, say), "part": name, "start": start, "end": start + width}
        rows.append({**row, "middle": start + width / 2, "name": name if fits else ""})
        start += width
    return rows


def _total(arm: ArmSummary, reading: str, say: Wording) -> dict[str, Any]:
    peak = _peak(arm, reading) or 0
    words = formats.size(peak, say)
    times = memory_times(arm, reading, say)
    if times:
        words = f"{words} · {times}"
    return {"arm": arm_name(arm, say), "end": to_gib(peak), "words": words}


# ---- training curves -----------------------------------------------------------------------------


def curves_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """Small multiples: one panel an arm and data size, full fine-tuning behind it in grey."""
    values: list[dict[str, Any]] = []
    for arm in analysis.arms:
        own = _curve_rows(arm, "own", arm, analysis, say)
        if own and arm.training_method != FULL:
            full = full_arm(analysis, arm.dataset_size)
            own = [*(_curve_rows(full, "full", arm, analysis, say) if full else []), *own]
        values += own
    if not values:
        return None
    losses = [row["loss"] for row in values]
    margin = 0.05 * (max(losses) - min(losses) or 1)
    y = {"field": "loss", **number_axis(say("figure.curves.y"),
         [min(losses) - margin, max(losses) + margin])}  # fmt: skip
    x = {"field": "step", "type": "quantitative", "title": say("figure.curves.x"),
         "axis": {"tickMinStep": 1, "tickCount": 5}}  # fmt: skip
    both = {"x": x, "y": y, "detail": [{"field": "seed"}]}

    def layer(who: str, what: str, mark: Mapping[str, Any]) -> Spec:
        test = f"datum.who == '{who}' && datum.what == '{what}'"
        return {"transform": [{"filter": test}], "mark": dict(mark), "encoding": both}

    square = {"type": "point", "shape": "square", "filled": True, "size": 55, "color": _LORA}
    layers = [
        layer(
            "full",
            "training",
            {"type": "line", "color": _FULL, "strokeWidth": 1.4, "strokeDash": [4, 3]},
        ),
        layer("own", "training", {"type": "line", "color": _LORA, "strokeWidth": 1.6}),
        layer("own", "held-out", {**square, "opacity": 1}),
    ]
    panels = list(dict.fromkeys(row["panel"] for row in values))
    facet = {"field": "panel", "type": "nominal", "title": None, "sort": panels}
    spec = {"width": 205, "height": 130, "layer": layers}
    return {"data": {"values": values}, "facet": facet, "columns": 3, "spec": spec}


def _curve_rows(
    arm: ArmSummary, who: str, panel: ArmSummary, analysis: Analysis, say: Wording
) -> list[dict[str, Any]]:
    name = _sized_name(panel, analysis, say)
    rows: list[dict[str, Any]] = []
    for curve in arm.curves:
        common = {"panel": name, "who": who, "seed": curve.get("seed")}
        for key, what in (("loss", "training"), ("evaluation", "held-out")):
            points = _finite(curve.get(key) or ())
            rows += [{**common, "what": what, "step": s, "loss": loss} for s, loss in points]
    return rows


def _finite(points: Iterable[Mapping[str, Any]]) -> list[tuple[int, float]]:
    pairs = [(point.get("step"), point.get("loss")) for point in points]
    return [(s, x) for s, x in pairs if s is not None and x is not None and math.isfinite(x)]


def _sized_name(arm: ArmSummary, analysis: Analysis, say: Wording) -> str:
    sizes = {other.dataset_size for other in analysis.arms}
    if len(sizes) < 2:
        return arm_name(arm, say)
    return f"{arm_name(arm, say)} · {say('texts', n=f'{arm.dataset_size:,}')}"


# ---- time ----------------------------------------------------------------------------------------


def time_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """Bars of seconds, a dot for every seed."""
    bars: list[dict[str, Any]] = []
    dots: list[dict[str, Any]] = []
    for arm in analysis.arms:
        seconds = [s for s in arm.train_seconds if math.isfinite(s)]
        if not seconds:
            continue
        name, mean = _sized_name(arm, analysis, say), sum(seconds) / len(seconds)
        words = formats.duration(mean, say)
        if arm.time_ratio is not None and arm.training_method != FULL:
            words = f"{words} · {formats.ratio(arm.time_ratio, say)}"
        bars.append({"arm": name, "seconds": mean, "words": words, "full": max(seconds)})
        dots += [{"arm": name, "seconds": s} for s in seconds] if len(seconds) > 1 else []
    if not bars:
        return None
    longest = max(bar["full"] for bar in bars) * 1.22
    x = {"field": "seconds", **number_axis(say("figure.time.x"), [0, longest])}
    y = {"field": "arm", "type": "nominal", "title": None, "sort": [bar["arm"] for bar in bars]}
    at = {"x": x, "y": y}
    end = {"x": {**x, "field": "full"}, "y": y, "text": {"field": "words"}}
    words_mark = {"type": "text", "align": "left", "dx": 8, "fontWeight": 600}
    layers: list[Spec] = [
        {"data": {"values": bars}, "mark": {"type": "bar", "color": "#7CC4F0"}, "encoding": at},
        {"data": {"values": dots}, "mark": {"type": "point", "filled": True, "color": "#111111",
                                            "size": 20, "opacity": 1}, "encoding": at},
        {"data": {"values": bars}, "mark": words_mark, "encoding": end},
    ]  # fmt: skip
    return {"width": 620, "height": {"step": 30}, "layer": layers}
