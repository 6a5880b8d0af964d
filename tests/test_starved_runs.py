"""Real runs that get too little: memory, room on the disk, a loss that is a number, the network."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

import whole_runs
from factories import tiny_run
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.units import MIB

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="prlimit, cgroups and tmpfs are Linux's"),
]

SMALL = 1024  # bytes: no record is that short

config = partial(tiny_run, probes=False, samples=[])
hungry = partial(config, dataset_sizes=[600], batch_size=256, max_length=256)


def first_begun(notes: Path, kind: str) -> bool:
    """True once a cell of this kind has begun."""
    return notes.exists() and any(i.startswith(kind) for i in notes.read_text().split())


def worker_of(process: subprocess.Popen[str]) -> psutil.Process:
    """The child that forks one process a cell."""
    return whole_runs.family(process.pid)[1]


# ---- memory -------------------------------------------------------------------------------------


def check_out_of_memory(folder: Path, said: str) -> list[str]:
    """The messages of the cells that ended so, each with its estimate; the report names them."""
    found = whole_runs.records(folder).values()
    ended = [r for r in found if r.status == "failed"]
    assert ended, said
    messages = []
    for record in ended:
        assert record.error is not None
        assert record.error["kind"] == "out_of_memory", record.error
        assert record.estimate is not None
        assert record.estimate["peak_allocated_bytes"] > 0
        messages.append(record.error["message"])
    assert any(r.status == "ok" for r in found), "the run went on"
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert "out of memory" in report
    return messages


def test_an_allocation_that_is_refused(tiny_model_dir: Path, tmp_path: Path) -> None:
    folder, notes = tmp_path / "run", tmp_path / "begun"
    file = whole_runs.write_config(hungry(tiny_model_dir, folder), tmp_path / "config.yaml")
    process = whole_runs.start(file, notes)
    whole_runs.wait_for(lambda: first_begun(notes, "base"))
    worker = worker_of(process)
    most = worker.memory_info().vms + 400 * MIB  # as `ulimit -v` would; cells inherit it
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (most, most))
    said = whole_runs.finish(process)
    messages = check_out_of_memory(folder, said)
    print(f"\n{len(messages)} cells out of memory: {messages[0]}")


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group of 64 MiB, where this machine lets us make one."""
    first = Path("/sys/fs/cgroup/memory")  # version 1 has a tree for each resource
    root, limit = (first, "memory.limit_in_bytes")
    if not first.is_dir():
        root, limit = Path("/sys/fs/cgroup"), "memory.max"
    group = root / f"lora-bench-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(64 * MIB))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no control group for memory can be made here: {error}")
    yield group
    group.rmdir()


def test_a_kill_by_the_kernel(tiny_model_dir: Path, tmp_path: Path, small_group: Path) -> None:
    folder, notes = tmp_path / "run", tmp_path / "begun"
    file = whole_runs.write_config(hungry(tiny_model_dir, folder), tmp_path / "config.yaml")
    process = whole_runs.start(file, notes)

    def child() -> psutil.Process | None:
        family = whole_runs.family(process.pid)
        return family[-1] if first_begun(notes, "memory") and len(family) > 2 else None

    victim = whole_runs.wait_for(child, 120)
    (small_group / "cgroup.procs").write_text(str(victim.pid))
    (message,) = check_out_of_memory(folder, whole_runs.finish(process))
    assert "killed" in message
    assert "memory" in message


# ---- a loss that is no number -------------------------------------------------------------------


def test_a_rate_that_no_training_survives(tiny_model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rates = {"full": 1e30, "lora": 1e-2}
    wild = config(tiny_model_dir, folder, learning_rates=rates)
    file = whole_runs.write_config(wild, tmp_path / "config.yaml")
    said = whole_runs.finish(whole_runs.start(file))
    trained = [r for r in whole_runs.records(folder).values() if r.cell.kind == "train"]
    status = {r.cell.training_method: r for r in trained}
    full = status["full_finetuning"]
    assert full.status == "failed", said
    assert full.error is not None
    assert full.error["kind"] == "diverged"
    assert "1e+30" in full.error["message"]
    assert status["lora"].status == "ok"
    assert "diverged" in (folder / "report.md").read_text(encoding="utf-8")
    assert "diverged" in said


# ---- a full disk --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB, where this machine lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def check_resumed(folder: Path, file: Path, kept: dict[str, bytes]) -> None:
    """With room again the same command completes the matrix and touches no finished record."""
    whole_runs.finish(whole_runs.start(file))
    assert kept.items() <= whole_runs.stored(folder).items()
    found = whole_runs.records(folder)
    assert len(found) > len(kept)
    assert all(record.status == "ok" for record in found.values())
    assert not list(folder.rglob(".*.tmp"))


def test_a_disk_that_fills_while_cells_run(
    tiny_model_dir: Path, tmp_path: Path, small_disk: Path
) -> None:
    folder, ballast = small_disk / "run", small_disk / "ballast"
    file = whole_runs.write_config(config(tiny_model_dir, folder), tmp_path / "config.yaml")
    process = whole_runs.start(file)
    whole_runs.wait_for(lambda: whole_runs.stored(folder), 120)
    with ballast.open("wb", buffering=0) as out:
        try:
            while out.write(b"\0" * 1024):
                pass
        except OSError:
            pass
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 1, said
    lines = [line for line in said.splitlines() if line.strip()]
    assert sum("No space left" in line for line in lines) == 1, said
    assert "Traceback" not in said
    kept = whole_runs.stored(folder)
    assert kept
    ballast.unlink()
    check_resumed(folder, file, kept)


def test_a_limit_on_file_sizes_while_cells_run(tiny_model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    file = whole_runs.write_config(config(tiny_model_dir, folder), tmp_path / "config.yaml")
    process = whole_runs.start(file)
    whole_runs.wait_for(lambda: whole_runs.stored(folder), 120)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (SMALL, resource.RLIM_INFINITY))
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 1, said
    assert said.count("File too large") == 1, said
    assert "Traceback" not in said
    check_resumed(folder, file, whole_runs.stored(folder))


def test_no_room_for_what_the_worker_saves(tiny_model_dir: Path, tmp_path: Path) -> None:
    """Only the size of what is saved is unknown then; the measurement stays."""
    folder, notes = tmp_path / "run", tmp_path / "begun"
    file = whole_runs.write_config(config(tiny_model_dir, folder), tmp_path / "config.yaml")
    process = whole_runs.start(file, notes)
    whole_runs.wait_for(lambda: first_begun(notes, "base"), 120)
    worker = worker_of(process)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (SMALL, resource.RLIM_INFINITY))
    said = whole_runs.finish(process)
    trained = [r for r in whole_runs.records(folder).values() if r.cell.kind == "train"]
    assert [r.status for r in trained] == ["ok", "ok"], said
    assert [r.saved for r in trained] == [None, None]
    assert all(r.evaluation is not None for r in trained)


# ---- two runs on one folder ---------------------------------------------------------------------


def test_a_second_run_is_refused_and_the_first_goes_on(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    file = whole_runs.write_config(config(tiny_model_dir, folder), tmp_path / "config.yaml")
    first = whole_runs.start(file)
    whole_runs.wait_for(lambda: (folder / "config.yaml").exists(), 120)
    first.send_signal(signal.SIGSTOP)  # so that the second one meets it, however slow it starts
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    second = whole_runs.start(file)
    said = second.communicate(timeout=120)[0]
    after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    assert "another run" in said
    assert len(said.strip().splitlines()) == 1, said
    assert before == after
    whole_runs.finish(first)
    found = whole_runs.records(folder)
    assert all(record.status == "ok" for record in found.values())
    with Store(folder).lock():
        pass


# ---- no network ---------------------------------------------------------------------------------

_NO_NETWORK = """
import os, sys
def refuse(event, arguments):
    asked = event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.bind")
    if asked and not isinstance(arguments[-1], (str, bytes)):
        with open(os.environ["ASKED"], "a") as file:
            file.write(f"{event} {arguments}\\n")
        raise OSError(101, "Network is unreachable")
sys.addaudithook(refuse)
"""


def test_without_a_network(tiny_model_dir: Path, tmp_path: Path) -> None:
    """Every Python of a run refuses sockets, and notes who asked: nobody may."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(_NO_NETWORK)
    asked, folder = tmp_path / "asked", tmp_path / "run"
    paths = [str(tmp_path / "blocked"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment["ASKED"] = str(asked)
    environment.pop("HF_HUB_OFFLINE", None)  # nothing forbids it but the hook

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    probe = "import socket\ntry: socket.create_connection(('192.0.2.1', 9), 1)\n"
    python("-c", probe + "except OSError: print('refused')")
    assert "socket" in asked.read_text(), "the hook works"
    asked.unlink()
    file = whole_runs.write_config(config(tiny_model_dir, folder), tmp_path / "config.yaml")
    bench = ("-m", "lora_efficiency_benchmark.cli")
    python(*bench, "run", str(file))
    python(*bench, "report", str(folder))
    page = tmp_path / "map.html"
    narrow = ("--precision", "bf16", "--optimizer", "adamw_torch", "--checkpointing", "off")
    python(*bench, "map", str(tiny_model_dir), "-o", str(page), *narrow, "--max-batch", "2")
    assert not asked.exists(), asked.read_text()
    assert (folder / "report.html").exists()
    assert page.exists()
