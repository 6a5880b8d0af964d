"""The search for learning rates: its table and its figure (row 6). Empty where none was made."""

from __future__ import annotations

from typing import Any

from ..analysis.values import Analysis, RateCurve, RateTrial
from ..plan import FULL
from . import formats
from .figure_style import WIDTH, Spec, arm_scales, number_axis, padded, shown
from .tables import Cell, Line, Table, line
from .texts import Wording


def rates_table(analysis: Analysis, say: Wording) -> Table:
    """One row an arm: every trial, the rate it trained with, and what one shared rate would say."""
    head = ("column.arm", "column.trials", "column.rate", "column.own_rate", "column.shared_rate")
    rows = [
        (
            line(_name(curve, say)),
            tuple(_trial(curve, i, say) for i in range(len(curve.trials))),
            _chosen(curve, say),
            _own(curve, say),
            _shared(curve, say),
        )
        for curve in analysis.learning_rates
    ]
    return Table(say("heading.rates"), tuple(say(key) for key in head), tuple(rows))


def rates_note(analysis: Analysis, say: Wording) -> str:
    """Budget and texts of the search, in one sentence; empty without a search."""
    curves = analysis.learning_rates
    if not curves:
        return ""
    base = next((c.base_loss for c in curves if c.base_loss is not None), None)
    before = "" if base is None else say("rates.base", loss=f"{base:.3f}")
    return say("rates.note", steps=curves[0].steps) + before


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
        "arm": _name(curve, say),
        "rate": trial.learning_rate,
        "loss": trial.loss,
        "chosen": trial.learning_rate == curve.chosen,
        "tip": [_name(curve, say), f"{trial.learning_rate:g}: {trial.loss:.3f}"],
        "record": formats.record_href(trial.cell_id),
    }


def _name(curve: RateCurve, say: Wording) -> str:
    return say("full") if curve.training_method == FULL else formats.clean(curve.label)


def _trial(curve: RateCurve, index: int, say: Wording) -> Line:
    trial = curve.trials[index]
    loss = say("rates.no_loss") if trial.loss is None else f"{trial.loss:.3f}"
    return Line(f"{trial.learning_rate:g}: {loss}", (trial.cell_id,), quiet=True)


def _chosen(curve: RateCurve, say: Wording) -> Cell:
    if curve.chosen is None:
        return line(say("not_measured"))
    edge = (Line(say("rates.edge"), quiet=True),) if curve.at_edge else ()
    return (Line(f"{curve.chosen:g}"), *edge)


def _own(curve: RateCurve, say: Wording) -> Cell:
    if curve.training_method == FULL:
        return line(say("reference"))
    if curve.gain_retention is None:
        return line(say("not_measured"))
    return line(formats.percent(curve.gain_retention, say))


def _shared(curve: RateCurve, say: Wording) -> Cell:
    if curve.training_method == FULL:
        return line(say("reference"))
    lines = []
    for shared in curve.shared:
        kept = formats.percent(shared.gain_retention, say)
        lines.append(Line(say("rates.shared", rate=f"{shared.learning_rate:g}", kept=kept)))
        if shared.verification:
            verdict = say(f"verdict.{shared.verification}")
            lines.append(Line(say("rates.would_be", verdict=verdict), quiet=True))
    return tuple(lines) or line(say("not_measured"))
