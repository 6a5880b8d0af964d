"""What the search for learning rates found (row 5): loss against rate, and the price of one rate.

Losses are those of the trials, on validation texts; one trial a rate, so differences within a tie
mean nothing. The rate of an arm is the one it then trained with, or the best so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..config.claims import Claim
from ..plan import FULL
from ..records.results import OK, CellRecord
from .pairing import number
from .selection import Selection, searched_elsewhere
from .values import RateCurve, RateTrial, SharedRate
from .verdicts import judge_value


def learning_rate_curves(selection: Selection, claims: Sequence[Claim]) -> tuple[RateCurve, ...]:
    """One curve an arm, full fine-tuning first; empty where nothing was searched."""
    trials: dict[str, list[CellRecord]] = {}
    for record in selection.of_kind("trial"):
        trials.setdefault(record.cell.label, []).append(record)
    trained = {r.cell.label: r.cell.learning_rate for r in selection.of_kind("train")}
    bases = (number(record.validation, "loss") for record in selection.of_kind("base"))
    base = next((loss for loss in bases if loss is not None), None)
    elsewhere = searched_elsewhere(selection)
    curves = [
        replace(
            _curve(label, trials[label], trained.get(label), base),
            elsewhere=tuple(line.en for line in elsewhere),
            elsewhere_ja=tuple(line.ja for line in elsewhere),
        )
        for label in trials
    ]
    curves.sort(key=lambda curve: curve.training_method != FULL)
    claim = next((c for c in claims if c.metric == "gain_retention"), None)
    full = next((curve for curve in curves if curve.training_method == FULL), None)
    if full is None or base is None:
        return tuple(curves)
    return tuple(
        curve if curve is full else _beside_full(curve, full, base, claim) for curve in curves
    )


def _curve(
    label: str, records: Sequence[CellRecord], trained: float | None, base: float | None
) -> RateCurve:
    trials = [
        RateTrial(
            learning_rate=record.cell.learning_rate or 0.0,
            loss=number(record.validation, "loss") if record.status == OK else None,
            cell_id=record.cell_id,
        )
        for record in sorted(records, key=lambda r: r.cell.learning_rate or 0.0)
    ]
    ended = [trial for trial in trials if trial.loss is not None]
    best = min(ended, key=lambda trial: trial.loss or 0.0) if ended else None
    chosen = trained if trained is not None else best.learning_rate if best else None
    rates = [trial.learning_rate for trial in trials]
    return RateCurve(
        label=label,
        training_method=str(records[0].cell.training_method),
        trials=tuple(trials),
        chosen=chosen,
        at_edge=best is not None and best.learning_rate in (rates[0], rates[-1]),
        base_loss=base,
        steps=records[0].cell.training_steps,
    )


def _beside_full(curve: RateCurve, full: RateCurve, base: float, claim: Claim | None) -> RateCurve:
    """The share of the full gain that the arm keeps, at its own rate and at shared ones."""
    shared = []
    for trial in curve.trials:
        kept = _kept(trial.loss, full.loss_at(trial.learning_rate), base)
        if kept is not None:
            verdict = judge_value(claim, kept) if claim else None
            shared.append(SharedRate(trial.learning_rate, kept, verdict))
    own = _kept(curve.loss_at(curve.chosen), full.loss_at(full.chosen), base)
    return replace(curve, gain_retention=own, shared=tuple(shared))


def _kept(lora: float | None, full: float | None, base: float) -> float | None:
    """Gain retention of two trials; None where one is missing or full gained nothing."""
    if lora is None or full is None or not base > full:
        return None
    return (base - lora) / (base - full)
