"""What the program itself costs a run: planning, and the scheduling of cells that take no time.

python benchmarks/harness_scale.py --cells 1000 10000

A launcher that answers at once stands for the processes; plan, scheduling loop, store and log are
the real ones. Plans this long are without estimates of memory, a trace for each arm. The
records are invented and valid, with 200 held-out texts each as real ones have; only time and
memory mean anything here. Each size runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lora_efficiency_benchmark.cli.plan import MANY_CELLS
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig
from lora_efficiency_benchmark.execution.executors import EstimateOf, EventHook
from lora_efficiency_benchmark.measuring import Measurement, Unwatched
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.report.live import LiveReport
from lora_efficiency_benchmark.search import remaining_cells
from lora_efficiency_benchmark.units import to_mib
from report_scale import RANKS, TARGETS, record_of

PLAN_SECONDS, CELL_SECONDS, GROWTH_MIB = 3.0, 0.05, 200.0  # what is asked of 10,000 cells


def main() -> None:
    """Measure every size in a fresh process, print, exit 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--documents", type=int, default=200, help="held-out texts a record")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.cells[0], arguments.documents)))
        return
    rows = [_measured(count, arguments.documents) for count in arguments.cells]
    for row in rows:
        print(
            f"{row['cells']:,} cells: lora-bench plan "
            f"{row['plan_seconds']:.2f} s; scheduling "
            f"{1e3 * row['cell_seconds']:.1f} ms a cell (first tenth "
            f"{1e3 * row['first_seconds']:.1f}, last tenth {1e3 * row['last_seconds']:.1f}); "
            f"peak memory {row['peak_mib']:.0f} MiB"
        )
    growth = rows[-1]["peak_mib"] - rows[0]["peak_mib"]
    print(f"memory grows by {growth:.0f} MiB from the first size to the last")
    missed = [
        *(f"plan of {r['cells']:,}" for r in rows if r["plan_seconds"] > PLAN_SECONDS),
        *(f"a cell of {r['cells']:,}" for r in rows if r["cell_seconds"] > CELL_SECONDS),
        *(["memory"] if growth > GROWTH_MIB else []),
    ]
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


def make_config(cells: int, folder: Path) -> LoRABenchmarkConfig:
    """About ``cells`` cells, as many seeds as that takes."""
    adapters = [
        {"r": rank, "alpha": 2 * rank, "target_modules": list(targets)}
        for rank in RANKS
        for targets in TARGETS
    ][: max(2, min(18, cells // 40))]
    sizes = [500, 1000, 2000, 5000]
    fixed = 2 + 2 * len(adapters)
    return LoRABenchmarkConfig(
        dataset_sizes=sizes,
        lora_configurations=adapters,
        seeds=max(1, round((cells - fixed) / ((len(adapters) + 1) * len(sizes)))),
        training_steps=50,
        eval_steps=25,
        learning_rates={"full": 1e-4, "lora": 2e-3},
        estimate_scale=False,
        probes=False,
        samples=[],
        output_dir=str(folder),
    )


class Instant:
    """A launcher whose cells take no time; it notes when each began."""

    def __init__(self, documents: int) -> None:
        self.documents = documents
        self.began: list[float] = []
        self.inside = 0.0  # seconds spent on inventing records

    def __enter__(self) -> Instant:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def preflight(self, config: LoRABenchmarkConfig) -> dict[str, Any]:
        """An invented machine."""
        device = {"type": "cpu", "name": "made up", "total_memory_bytes": None}
        return {"model": "m", "parameters": 1, "environment": {"device": device}}

    def estimate(self, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
        """Nothing is predicted."""
        return {}

    def estimate_scale(self, on_event: EventHook = lambda event: None) -> list[dict[str, Any]]:
        """Nothing is predicted."""
        return []

    def run_each(
        self,
        cells: Sequence[Cell],
        estimate_of: EstimateOf,
        begin: Callable[[Cell], None],
        on_event: EventHook,
    ) -> Iterator[CellRecord]:
        """A record of every cell, at once."""
        for cell in cells:
            self.began.append(time.perf_counter() - self.inside)
            begin(cell)
            started = time.perf_counter()
            record = record_of(cell, self.documents)
            self.inside += time.perf_counter() - started
            yield record


def measure(cells: int, documents: int) -> dict[str, float]:
    """Seconds of the plan, seconds a cell, and the peak memory of this process in MiB."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = make_config(cells, folder / "run")
        file = folder / "config.yaml"
        file.write_text(config.to_yaml(), encoding="utf-8")
        command = [sys.executable, "-m", "lora_efficiency_benchmark.cli", "plan", str(file)]
        if len(expand(config)) <= MANY_CELLS:  # more are listed without estimates anyway
            command.append("--no-estimates")
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        plan_seconds = time.perf_counter() - started
        store = Store(config.output_dir)
        store.create()
        launch, live = Instant(documents), LiveReport(lambda: None)
        quiet = logging.getLogger("harness_scale")
        quiet.setLevel(logging.CRITICAL)
        count = len(expand(config))
        started = time.perf_counter()
        with store.lock():
            store.tidy()
            missing = remaining_cells(config, store.outlines())
            Measurement(config, store, Unwatched(), live, quiet).run(launch, missing, 0)
        seconds = time.perf_counter() - started - launch.inside
        if len(store.finished_ids()) != count:
            sys.exit(f"{len(store.finished_ids())} records of {count} cells")
    tenth = max(1, count // 10)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "cells": count,
        "plan_seconds": plan_seconds,
        "cell_seconds": seconds / count,
        "first_seconds": (launch.began[tenth] - launch.began[0]) / tenth,
        "last_seconds": (launch.began[-1] - launch.began[-1 - tenth]) / tenth,
        "peak_mib": to_mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit),
    }


def _measured(cells: int, documents: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", "--cells", str(cells)]
    command += ["--documents", str(documents)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    values: dict[str, float] = json.loads(done.stdout)
    return values


if __name__ == "__main__":
    main()
