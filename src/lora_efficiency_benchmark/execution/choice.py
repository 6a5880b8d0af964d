"""Which launcher runs the cells (row 4): this machine, or a Ray cluster. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..config.benchmark_config import LoRABenchmarkConfig
from ..config.tracking import Tracking
from ..errors import ConfigError
from ..records.results import OK, CellRecord, EnvironmentKey
from ..search import planned_records
from .executors import EXECUTORS, RAY, Launcher
from .launcher import LocalLauncher
from .ray_engine import require_ray
from .ray_launcher import RayLauncher


def check_executor(executor: str, processes: int) -> None:
    """Raises ConfigError where it is unknown, needs what is not installed, or cannot do it."""
    if executor not in EXECUTORS:
        raise ConfigError(
            f"--executor {executor}: must be {' or '.join(EXECUTORS)}",
            f"--executor {executor}: {' か '.join(EXECUTORS)} を指定してください",
        )
    if executor == RAY and processes > 1:
        raise ConfigError(
            f"launcher.processes: {processes} processes a cell run on this machine only; "
            "leave --executor ray out",
            f"launcher.processes: 1セル {processes} プロセスは、このマシンでだけ実行できます。"
            "--executor ray を外してください",
        )
    if executor == RAY:
        require_ray()


def make_launcher(
    config: LoRABenchmarkConfig,
    executor: str,
    address: str | None,
    tracking: Tracking | None,
    records: Sequence[CellRecord],
) -> Launcher:
    """What runs the cells; ``records`` are those of the folder. See ``check_executor``."""
    limit = config.time_limit_minutes
    seconds = limit * 60 if limit else None
    if executor == RAY:
        address = address or config.launcher.get("address")
        before = _most_used_environment(planned_records(config, records))
        return RayLauncher(address, seconds, tracking, before)
    isolation = config.launcher.get("isolation", "auto")
    return LocalLauncher(isolation, seconds, tracking, config.processes)


def _most_used_environment(records: Sequence[CellRecord]) -> EnvironmentKey | None:
    """Where most results come from: new ones are judged with them only if made in the same."""
    judged = [r for r in records if r.cell.kind != "trial"] or records  # trials may be copied here
    keys = Counter(r.environment_key for r in judged if r.status == OK and r.environment_key)
    return keys.most_common(1)[0][0] if keys else None
