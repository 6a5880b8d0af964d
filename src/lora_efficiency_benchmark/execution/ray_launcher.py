"""The parent side on a Ray cluster (row 4): several cells at a time, one process each. No torch.

Ray places cells and tries again after a lost node; here it is decided what a cell reserves, on
which nodes it may run, and what one that gave no answer leaves behind. A cell is handed over once,
no event travels while it runs, and the caller makes no report while any is in flight: a node that
is timed has nothing else to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ..config.benchmark_config import LoRABenchmarkConfig
from ..config.tracking import Tracking
from ..errors import ConfigError, LoraBenchError, WorkerDied
from ..measure.environment import ALLOCATOR_VARIABLES
from ..plan import Cell
from ..records.results import CellRecord, EnvironmentKey
from .executors import EstimateOf, EventHook
from .node_check import choose_nodes, local_paths
from .nodes import Demand, Node, NodeKind, demand_of, largest
from .on_node import Lost, Outcome, Request, refusal_of
from .ray_engine import RayEngine

LOST_NODE_RETRIES = 2  # of a cell whose node or worker is lost; then its record says so
_CHECK_SECONDS = 600.0  # a node that has not answered by then is left out
_POLL_SECONDS = 1.0
_LOOK_SECONDS = 10.0  # between looks at which nodes are alive
_PASSED_ON = (  # variables that change a result or where models are looked for; no keys, no tokens
    "LORA_BENCH_CACHE", "LORA_BENCH_DEVICE", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE",
    "HF_ENDPOINT", "HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE",
    "CUBLAS_WORKSPACE_CONFIG", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF",
    *ALLOCATOR_VARIABLES,
)  # fmt: skip


class Engine(Protocol):
    """What is asked of Ray; see ``RayEngine``."""

    def open(self) -> None:
        """Join or start a cluster."""

    def nodes(self) -> list[Node]:
        """Nodes that are alive."""

    def start(
        self, key: str, request: Request, demand: Demand, nodes: Sequence[str], retries: int
    ) -> None:
        """Have a request answered on one of ``nodes``."""

    def finished(self, timeout_seconds: float) -> list[tuple[str, Outcome]]:
        """What has ended since."""

    def cancel(self) -> None:
        """End what runs or waits."""

    def close(self) -> None:
        """Leave the cluster."""


class RayLauncher:
    """Runs cells on the nodes of one kind, as many at a time as the cluster has room for.

    ``with RayLauncher("auto") as launcher:`` before cells run, ``preflight`` looks at every node
    and chooses the kind. ``before`` is the environment that the folder's records come from.
    """

    def __init__(
        self,
        address: str | None = None,
        time_limit_seconds: float | None = None,
        tracking: Tracking | None = None,
        before: EnvironmentKey | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._engine = engine or RayEngine(address)
        self._limit, self._tracking = time_limit_seconds, tracking
        self._before = before
        self._joined = False
        self._kind: NodeKind | None = None
        self._given: set[str] = set()
        self._largest: dict[str, Mapping[str, Any] | None] = {}  # estimate, by model

    def __enter__(self) -> RayLauncher:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    # ---- before the cells -----------------------------------------------------------------------

    def preflight(self, config: LoRABenchmarkConfig) -> dict[str, Any]:
        """Look at every node: what can be checked there, and which kind of node it is.

        Nodes that cannot run the cells are left out, each with a line in ``notes``. Raises
        UserError where none is left.
        """
        nodes = {node.id: node for node in self._usable_nodes()}
        for node in nodes.values():
            request = self._request(
                "check", node.cores, config=config.to_dict(), paths=local_paths(config)
            )
            self._engine.start(node.id, request, Demand(1), [node.id], 0)
        answers = self._answers_of(nodes)
        self._kind, facts = choose_nodes(nodes, answers, self._before)
        return facts

    def _answers_of(self, nodes: Mapping[str, Node]) -> dict[str, Outcome]:
        """What each node answered to the check, by id; in the order of the answers."""
        found: dict[str, Outcome] = {}
        deadline = time.monotonic() + _CHECK_SECONDS
        next_look = time.monotonic() + _LOOK_SECONDS
        awaited = set(nodes)
        while awaited and time.monotonic() < deadline:
            for key, outcome in self._engine.finished(_POLL_SECONDS):
                found[key] = outcome
                awaited.discard(key)
            if time.monotonic() >= next_look:
                awaited &= {node.id for node in self._engine.nodes()}
                next_look = time.monotonic() + _LOOK_SECONDS
        self._engine.cancel()
        for late in sorted(nodes.keys() - found.keys()):
            minutes = f"{_CHECK_SECONDS / 60:g}"
            found[late] = Lost(
                WorkerDied.kind,
                f"no answer within {minutes} min, or lost meanwhile",
                f"{minutes}分以内に応答がないか、途中で失われました",
            )
        return found

    def estimate(self, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
        """What each cell that trains will need, by id, from one of the nodes.

        Raises LoraBenchError.
        """
        values = [cell.to_dict() for cell in cells]
        found: dict[str, dict[str, Any]] = self._ask("estimate", cells=values)["estimates"]
        for model in {cell.model_name for cell in cells}:
            of_model = [found[c.id] for c in cells if c.model_name == model and c.id in found]
            self._largest[model] = largest(of_model)
        return found

    def estimate_scale(self, on_event: EventHook = lambda event: None) -> list[dict[str, Any]]:
        """Entries of estimates.json, from one of the nodes. Raises LoraBenchError."""
        on_event({"event": "scale"})
        entries: list[dict[str, Any]] = self._ask("scale")["estimates"]
        return entries

    def _ask(self, what: str, **values: Any) -> dict[str, Any]:
        """The answer of a node, of the chosen kind where one is. Raises LoraBenchError."""
        nodes = self._kind.nodes if self._kind else self._usable_nodes()
        request = self._request(what, nodes[0].cores, **values)
        self._engine.start(what, request, Demand(1), [node.id for node in nodes], 1)
        for _, outcome in self._outcomes(1):
            if isinstance(outcome, Lost):
                raise LoraBenchError(
                    f"memory could not be estimated: {outcome.reason.en}",
                    f"メモリを推定できません: {outcome.reason.ja}",
                )
            refusal = refusal_of(outcome)
            if refusal is not None:
                raise LoraBenchError(*refusal)
            return outcome
        raise LoraBenchError(
            "memory could not be estimated: no answer", "メモリを推定できません: 応答がありません"
        )

    # ---- the cells ------------------------------------------------------------------------------

    def run_each(
        self,
        cells: Sequence[Cell],
        estimate_of: EstimateOf,
        begin: Callable[[Cell], None],
        on_event: EventHook,
    ) -> Iterator[CellRecord]:
        """One record a cell, in the order they end, whatever happens to their nodes.

        A cell that this launcher was given before is not given to the cluster again. ``begin`` is
        called as a cell is handed over; where and when it runs is for Ray to decide.
        """
        waiting: dict[str, Cell] = {}
        for cell in cells:
            if cell.id not in self._given:
                self._given.add(cell.id)
                begin(cell)
                self._hand_over(cell, estimate_of(cell))
                waiting[cell.id] = cell
        for key, outcome in self._outcomes(len(waiting)):
            yield _record(waiting[key], outcome)

    def _hand_over(self, cell: Cell, estimate: Mapping[str, Any] | None) -> None:
        kind = self._chosen()
        # The untouched model is only evaluated: no cell of this model that trains needs less.
        known = self._largest.get(cell.model_name) if cell.kind == "base" else estimate
        request = self._request(
            "cell",
            kind.cores,
            cell=cell.to_dict(),
            time_limit_seconds=self._limit,
            tracking=self._tracking.to_dict() if self._tracking else None,
        )
        ids = [node.id for node in kind.nodes]
        self._engine.start(cell.id, request, demand_of(cell, known, kind), ids, LOST_NODE_RETRIES)

    def _outcomes(self, count: int) -> Iterator[tuple[str, Outcome]]:
        """The next ``count`` ends of tasks. Raises LoraBenchError when no node is left."""
        next_look = time.monotonic() + _LOOK_SECONDS
        while count > 0:
            for key, outcome in self._engine.finished(_POLL_SECONDS):
                count -= 1
                yield key, outcome
            if time.monotonic() >= next_look:
                self._require_a_node()
                next_look = time.monotonic() + _LOOK_SECONDS

    def _require_a_node(self) -> None:
        """Ray would wait for ever for nodes that are gone."""
        alive = {node.id for node in self._engine.nodes()}
        if self._kind and not any(node.id in alive for node in self._kind.nodes):
            raise LoraBenchError(
                f"--executor ray: all {len(self._kind.nodes)} nodes of {self._kind.device} are "
                "gone; what is finished is kept, the same command goes on from there",
                f"--executor ray: {self._kind.device} の {len(self._kind.nodes)} "
                "ノードがすべてなくなりました。測定済みの結果は残っています。"
                "同じコマンドで続きから再開します",
            )

    def _usable_nodes(self) -> list[Node]:
        """Nodes that can do something; the cluster is joined when that is asked first.

        Raises ConfigError.
        """
        if not self._joined:
            self._engine.open()
            self._joined = True
        nodes = [node for node in self._engine.nodes() if node.cpus >= 1]
        if not nodes:
            raise ConfigError(
                "--executor ray: no node of the cluster has a CPU to offer",
                "--executor ray: CPU を使えるノードがクラスターにありません",
            )
        return nodes

    def _chosen(self) -> NodeKind:
        if self._kind is None:
            raise LoraBenchError(
                "--executor ray: nodes are chosen by preflight, which comes first",
                "--executor ray: ノードは preflight が選びます。先に preflight を呼んでください",
            )
        return self._kind

    def _request(self, what: str, threads: int, **values: Any) -> Request:
        variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        if "@" in variables.get("HF_ENDPOINT", ""):  # an address can hold a name and a password
            del variables["HF_ENDPOINT"]
        around = {"folder": os.getcwd(), "variables": variables, "threads": threads}
        return {"do": what, **around, **values}


def _record(cell: Cell, outcome: Outcome) -> CellRecord:
    """The record that a cell's task brought back, or that of its failure."""
    if isinstance(outcome, dict) and "record" in outcome:
        record = CellRecord.from_dict(outcome["record"], "a record from the cluster")
        if record.cell_id == cell.id:
            return record
        return CellRecord.failed(cell, "error", f"the cluster sent the record of {record.cell_id}")
    if isinstance(outcome, Lost):
        tries = f"; Ray was to try it again {LOST_NODE_RETRIES} times"
        again = tries if outcome.kind == WorkerDied.kind else ""
        return CellRecord.failed(cell, outcome.kind, outcome.message + again)
    refusal = refusal_of(outcome)
    return CellRecord.failed(cell, "error", refusal.en if refusal else "")
