"""What a cluster offers, and what a cell asks of it (row 4). Pure: neither Ray nor torch.

Time is measured in cells that train. Such a cell has a **slot** for itself: all cores of a node, or
one GPU and its share of the cores. Memory and trial cells say nothing about time and may share the
cores of a node; a GPU is never shared.

Records are judged together only where device, package versions, threads and allocator agree, so all
cells of a run go to nodes of one kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..plan import Cell
from ..records.results import EnvironmentKey, environment_key
from ..units import GIB

SHARED_CELLS = 4  # cells that are not timed, side by side on the cores of one node
_MARGIN = 1.2  # of an estimate: what it leaves out, and the cache of the allocator
_PROCESS_BYTES = GIB  # interpreter and libraries


@dataclass(frozen=True)
class Node:
    """A node as Ray counts it."""

    id: str
    name: str
    cpus: int
    gpus: int
    memory_bytes: int

    @property
    def slots(self) -> int:
        """Cells that can be timed side by side."""
        return self.gpus or 1

    @property
    def cores(self) -> int:
        """Cores of one slot; every cell computes with as many threads."""
        return max(1, self.cpus // self.slots)


@dataclass(frozen=True)
class NodeKind:
    """Nodes whose records may be judged together."""

    device: str
    accelerator: bool
    nodes: tuple[Node, ...]
    key: EnvironmentKey | None = None  # that of the records it will make

    @property
    def cores(self) -> int:
        """Cores of one slot, the same on each node."""
        return self.nodes[0].cores

    @property
    def slots(self) -> int:
        """Cells that can be timed side by side on all nodes."""
        return sum(node.slots for node in self.nodes)

    @property
    def memory_bytes(self) -> int:
        """Memory of the smallest node: a cell that asks for no more can run on any of them."""
        return min(node.memory_bytes for node in self.nodes)

    @property
    def slot_memory_bytes(self) -> int:
        """A slot's share of the memory of its node, on the node where that is least."""
        return min(node.memory_bytes // node.slots for node in self.nodes)


@dataclass(frozen=True)
class Demand:
    """Resources that a task reserves, in Ray's terms."""

    cpus: int
    gpus: int = 0
    memory_bytes: int = 0


def kinds_of(checked: Sequence[tuple[Node, Mapping[str, Any]]]) -> list[NodeKind]:
    """Nodes sorted by kind, from the ``environment`` blocks that they sent."""
    groups: dict[tuple[bool, Any], list[Node]] = {}
    for node, environment in checked:
        key = environment_key({**environment, "threads": node.cores})
        accelerator = environment["device"]["type"] != "cpu"
        groups.setdefault((accelerator, key), []).append(node)
    return [
        NodeKind(key[0], accelerator, tuple(nodes), key)
        for (accelerator, key), nodes in groups.items()
    ]


def choose_kind(kinds: Sequence[NodeKind], before: EnvironmentKey | None = None) -> NodeKind:
    """The kind all cells run on: that of earlier records, one with a GPU, the most slots.

    ``before`` is the environment that the folder's records come from.
    """

    def rank(kind: NodeKind) -> tuple[Any, ...]:
        known = before is not None and kind.key == before
        return (known, kind.accelerator, kind.slots, kind.cores, kind.device)

    return max(kinds, key=rank)


def demand_of(cell: Cell, estimate: Mapping[str, Any] | None, kind: NodeKind) -> Demand:
    """What a cell reserves on a node of its kind.

    ``estimate`` is that of ``estimate.foresight``; without one, memory is reserved in proportion to
    cores. Nobody gets more memory than the smallest node has, or the cell would wait for ever: one
    that is not expected to fit is tried anyway.
    """
    alone = cell.kind == "train" or kind.accelerator
    needed = _host_bytes(estimate, kind.accelerator)
    cpus = kind.cores if alone else max(1, kind.cores // SHARED_CELLS)
    share = kind.slot_memory_bytes * cpus // kind.cores
    memory = share if needed is None else min(needed, kind.memory_bytes)
    return Demand(cpus, int(kind.accelerator), memory)


def largest(estimates: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The estimate with the highest peak; None where there is none with a peak."""
    known = [each for each in estimates if "peak_allocated_bytes" in each]
    return max(known, key=lambda each: int(each["peak_allocated_bytes"]), default=None)


def _host_bytes(estimate: Mapping[str, Any] | None, accelerator: bool) -> int | None:
    """Memory of the host that a cell is expected to need; None where nothing is known.

    On a CPU that is the estimated peak. On an accelerator it is the weights, twice: as read, and
    as copied back when the model is saved.
    """
    if estimate is None or "peak_allocated_bytes" not in estimate:
        return None
    device_bytes = int(estimate["peak_allocated_bytes"])
    weights = int((estimate.get("breakdown") or {}).get("weights", device_bytes))
    return int(_MARGIN * (2 * weights if accelerator else device_bytes)) + _PROCESS_BYTES
