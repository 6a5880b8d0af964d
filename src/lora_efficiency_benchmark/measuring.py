"""The cells of a run, measured (row 7): what is missing, in order, one stored record each.

Whoever runs the cells hands a record back; it is written here, before anybody else sees it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from .config.benchmark_config import LoRABenchmarkConfig
from .errors import LoraBenchError, both_lines
from .execution.executors import Launcher
from .language import Statement
from .plan import Cell
from .records.estimates_shape import ESTIMATES_SCHEMA
from .records.results import OK, CellRecord
from .records.store import ESTIMATES, Store
from .report.live import LiveReport
from .search import (
    is_conclusive,
    next_trials,
    planned_records,
    remaining_cells,
    uncertain_trials,
)
from .units import to_gib

_OTHER_TEXTS = "other-texts"  # ends the name of a record that was set aside
_NAMED = 3  # files that one line names, at most


class Watch(Protocol):
    """Whoever wants to follow a run."""

    def run_started(self, facts: dict[str, Any], cells: Sequence[Cell], kept: int) -> None:
        """The check before the run has passed; ``cells`` are about to run.

        ``facts`` are those of ``Launcher.preflight``, and ``uncertain_cells``: how many of the
        cells a search may turn out not to need. ``notes`` among them are lines in both languages.
        """

    def cell_started(self, cell: Cell) -> None:
        """A cell begins, or is handed to a cluster: several may have begun before one ends."""

    def event(self, event: dict[str, Any]) -> None:
        """A phase or a step of the running cell; ``too_large``: it is not expected to fit.

        ``scale``: after the cells, estimates at the claim's own scale are being made.
        """

    def cell_ended(self, record: CellRecord) -> None:
        """A cell has its record, stored already."""


class Unwatched:
    """Nobody watches; the log tells."""

    def run_started(self, facts: dict[str, Any], cells: Sequence[Cell], kept: int) -> None:
        """Nothing to show."""

    def cell_started(self, cell: Cell) -> None:
        """Nothing to show."""

    def event(self, event: dict[str, Any]) -> None:
        """Nothing to show."""

    def cell_ended(self, record: CellRecord) -> None:
        """Nothing to show."""


class Measurement:
    """Measures the cells of one configuration into one folder."""

    def __init__(
        self,
        config: LoRABenchmarkConfig,
        store: Store,
        watch: Watch,
        live: LiveReport,
        logger: logging.Logger,
    ) -> None:
        self.config, self.store = config, store
        self.watch, self.live, self.logger = watch, live, logger

    def run(self, launch: Launcher, cells: Sequence[Cell], kept: int) -> None:
        """Check what can be checked, estimate what cells need, then run them, one record each.

        ``cells`` are those expected: a search decides on the way which learning rates they have.
        """
        uncertain = uncertain_trials(self.config, self.store.outlines())
        facts = {"notes": [], "uncertain_cells": uncertain, **launch.preflight(self.config)}
        estimates = self._estimate_cells(launch, cells, facts["notes"])
        self._note_start(facts)
        self.watch.run_started(facts, cells, kept)

        def estimate_of(cell: Cell) -> dict[str, Any] | None:
            return estimates.get(_without_rate(cell))

        in_flight = set()

        def begin(cell: Cell) -> None:
            in_flight.add(cell.id)
            self.watch.cell_started(cell)
            estimate = estimate_of(cell)
            if estimate and estimate.get("fits") is False:
                self._warn_too_large(cell, estimate)

        for independent in self._rounds():
            for record in launch.run_each(independent, estimate_of, begin, self.watch.event):
                record.estimate = estimate_of(record.cell)
                self.store.write_record(record)
                self._log_record(record)
                self.watch.cell_ended(record)
                in_flight.discard(record.cell_id)
                if not in_flight:  # the report is made on this machine, which a cluster may time on
                    self.live.cell_ended(record)

    def _rounds(self) -> Iterator[list[Cell]]:
        """What is missing, in order, as lists of cells that do not depend on each other.

        Each round of a search follows from the records of the one before.
        """
        stored = self.store.outlines()
        doubtful = {r.cell_id for r in stored if not is_conclusive(r)}  # tried again, once
        untrained = ("base", "memory")
        ready = [c for c in remaining_cells(self.config, stored) if c.kind in untrained]
        while trials := next_trials(self.config, self._records_but(doubtful)):
            yield [*ready, *trials]
            doubtful -= {cell.id for cell in trials}
            ready = []
        left = remaining_cells(self.config, self._records_but(doubtful))
        yield [*ready, *(c for c in left if c.kind == "train")]

    def _records_but(self, left_out: set[str]) -> list[CellRecord]:
        return [r for r in self.store.outlines() if r.cell_id not in left_out]

    def _estimate_cells(
        self, launch: Launcher, cells: Sequence[Cell], notes: list[Statement]
    ) -> dict[str, dict[str, Any]]:
        """Predicted memory by cell, rate apart; a prediction that fails is only a note."""
        try:
            found = launch.estimate(cells)
            return {_without_rate(cell): found[cell.id] for cell in cells if cell.id in found}
        except LoraBenchError as error:
            notes.append(both_lines(error))
            return {}

    def estimate_scale(self, launch: Launcher) -> None:
        """estimates.json, after the cells, so that no timing is disturbed; never the end."""
        try:
            entries = launch.estimate_scale(self.watch.event)
            made_at = datetime.now(UTC).isoformat(timespec="seconds")
            values = {"schema": ESTIMATES_SCHEMA, "made_at": made_at, "entries": entries}
            self.store.write_json(ESTIMATES, values)
        except LoraBenchError as error:
            self.logger.warning("the claim's own scale: %s", error)

    def _warn_too_large(self, cell: Cell, estimate: dict[str, Any]) -> None:
        sizes = {name: estimate[name] for name in ("least_needed_bytes", "limit_bytes")}
        self.logger.warning(
            "%s: needs an estimated %.2f GiB, the limit is %.2f GiB; it will be tried anyway",
            cell.id,
            *map(to_gib, sizes.values()),
        )
        self.watch.event({"event": "too_large", "cell_id": cell.id, **sizes})

    def _note_start(self, facts: dict[str, Any]) -> None:
        """environment.json, and the head of the log."""
        environment = {**facts["environment"], "seeds": list(range(self.config.seeds))}
        self.store.write_json("environment.json", environment)
        device = environment["device"]
        for note in facts["notes"]:
            self.logger.warning("%s", note.en)
        self.logger.info("model: %s, %s parameters", facts["model"], f"{facts['parameters']:,}")
        self.logger.info("device: %s (%s)", device["name"], device["type"])
        if device.get("total_memory_bytes"):
            self.logger.info("memory: %.1f GB", device["total_memory_bytes"] / 1e9)

    def _log_record(self, record: CellRecord) -> None:
        if record.status == OK:
            self.logger.info("%s: ok, %.1f s", record.cell_id, record.seconds.get("wall", 0.0))
        else:
            error = record.error or {}
            self.logger.error(
                "%s: %s, %s: %s",
                record.cell_id,
                record.status,
                error.get("kind"),
                error.get("message"),
            )


def set_aside_other_texts(config: LoRABenchmarkConfig, store: Store) -> list[Statement]:
    """Planned records on another edition of the generated texts: kept, and measured again.

    Returns one line where there are any.
    """
    from .dataset import GENERATED_EDITION, edition_of, on_other_texts, stated_edition

    planned = planned_records(config, store.outlines())
    if all(stated_edition(record) == edition_of(record.cell) for record in planned):
        return []
    ids = {record.cell_id for record in planned}
    others = [r.cell_id for r in on_other_texts(store.load_records()) if r.cell_id in ids]
    kept = store.set_aside(others, _OTHER_TEXTS)
    if not kept:
        return []
    first, more = ", ".join(kept[:_NAMED]), len(kept) - _NAMED
    named = f"{first}, {more} more" if more > 0 else first
    named_ja = f"{first} など" if more > 0 else first
    line = Statement(
        f"{store.records_path}: {len(kept)} records were measured on another edition of "
        f"the generated texts (now edition {GENERATED_EDITION}); they are kept as {named}, and "
        "their cells run again",
        f"{store.records_path}: {len(kept)} 件の記録は、生成テキストの別の版で測定されています "
        f"(現在は第 {GENERATED_EDITION} 版)。名前を変えて残し ({named_ja})、"
        "それらのセルを測り直します",
    )
    return [line]


def _without_rate(cell: Cell) -> str:
    """Id of a cell whatever its learning rate, which costs no memory."""
    return replace(cell, learning_rate=None).id
