"""What can go wrong with an output folder: full disks, damaged records, two runs at once, crashes.

Nothing here trains: the launcher is replaced by one that hands out synthetic records.
"""

from __future__ import annotations

import builtins
import errno
import json
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from factories import make_config, make_records
from lora_efficiency_benchmark import LoRAEfficiencyBenchmark, benchmark
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig
from lora_efficiency_benchmark.errors import StoreError
from lora_efficiency_benchmark.execution import choice
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.plan import Cell
from lora_efficiency_benchmark.records import store
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.search import remaining_cells

pytestmark = pytest.mark.usefixtures("close_log")

ONE_ARM = [{"r": 4, "target_modules": ["q_proj", "v_proj"]}]


def small_config(**fields: Any) -> LoRABenchmarkConfig:
    return make_config(lora_configurations=ONE_ARM, precision="bf16", **fields)


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    """A folder with every record of a small configuration."""
    made = Store(tmp_path / "run")
    made.create()
    for record in make_records(small_config()):
        made.write_record(record)
    return made


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def said_once(error: pytest.ExceptionInfo[StoreError], *words: str) -> str:
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


# ---- a full disk --------------------------------------------------------------------------------


class FullAt:
    """A file whose writes run out of room at one step."""

    def __init__(self, file: Any, step: str) -> None:
        self._file, self._step = file, step

    def __enter__(self) -> FullAt:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._step == "close":
            no_room()

    def write(self, text: str) -> None:
        if self._step == "write":
            self._file.write(text[: len(text) // 2])
            no_room()
        self._file.write(text)

    def flush(self) -> None:
        self._file.flush()
        if self._step == "flush":
            no_room()

    def fileno(self) -> int:
        return int(self._file.fileno())


def no_room(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill_at(patch: pytest.MonkeyPatch, step: str) -> None:
    if step in ("fsync", "replace"):
        patch.setattr(os, step, no_room)
    elif step == "mkdir":
        patch.setattr(Path, "mkdir", no_room)
    elif step == "open":
        patch.setattr(store, "open", no_room, raising=False)
    else:

        def opened(*arguments: Any, **options: Any) -> FullAt:
            return FullAt(builtins.open(*arguments, **options), step)

        patch.setattr(store, "open", opened, raising=False)


@pytest.mark.parametrize("step", ["mkdir", "open", "write", "flush", "fsync", "close", "replace"])
def test_a_disk_that_fills_at_any_step_costs_nothing_that_was_stored(
    filled: Store, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(filled.records_path)
    changed = filled.load_records()[0]
    changed.ended_at = "later"
    with monkeypatch.context() as patch:
        fill_at(patch, step)
        with pytest.raises(StoreError) as error:
            filled.write_record(changed)
    said_once(error, changed.cell_id, "No space left on device", "make room and run the same")
    assert files(filled.records_path) == before, "no half-written file either"
    filled.write_record(changed)
    assert changed in filled.load_records()


def test_a_limit_of_the_system_itself(filled: Store) -> None:
    """The kernel refuses the bytes, in the middle of a record."""
    before = files(filled.records_path)
    record = filled.load_records()[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(StoreError) as error:
            filled.write_record(record)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said_once(error, "File too large", "make room")
    assert files(filled.records_path) == before


def test_a_folder_that_does_not_let_itself_be_opened(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError) as error, filled.lock():
        pass
    said_once(error, str(filled.path), "Permission denied")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(filled: Store) -> None:
    filled.records_path.chmod(0o500)
    try:
        with pytest.raises(StoreError) as error:
            filled.write_record(filled.load_records()[0])
    finally:
        filled.records_path.chmod(0o700)
    said_once(error, "Permission denied", "what was stored before is kept")


# ---- damaged records ----------------------------------------------------------------------------


def edited(*path: str | int, to: Any) -> Callable[[bytes], bytes]:
    """A record in which one value was changed by hand."""

    def change(content: bytes) -> bytes:
        values = json.loads(content)
        inner = values
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = to
        return json.dumps(values).encode()

    return change


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(len(content) * share)]


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "cannot be read"),
    "cut at a tenth": (cut(0.1), "cannot be read"),
    "cut at a half": (cut(0.5), "cannot be read"),
    "cut before the end": (cut(0.999), "cannot be read"),
    "zeros, as after a power cut": (lambda content: bytes(len(content)), "cannot be read"),
    "another encoding": (lambda _: '{"値": 1}'.encode("shift_jis"), "cannot be read"),
    "no JSON": (lambda _: b"train_seconds: 3", "cannot be read"),
    "twice": (lambda content: content + content, "cannot be read"),
    "nested without end": (lambda _: b"[" * 200_000, "nested too deeply"),
    "a number without end": (lambda _: b'{"a": ' + b"9" * 5000 + b"}", "cannot be read"),
    "a list": (lambda _: b"[]", "not a cell record"),
    "null": (lambda _: b"null", "not a cell record"),
    "nothing in it": (lambda _: b"{}", "format version None"),
    "an older version": (edited("format_version", to=0), "format version 0"),
    "a later version": (edited("format_version", to=2), "this program reads 1"),
    "a version that is no number": (edited("format_version", to=True), "format version True"),
    "settings changed": (edited("cell", "training_steps", to=7), "its settings are those of"),
    "another id": (edited("cell_id", to="../../evil"), "its settings are those of"),
    "a kind that leads elsewhere": (edited("cell", "kind", to="../../x"), "cell.kind is"),
    "a method nobody knows": (edited("cell", "training_method", to="qlora"), "training_method is"),
    "an arm without adapter": (edited("cell", "adapter", to=None), "cell.adapter does not go"),
    "steps as text": (edited("cell", "training_steps", to="24"), "cell.training_steps is '24'"),
    "steps below zero": (edited("cell", "training_steps", to=-1), "cell.training_steps is -1"),
    "a seed without end": (edited("cell", "seed", to=10**30), "cell.seed is"),
    "half a character": (edited("cell", "model_name", to="\ud800"), "not a cell record"),
    "a setting too many": (edited("cell", "colour", to="red"), "colour"),
    "no settings": (edited("cell", to=None), "not a cell record"),
    "unknown status": (edited("status", to="fine"), "unknown status 'fine'"),
    "a block that is a number": (edited("training", to=3), "training must be a mapping, got 3"),
    "a block that is a list": (edited("parameters", to=[1]), "parameters must be a mapping"),
    "no environment": (edited("environment", to=None), "environment must not be null"),
    "packages as text": (edited("environment", "packages", to="torch"), "environment.packages"),
    "loss as text": (edited("evaluation", "loss", to="2.0"), "evaluation.loss must be a number"),
    "loss as truth": (edited("evaluation", "loss", to=True), "evaluation.loss must be a number"),
    "documents as number": (edited("evaluation", "documents", to=9), "documents must be a list"),
    "a document of text": (
        edited("evaluation", "documents", 3, "nats", to="x"), "evaluation.documents[3].nats must",
    ),
    "a document without nats": (
        edited("evaluation", "documents", 3, to={"tokens": 1, "raw_bytes": 1}),
        "evaluation.documents[3].nats is missing",
    ),
    "seconds as text": (edited("seconds", "load", to="2 s"), "seconds.load must be a number"),
    "parameters below zero": (edited("parameters", "total", to=-1), "parameters.total must be"),
    "parameters as a share": (edited("parameters", "total", to=0.5), "parameters.total must be"),
    "infinity misspelt": (
        edited("evaluation", "loss", to={"non_finite": "large"}), "non_finite: 'large'",
    ),
    "samples without text": (edited("samples", to=[{"prompt": "x"}]), "samples[0].text is missing"),
    "an error without words": (edited("error", to={"kind": 3}), "error.kind must be a text"),
    "a model without name": (edited("model", to={"name": "x"}), "model.display_name is missing"),
    "an estimate of text": (
        edited("estimate", to={"peak_allocated_bytes": "9"}), "estimate.peak_allocated_bytes must",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_named_set_aside_and_its_cell_runs_again(
    filled: Store, damage: str
) -> None:
    change, words = DAMAGES[damage]
    config = small_config()
    whole = filled.load_records()
    assert remaining_cells(config, whole) == []
    victim = next(r for r in whole if r.cell.kind == "train" and r.cell.adapter is not None)
    path = filled.records_path / f"{victim.cell_id}.json"
    content = change(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(StoreError) as error:
        filled.load_records()
    said_once(error, str(path), words, "run the benchmark again")
    (line,) = filled.tidy()
    assert path.name in line.en
    assert words in line.en
    assert f"kept as {path.name}.unreadable, and its cell runs again" in line.en
    assert line.ja.startswith(f"{path}: ")
    assert line.ja.endswith(f"。{path.name}.unreadable として残し、そのセルを測り直します")
    assert path.with_name(f"{path.name}.unreadable").read_bytes() == content
    left = filled.load_records()
    assert left == [record for record in whole if record is not victim]
    assert remaining_cells(config, left) == [victim.cell]
    assert filled.tidy() == [], "once is enough"


def test_a_second_damaged_file_of_one_name_is_kept_too(filled: Store) -> None:
    path = next(filled.records_path.iterdir())
    for content in (b"1", b"22", b"333"):
        path.write_bytes(content)
        filled.tidy()
    kept = {p.name.removeprefix(path.name): p.read_bytes() for p in path.parent.glob("*.unread*")}
    assert kept == {".unreadable": b"1", ".unreadable-2": b"22", ".unreadable-3": b"333"}


def test_a_record_under_the_name_of_another(filled: Store) -> None:
    one, two = sorted(filled.records_path.iterdir())[:2]
    two.write_bytes(one.read_bytes())
    with pytest.raises(StoreError) as error:
        filled.load_records()
    said_once(error, str(two), f"holds the record of {one.stem}")
    assert len(filled.tidy()) == 1
    assert one.stem in {record.cell_id for record in filled.load_records()}


@pytest.mark.parametrize("kind", ["folder", "pipe", "broken link", "device", "huge"])
def test_what_is_no_file_of_ours(filled: Store, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled.records_path / "other.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        path.write_text('{"a": "' + "x" * 300_000 + '"}', encoding="utf-8")
        monkeypatch.setattr(store, "MAX_FILE_BYTES", 200_000)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "absent")
    with pytest.raises(StoreError) as error:
        filled.load_records()
    said_once(error, str(path), "cannot be read")
    assert len(filled.tidy()) == 1
    assert filled.load_records()


def test_halves_of_writes_are_removed_and_nothing_else(filled: Store) -> None:
    halves = [filled.path / ".config.yaml.123.tmp", filled.records_path / ".a-b.json.4567.tmp"]
    others = [filled.path / ".hidden", filled.path / "my.tmp", filled.path / ".x.tmp"]
    for path in (*halves, *others):
        path.write_text("{", encoding="utf-8")
    before = files(filled.records_path)
    assert filled.tidy() == []
    assert not any(path.exists() for path in halves)
    assert all(path.exists() for path in others)
    assert set(before) - set(files(filled.records_path)) == {halves[1].name}


# ---- two runs at once ---------------------------------------------------------------------------

HOLDER = (
    "import sys\n"
    "from lora_efficiency_benchmark.records.store import Store\n"
    "with Store(sys.argv[1]).lock():\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.fixture
def holder(filled: Store) -> Any:
    """Another process that holds the lock of the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(filled.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_on_one_folder_is_refused_and_changes_nothing(
    filled: Store, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "LocalLauncher", Launcher)
    before = sorted(path.name for path in filled.path.rglob("*"))
    for fresh in (False, True):
        run = LoRAEfficiencyBenchmark(small_config(output_dir=str(filled.path)))
        with pytest.raises(StoreError) as error:
            run.run(fresh=fresh)
        said_once(error, str(filled.path), "another run is writing", "another output_dir")
    assert sorted(path.name for path in filled.path.rglob("*")) == before
    assert [path.name for path in filled.path.parent.iterdir()] == [filled.path.name]


def test_reading_needs_no_lock(filled: Store, holder: subprocess.Popen[str]) -> None:
    assert filled.load_records()


def test_a_crash_leaves_no_lock_behind(filled: Store, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(StoreError), filled.lock():
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with filled.lock():
        pass
    assert not [path for path in filled.path.iterdir() if path.name.startswith(".")]


def test_an_error_lets_go_of_the_lock(filled: Store) -> None:
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), filled.lock():
            raise error
    with filled.lock():
        pass


def test_a_file_system_without_locks_is_no_obstacle(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with filled.lock(), filled.lock():
        pass


# ---- whole runs, with records from a factory ----------------------------------------------------


class Launcher:
    """Stands for the processes: hands out the factory's record of every cell."""

    ran: list[str]

    def __init__(self, *_: Any) -> None:
        Launcher.ran = []

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def preflight(self, config: LoRABenchmarkConfig) -> dict[str, Any]:
        device = {"type": "cpu", "name": "Example CPU", "total_memory_bytes": None}
        return {"model": "m", "parameters": 1, "environment": {"device": device}}

    def estimate(self, cells: Sequence[Cell]) -> dict[str, Any]:
        return {}

    def run(self, cell: Cell, on_event: Any) -> CellRecord:
        Launcher.ran.append(cell.id)
        config = small_config()
        return next(r for r in make_records(config) if r.cell_id == cell.id)

    run_each = LocalLauncher.run_each


@pytest.fixture
def runner(filled: Store, monkeypatch: pytest.MonkeyPatch) -> LoRAEfficiencyBenchmark:
    monkeypatch.setattr(choice, "LocalLauncher", Launcher)
    monkeypatch.setattr(benchmark, "write_report", lambda *_: None)
    return LoRAEfficiencyBenchmark(small_config(output_dir=str(filled.path)))


def test_a_run_mends_a_folder_and_measures_only_what_is_missing(
    filled: Store, runner: LoRAEfficiencyBenchmark, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = filled.load_records()
    broken = whole[1]
    path = filled.records_path / f"{broken.cell_id}.json"
    path.write_bytes(path.read_bytes()[:100])
    runner.run()
    assert Launcher.ran == [broken.cell_id]
    assert filled.load_records() == whole
    told = [line for line in capsys.readouterr().err.splitlines() if path.name in line]
    assert len(told) == 1
    log = (filled.path / "lora_benchmark.log").read_text(encoding="utf-8")
    assert f"{path.name}.unreadable" in log


def test_a_disk_that_fills_during_a_run_keeps_what_was_measured(
    filled: Store, runner: LoRAEfficiencyBenchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = filled.load_records()
    for path in filled.records_path.iterdir():
        path.unlink()
    written: list[str] = []
    real = Store.write_record

    def until_full(self: Store, record: CellRecord) -> Path:
        if len(written) == 2:
            with monkeypatch.context() as patch:
                fill_at(patch, "write")
                return real(self, record)
        written.append(record.cell_id)
        return real(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_record", until_full)
        with pytest.raises(StoreError) as error:
            runner.run()
    said_once(error, "No space left on device", "run the same command again")
    assert {record.cell_id for record in filled.load_records()} == set(written)
    runner.run()
    assert len(Launcher.ran) == len(whole) - 2, "what was stored is not measured again"
    assert filled.load_records() == whole


def test_a_full_disk_costs_lines_of_the_log_and_no_traceback(
    runner: LoRAEfficiencyBenchmark, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full:
        def write(self, text: str) -> None:
            no_room()

        def flush(self) -> None:
            no_room()

        def close(self) -> None:
            pass

    logger = runner.logger
    to_file = next(h for h in logger.handlers if isinstance(h, logging.FileHandler))
    to_file.stream.close()
    to_file.stream = Full()  # type: ignore[assignment]
    logger.debug("a line that finds no room")
    said = capsys.readouterr()
    to_file.stream = open(os.devnull, "w")  # noqa: SIM115  (there is room again; the fixture closes)
    assert said.out + said.err == ""
