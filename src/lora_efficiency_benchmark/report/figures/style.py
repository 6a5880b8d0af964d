"""What all figures share (row 6): fonts, axes, colours, and how a live figure hides filtered arms.

Text takes the page's own colour, and every colour here can be told from a white and from a dark
page, because one drawing serves both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Spec = dict[str, Any]

FONT = "Noto Sans CJK JP, Hiragino Sans, Yu Gothic, sans-serif"
_INK = "currentColor"  # the page decides: dark on light, light on dark
_FAINT = "#8A8A8A"

LORA, FULL_GREY, CLAIM = "#2E8BC7", "#8C8C8C", "#D0601F"
ARM_COLOURS = (
    "#8C8C8C", "#2E8BC7", "#D0601F", "#1F9E78", "#B760A0", "#A08A1A", "#6C7FD8", "#B5744F",
)  # fmt: skip
ARM_SHAPES = ("square", "circle", "diamond", "triangle-up", "cross", "triangle-down",
              "triangle-right", "triangle-left")  # fmt: skip

WIDTH = 620  # pixels of a figure's plane, before the page scales it
MOST_ARMS = 30  # in one panel; the tables hold all of them

CONFIG: Spec = {
    "font": FONT,
    "background": "white",
    "aria": False,  # a figure is one image with a text beside it, not a thousand unnamed symbols
    "axis": {
        "labelColor": _INK, "titleColor": _INK, "labelFontSize": 12, "titleFontSize": 12,
        "titleFontWeight": "normal", "labelLimit": 260, "gridColor": _FAINT, "gridOpacity": 0.3,
        "domainColor": _FAINT, "tickColor": _FAINT,
    },
    "legend": {
        "labelColor": _INK, "titleColor": _INK, "labelFontSize": 12, "titleFontSize": 12,
        "labelLimit": 220, "titleFontWeight": "normal",
    },
    "header": {"labelColor": _INK, "labelFontSize": 12, "labelFontWeight": 600, "labelLimit": 220},
    "title": {"color": _INK, "fontSize": 13, "anchor": "start", "fontWeight": 600},
    "text": {"fill": _INK, "fontSize": 12},
    "view": {"stroke": None},
}  # fmt: skip

FILTERS = [{"name": "arms", "value": None}, {"name": "sizes", "value": None}]
"""Parameters of every figure: labels and data sizes to show; null shows all."""

_SHOWN = (
    "(!arms || !datum.label || indexof(arms, datum.label) >= 0)"
    " && (!sizes || !datum.size || indexof(sizes, datum.size) >= 0)"
)


def shown(values: Iterable[Mapping[str, Any]]) -> Spec:
    """Data of one layer. A row with ``label`` or ``size`` leaves when the page filters them out."""
    return {"data": {"values": list(values)}, "transform": [{"filter": _SHOWN}]}


def layer(values: Iterable[Mapping[str, Any]], mark: Spec, encoding: Spec) -> Spec:
    """One layer with data of its own."""
    return {**shown(values), "mark": mark, "encoding": encoding}


def number_axis(title: str, domain: Sequence[float], **scale: Any) -> Spec:
    """A quantitative channel with an exact domain."""
    linear = {} if scale.get("type") == "log" else {"zero": False}
    return {
        "type": "quantitative",
        "title": title,
        "scale": {"domain": list(domain), "nice": False, **linear, **scale},
    }


def arm_scales(names: Sequence[str]) -> Spec:
    """Colour and shape of every arm: the same arm looks the same in every figure that uses both."""
    colours = [ARM_COLOURS[i % len(ARM_COLOURS)] for i in range(len(names))]
    shapes = [ARM_SHAPES[i % len(ARM_SHAPES)] for i in range(len(names))]
    common = {"field": "arm", "type": "nominal", "title": None}
    legend = {"orient": "top", "columns": 3}
    domain = list(names)
    return {
        "color": {**common, "scale": {"domain": domain, "range": colours}, "legend": legend},
        "shape": {**common, "scale": {"domain": domain, "range": shapes}, "legend": legend},
    }


def padded(values: Sequence[float], share: float, least: float = 0.0) -> list[float]:
    """A domain that leaves a share of the values' range free on both sides."""
    low, high = min(values), max(values)
    margin = share * (max(high - low, least) or 1.0)
    return [low - margin, high + margin]
