"""What all figures share (row 6): fonts, axes, and text in the page's own colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Spec = dict[str, Any]

FONT = "Noto Sans CJK JP, Hiragino Sans, Yu Gothic, sans-serif"
_INK = "currentColor"  # the page decides: dark on light, light on dark
_FAINT = "#8A8A8A"

CONFIG: Spec = {
    "font": FONT,
    "background": "white",
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


def number_axis(title: str, domain: Sequence[float], **scale: Any) -> Spec:
    """A quantitative channel with an exact domain."""
    return {
        "type": "quantitative",
        "title": title,
        "scale": {"domain": list(domain), "nice": False, "zero": False, **scale},
    }
