"""What runs cells, as ``benchmark.py`` sees it (row 4). No torch.

    launcher.LocalLauncher      one cell after the other on this machine
    ray_launcher.RayLauncher    the same cells on the nodes of a Ray cluster, several at a time

Both hand records to their caller, who alone writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, Self

from ..config.benchmark_config import LoRABenchmarkConfig
from ..plan import Cell
from ..records.results import CellRecord

LOCAL, RAY = "local", "ray"
EXECUTORS = (LOCAL, RAY)

PINNING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""Variables that tie threads to cores: processes side by side would take the same first ones."""

EventHook = Callable[[dict[str, Any]], None]
EstimateOf = Callable[[Cell], dict[str, Any] | None]
"""What a cell is expected to need, as ``estimate.foresight`` says; None: nothing is known."""


class Launcher(Protocol):
    """Runs cells, each alone in a process; a context manager that leaves no process behind."""

    def __enter__(self) -> Self:
        """Start what is needed. Raises UserError."""

    def __exit__(self, *_: object) -> None:
        """End what was started, running cells included."""

    def preflight(self, config: LoRABenchmarkConfig) -> dict[str, Any]:
        """What can be checked before anything is measured; ``at_once``: cells timed side by side.

        Raises UserError.
        """

    def estimate(self, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
        """What each cell that trains will need, by id. Raises LoraBenchError."""

    def estimate_scale(self, on_event: EventHook = ...) -> list[dict[str, Any]]:
        """Entries of estimates.json. Raises LoraBenchError."""

    def run_each(
        self,
        cells: Sequence[Cell],
        estimate_of: EstimateOf,
        begin: Callable[[Cell], None],
        on_event: EventHook,
    ) -> Iterator[CellRecord]:
        """One record a cell, as they end; ``begin`` is called with each cell before it runs.

        The cells do not depend on each other.
        """
