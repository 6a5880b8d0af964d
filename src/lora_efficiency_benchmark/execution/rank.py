"""One of the processes that train a cell together: ``python -m ... execution.rank FOLDER``.

Started by ``accelerate launch``, which tells it its number. It reads the request in the folder and
writes events to a file of its own there; see ``execution/group.py``. Standard output is the
launcher's, and a log.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ..errors import DivergedCell, UserError
from ..heavy_imports import without_collection
from ..records.results import FAILED
from .group import ALIVE, REQUEST, events_file
from .worker import answer, cell_record, quiet_libraries, repeat_exactly


class RankChannel:
    """Events of this rank to the parent; of ranks but the first, only what went wrong."""

    def __init__(self, folder: Path, rank: int) -> None:
        self._rank, self.failed = rank, False
        self._file = events_file(folder, rank).open("ab", buffering=0)

    def send(self, event: dict[str, Any]) -> None:
        """One event, whole, in one write."""
        error = _error_of(event)
        if error is not None:
            self.failed = True
            if self._rank and error.get("kind") != DivergedCell.kind:  # which all ranks see
                error["message"] = f"rank {self._rank}: {error['message']}"
        elif self._rank and event["event"] == "record":
            event = {"event": "done"}
        if self._rank == 0 or error is not None or event["event"] in ("started", "done"):
            line = json.dumps({**event, "at": time.time()})
            self._file.write(line.encode() + b"\n")


def main() -> None:
    """Run the cell of the request as one of its ranks."""
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    channel = RankChannel(folder, rank)
    channel.send({"event": "started", "pid": os.getpid()})
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    _end_with_parent(folder / ALIVE)
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    answer(lambda: _result(request, channel), channel.send)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if channel.failed else 0)  # the others may still be at work: leave without a word


def _result(request: dict[str, Any], channel: RankChannel) -> dict[str, Any]:
    """The event that holds the record. Raises UserError."""
    with without_collection():
        quiet_libraries()
        from .. import cell  # noqa: F401  (the heavy imports)
    _take_device()
    record = cell_record(request, channel.send)
    own = record.environment.get("threads")
    # As a cell in one process says it: records of one run are judged together.
    record.environment |= {"threads": request["threads"], "threads_per_process": own}
    return {"event": "record", "record": record.to_dict()}


def _take_device() -> None:
    """The accelerator of this rank's number, where cells run on accelerators."""
    import torch

    from ..measure.environment import accelerator_in_use

    if not accelerator_in_use():
        return
    repeat_exactly()
    local, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local >= count:
        raise UserError(
            f"launcher.processes: there is no device for process {local + 1}, {count} are visible; "
            "lower it, or set CUDA_VISIBLE_DEVICES",
            f"launcher.processes: プロセス {local + 1} のデバイスがありません。"
            f"見えるのは {count} 個です。プロセスを減らすか、"
            "CUDA_VISIBLE_DEVICES を設定してください",
        )
    torch.cuda.set_device(local)


def _end_with_parent(alive: Path) -> None:
    """Leave when the other end of the pipe closes: nobody waits for an answer any more."""

    def wait() -> None:
        with alive.open("rb") as pipe:
            pipe.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _error_of(event: dict[str, Any]) -> dict[str, Any] | None:
    """The part of an event that tells an error; None where there is none."""
    if event["event"] == "record":
        record: dict[str, Any] = event["record"]
        return record["error"] if record["status"] == FAILED else None
    return event if event["event"] in ("user_error", "error") else None


if __name__ == "__main__":
    main()
