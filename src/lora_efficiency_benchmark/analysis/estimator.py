"""How far the estimator was off on the memory cells of this very run (row 5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..records.results import OK, CellRecord
from .metrics import OUT_OF_MEMORY
from .pairing import number
from .values import EstimatorCell, EstimatorError

PEAK = "peak_allocated_bytes"
SOURCES = ("cpu-allocator", "accelerator")
"""Where a measured peak is the sum of allocations, which is what the estimate predicts."""


def estimator_error(
    records: Sequence[CellRecord], models: Mapping[str, str] | None = None
) -> EstimatorError | None:
    """Estimates beside measurements, from memory records; None where no record has an estimate.

    ``models``: name in a cell -> name to show, where two models are compared.
    """
    shown = models or {}
    estimated = [record for record in records if record.estimate]
    if not estimated:
        return None
    pairs = [(record, _compared(record, shown)) for record in estimated]
    cells = tuple(cell for _, cell in pairs if cell and cell.error is not None)
    errors = [cell.error for cell in cells if cell.error is not None]
    count = len(errors)
    return EstimatorError(
        cells=cells,
        mean_absolute=math.fsum(map(abs, errors)) / count if count else None,
        max_absolute=max(map(abs, errors)) if count else None,
        under_share=sum(error < 0 for error in errors) / count if count else None,
        out_of_memory=tuple(cell for _, cell in pairs if cell and cell.measured is None),
        untraceable=tuple(
            _untraceable(r, shown) for r in estimated if "untraceable" in (r.estimate or ())
        ),
    )


def _compared(record: CellRecord, models: Mapping[str, str]) -> EstimatorCell | None:
    """The cell with its error, or without one where it ran out of memory; else None."""
    estimated = number(record.estimate, PEAK)
    if not estimated:
        return None
    measured = None
    if record.status == OK:
        measured = number(record.memory, PEAK)
        if not measured or (record.memory or {}).get("source") not in SOURCES:
            return None
    elif (record.error or {}).get("kind") != OUT_OF_MEMORY:
        return None
    error = estimated / measured - 1 if measured else None
    cell = record.cell
    model = models.get(cell.model_name, "")
    return EstimatorCell(
        record.cell_id, cell.label, cell.reading, estimated, measured, error, model
    )


def _untraceable(record: CellRecord, models: Mapping[str, str]) -> dict[str, str]:
    estimate = record.estimate or {}
    reason = str(estimate.get("untraceable"))
    cell = record.cell
    return {
        "cell_id": record.cell_id,
        "label": cell.label,
        "reading": cell.reading,
        "reason": reason,
        "reason_ja": str(estimate.get("untraceable_ja") or reason),
        "model": models.get(cell.model_name, ""),
    }
