"""Timing and the description of the machine."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_efficiency_benchmark import ranks
from lora_efficiency_benchmark.measure import environment, timing
from lora_efficiency_benchmark.measure.allocations import Event
from lora_efficiency_benchmark.measure.rank_memory import of_all_ranks, without_moves
from lora_efficiency_benchmark.measure.timing import StepTimer


class Clock:
    """A machine whose clocks the test turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cores: int = 2, threads: int = 2) -> None:
        self.wall = self.own = self.busy = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.wall)
        monkeypatch.setattr(time, "process_time", lambda: self.own)
        monkeypatch.setattr(timing, "_busy_seconds", lambda: self.busy)
        monkeypatch.setattr(timing, "usable_cores", lambda: cores)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    def run(self, wall: float, own: float, others: float) -> None:
        self.wall += wall
        self.own += own
        self.busy += own + others


def test_only_the_steps_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    timer = StepTimer(on_accelerator=False)
    for seconds in (2.0, 3.0):
        clock.run(wall=100.0, own=50.0, others=50.0)  # evaluation between steps
        timer.start()
        clock.run(wall=seconds, own=2 * seconds, others=0.0)
        timer.stop()
    summary = timer.summary()
    assert summary["steps"] == 2
    assert summary["step_seconds"] == [2.0, 3.0]
    assert summary["train_seconds"] == 5.0
    assert summary["cpu_seconds"] == 10.0
    assert summary["other_busy_cores"] == 0.0
    assert summary["exclusive"] is True


@pytest.mark.parametrize(
    ("cores", "threads", "others", "exclusive"),
    [(2, 2, 0.2, True), (2, 2, 1.0, False), (8, 2, 4.0, True), (8, 2, 7.0, False)],
)
def test_exclusive_means_that_the_others_left_cores_enough(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, others: float, exclusive: bool
) -> None:
    clock = Clock(monkeypatch, cores, threads)
    timer = StepTimer(on_accelerator=False)
    timer.start()
    clock.run(wall=10.0, own=20.0, others=10.0 * others)
    timer.stop()
    assert timer.summary()["other_busy_cores"] == pytest.approx(others)
    assert timer.summary()["exclusive"] is exclusive


def test_what_the_ranks_of_a_cell_use_is_no_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, cores=4, threads=2)
    timer = StepTimer(on_accelerator=False)
    timer.start()
    clock.run(wall=10.0, own=20.0, others=20.0)  # the other rank
    timer.stop()
    assert timer.summary()["exclusive"] is True  # two of four cores are free for the others
    summary = timer.summary([20.0, 19.0])
    assert summary["cpu_seconds"] == 39.0
    assert summary["other_busy_cores"] == pytest.approx(0.1)
    assert summary["exclusive"] is True
    timer.start()
    clock.run(wall=10.0, own=20.0, others=40.0)  # the other rank, and a stranger
    timer.stop()
    assert timer.summary([40.0, 40.0])["exclusive"] is False, "four threads leave no core free"


def test_the_memory_of_ranks_is_the_largest() -> None:
    def block(peak: int, process: int, phase: str) -> dict[str, Any]:
        return {
            "peak_allocated_bytes": peak, "peak_reserved_bytes": None, "device_used_bytes": None,
            "process_peak_bytes": process, "peak_phase": phase, "breakdown": None,
        }  # fmt: skip

    alone = block(5, 7, "backward")
    assert of_all_ranks([alone]) == alone
    found = of_all_ranks([block(5, 9, "backward"), block(6, 8, "optimizer")])
    assert found["peak_phase"] == "optimizer"
    assert [found[f"{name}_bytes"] for name in ("peak_allocated", "process_peak")] == [6, 9]
    assert found["peak_reserved_bytes"] is None
    assert [(r["rank"], r["peak_allocated_bytes"]) for r in found["ranks"]] == [(0, 5), (1, 6)]


def test_weights_that_are_moved_count_once() -> None:
    moved, batch, later, end = Event(1, 10, 5), Event(2, 20, 3), Event(9, 10, 5), Event(3, 10, -5)
    assert without_moves([moved, batch, end, later], {10}, 4) == [batch, end, later]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("in_step", [False, True])
def test_ranks_share_everything(monkeypatch: pytest.MonkeyPatch, count: int, in_step: bool) -> None:
    monkeypatch.setattr(ranks, "count", lambda: count)
    shares = []
    for number in range(count):
        monkeypatch.setattr(ranks, "rank", lambda number=number: number)
        shares.append(ranks.share(list("abcdefg"), in_step))
    everything = sorted(item for share in shares for item in share)
    assert set(everything) == set("abcdefg")
    if in_step:
        assert len({len(share) for share in shares}) == 1, "a divided model needs all ranks"
    else:
        assert everything == list("abcdefg")


def test_a_process_on_its_own_is_rank_0_of_1() -> None:
    assert (ranks.rank(), ranks.count(), ranks.gather("x")) == (0, 1, ["x"])
    model = torch.nn.Linear(2, 2)
    assert not ranks.is_sharded(model)
    assert ranks.device_of(model) == torch.device("cpu")
    assert ranks.whole(model.weight) is model.weight


def test_an_accelerator_is_waited_for_before_the_clock_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: clock.run(1.5, 0.0, 0.0))
    timer = StepTimer(on_accelerator=True)
    timer.start()
    timer.stop()
    assert timer.step_seconds == [1.5], "the wait at the end is in, the one at the start is out"


def test_no_steps() -> None:
    assert StepTimer(on_accelerator=False).summary()["train_seconds"] == 0


def test_the_busy_time_of_this_machine_grows() -> None:
    first = timing._busy_seconds()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    second = timing._busy_seconds()
    if first is None or second is None:
        pytest.skip("this system does not tell its CPU times")
    assert 0.0 < second - first < 60.0


FIELDS = {"python", "platform", "packages", "device", "cpu_model", "cores", "threads"}


def test_the_environment_of_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_BENCH_DEVICE", "cpu")
    found = environment.describe_environment("emulated")
    assert set(found) >= FIELDS | {"bf16_matmul", "git"}
    assert found["bf16_matmul"] == "emulated"
    assert found["packages"]["torch"] == torch.__version__
    assert set(environment.PACKAGES) <= set(found["packages"])
    assert found["device"]["type"] == "cpu"
    assert found["device"]["total_memory_bytes"] > 2**20
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_thread_bound_to_one_core_does_not_hide_the_others() -> None:
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("one core")
    waiting = threading.Event()
    other = threading.Thread(target=waiting.wait, args=(60,))
    other.start()
    try:
        os.sched_setaffinity(0, {min(before)})
        assert environment.usable_cores() == len(before)
    finally:
        os.sched_setaffinity(0, before)
        waiting.set()
        other.join()


def test_a_package_that_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("no-such-package-anywhere",))
    assert environment.package_versions()["no-such-package-anywhere"] == "not installed"


def test_the_state_of_the_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "src" / "lora_efficiency_benchmark" / "measure"
    package.mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(package / "environment.py"))
    assert environment.git_state() is None, "outside a checkout there is none"
    (tmp_path / ".git").mkdir()
    answers = {"rev-parse": "abc\n", "status": " M x\n"}

    def git(command: list[str], **_: Any) -> Any:
        assert command[:3] == ["git", "-C", str(tmp_path)]
        return type("Done", (), {"stdout": answers[command[3]]})

    monkeypatch.setattr(environment.subprocess, "run", git)
    assert environment.git_state() == {"commit": "abc", "dirty": True}
    monkeypatch.setattr(environment.subprocess, "run", _no_git)
    assert environment.git_state() is None


def _no_git(*_: Any, **__: Any) -> None:
    raise FileNotFoundError("git")


def test_an_accelerator_described_from_what_torch_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for a CUDA or ROCm device: the reading is tested, the device is not."""
    properties = type("Properties", (), {"name": "Some GPU", "total_memory": 24 * 2**30})
    monkeypatch.delenv("LORA_BENCH_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *_: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    device = environment.describe_device()
    assert (device["type"], device["name"]) == ("cuda", "Some GPU")
    assert device["total_memory_bytes"] == 24 * 2**30
    assert {"cuda", "hip", "count"} <= set(device)
    monkeypatch.setenv("LORA_BENCH_DEVICE", "CPU")
    assert environment.describe_device()["type"] == "cpu"
