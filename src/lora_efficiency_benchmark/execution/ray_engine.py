"""The few calls to Ray that a run needs (row 4). Ray is imported when a cluster is joined.

Ray places tasks by what they reserve, starts their processes, notices lost nodes and tries again on
another one. Nothing of that is done here a second time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from ..errors import ConfigError, OutOfMemoryCell, WorkerDied, first_line
from ..measure.environment import usable_cores
from ..units import MIB
from .nodes import Demand, Node
from .on_node import Answer, Lost, Outcome, Request, answer

_STORE_BYTES = 128 * MIB  # of a cluster that is started here: it carries records, no tensors
_CONNECT_SECONDS = 10.0
_PORTS = 1 << 16
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A worker that Ray ended for memory is tried again for ever by default; a second try would need
    # the same memory. Read by the process that hands the tasks out, which is this one.
    "RAY_task_oom_retries": "0",
}


def require_ray() -> None:
    """Raises ConfigError where Ray is not installed."""
    if find_spec("ray") is None:
        raise ConfigError(
            "--executor ray: Ray is not installed; "
            "python -m pip install 'lora-efficiency-benchmark[ray]'",
            "--executor ray: Ray が入っていません。python -m pip install "
            "'lora-efficiency-benchmark[ray]' で入れてください",
        )


class RayEngine:
    """Tasks on a cluster: ``open``, ``start`` any number, ask for the ``finished``, ``close``.

    ``address`` is ``auto`` or HOST:PORT; without it RAY_ADDRESS, else a cluster of this machine.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address or os.environ.get("RAY_ADDRESS") or "local"
        self._ray: Any = None
        self._function: Any = None
        self._waiting: dict[Any, str] = {}

    def open(self) -> None:
        """Join the cluster at the address, or start one of this machine. Raises ConfigError."""
        require_ray()
        if "://" in self._address:
            raise ConfigError(
                f"--address {self._address}: give auto or HOST:PORT, on a machine of the cluster",
                f"--address {self._address}: クラスターのマシンで、"
                "auto か HOST:PORT を指定してください",
            )
        os.environ.update(_SETTINGS)
        import ray

        with _own_signal_handlers(), _no_folder_to_import_from():
            try:
                self._require_listener()
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **self._where())
            except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise ConfigError(
                    f"--executor ray: no cluster could be joined at {self._address} "
                    f"({first_line(error)[:300]}); start one with 'ray start --head', or leave the "
                    "address out to use this machine alone",
                    f"--executor ray: {self._address} のクラスターに"
                    f"参加できません ({first_line(error)[:300]})。'ray start --head' で始めるか、"
                    "このマシンだけを使うなら --address を外してください",
                ) from None
        self._ray = ray
        self._function = ray.remote(answer)

    def _require_listener(self) -> None:
        """Somebody listens at HOST:PORT: Ray itself would ask for minutes. Raises OSError."""
        host, _, port = self._address.rpartition(":")
        if port.isdecimal() and int(port) < _PORTS:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()

    def _where(self) -> dict[str, Any]:
        """Arguments of ``ray.init``; a cluster that is started here asks for Ray's token by itself.

        Without an address Ray would join any cluster that it finds; nobody asked for that.
        """
        if self._address != "local":
            return {"address": self._address}
        return {
            "address": "local",
            "num_cpus": usable_cores(),
            "object_store_memory": _STORE_BYTES,
            "include_dashboard": False,
        }

    def nodes(self) -> list[Node]:
        """The nodes that are alive."""
        return [_node(values) for values in self._ray.nodes() if values["Alive"]]

    def start(
        self, key: str, request: Request, demand: Demand, nodes: Sequence[str], retries: int
    ) -> None:
        """Have ``request`` answered on one of ``nodes``, as soon as it has what is demanded.

        A lost node or worker costs one of ``retries``; the caller never sees it twice.
        """
        options: dict[str, Any] = {
            "name": key,
            "num_cpus": demand.cpus,
            "max_retries": retries,
            "label_selector": {"ray.io/node-id": f"in({','.join(nodes)})"},
        }
        if demand.gpus:
            options["num_gpus"] = demand.gpus
        if demand.memory_bytes:
            options["memory"] = demand.memory_bytes
        self._waiting[self._function.options(**options).remote(request)] = key

    def finished(self, timeout_seconds: float) -> list[tuple[str, Outcome]]:
        """Keys and answers of the tasks that have ended; waits for the first one."""
        if not self._waiting:
            return []
        ready, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=timeout_seconds)
        return [(self._waiting.pop(reference), self._outcome(reference)) for reference in ready]

    def cancel(self) -> None:
        """End what still runs or waits."""
        for reference in self._waiting:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.cancel(reference, force=True)
        self._waiting.clear()

    def close(self) -> None:
        """Leave the cluster, or end the one that was started here; nothing of ours goes on.

        Ray ends the tasks of whoever leaves. Cancelling them before can abort this process, where
        one completes at that moment (Ray 2.60: "Tried to complete task that was not pending").
        """
        if self._ray is not None:
            self._waiting.clear()
            self._ray.shutdown()
            self._ray = None

    def _outcome(self, reference: Any) -> Outcome:
        problems = self._ray.exceptions
        try:
            found: Answer = self._ray.get(reference)
        except problems.OutOfMemoryError:
            return Lost(
                OutOfMemoryCell.kind,
                "Ray ended the process because the memory of its node ran out",
                "ノードのメモリが尽きたため、Ray がプロセスを終了しました",
            )
        except problems.RayTaskError as error:
            return Lost("error", f"{type(error.cause).__name__}: {first_line(error.cause)}"[:300])
        except problems.RayError as error:
            return Lost(WorkerDied.kind, f"{type(error).__name__}: {first_line(error)}"[:300])
        return found


def _node(values: dict[str, Any]) -> Node:
    resources = values["Resources"]
    return Node(
        id=str(values["NodeID"]),
        name=str(values["NodeManagerHostname"]),
        cpus=int(resources.get("CPU", 0)),
        gpus=int(resources.get("GPU", 0)),
        memory_bytes=int(resources.get("memory", 0)),
    )


@contextlib.contextmanager
def _no_folder_to_import_from() -> Iterator[None]:
    """Ray lets its workers import from the folder that the caller stands in: let it be the root.

    A stranger's data folder could hold a module of any name. Folders of PYTHONPATH stay what they
    are.
    """
    named = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    if named:
        os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, named))
    with contextlib.chdir(os.path.abspath(os.sep)):
        yield


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Importing and joining Ray replaces the handler of SIGTERM; ours keeps what is finished."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # one that Python did not install
                signal.signal(number, handler)
