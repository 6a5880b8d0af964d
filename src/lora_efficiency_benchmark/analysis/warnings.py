"""What a reader must know before believing the verdicts (row 5).

One closed list: a check a code here, cause and next step of the same code in ``warning_texts.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from ..language import Statement
from . import checks_records, checks_training
from .findings import Findings
from .values import AnalysisWarning
from .warning_texts import make_warning

Check = Callable[[Findings], Statement | None]

CHECKS: dict[str, Check] = {
    "run_not_finished": checks_records.run_not_finished,
    "environments_differ": checks_records.environments_differ,
    "settings_mixed": checks_records.settings_mixed,
    "arms_differ": checks_records.arms_differ,
    "cells_failed": checks_records.cells_failed,
    "mean_hides_failures": checks_records.mean_hides_failures,
    "too_few_seeds": checks_records.too_few_seeds,
    "shared_learning_rate": checks_training.shared_learning_rate,
    "best_rate_at_edge": checks_training.best_rate_at_edge,
    "arm_did_not_learn": checks_training.arm_did_not_learn,
    "weights_do_not_move": checks_training.weights_do_not_move,
    "loss_still_falling": checks_training.loss_still_falling,
    "evaluation_set_small": checks_records.evaluation_set_small,
    "overlap_between_sides": checks_records.overlap_between_sides,
    "data_size_not_tested": checks_records.data_size_not_tested,
    "lora_needs_more_memory": checks_training.lora_needs_more_memory,
    "lora_slower": checks_training.lora_slower,
    "precision_differs": checks_training.precision_differs,
    "time_not_measured": checks_training.time_not_measured,
    "emulated_bf16": checks_training.emulated_bf16,
    "not_isolated": checks_training.not_isolated,
}


def find_warnings(findings: Findings) -> tuple[AnalysisWarning, ...]:
    """All warnings that apply, in the order of the list."""
    details = ((code, check(findings)) for code, check in CHECKS.items())
    return tuple(make_warning(code, detail) for code, detail in details if detail is not None)
