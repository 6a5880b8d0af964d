"""The parent side of a cell that several processes train together. No torch here.

    parent -> accelerate launch -> ranks (execution/rank.py), one a device

``accelerate launch`` owns the ranks' standard output, so they answer in files of a folder that only
this user can read, a line of JSON an event: nothing that a library prints can come between. Rank 0
tells the steps and the record; another rank tells only that it has failed. The folder also holds a
named pipe that the parent keeps open: when it closes, the parent is gone, and every rank ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from ..config.launching import accelerate_settings
from ..config.yaml_io import dump_yaml
from ..records.results import FAILED
from .endings import LAST, death, failure, keep_lines, kill_group, oom_kills, out_of_time
from .executors import PINNING, EventHook

REQUEST, ALIVE, ACCELERATE = "request.json", "alive", "accelerate.yaml"
_RANK_MODULE = "lora_efficiency_benchmark.execution.rank"
_POLL_SECONDS = 0.1  # rarely enough to disturb no step
_GRACE_SECONDS = 10.0
_KEPT_LINES = 200  # of what launcher and ranks print
_EXIT_CODE = re.compile(r"exitcode\s*:\s*(-?\d+)")  # in the summary that the launcher prints
_SAID = re.compile(r"\b\w*(?:Error|Exception): \S")  # the last line of a traceback
# Settings of accelerate in the caller's environment would be mixed into those of the cell.
_FOREIGN = ("ACCELERATE_", "FSDP_", "PARALLELISM_CONFIG_", "MEGATRON_LM_", "TORCHELASTIC_")


def events_file(folder: Path, rank: int) -> Path:
    """Where a rank writes its events."""
    return folder / f"rank-{rank}.jsonl"


def launch_command(folder: Path, processes: int, threads: int) -> list[str]:
    """``accelerate launch`` for ranks that find their request in ``folder``.

    ``threads`` are those of a cell in one process, which the ranks share.
    """
    return [
        # -P: a folder that the user happens to stand in must not hand us its torch.py
        *(sys.executable, "-P", "-m", "accelerate.commands.launch"),
        *("--config_file", str(folder / ACCELERATE)),
        *("--num_processes", str(processes)),
        *("--num_machines", "1"),
        *("--main_process_port", "0"),  # any free one
        *("--num_cpu_threads_per_process", str(max(1, threads // processes))),
        *("--module", _RANK_MODULE, str(folder)),
    ]


def launch_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables without another launch's; what ranks exchange stays on this machine.

    The port where they find each other does not: torch binds it to every interface.
    """
    kept = {k: v for k, v in given.items() if not k.startswith(_FOREIGN) and k not in PINNING}
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    here = {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    return {**here, **kept, "PYTHONSAFEPATH": "1"}


class RankGroup:
    """``accelerate launch`` and the ranks it starts, for one request. ``close`` ends them all."""

    def __init__(
        self,
        request: Mapping[str, Any],
        processes: int,
        accelerate: Mapping[str, Any] | None,
        environment: Mapping[str, str],
    ) -> None:
        """Raises OSError where it cannot be started; then nothing is left behind."""
        self._folder = Path(tempfile.mkdtemp(prefix="lora-bench-"))
        self._tails = [_Tail(events_file(self._folder, rank)) for rank in range(processes)]
        self._processes: dict[int, psutil.Process | None] = {}  # by rank, once it has started
        self._failures: dict[int, dict[str, Any]] = {}  # by rank
        self._done: set[int] = set()  # ranks that have ended well
        self._record: dict[str, Any] | None = None
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._killed_before = oom_kills()
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._write(REQUEST, json.dumps(request))
            self._write(ACCELERATE, dump_yaml(accelerate_settings(processes, accelerate)))
            os.mkfifo(self._folder / ALIVE, 0o600)
            self._alive = os.open(self._folder / ALIVE, os.O_RDWR)  # never waits for a reader
            undo.callback(os.close, self._alive)
            self._launcher = subprocess.Popen(
                launch_command(self._folder, processes, int(request["threads"])),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=launch_environment(environment),
                start_new_session=True,  # Ctrl-C reaches the parent only, which then ends the ranks
            )
            undo.pop_all()  # from here on, ``close`` ends everything
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def ask(self, on_event: EventHook, limit: float | None) -> dict[str, Any]:
        """Follow the ranks to the event that ends the request; ``limit`` is in seconds."""
        deadline = None if limit is None else time.monotonic() + limit
        while True:
            running = self._launcher.poll() is None  # asked first: what was written is then read
            self._read(on_event)
            if self._failures:
                return self._first_failure()
            if self._record is not None:
                return self._record
            if not running:
                return self._death()
            if deadline is not None and time.monotonic() >= deadline:
                return out_of_time(limit)
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """End the launcher, the ranks, and everything they started; remove the folder."""
        family = list(self._family())
        for process in family:
            _end(process)
        kill_group(self._launcher.pid)
        os.close(self._alive)  # whoever was not found yet ends by itself
        psutil.wait_procs(family, timeout=_GRACE_SECONDS)
        try:
            self._launcher.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        self._reader.join(_GRACE_SECONDS)
        if self._launcher.stdout is not None and not self._reader.is_alive():
            self._launcher.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- what comes back ------------------------------------------------------------------------

    def _read(self, on_event: EventHook) -> None:
        """Take note of new events; steps and phases are passed on."""
        for rank, tail in enumerate(self._tails):
            for event in tail.new_events():
                if event["event"] == "started":
                    self._processes[rank] = _found(event["pid"])
                elif _failed(event):
                    self._failures[rank] = event
                elif event["event"] == "done":
                    self._done.add(rank)
                elif event["event"] in LAST:
                    self._done.add(rank)
                    self._record = event
                else:
                    on_event(event)

    def _first_failure(self) -> dict[str, Any]:
        """The failure that came before the others, which it may have caused.

        A rank that was killed says nothing; its neighbours then fail for want of an answer.
        """
        first = min(self._failures.values(), key=lambda event: float(event["at"]))
        told = {*self._failures, *self._done}
        silent = [process for rank, process in self._processes.items() if rank not in told]
        if _kind(first) == "error" and any(not _is_alive(process) for process in silent):
            return self._death()
        return first

    def _death(self) -> dict[str, Any]:
        """Why it ended without an answer, as far as the launcher's last words say."""
        try:
            code = self._launcher.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return failure(
                "worker_died",
                "one of the processes ended without an answer",
                "プロセスの1つが応答のないまま終了しました",
            )
        self._reader.join(_GRACE_SECONDS)
        lines = list(self._last_lines)
        stopped = -signal.SIGTERM  # how the launcher ends the others
        codes = [int(c) for line in lines for c in _EXIT_CODE.findall(line)]
        codes = [c for c in codes if c not in (0, stopped)]
        said = [line for line in lines if _SAID.search(line)] or lines
        why = f" ({said[-1][:200]})" if said else ""
        killed = [c for c in codes if c < 0]  # its neighbours fail with 1 for want of an answer
        return death([*killed, *codes, code][0], self._killed_before, why)

    def _read_log(self) -> None:
        assert self._launcher.stdout is not None
        keep_lines(self._launcher.stdout, self._last_lines, "ranks")

    # ---- processes and files --------------------------------------------------------------------

    def _family(self) -> Iterator[psutil.Process]:
        """The launcher's children and theirs; ranks too that have lost their launcher."""
        launcher = _found(self._launcher.pid) if self._launcher.poll() is None else None
        for process in (*self._processes.values(), launcher):
            if process is None:
                continue
            try:
                yield from process.children(recursive=True)
            except psutil.Error:
                pass
            if process is not launcher:
                yield process

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, encoding="utf-8")


class _Tail:
    """Events of one rank's file as they are written."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._rest = path, 0, b""

    def new_events(self) -> list[dict[str, Any]]:
        """Whole lines since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                found = file.read()
        except FileNotFoundError:
            return []
        self._offset += len(found)
        *lines, self._rest = (self._rest + found).split(b"\n")
        return [json.loads(line) for line in lines]


def _failed(event: Mapping[str, Any]) -> bool:
    if event["event"] == "record":
        return bool(event["record"]["status"] == FAILED)
    return event["event"] in ("user_error", "error")


def _kind(event: Mapping[str, Any]) -> str:
    """Kind of a failure, as a record names it."""
    error = event["record"]["error"] if event["event"] == "record" else event
    return str(error.get("kind", "error"))


def _found(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _is_alive(process: psutil.Process | None) -> bool:
    try:
        running = process is not None and process.is_running()
        return running and process.status() != psutil.STATUS_ZOMBIE  # type: ignore[union-attr]
    except psutil.Error:
        return False


def _end(process: psutil.Process) -> None:
    try:
        process.kill()  # psutil makes sure that the number still means the same process
    except psutil.Error:
        pass
