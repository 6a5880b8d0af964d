"""What report tables are made of (row 6): html and markdown show the same ones.

A table cell is a tuple of ``Line``; a line knows the records behind it, so that a number can link
to where it came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...analysis.values import Analysis, ArmSummary
from ...plan import AS_PRACTISED, CONTROLLED, FULL
from .. import formats
from ..texts import Wording

READINGS = (CONTROLLED, AS_PRACTISED)
PARTS = (
    "weights", "adapter", "gradients", "optimizer", "activations", "logits_and_loss", "temporaries",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of a table cell."""

    text: str
    cells: tuple[str, ...] = ()  # ids of the records behind it
    verdict: str | None = None  # VERIFIED, ...: shown as a label
    quiet: bool = False  # less important: smaller
    heading: bool = False  # names the lines below it


Cell = tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """Columns and rows; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    keys: tuple[dict[str, Any], ...] = ()
    """``filter_keys`` of each row, where the rows are arms that the page can filter."""


def line(text: str, *cells: str, quiet: bool = False) -> Cell:
    """A table cell of one line."""
    return (Line(formats.clean(text), cells, quiet=quiet),)


def arm_name(arm: ArmSummary, say: Wording) -> str:
    """``full`` in the reader's language, with its model where there are two; or the label."""
    if arm.training_method != FULL:
        return formats.clean(arm.label)
    return full_name(arm.model, say)


def full_name(model: str, say: Wording) -> str:
    """Full fine-tuning of a model; of the only one where ``model`` is empty."""
    return f"{say('full')} · {formats.clean(model)}" if model else say("full")


def sized_name(arm: ArmSummary, analysis: Analysis, say: Wording) -> str:
    """The arm's name, with its number of texts where several were tested."""
    if len({other.dataset_size for other in analysis.arms}) < 2:
        return arm_name(arm, say)
    return f"{arm_name(arm, say)} · {say('texts', n=f'{arm.dataset_size:,}')}"


def filter_keys(arm: ArmSummary) -> dict[str, Any]:
    """What the page filters by: ``size``, and ``label``, which full fine-tuning has none of."""
    label = {} if arm.training_method == FULL else {"label": formats.clean(arm.label)}
    return {**label, "size": arm.dataset_size}


def shown_arms(analysis: Analysis) -> list[ArmSummary]:
    """All arms; each data size begins with full fine-tuning of the run's model and of the other."""
    arms = [*analysis.arms, *analysis.reference_arms]
    return sorted(arms, key=lambda arm: (arm.dataset_size, arm.training_method != FULL))


def is_reference(arm: ArmSummary, analysis: Analysis) -> bool:
    """Whether this is the other model: it has no ratio to the arms of the run's own model."""
    return any(arm is other for other in analysis.reference_arms)


def unique_arms(analysis: Analysis) -> list[ArmSummary]:
    """One arm a model and label, the one with most memory: for what no data size changes."""
    best: dict[tuple[str, str], ArmSummary] = {}
    for arm in shown_arms(analysis):
        key = (arm.model, arm.label)
        if key not in best or len(arm.memory) > len(best[key].memory):
            best[key] = arm
    return list(best.values())


def full_arm(analysis: Analysis, size: int | None = None) -> ArmSummary | None:
    """Full fine-tuning of the run's own model, of one data size if given."""
    arms = [arm for arm in analysis.arms if arm.training_method == FULL]
    return next((arm for arm in arms if size is None or arm.dataset_size == size), None)


def memory_block(arm: ArmSummary, reading: str) -> dict[str, Any] | None:
    """Memory of one reading. For full fine-tuning both are the same: one cell stands for both."""
    if reading == AS_PRACTISED and arm.training_method == FULL:
        return arm.memory.get(reading) or arm.memory.get(CONTROLLED)
    return arm.memory.get(reading)


def per_process(analysis: Analysis, say: Wording) -> str:
    """What a memory figure of several processes is, with a space before it; empty for one."""
    count = analysis.settings.get("processes", 1)
    return say("memory.per_process", n=count) if count > 1 else ""


def memory_times(arm: ArmSummary, reading: str, say: Wording) -> str:
    """Full's peak over this arm's, in words; empty for full itself and where there is none."""
    value = arm.memory_ratio.get(reading)
    if value is None or arm.training_method == FULL:
        return ""
    bound = arm.memory_ratio_bound.get(reading)
    return formats.bounded(formats.ratio(value, say), bound, say)


def memory_cells(analysis: Analysis, arm: ArmSummary, reading: str) -> tuple[str, ...]:
    """Ids of the memory records of one reading, as the claims name them."""
    own = tuple(cell for cell in arm.cells if cell.startswith("memory-"))
    for claim in analysis.claims:
        if claim.metric == "memory_reduction_ratio" and claim.precision == reading:
            named = {cell for found in claim.per_configuration for cell in found.cells}
            chosen = tuple(cell for cell in own if cell in named)
            if chosen:
                return chosen
    return own


def train_cells(arm: ArmSummary) -> tuple[str, ...]:
    """Ids of the training records of an arm, one a seed."""
    return tuple(cell for cell in arm.cells if cell.startswith("train-"))
