"""The report of a run that goes on: when it is written, what it says, and that it ends nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factories import environment, fail, make_config, make_records
from lora_efficiency_benchmark import LoRABenchmarkConfig, LoRAEfficiencyBenchmark, benchmark
from lora_efficiency_benchmark.execution import choice
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.folder import analyze_folder
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.report.live import LiveReport
from lora_efficiency_benchmark.search import unfinished_cells

ONE_ADAPTER = [{"r": 4, "target_modules": ["q_proj", "v_proj"]}]


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def one_of(kind: str) -> CellRecord:
    return next(record for record in make_records() if record.cell.kind == kind)


def test_after_the_base_cell_then_once_a_minute() -> None:
    clock, written = Clock(), []
    live = LiveReport(lambda: written.append(clock.now), clock)
    for now, kind in [(1, "base"), (20, "memory"), (60, "memory"), (62, "train"), (120, "train"),
                      (123, "train")]:  # fmt: skip
        clock.now = float(now)
        live.cell_ended(one_of(kind))
    assert written == [1, 62, 123]


def test_a_slow_report_takes_a_small_share_of_the_time() -> None:
    clock, written = Clock(), []

    def slowly() -> None:
        written.append(clock.now)
        clock.now += 30

    live = LiveReport(slowly, clock)
    for now in range(0, 4000, 40):
        clock.now = max(clock.now, float(now))
        live.cell_ended(one_of("train"))
    pauses = [later - earlier for earlier, later in itertools.pairwise(written)]
    assert pauses
    assert all(30 / pause <= 0.05 for pause in pauses)


def test_what_is_planned_and_has_no_record() -> None:
    config = make_config(lora_configurations=ONE_ADAPTER)
    records = make_records(config)
    assert unfinished_cells(config, []) == len(expand(config)) == len(records)
    assert unfinished_cells(config, records[:2]) == len(records) - 2
    fail(records[2], "out_of_memory", "too large")
    assert unfinished_cells(config, records) == 0, "a failed cell has its record"
    searched = make_config(lora_configurations=ONE_ADAPTER, learning_rates="search")
    shared = 1  # trial of LoRA at the rate that full fine-tuning will have found
    assert unfinished_cells(searched, []) == len(expand(searched)) + shared


class Launcher:
    """Stands in for the processes: records are there at once, and time passes."""

    def __init__(self, records: list[CellRecord], clock: Clock) -> None:
        self.records = {record.cell_id: record for record in records}
        self.clock, self.running = clock, False
        self.look: Callable[[], None] = lambda: None

    def __call__(self, *_: Any) -> Launcher:
        return self

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def preflight(self, config: LoRABenchmarkConfig) -> dict[str, Any]:
        return {"model": "some model", "parameters": 1, "environment": environment()}

    def estimate(self, cells: Any) -> dict[str, Any]:
        return {}

    def run(self, cell: Cell, on_event: Any) -> CellRecord:
        self.running = True
        self.look()
        self.clock.now += 25.0
        self.running = False
        return self.records[cell.id]

    run_each = LocalLauncher.run_each


@pytest.fixture
def launched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, close_log: None
) -> tuple[LoRAEfficiencyBenchmark, Launcher]:
    """A benchmark of six cells without a process, 25 seconds each."""
    config = make_config(lora_configurations=ONE_ADAPTER, output_dir=str(tmp_path / "out"))
    clock = Clock()
    launcher = Launcher(make_records(config), clock)
    monkeypatch.setattr(choice, "LocalLauncher", launcher)
    monkeypatch.setattr(benchmark, "LiveReport", lambda write: LiveReport(write, clock))
    return LoRAEfficiencyBenchmark(config), launcher


def test_the_page_can_be_opened_on_the_way_and_says_so(
    launched: tuple[LoRAEfficiencyBenchmark, Launcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, launcher = launched
    out, seen = made.store.path, list[int | None]()

    def look() -> None:
        known = out / "analysis.json"
        values = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
        seen.append(values.get("unfinished"))
        if seen == [None, 5]:
            assert "run_not_finished" in {w["code"] for w in values["warnings"]}
            assert (out / "report.html").is_file()

    launcher.look = look
    real = benchmark.write_report
    pages: list[int | None] = []

    def once(store: Store, analysis: Any, language: Any) -> None:
        assert not launcher.running, "nothing may be written while a cell is timed"
        pages.append(analysis.unfinished)
        if len(pages) == 1:  # one real page of a run that has only begun; the others cost time
            real(store, analysis, language)

    monkeypatch.setattr(benchmark, "write_report", once)
    analysis = made.run(language="en")
    assert seen == [None, 5, 5, 5, 2, 2]
    assert pages == [5, 2, 0]
    assert analysis.unfinished == 0
    assert "run_not_finished" not in {warning.code for warning in analysis.warnings}
    next(out.glob("records/train-*.json")).unlink()
    assert analyze_folder(out).unfinished == 1


def test_a_report_that_cannot_be_written_ends_nothing(
    launched: tuple[LoRAEfficiencyBenchmark, Launcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = launched

    def full_disk(store: Store, analysis: Any, language: Any) -> None:
        if analysis.unfinished:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(benchmark, "write_report", full_disk)
    assert made.run(language="en").unfinished == 0
    log = (made.store.path / "lora_benchmark.log").read_text(encoding="utf-8")
    assert log.count("No space left on device") == 2
    assert "Traceback" not in log
