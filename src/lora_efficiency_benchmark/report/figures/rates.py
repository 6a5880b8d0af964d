"""The figure of the search for learning rates (row 6): loss against rate, a line an arm."""

from __future__ import annotations

from typing import Any

from ...analysis.values import Analysis, RateCurve, RateTrial
from ...plan import FULL
from .. import formats
from ..tables.rates import curve_name
from ..texts import Wording
from .style import WIDTH, Spec, arm_scales, number_axis, padded, shown


def rates_spec(analysis: Analysis, say: Wording) -> Spec | None:
    """Validation loss against learning rate, a line an arm; its chosen rate is a large mark."""
    values = [
        _dot(curve, trial, say)
        for curve in analysis.learning_rates
        for trial in curve.trials
        if trial.loss is not None
    ]
    if not values:
        return None
    losses, rates = [row["loss"] for row in values], [row["rate"] for row in values]
    x_domain = [min(rates) / 1.5, max(rates) * 1.5]
    x = {"field": "rate", **number_axis(say("figure.rates.x"), x_domain, type="log"),
         "axis": {"format": "~e", "tickCount": 6}}  # fmt: skip
    y = {"field": "loss", **number_axis(say("figure.rates.y"), padded(losses, 0.06))}
    scales = arm_scales(list(dict.fromkeys(row["arm"] for row in values)))
    line_of = {"x": x, "y": y, "color": scales["color"]}
    dots = {"x": x, "y": y, **scales, "tooltip": {"field": "tip"}}
    dot = {"type": "point", "filled": True, "opacity": 1}
    large = {"mark": {**dot, "size": 170}, "encoding": dots}
    layers = [
        {"mark": {"type": "line", "strokeWidth": 1.6}, "encoding": line_of},
        {"mark": {**dot, "size": 40}, "encoding": dots},
        {"transform": [{"filter": "datum.chosen"}], **large},
    ]
    return {**shown(values), "width": WIDTH, "height": 280, "layer": layers}


def _dot(curve: RateCurve, trial: RateTrial, say: Wording) -> dict[str, Any]:
    label = {} if curve.training_method == FULL else {"label": formats.clean(curve.label)}
    return {
        **label,
        "arm": curve_name(curve, say),
        "rate": trial.learning_rate,
        "loss": trial.loss,
        "chosen": trial.learning_rate == curve.chosen,
        "tip": [curve_name(curve, say), f"{trial.learning_rate:g}: {trial.loss:.3f}"],
        "record": formats.record_href(trial.cell_id),
    }
