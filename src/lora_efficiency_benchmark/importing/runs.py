"""One foreign run as our cells and records (row 4, no torch).

A foreign run trained once, and its memory was read from that very run. It becomes a ``train`` and,
where memory was read, a ``memory`` cell; a held-out loss from before the first step becomes a
``base`` cell. What a source does not state is 0 or ``not stated`` in the cell and absent from the
record, never a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config.adapters import AdapterSettings
from ..plan import CONTROLLED, FULL, LORA, Cell
from ..records.results import FAILED, OK, CellRecord

NOT_STATED = "not stated"
UNKNOWN = 0  # a count that the source does not state


@dataclass(frozen=True)
class Run:
    """What a source says about one run. None and UNKNOWN: it does not say."""

    source: str  # file, relative to the source
    format: str
    model_name: str
    adapter: AdapterSettings | None  # None for full fine-tuning
    precision: str
    dataset: Any  # part of the settings: runs that differ in it are not compared
    dataset_size: int
    seed: int
    training_steps: int
    eval_steps: int
    max_length: int
    batch_size: int
    learning_rate: float | None
    trainer_args: dict[str, Any]  # further settings that compared runs must share
    environment: dict[str, Any] = field(default_factory=dict)
    started_at: str = ""
    ended_at: str = ""
    error: dict[str, str] | None = None  # unless it ended well
    parameters: dict[str, Any] | None = None
    memory: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    evaluation: dict[str, Any] | None = None
    saved: dict[str, Any] | None = None
    base_loss: float | None = None  # held-out, before the first step
    figures: Mapping[str, str] = field(default_factory=dict)  # our field -> the source's own name
    facts: Mapping[str, Any] = field(default_factory=dict)  # stated, and no field of ours
    reading: str = CONTROLLED

    @property
    def label(self) -> str:
        """``full`` or the adapter's label."""
        return self.cell("train").label

    def cell(self, kind: str) -> Cell:
        """The settings of one of its cells."""
        base = kind == "base"
        return Cell(
            kind=kind,
            model_name=self.model_name,
            training_method=None if base else (FULL if self.adapter is None else LORA),
            adapter=None if base else self.adapter,
            reading=CONTROLLED if base else self.reading,
            precision=self.precision,
            dataset=self.dataset,
            dataset_size=self.dataset_size,
            evaluation_size=UNKNOWN,
            seed=UNKNOWN if base else self.seed,
            training_steps=self.training_steps,
            eval_steps=self.eval_steps,
            max_length=self.max_length,
            batch_size=self.batch_size,
            learning_rate=None if base else self.learning_rate,
            trainer_args={} if base else dict(self.trainer_args),
        )


def records_of(run: Run) -> list[CellRecord]:
    """The memory and the training record of a run."""
    kind = run.error["kind"] if run.error else None
    records = []
    if run.memory is not None and kind in (None, "diverged"):  # it took the memory it took
        records.append(_record(run, "memory", memory=run.memory))
    elif kind == "out_of_memory":
        records.append(_record(run, "memory", error=run.error))
    if run.error is not None:
        return [*records, _record(run, "train", error=run.error)]
    blocks = {"training": run.training, "evaluation": run.evaluation, "saved": run.saved}
    return [*records, _record(run, "train", **blocks)]


def base_record(run: Run, evaluation: dict[str, Any]) -> CellRecord:
    """The model before training, as a run of that model evaluated it."""
    return _record(run, "base", evaluation=evaluation)


def _record(
    run: Run, kind: str, error: dict[str, str] | None = None, **blocks: dict[str, Any] | None
) -> CellRecord:
    if kind != "base" and run.parameters:
        blocks["parameters"] = run.parameters
    given = {name: block for name, block in blocks.items() if block}
    figures = {k: v for k, v in run.figures.items() if _there(k, given)}
    provenance = {"imported_from": run.source, "format": run.format}
    record = CellRecord(
        cell=run.cell(kind),
        status=OK if error is None else FAILED,
        started_at=run.started_at,
        ended_at=run.ended_at,
        isolated=False,  # nobody says so
        error=None if error is None else dict(error),
        environment={**run.environment, "imported": run.format},
        data={**provenance, "figures": figures, "facts": dict(run.facts)},
    )
    for name, block in given.items():
        setattr(record, name, dict(block))
    return record


def _there(name: str, blocks: Mapping[str, Mapping[str, Any]]) -> bool:
    block, _, key = name.partition(".")
    return key in blocks.get(block, {})


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that have a value."""
    return {key: value for key, value in values.items() if value is not None}
