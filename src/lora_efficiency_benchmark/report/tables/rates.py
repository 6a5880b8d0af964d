"""The table of the search for learning rates (row 6). Empty where none was made."""

from __future__ import annotations

from ...analysis.values import Analysis, RateCurve
from ...plan import FULL
from .. import formats
from ..texts import Wording
from . import Cell, Line, Table, line


def rates_table(analysis: Analysis, say: Wording) -> Table:
    """One row an arm: every trial, the rate it trained with, and what one shared rate would say."""
    head = ("column.arm", "column.trials", "column.rate", "column.own_rate", "column.shared_rate")
    rows = [
        (
            line(curve_name(curve, say)),
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
    lines, mark = curves[0].elsewhere, ", "
    if say.language == "ja" and curves[0].elsewhere_ja:
        lines, mark = curves[0].elsewhere_ja, "、"
    others = mark.join(formats.clean(line) for line in lines)
    where = say("rates.elsewhere", environments=others) if others else ""
    return say("rates.note", steps=curves[0].steps) + before + where


def curve_name(curve: RateCurve, say: Wording) -> str:
    """The arm of a curve, as readers see it."""
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
