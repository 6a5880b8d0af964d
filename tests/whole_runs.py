"""Real runs in processes of their own, for the tests that end, starve or crowd them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store

# A run whose watch notes, outside of the folder, each cell that begins.
_FOLLOWED = """
import os, sys
from lora_efficiency_benchmark import LoRAEfficiencyBenchmark
from lora_efficiency_benchmark.measuring import Unwatched
class Notes(Unwatched):
    def cell_started(self, cell):
        with open(sys.argv[2], "a") as file:
            file.write(cell.id + "\\n")
LoRAEfficiencyBenchmark(sys.argv[1]).run(Notes())
"""


def write_config(config: LoRABenchmarkConfig, path: Path) -> Path:
    """The file that a command line names."""
    path.write_text(config.to_yaml(), encoding="utf-8")
    return path


def start(
    config: Path,
    notes: Path | None = None,
    environment: Mapping[str, str] | None = None,
    **how: Any,
) -> subprocess.Popen[str]:
    """``lora-bench run CONFIG``; with ``notes``, a file that gets the id of each begun cell."""
    command = [sys.executable, "-m", "lora_efficiency_benchmark.cli", "run", str(config)]
    if notes is not None:
        command = [sys.executable, "-c", _FOLLOWED, str(config), str(notes)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
        **how,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What a run prints, which must end well."""
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 0, said
    return said


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started, the eldest first."""
    try:
        eldest = psutil.Process(pid)
        return [eldest, *eldest.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_all(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The power cut: the run and its children end at one moment, before one can react."""
    killed = family(process.pid)
    for sign in (signal.SIGSTOP, signal.SIGKILL):
        for one in killed:
            try:
                one.send_signal(sign)
            except psutil.NoSuchProcess:
                pass
    process.communicate()
    psutil.wait_procs(killed, timeout=10)
    return killed


def wait_for(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first answer of ``what`` that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := what():
            return answer
        time.sleep(0.005)
    raise AssertionError(f"did not happen within {seconds:g} s")


def stored(folder: Path) -> dict[str, bytes]:
    """The records of a folder, byte for byte."""
    return {path.name: path.read_bytes() for path in (folder / "records").glob("*.json")}


def records(folder: Path) -> dict[str, CellRecord]:
    """The records of a folder, by id."""
    return {record.cell_id: record for record in Store(folder).load_records()}


def losses(folder: Path) -> dict[str, float]:
    """Held-out loss, every bit of it, of each cell that has one."""
    return {
        cell_id: record.evaluation["loss"]
        for cell_id, record in records(folder).items()
        if record.evaluation is not None
    }
