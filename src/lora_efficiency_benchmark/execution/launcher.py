"""The parent side: one cell, one process. No torch here.

A child that dies, hangs or is killed for memory becomes a failed record; the matrix goes on.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..config.benchmark_config import LoRABenchmarkConfig
from ..config.tracking import Tracking
from ..errors import LoraBenchError, UserError, WorkerDied, first_line
from ..plan import Cell
from ..records.results import CellRecord
from ..units import GIB, MIB
from .endings import (
    LAST,
    death,
    failure,
    keep_lines,
    kill,
    kill_group,
    oom_kills,
    out_of_time,
    statement_of,
)
from .executors import EstimateOf, EventHook
from .group import RankGroup

_GRACE_SECONDS = 5.0
_ESTIMATE_SECONDS = 900.0  # a trace that hangs ends here
ONE_DEVICE = {"CUDA_VISIBLE_DEVICES": "0"}  # ROCm reads it too; for cells of one process
# Let the C library keep freed memory and let torch ask for huge pages, as far as the user has not
# said otherwise: by default every large tensor is mapped, zeroed page by page and unmapped again,
# which costs a step of full fine-tuning a quarter of its time on a small machine. Nothing that is
# computed changes, and nothing in the allocator's own accounting (mallopt(3); torch, c10/core).
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(4 * GIB),
    "MALLOC_TRIM_THRESHOLD_": str(16 * GIB),
    "MALLOC_TOP_PAD_": str(256 * MIB),
    "THP_MEM_ALLOC_ENABLE": "1",
}
_logger = logging.getLogger("LoRA_Benchmark")


class LocalLauncher:
    """Runs cells one after the other on this machine.

    ``with LocalLauncher("auto") as launcher: record = launcher.run(cell, on_event)``
    """

    def __init__(
        self,
        isolation: str = "auto",
        time_limit_seconds: float | None = None,
        tracking: Tracking | None = None,
        processes: int = 1,
    ) -> None:
        """``processes``: the most that a cell has; with several, all devices stay visible."""
        self._asked, self._tracking = isolation, tracking
        self._limit = time_limit_seconds
        self._visible = ONE_DEVICE if processes == 1 else {}
        self._worker: _Worker | None = None
        self._threads: int | None = None  # of a cell in one process

    def __enter__(self) -> LocalLauncher:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop_worker()

    def preflight(self, config: LoRABenchmarkConfig) -> dict[str, Any]:
        """What can be checked before anything is measured. Raises UserError."""
        answer = self._ask({"preflight": config.to_dict()}, lambda event: None, None)
        if answer["event"] == "user_error":
            raise UserError(*statement_of(answer))
        if answer["event"] != "checked":
            said = statement_of(answer)
            raise LoraBenchError(
                f"the check before the run failed: {said.en}",
                f"実行前の確認に失敗しました: {said.ja}",
            )
        return dict(answer["facts"])

    def estimate(self, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
        """What each cell that trains will need, by id. Raises LoraBenchError.

        See ``estimate.foresight``.
        """
        request = {"estimate": [cell.to_dict() for cell in cells]}
        return dict(self._estimated(request, lambda event: None))

    def estimate_scale(self, on_event: EventHook = lambda event: None) -> list[dict[str, Any]]:
        """Entries of estimates.json; see ``estimate.claim_scale``. Raises LoraBenchError."""
        return list(self._estimated({"scale": True}, on_event))

    def _estimated(self, request: dict[str, Any], on_event: EventHook) -> Any:
        answer = self._ask(request, on_event, _ESTIMATE_SECONDS)
        if answer["event"] != "estimated":
            said = statement_of(answer)
            raise LoraBenchError(
                f"memory could not be estimated: {said.en}", f"メモリを推定できません: {said.ja}"
            )
        return answer["estimates"]

    def run(self, cell: Cell, on_event: EventHook = lambda event: None) -> CellRecord:
        """The record of one cell, whatever happens to its process."""
        began = datetime.now(UTC)
        start = time.perf_counter()
        request: dict[str, Any] = {"cell": cell.to_dict()}
        if self._tracking is not None:
            request["tracking"] = self._tracking.to_dict()
        ask = self._ask if cell.processes == 1 else self._ask_ranks
        answer = ask(request, on_event, self._limit)
        if answer["event"] == "record":
            record = CellRecord.from_dict(answer["record"])
            record.add_wall_seconds(time.perf_counter() - start)
            return record
        kind, message = answer.get("kind", "error"), answer["message"]
        return CellRecord.failed(cell, kind, message, began.isoformat(timespec="seconds"))

    def run_each(
        self,
        cells: Sequence[Cell],
        estimate_of: EstimateOf,
        begin: Callable[[Cell], None],
        on_event: EventHook,
    ) -> Iterator[CellRecord]:
        """One after the other; nothing runs while a record is in the caller's hands."""
        for cell in cells:
            begin(cell)
            yield self.run(cell, on_event)

    def _ask(
        self, request: dict[str, Any], on_event: EventHook, limit: float | None
    ) -> dict[str, Any]:
        """Send one request; the event that ends it. A dead worker is replaced at the next call."""
        worker = self._started()
        try:
            answer = worker.ask(request, on_event, limit)
        except BaseException:  # Ctrl-C included: no process outlives its question
            self._drop_worker()
            raise
        if worker.isolation == "spawn" or not worker.alive():
            self._drop_worker()
        return answer

    def _ask_ranks(
        self, request: dict[str, Any], on_event: EventHook, limit: float | None
    ) -> dict[str, Any]:
        """The same of processes that train together; they share the threads of one."""
        cell = request["cell"]
        if self._threads is None:
            self._started()
        assert self._threads is not None
        request["threads"] = self._threads
        accelerate, environment = cell.get("accelerate"), self._environment()
        try:
            group = RankGroup(request, cell["processes"], accelerate, environment)
        except OSError as error:
            why = first_line(error)
            return failure(
                WorkerDied.kind,
                f"its processes did not start ({why})",
                f"プロセスを開始できませんでした ({why})",
            )
        try:
            return group.ask(on_event, limit)
        finally:
            group.close()

    def _started(self) -> _Worker:
        if self._worker is None:
            self._worker = _Worker(self._asked, self._environment())
            self._threads = self._worker.threads
        return self._worker

    def _environment(self) -> dict[str, str]:
        """Variables of every child; what the caller has set comes last."""
        return {**KEEP_MEMORY, **self._visible, **os.environ}

    def _drop_worker(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None


class _Worker:
    """One child process and the threads that read it."""

    def __init__(self, isolation: str, environment: Mapping[str, str]) -> None:
        self.isolation = isolation
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._last_lines: deque[str] = deque(maxlen=3)
        self._process = subprocess.Popen(
            # -P: a folder that the user happens to stand in must not hand us its torch.py
            [sys.executable, "-P", "-m", "lora_efficiency_benchmark.execution.worker", isolation],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=dict(environment),
            start_new_session=True,  # Ctrl-C reaches the parent only, which then ends the child
        )
        for target in (self._read_events, self._read_log):
            threading.Thread(target=target, daemon=True).start()
        ready = self._next(None)
        if ready is None or ready["event"] != "ready":
            self.close()
            why = self._why()
            raise LoraBenchError(
                f"the worker process did not start{why}", f"ワーカープロセスを開始できません{why}"
            )
        self.isolation, self.threads = ready["isolation"], int(ready["threads"])
        if self.isolation == "fork" and ready["device"] != "cpu":
            self.close()
            raise UserError(
                "launcher.isolation: fork works on a CPU only; use auto or spawn",
                "launcher.isolation: fork は CPU でだけ使えます。auto か spawn にしてください",
            )

    def alive(self) -> bool:
        """True while the child can take another request."""
        return self._process.poll() is None

    def ask(
        self, request: dict[str, Any], on_event: EventHook, limit: float | None
    ) -> dict[str, Any]:
        """Send a request and follow its events to the one that ends it."""
        deadline = None if limit is None else time.monotonic() + limit
        killed_before = oom_kills()
        pid: int | None = None
        answer: dict[str, Any] | None = None
        self._send(request)
        while True:
            try:
                event = self._next(deadline)
            except queue.Empty:
                self.close(pid)
                return out_of_time(limit)
            if event is None or event["event"] == "ended":
                code = self._process.wait() if event is None else event["code"]
                return answer or death(code, killed_before, self._why())
            if event["event"] == "started":
                pid = event["pid"]
            elif event["event"] in LAST:
                answer = event
                deadline = None
            else:
                on_event(event)

    def close(self, pid: int | None = None) -> None:
        """End the child and everything it started."""
        for target in (pid, self._process.pid):
            if target is not None:
                kill(target)
        kill_group(self._process.pid)
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except (BrokenPipeError, OSError):
                    pass

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request, ensure_ascii=False) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the end of the event stream tells the rest

    def _next(self, deadline: float | None) -> dict[str, Any] | None:
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        return self._events.get(timeout=timeout)

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._events.put(json.loads(line))
        except ValueError:  # closed, or a line cut short by the child's death
            pass
        self._events.put(None)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        keep_lines(self._process.stderr, self._last_lines, "worker")

    def _why(self) -> str:
        return f" ({self._last_lines[-1][:200]})" if self._last_lines else ""
