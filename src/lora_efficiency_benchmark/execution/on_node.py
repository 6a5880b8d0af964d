"""What runs on a node of the cluster (row 4): one request, answered by a process of its own.

Ray's worker imports no torch and measures nothing. It starts a child for the request, as the
launcher on a single machine does, and passes the answer on.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.benchmark_config import load_config
from ..config.tracking import Tracking
from ..errors import LoraBenchError, UserError, WorkerDied
from ..language import Statement
from ..plan import Cell
from ..records.results import CellRecord
from .executors import PINNING
from .launcher import LocalLauncher

Request = dict[str, Any]
Answer = dict[str, Any]
REFUSED, FAILED = "refused", "failed"  # keys of an answer: the user can mend it, or not
JAPANESE = "japanese"  # the same in Japanese


@dataclass(frozen=True)
class Lost:
    """The end of a request that was never answered."""

    kind: str  # as in the error of a record
    message: str
    japanese: str | None = None  # None: words of Ray, or of a library

    @property
    def reason(self) -> Statement:
        """What is said, in both languages."""
        return Statement(self.message, self.japanese or self.message)


Outcome = Answer | Lost


def refusal_of(answer: Answer) -> Statement | None:
    """Why a request was not done, whoever can mend it; None where it was."""
    en: str | None = answer.get(REFUSED) or answer.get(FAILED)
    return None if en is None else Statement(en, answer.get(JAPANESE, en))


def answer(request: Request) -> Answer:
    """Do what ``request`` says; plain data in, plain data out, and no error of our own is raised.

    Every request has ``do``: ``check``, ``estimate``, ``scale`` or ``cell``, with what that needs,
    and ``folder``, ``variables`` and ``threads`` of the process that answers it.
    """
    with _surroundings(request):
        try:
            return _ANSWERS[request["do"]](request)
        except UserError as error:
            return {REFUSED: error.text("en"), JAPANESE: error.text("ja")}
        except LoraBenchError as error:
            return {FAILED: error.text("en"), JAPANESE: error.text("ja")}


def _check(request: Request) -> Answer:
    """``facts`` of the check before a run; ``missing`` where a path of the caller is not here."""
    missing = [path for path in request["paths"] if not Path(path).exists()]
    if missing:
        return {"missing": missing[0]}
    with LocalLauncher("spawn") as launch:
        return {"facts": launch.preflight(load_config(request["config"]))}


def _estimate(request: Request) -> Answer:
    cells = [Cell.from_dict(values) for values in request["cells"]]
    with LocalLauncher("spawn") as launch:
        return {"estimates": launch.estimate(cells)}


def _scale(request: Request) -> Answer:
    with LocalLauncher("spawn") as launch:
        return {"estimates": launch.estimate_scale()}


def _cell(request: Request) -> Answer:
    """``record`` of a cell, with the name of the node it ran on."""
    cell, tracking = Cell.from_dict(request["cell"]), request["tracking"]
    followed = Tracking(**tracking) if tracking else None
    try:
        with LocalLauncher("spawn", request["time_limit_seconds"], followed) as launch:
            record = launch.run(cell)
    except LoraBenchError as error:  # the child did not start: told, and the matrix goes on
        record = CellRecord.failed(cell, WorkerDied.kind, f"{error} on node {platform.node()}")
    if record.environment:  # a failure without one is judged as such; a name would not mend it
        record.environment["node"] = platform.node()
    return {"record": record.to_dict()}


_ANSWERS: dict[str, Callable[[Request], Answer]] = {
    "check": _check,
    "estimate": _estimate,
    "scale": _scale,
    "cell": _cell,
}


@contextlib.contextmanager
def _surroundings(request: Request) -> Iterator[None]:
    """Folder, variables and threads of the caller, for the child that inherits them.

    Ray names the devices of a task for CUDA or for HIP; ROCm reads both, so they must agree. A node
    may have other cells beside this one, so no threads are tied to cores.
    """
    before = dict(os.environ)
    for name in PINNING:
        os.environ.pop(name, None)
    os.environ.update(request["variables"])
    os.environ["OMP_NUM_THREADS"] = str(request["threads"])
    if "HIP_VISIBLE_DEVICES" in os.environ:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", os.environ["HIP_VISIBLE_DEVICES"])
    folder = request["folder"]
    try:
        with contextlib.chdir(folder) if Path(folder).is_dir() else contextlib.nullcontext():
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
