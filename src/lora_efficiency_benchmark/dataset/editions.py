"""Which edition of the generated texts a record was measured on (row 4).

The id of a cell names its data set, not the grammar behind ``generated``. Records state the edition
instead, and a run that goes on in an older folder sets aside what was measured on other texts.
Records of the first versions state none: their base cell tells by the sizes of its texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..config.benchmark_config import GENERATED, dataset_name
from ..plan import Cell
from ..records.results import CellRecord
from .generator import TRAINING_CAPACITY, VALIDATION_CAPACITY, JapaneseDatasetGenerator

GENERATED_EDITION = 2
"""Of the texts of all three sides: other texts, another edition, which a test holds to.

1  a search validated on training patterns, and trained without the topics of those texts
2  validation texts with topics and patterns of their own; what is not searched is as in 1
"""


def edition_of(cell: Cell) -> int | None:
    """The edition that this version makes, where a cell is about generated texts."""
    return GENERATED_EDITION if dataset_name(cell.dataset) == GENERATED else None


def stated_edition(record: CellRecord) -> Any:
    """The edition that a record, or its outline, says it was measured on; None without one."""
    return (record.data or {}).get("edition")


def on_other_texts(records: Sequence[CellRecord]) -> list[CellRecord]:
    """The records measured on generated texts that this version does not make.

    Of those that state no edition, the ones of a search are others where any of them shows it by
    its texts: they were made together. Without a search the texts have never changed.
    """
    generated = [r for r in records if edition_of(r.cell) is not None]
    silent = [r for r in generated if stated_edition(r) is None and r.cell.validation_size]
    others = silent if any(map(_shows_other_texts, silent)) else []
    return [*others, *(r for r in generated if stated_edition(r) not in (None, GENERATED_EDITION))]


def _shows_other_texts(record: CellRecord) -> bool:
    """True where the sizes in a record are not those of the texts that are made now."""
    cell, generator = record.cell, JapaneseDatasetGenerator(seed=0)
    if cell.dataset_size > TRAINING_CAPACITY or cell.validation_size > VALIDATION_CAPACITY:
        return False
    trained = ((record.data or {}).get("train_statistics") or {}).get("utf8_bytes")
    if trained is not None:
        made = generator.training_documents(cell.dataset_size)
        if trained != sum(len(document.text.encode()) for document in made):
            return True
    scored = (record.validation or {}).get("documents")
    if not scored:
        return False
    texts = generator.validation_documents(cell.validation_size)
    return len(scored) != len(texts) or any(
        row["raw_bytes"] > len(text.text.encode()) for row, text in zip(scored, texts, strict=True)
    )
