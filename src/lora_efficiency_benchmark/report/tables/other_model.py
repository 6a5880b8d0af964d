"""The other model of a cross-model comparison (row 6): its runs, fully fine-tuned."""

from __future__ import annotations

import math

from ...analysis.values import Analysis
from ...results import LoRAEfficiencyResult
from ...units import MIB, from_minutes
from .. import formats
from ..texts import Wording
from . import Cell, Table, line

_KEYS = ("model", "texts", "seed", "trainable", "controlled", "time", "loss", "bits", "throughput")


def other_model_table(analysis: Analysis, say: Wording) -> Table:
    """One row a run of the model that LoRA was compared with; empty where there was none."""
    compared = {claim.base_model for claim in analysis.claims if claim.base_model}
    own = {row.model_name for row in analysis.rows if row.lora_config}
    rows = [row for row in analysis.rows if row.model_name not in own] if compared and own else []
    columns = tuple(say(f"column.{key}") for key in _KEYS)
    return Table(say("heading.other_model"), columns, tuple(_row(row, say) for row in rows))


def _row(row: LoRAEfficiencyResult, say: Wording) -> tuple[Cell, ...]:
    seconds = from_minutes(row.training_time_minutes)
    shown = (
        formats.count(row.trainable_parameters or None, say),
        formats.size(_known(row.peak_memory_mb * MIB), say),
        formats.duration(_known(seconds), say),
        formats.decimals(_known(row.eval_loss), 3, say),
        formats.decimals(row.bits_per_byte, 3, say),
        formats.decimals(row.tokens_per_second, 0, say),
    )
    head = (line(row.model_name), line(f"{row.dataset_size:,}"), line(str(row.seed)))
    return (*head, *(line(text, row.cell_id) for text in shown))


def _known(value: float) -> float | None:
    """The public row writes NaN where a figure is missing."""
    return None if math.isnan(value) else value
