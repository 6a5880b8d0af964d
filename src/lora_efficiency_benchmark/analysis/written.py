"""What the models wrote (row 5): one entry a prompt, the untouched model and every arm."""

from __future__ import annotations

from collections.abc import Iterator

from ..plan import FULL, LORA
from ..records.results import CellRecord
from .pairing import Comparison
from .values import Sample, SampleText


def samples(comparison: Comparison) -> tuple[Sample, ...]:
    """Continuations by prompt: base first, then full, then the adapters, each at its largest size.

    The texts come from a model, and are whatever it wrote.
    """
    texts: dict[str, list[SampleText]] = {}
    for record in _records(comparison):
        method = record.cell.training_method
        for entry in record.samples or []:
            prompt, text = entry.get("prompt"), entry.get("text")
            if isinstance(prompt, str) and isinstance(text, str):  # a record may be foreign
                size = record.cell.dataset_size if method else None
                written = SampleText(record.cell.label, method, size, text, record.cell_id)
                texts.setdefault(prompt, []).append(written)
    return tuple(Sample(prompt, tuple(written)) for prompt, written in texts.items())


def _records(comparison: Comparison) -> Iterator[CellRecord]:
    if comparison.base is not None and comparison.base.samples:
        yield comparison.base
    chosen: dict[str, CellRecord] = {}
    for arm in sorted((*comparison.full, *comparison.lora), key=lambda a: a.dataset_size):
        written = [record for record in arm.train.values() if record.samples]
        if written:
            chosen[arm.label] = written[0]
    order = {FULL: 0, LORA: 1}
    yield from sorted(chosen.values(), key=lambda r: order[str(r.cell.training_method)])
