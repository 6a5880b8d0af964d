"""Cells in processes of their own: what comes back, and what happens when a child does not."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig
from lora_efficiency_benchmark.errors import UserError
from lora_efficiency_benchmark.execution import worker
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.plan import Cell, expand

ADAPTER = {"r": 2, "target_modules": ["q_proj", "v_proj"]}


def tiny_config(model: Path, **fields: Any) -> LoRABenchmarkConfig:
    defaults: dict[str, Any] = {
        "model_name": str(model),
        "dataset_sizes": [24],
        "lora_configurations": [ADAPTER],
        "training_steps": 3,
        "eval_steps": 2,
        "max_length": 48,
        "batch_size": 2,
        "learning_rates": {"full": 1e-3, "lora": 1e-2},
        "evaluation_size": 6,
    }
    return LoRABenchmarkConfig(**{**defaults, **fields})


def cell_of(config: LoRABenchmarkConfig, kind: str, label: str | None = None) -> Cell:
    return next(c for c in expand(config) if c.kind == kind and label in (None, c.label))


@pytest.fixture(scope="module")
def launcher() -> Iterator[LocalLauncher]:
    with LocalLauncher("fork") as launch:
        yield launch


def test_each_cell_has_its_own_process(launcher: LocalLauncher, tiny_model_dir: Path) -> None:
    config, pids = tiny_config(tiny_model_dir), []
    for kind in ("base", "memory", "train"):
        seen: list[dict[str, Any]] = []
        record = launcher.run(cell_of(config, kind), seen.append)
        assert record.status == "ok", record.error
        assert record.isolated
        assert record.seconds["fixed"] <= record.seconds["wall"]
        assert next(e["name"] for e in seen if e["event"] == "phase") == "load"
        pids.append(launcher._worker._process.pid)  # type: ignore[union-attr]
    assert len(set(pids)) == 1, "one server, which forks"


def test_fork_and_spawn_give_the_same_bits(launcher: LocalLauncher, tiny_model_dir: Path) -> None:
    cell = cell_of(tiny_config(tiny_model_dir), "train", "r=2 q,v")
    forked = launcher.run(cell)
    with LocalLauncher("spawn") as other:
        spawned = other.run(cell)
    assert forked.evaluation is not None
    assert forked.evaluation == spawned.evaluation


def test_same_seed_twice_is_identical_and_another_seed_is_not(
    launcher: LocalLauncher, tiny_model_dir: Path
) -> None:
    cell = cell_of(tiny_config(tiny_model_dir), "train", "full")
    other = dataclasses.replace(cell, seed=1)
    losses = [launcher.run(c).evaluation["loss"] for c in (cell, cell, other)]  # type: ignore[index]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_a_killed_child_is_a_failed_record_and_the_next_cell_runs(
    tiny_model_dir: Path, isolation: str
) -> None:
    config = tiny_config(tiny_model_dir, training_steps=5000, eval_steps=5000)
    with LocalLauncher(isolation) as launch:

        def kill(event: dict[str, Any]) -> None:
            if event["event"] == "step":
                for child in _children(launch._worker._process.pid, isolation):  # type: ignore[union-attr]
                    os.kill(child, signal.SIGKILL)

        record = launch.run(cell_of(config, "train"), kill)
        assert record.status == "failed"
        assert record.error is not None
        assert record.error["kind"] == "worker_died"
        assert "SIGKILL" in record.error["message"]
        assert launch.run(cell_of(tiny_config(tiny_model_dir), "base")).status == "ok"


def _children(pid: int, isolation: str) -> list[int]:
    if isolation == "spawn":
        return [pid]
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
def test_a_hang_ends_at_the_time_limit(tiny_model_dir: Path) -> None:
    config = tiny_config(tiny_model_dir, training_steps=100_000, eval_steps=100_000)
    with LocalLauncher("fork", time_limit_seconds=3.0) as launch:
        start = time.monotonic()
        record = launch.run(cell_of(config, "train"))
        assert time.monotonic() - start < 60
        assert record.error is not None
        assert record.error["kind"] == "time_limit"
        assert launch.run(cell_of(tiny_config(tiny_model_dir), "base")).status == "ok"


def test_a_diverging_cell_is_recorded(launcher: LocalLauncher, tiny_model_dir: Path) -> None:
    config = tiny_config(
        tiny_model_dir, learning_rates={"full": 1e30, "lora": 1e-2}, precision="fp32",
        training_steps=6,
    )  # fmt: skip
    record = launcher.run(cell_of(config, "train", "full"))
    assert record.status == "failed"
    assert record.error is not None
    assert record.error["kind"] == "diverged"
    assert "lower the rate" in record.error["message"]


def test_a_missing_model_is_a_failed_record(launcher: LocalLauncher, tmp_path: Path) -> None:
    record = launcher.run(cell_of(tiny_config(tmp_path / "none"), "base"))
    assert record.status == "failed"
    assert "no such file or folder" in record.error["message"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"lora_configurations": [{"r": 2, "target_modules": ["q_proj", "out"]}]}, "out match"),
        ({"lora_configurations": [{"r": 2, "target_modules": ["nothing"]}]}, "linear layers"),
        ({"max_length": 100_000}, "max_length"),
        ({"trainer_args": {"no_such_argument": 1}}, "trainer_args"),
        ({"dataset": "/no/such/file.txt"}, "no such file or folder"),
        ({"dataset_sizes": [60_000]}, "50000 can be made"),
    ],
)
def test_preflight_refuses_before_anything_runs(
    launcher: LocalLauncher, tiny_model_dir: Path, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        launcher.preflight(tiny_config(tiny_model_dir, **fields))
    assert "\n" not in str(caught.value)


def test_preflight_tells_model_and_environment(
    launcher: LocalLauncher, tiny_model_dir: Path
) -> None:
    facts = launcher.preflight(tiny_config(tiny_model_dir))
    assert facts["parameters"] > 0
    assert facts["environment"]["device"]["type"] == "cpu"


def test_no_process_is_left_behind(tiny_model_dir: Path) -> None:
    with LocalLauncher("fork") as launch:
        launch.run(cell_of(tiny_config(tiny_model_dir), "base"))
        pid = launch._worker._process.pid  # type: ignore[union-attr]
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()


def test_a_folder_with_a_torch_of_its_own_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stands in a stranger's data folder must not run its files."""
    mark = tmp_path / "ran"
    for name in ("torch", "peft", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\nraise SystemExit", "utf-8")
    monkeypatch.chdir(tmp_path)
    with LocalLauncher() as launcher, pytest.raises(UserError, match="no such"):
        launcher.preflight(
            LoRABenchmarkConfig(model_name="./none", learning_rates={"full": 1e-4, "lora": 1e-3})
        )
    assert not mark.exists()


def test_one_thread_waits_for_the_end_of_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    class Pipe(worker.Channel):
        def __init__(self) -> None:
            self._requests = None  # type: ignore[assignment]  # only a thread would look at it

        def send(self, event: dict[str, Any]) -> None:
            pass

        def receive(self) -> dict[str, Any]:
            return {"cell": {}}

    class Thread:
        def __init__(self, target: Any, **_: Any) -> None:
            started.append(target)

        def start(self) -> None:
            pass

    monkeypatch.setattr(worker, "Channel", Pipe)
    monkeypatch.setattr(worker, "answer", lambda result, send: None)
    monkeypatch.setattr(worker.threading, "Thread", Thread)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker, "repeat_exactly", lambda: None)
    monkeypatch.setattr(worker, "quiet_libraries", lambda: None)
    monkeypatch.setattr(worker.sys, "argv", ["worker", "spawn"])
    worker.main()
    assert len(started) == 1
