"""From records to a recommendation (row 5): pure, nothing is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ...config.benchmark_config import GENERATED
from ...errors import ConfigError
from ...language import Statement
from ...records.results import OK, CellRecord
from ..findings import Findings
from ..learning_rates import learning_rate_curves
from ..pairing import Comparison, compare_arms
from ..rows import arm_summaries
from ..selection import Selection, model_shown, select
from ..values import AnalysisWarning
from ..warnings import find_warnings
from .candidates import candidates_at, data_sizes, main_size
from .front import Beside, Front, beside_chosen, pareto_front
from .pivot import BestSetting, Pivot, best_setting, build_pivot
from .rule import Decision, decide
from .sentences import answer, best_lora
from .values import Limits

BEARING = (
    "environments_differ", "settings_mixed", "arms_differ", "cells_failed", "shared_learning_rate",
    "best_rate_at_edge", "arm_did_not_learn", "weights_do_not_move", "loss_still_falling",
    "evaluation_set_small", "overlap_between_sides", "data_size_not_tested", "precision_differs",
    "time_not_measured", "emulated_bf16", "not_isolated",
)  # fmt: skip
"""Warnings that a reader must know before relying on a recommendation."""


@dataclass(frozen=True)
class SizeAnswer:
    """The answer at one data size."""

    data_size: int
    decision: Decision
    sentence: Statement
    best: BestSetting
    best_sentence: Statement


@dataclass(frozen=True)
class Recommendation:
    """Everything ``lora-bench recommend`` shows. ``decision`` is that of ``data_size``."""

    limits: Limits
    data_size: int | None  # None where there is no arm at all
    decision: Decision
    sentence: Statement
    beside: tuple[Beside, ...]  # the chosen configuration, cheapest first
    front: Front
    pivot: Pivot
    best: BestSetting
    best_sentence: Statement
    by_size: tuple[SizeAnswer, ...]  # every size, ascending
    conditions: Mapping[str, Any]  # what all of it was measured under
    warnings: tuple[AnalysisWarning, ...]

    @property
    def ties(self) -> tuple[Beside, ...]:
        """Those not told apart from the chosen configuration in quality."""
        return tuple(other for other in self.beside if not other.quality.shown)

    def to_dict(self) -> dict[str, Any]:
        """The document of ``recommend --json``."""
        from .document import to_document

        return to_document(self)


def recommend(
    records: Sequence[CellRecord],
    limits: Limits | None = None,
    data_size: int | None = None,
    base_model: str | None = None,
) -> Recommendation:
    """The cheapest configuration within ``limits``, and the best LoRA setting.

    ``data_size`` defaults to the largest with results. ``base_model`` is the other model of a
    cross-model comparison: named in ``conditions``, never a candidate, because a share of the gain
    is a share of the same model's. Raises ConfigError for a size that was not run.
    """
    limits = limits or Limits()
    selection = select(records, base_model)
    comparison = compare_arms(selection)
    sizes = data_sizes(comparison)
    if data_size is not None and data_size not in sizes:
        numbers = ", ".join(map(str, sizes))
        listed, listed_ja = numbers or "none", numbers or "なし"
        raise ConfigError(
            f"data size {data_size}: was not run; data sizes here: {listed}",
            f"データサイズ {data_size}: 測定していません。ここにあるデータサイズ: {listed_ja}",
        )
    size = data_size if data_size is not None else main_size(comparison)
    data = _data_name(selection.settings.get("dataset"))
    answers = tuple(_at_size(comparison, s, limits, data, len(sizes) > 1) for s in sizes)
    own = next((a for a in answers if a.data_size == size), None)
    decision = own.decision if own else decide((), limits)
    best = own.best if own else best_setting(decision)
    return Recommendation(
        limits=limits,
        data_size=size,
        decision=decision,
        sentence=own.sentence if own else answer(decision, None),
        beside=beside_chosen(decision),
        front=pareto_front(decision),
        pivot=build_pivot(decision),
        best=best,
        best_sentence=own.best_sentence if own else best_lora(best, data, None),
        by_size=answers,
        conditions=_conditions(selection, comparison, size),
        warnings=_bearing(selection, comparison),
    )


def _at_size(
    comparison: Comparison, size: int, limits: Limits, data: Statement, several: bool
) -> SizeAnswer:
    decision = decide(candidates_at(comparison, size), limits)
    best = best_setting(decision)
    shown = size if several else None
    sentences = answer(decision, shown), best_lora(best, data, shown)
    return SizeAnswer(size, decision, sentences[0], best, sentences[1])


def _bearing(selection: Selection, comparison: Comparison) -> tuple[AnalysisWarning, ...]:
    arms, curves = arm_summaries(comparison), learning_rate_curves(selection, ())
    found = find_warnings(Findings(selection, comparison, (), arms, curves))
    return tuple(warning for warning in found if warning.code in BEARING)


def _conditions(selection: Selection, comparison: Comparison, size: int | None) -> dict[str, Any]:
    """Model, data, steps, batch, precision and device of what was compared."""
    trained = [r for arm in (*comparison.full, *comparison.lora) for r in arm.train.values()]
    here = [r for r in trained if r.cell.dataset_size == size]
    device = selection.environment.get("device") or {}
    others = [record for record in selection.reference if record.status == OK]
    return {
        "model": model_shown(selection.records),
        **({"base_model": model_shown(others)} if others else {}),
        **{k: v for k, v in selection.settings.items() if k != "model_name"},
        "data_size": size,
        "precision": "/".join(sorted({r.cell.precision for r in here})),
        "seeds": sorted({r.cell.seed for r in here}),
        "device": device.get("name"),
    }


def _data_name(dataset: Any) -> Statement:
    """The data in a sentence: a short name, never a whole path."""
    if dataset == GENERATED:
        return Statement("generated Japanese", "生成した日本語データ")
    path = dataset.get("path") if isinstance(dataset, Mapping) else dataset
    if not isinstance(path, str) or path in ("", "not stated"):
        return Statement("this data", "このデータ")
    name = PurePath(path).name or path
    return Statement(name, f"データ {name} ")
