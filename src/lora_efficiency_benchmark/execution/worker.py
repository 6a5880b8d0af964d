"""The child side: ``python -m lora_efficiency_benchmark.execution.worker``.

Two ways to give a cell a process of its own:

    fork    this process imports torch, transformers and peft, touches no device and starts no
            thread; each cell is a fork of it, so a cell does not pay for the imports again
    spawn   this process runs one cell and ends; needed with an accelerator, whose driver does not
            survive a fork

Requests arrive on standard input, answers leave on standard output, one JSON object a line. When
standard input closes, the parent is gone, and so is everything here.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import LoraBenchError, UserError
from ..heavy_imports import without_collection
from .endings import message_of

if TYPE_CHECKING:
    from ..records.results import CellRecord

_POLL_SECONDS = 0.05


class Channel:
    """The conversation with the parent; everything else that prints goes to standard error."""

    def __init__(self) -> None:
        self._requests = os.fdopen(os.dup(0), "rb", buffering=0)
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)

    def send(self, event: dict[str, Any]) -> None:
        """One event to the parent."""
        self._answers.write(json.dumps(event, ensure_ascii=False) + "\n")
        self._answers.flush()

    def receive(self) -> dict[str, Any] | None:
        """The next request; None when the parent is gone."""
        line = self._requests.readline()
        return json.loads(line) if line else None

    def parent_is_gone(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds; True when the other end has closed."""
        ready, _, _ = select.select([self._requests], [], [], timeout)
        return bool(ready)  # no request comes while a cell runs: readable means closed

    def end_with_parent(self) -> None:
        """From now on, this process ends when the other end closes, whatever it is doing.

        A parent that was killed cannot end its child, which would go on beside a second try.
        """

        def wait() -> None:
            select.select([self._requests], [], [])
            os._exit(1)

        threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Announce the device, then serve requests."""
    isolation = sys.argv[1] if len(sys.argv) > 1 else "auto"
    channel = Channel()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    started = time.perf_counter()
    with without_collection():
        quiet_libraries()
        from .. import cell  # noqa: F401  (the imports that every cell shares)
    import torch

    from ..measure.environment import accelerator_in_use

    accelerator = accelerator_in_use()
    if accelerator:
        repeat_exactly()
    if isolation == "auto":
        isolation = "spawn" if accelerator else "fork"
    channel.send(
        {
            "event": "ready",
            "isolation": isolation,
            "device": "accelerator" if accelerator else "cpu",
            "threads": torch.get_num_threads(),
            "import_seconds": time.perf_counter() - started,
        }
    )
    while (request := channel.receive()) is not None:
        if isolation == "spawn":
            channel.end_with_parent()
            channel.send({"event": "started", "pid": os.getpid()})
            answer(lambda: _result(request, channel), channel.send)
            return
        _fork(request, channel)


def _fork(request: dict[str, Any], channel: Channel) -> None:
    """Answer one request in a fork; say how it ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            answer(lambda: _result(request, channel), channel.send)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    channel.send({"event": "started", "pid": pid})
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            channel.send({"event": "ended", "code": os.waitstatus_to_exitcode(status)})
            return
        if channel.parent_is_gone(_POLL_SECONDS):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os._exit(1)


def answer(result: Callable[[], dict[str, Any]], send: Callable[[dict[str, Any]], None]) -> None:
    """Do what is asked; the last event is its result, ``user_error`` or ``error``."""
    try:
        send(result())
    except UserError as error:
        send({"event": "user_error", **message_of(error)})
    except LoraBenchError as error:
        send({"event": "error", **message_of(error)})
    except Exception as error:  # a defect, or a library's surprise: told, never silent
        traceback.print_exc()
        first = (str(error).strip().splitlines() or [""])[0]
        send({"event": "error", "message": f"{type(error).__name__}: {first}"[:300]})


def _result(request: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """The event that answers a request: ``checked``, ``estimated`` or ``record``."""
    from ..config.benchmark_config import load_config
    from ..plan import Cell
    from ..preflight import preflight

    if "preflight" in request:
        return {"event": "checked", "facts": preflight(load_config(request["preflight"]))}
    if "estimate" in request:
        from ..estimate.foresight import estimate_cells

        cells = [Cell.from_dict(values) for values in request["estimate"]]
        return {"event": "estimated", "estimates": estimate_cells(cells)}
    if "scale" in request:
        from ..estimate.claim_scale import scale_estimates

        return {"event": "estimated", "estimates": scale_estimates(channel.send)}
    return {"event": "record", "record": cell_record(request, channel.send).to_dict()}


def cell_record(request: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> CellRecord:
    """Run the ``cell`` of a request, followed by its ``tracking`` where it has one."""
    from ..cell import run_cell
    from ..config.tracking import Tracking
    from ..plan import Cell

    tracking = request.get("tracking")
    followed = Tracking(**tracking) if tracking else None
    return run_cell(Cell.from_dict(request["cell"]), send, followed)


def repeat_exactly() -> None:
    """Deterministic kernels on an accelerator, where there are any: the same seed, the same bits.

    The workspace setting is what cuBLAS needs for it (CUDA toolkit documentation, "Results
    reproducibility"). A CPU needs nothing: with the same threads it repeats.
    """
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def quiet_libraries() -> None:
    """Progress bars of libraries would only fill the log."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()


if __name__ == "__main__":
    main()
