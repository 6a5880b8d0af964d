"""A real Ray cluster on this machine: two nodes, one of them lost; a run that is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from factories import tiny_run
from lora_efficiency_benchmark import LoRAEfficiencyBenchmark
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.records.results import OK, CellRecord
from lora_efficiency_benchmark.records.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("close_log"),
    pytest.mark.filterwarnings("ignore"),  # what Ray leaves open is not ours
]
WORKER = "lora_efficiency_benchmark.execution.worker"

tiny_config = partial(tiny_run, probes=False, samples=[])


class Watching:
    """Follows a run, and does something once a number of cells have ended."""

    def __init__(self, after: int, act: Callable[[Watching], None]) -> None:
        self.facts: dict[str, Any] = {}
        self.began: list[str] = []
        self.ended: list[str] = []
        self._after, self._act = after, act

    def run_started(self, facts: dict[str, Any], cells: Sequence[Cell], kept: int) -> None:
        self.facts = facts

    def cell_started(self, cell: Cell) -> None:
        self.began.append(cell.id)

    def event(self, event: dict[str, Any]) -> None:
        pass

    def cell_ended(self, record: CellRecord) -> None:
        self.ended.append(record.cell_id)
        if len(self.ended) == self._after:
            self._act(self)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that computes nothing and two nodes of one core, as machines of their own."""
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    ray.shutdown()
    made.shutdown()


def test_every_cell_ends_with_one_record_although_a_node_is_lost(
    cluster: Any, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    for name in ("lora_efficiency_benchmark", "yaml", "torch"):
        text = f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit"
        (stranger / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(stranger)
    config = tiny_config(tiny_model_dir, tmp_path / "out", training_steps=40, eval_steps=20)
    lost = sorted(cluster.worker_nodes, key=str)[0]

    def lose(watch: Watching) -> None:
        assert len(set(watch.began) - set(watch.ended)) >= 2, "both nodes must be at work"
        cluster.remove_node(lost, allow_graceful=False)

    watch = Watching(2, lose)
    analysis = LoRAEfficiencyBenchmark(config).run(
        watch=watch, executor="ray", address=cluster.address
    )
    planned = {cell.id for cell in expand(config)}
    assert watch.facts["at_once"] == 2
    assert len(watch.facts["environment"]["nodes"]) == 2
    assert sorted(watch.began) == sorted(watch.ended) == sorted(planned)
    records = {r.cell_id: r for r in Store(tmp_path / "out").load_records()}
    assert set(records) == planned
    assert {r.status for r in records.values()} == {OK}
    assert {r.environment["threads"] for r in records.values()} == {1}
    assert all(r.environment["node"] for r in records.values())
    assert analysis.unfinished == 0
    assert not analysis.failures
    assert not (tmp_path / "ran").exists(), "nobody imports from the folder the caller stands in"
    assert Path.cwd() == stranger

    trained = next(r for r in records.values() if r.cell.kind == "train")
    with LocalLauncher("spawn") as alone:
        assert alone.run(trained.cell).evaluation == trained.evaluation


def processes_with(mark: str) -> list[int]:
    """Processes that inherited a variable, by id."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended, or is somebody else's
            pass
    return found


def wait_until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)


def test_a_run_that_is_stopped_leaves_no_process_and_goes_on(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    config = tiny_config(tiny_model_dir, tmp_path / "out", training_steps=30, eval_steps=10)
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml(), encoding="utf-8")
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "lora_efficiency_benchmark.cli", "run", str(file)]
    command += ["--executor", "ray", "--lang", "en"]
    environment = {**os.environ, "LORA_BENCH_TEST_MARK": mark}
    environment.pop("RAY_ADDRESS", None)

    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    records = tmp_path / "out" / "records"
    wait_until(lambda: bool(list(records.glob("*.json"))) or process.poll() is not None, 400)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "the same command goes on from there" in told.splitlines()[-1]
    assert "Traceback" not in told
    wait_until(lambda: not processes_with(mark), 60)
    kept = {path.name: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert 0 < len(kept) < len(expand(config))

    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stderr
    assert "measured before are kept" in again.stderr
    after = {path.name: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert len(after) == len(expand(config))
    assert kept.items() <= after.items(), "what was measured is not measured again"
    assert {r.status for r in Store(tmp_path / "out").load_records()} == {OK}
    wait_until(lambda: not processes_with(mark), 60)


def test_an_address_without_a_cluster_is_one_line(tiny_model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    file = tmp_path / "config.yaml"
    file.write_text(tiny_config(tiny_model_dir, tmp_path / "out").to_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "lora_efficiency_benchmark.cli", "run", str(file)]
    command += ["--executor", "ray", "--address", "127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("lora-bench: --executor ray: no cluster could be joined at 127.0.0.1:1")
    assert "ray start --head" in line


def test_a_child_whose_parent_is_killed_ends(tiny_model_dir: Path, tmp_path: Path) -> None:
    """Else a cell would go on beside its second try on another node."""
    config = tiny_config(tiny_model_dir, tmp_path, training_steps=1_000_000, eval_steps=1_000_000)
    cell = next(cell for cell in expand(config) if cell.kind == "train")
    parent = (
        "import json, sys\n"
        "from lora_efficiency_benchmark.execution.launcher import LocalLauncher\n"
        "from lora_efficiency_benchmark.plan import Cell\n"
        "with LocalLauncher('spawn') as launch:\n"
        "    launch.run(Cell.from_dict(json.loads(sys.argv[1])), lambda e: print(e, flush=True))\n"
    )
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-c", parent, json.dumps(cell.to_dict())],
        env={**os.environ, "LORA_BENCH_TEST_MARK": mark}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert any("step" in line for line in process.stdout)
    assert len(processes_with(mark)) == 2
    process.kill()
    process.wait()
    wait_until(lambda: not processes_with(mark), 30)
    process.stdout.close()
