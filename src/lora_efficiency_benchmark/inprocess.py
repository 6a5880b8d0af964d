"""One training run in the caller's own process (row 4), for use from Python and notebooks.

The same passes as an isolated cell: evaluation before training, a memory pass whose state is
thrown away, then the undisturbed run. The records say ``isolated: false``: what else lives in the
process shares its memory and its cores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import torch

from .cell import CellRun
from .dataset import Document, Segment, tokenize
from .errors import DataError
from .plan import Cell
from .records.results import CellRecord
from .training.evaluation import evaluate

HELD_OUT_SHARE = 0.1  # of a data set that comes without an evaluation side


def train_in_process(
    model: Any, tokenizer: Any, dataset: Any, cells: dict[str, Cell], device: str
) -> Iterator[CellRecord]:
    """Yields records of kind base, memory and train for one arm; ``model`` is fine-tuned in place.

    ``dataset`` is a ``datasets.Dataset`` with a ``text`` column or with ``input_ids``, a
    ``DatasetDict`` of ``train`` and ``test`` (or ``validation``), or a list of texts. ``cells``
    maps the three kinds to their settings. Raises DataError.
    """
    train_rows, held_out_rows = sides(dataset)
    length = cells["train"].max_length
    examples = _examples(train_rows, tokenizer, length)
    held_out = _examples(held_out_rows, tokenizer, length)
    name = f"in-process:{_digest(train_rows)}"
    model.to(device)
    for kind in ("base", "memory", "train"):
        cell = dataclasses.replace(
            cells[kind],
            dataset=name,
            dataset_size=len(examples),
            evaluation_size=len(held_out),
        )
        run = CellRun(cell, device=device)
        run.record.isolated = False
        run.adopt(model, tokenizer)
        with run.guard():
            if kind == "base":
                with _adapter_off(model):
                    with run.phase("evaluate"):
                        found = evaluate(model, held_out, run.cell.precision, run.pad)
                    run.record.evaluation = found
                    run.probe_and_sample(model)
            elif kind == "memory":
                with _state_kept(model):
                    run.memory_pass(model, examples)
            else:
                run.training_pass(model, examples, held_out)
        yield run.finish()


def sides(dataset: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    """Training and held-out rows; the last tenth is held out where no side is marked."""
    if hasattr(dataset, "keys") and "train" in dataset:
        for name in ("test", "validation", "eval"):
            if name in dataset:
                return list(dataset["train"]), list(dataset[name])
        dataset = dataset["train"]
    rows = list(dataset)
    held_out = max(1, round(HELD_OUT_SHARE * len(rows)))
    if len(rows) < 2:
        raise DataError(
            f"dataset: {len(rows)} rows; at least 2 are needed, one to hold out",
            f"dataset: {len(rows)} 行しかありません。評価用の1行を含めて2行以上が必要です",
        )
    return rows[:-held_out], rows[-held_out:]


def _examples(rows: Sequence[Any], tokenizer: Any, length: int) -> list[dict[str, Any]]:
    if not rows:
        raise DataError("dataset: one side has no rows", "dataset: 学習用か評価用の行がありません")
    texts = [_text(row, tokenizer) for row in rows]
    documents = [Document((Segment(text, True),), (), "in-process") for text in texts]
    return tokenize(documents, tokenizer, length)


def _text(row: Any, tokenizer: Any) -> str:
    if isinstance(row, str):
        return row
    if isinstance(row, dict) and isinstance(row.get("text"), str):
        return str(row["text"])
    if isinstance(row, dict) and "input_ids" in row:
        return str(tokenizer.decode(row["input_ids"], skip_special_tokens=True))
    keys = sorted(row) if isinstance(row, dict) else type(row).__name__
    raise DataError(
        f"dataset: rows need 'text' or 'input_ids', got {keys}",
        f"dataset: 行には 'text' か 'input_ids' が必要です (現在: {keys})",
    )


def _digest(rows: Sequence[Any]) -> str:
    return sha256(repr(list(rows)).encode()).hexdigest()[:10]


@contextmanager
def _adapter_off(model: Any) -> Iterator[None]:
    """The bare model: a fresh adapter changes nothing, a used one would."""
    if hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            yield
    else:
        yield


@contextmanager
def _state_kept(model: Any) -> Iterator[None]:
    """Put the trainable weights back as they were; the copy lies outside what is measured."""
    kept = {n: p.detach().cpu().clone() for n, p in model.named_parameters() if p.requires_grad}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in kept:
                    parameter.copy_(kept[name])
                parameter.grad = None
