"""Time of the optimizer steps alone (row 4), with what tells whether the cores were free."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import psutil
import torch

from .environment import usable_cores

_SLACK_CORES = 0.35  # other work below this share of one core does not disturb a cell


class StepTimer:
    """Wall time of each step; evaluation, logging and data preparation lie outside."""

    def __init__(self, on_accelerator: bool) -> None:
        self._on_accelerator = on_accelerator
        self.step_seconds: list[float] = []
        self._started = 0.0
        self._cpu_seconds = 0.0
        self._cpu_started = 0.0
        self._busy_started: float | None = None
        self._other_seconds = 0.0
        self._load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None

    @property
    def cpu_seconds(self) -> float:
        """Processor time that this process used in the steps."""
        return self._cpu_seconds

    @property
    def train_seconds(self) -> float:
        """Sum of the optimizer steps."""
        return sum(self.step_seconds)

    def start(self) -> None:
        """A step begins."""
        self._synchronize()
        self._busy_started = _busy_seconds()
        self._cpu_started = time.process_time()
        self._started = time.perf_counter()

    def stop(self) -> None:
        """The step has ended, on the device too."""
        self._synchronize()
        self.step_seconds.append(time.perf_counter() - self._started)
        own = time.process_time() - self._cpu_started
        self._cpu_seconds += own
        if self._busy_started is not None:
            self._other_seconds += (_busy_seconds() or 0.0) - self._busy_started - own

    def summary(self, cpu_seconds: Sequence[float] = ()) -> dict[str, Any]:
        """The timing fields of the record's ``training`` block.

        ``cpu_seconds`` are those of every rank, this one included, where there are several: what
        the ranks use of the cores is the cell's own work.
        """
        seconds = self.train_seconds
        cpu_seconds = cpu_seconds or [self._cpu_seconds]
        everybody_else = self._other_seconds - (sum(cpu_seconds) - self._cpu_seconds)
        # The clock ticks in 10 ms: signed differences cancel over the steps, so clip their sum only
        others = max(0.0, everybody_else / seconds) if seconds else 0.0
        own = len(cpu_seconds) * (1 if self._on_accelerator else torch.get_num_threads())
        free = usable_cores() - own
        return {
            "steps": len(self.step_seconds),
            "train_seconds": seconds,
            "step_seconds": self.step_seconds,
            "cpu_seconds": sum(cpu_seconds),
            "other_busy_cores": others,
            "load_average": self._load,
            "exclusive": others <= free + _SLACK_CORES,
        }

    def _synchronize(self) -> None:
        if self._on_accelerator:
            torch.accelerator.synchronize()


def _busy_seconds() -> float | None:
    """CPU seconds used by everybody since boot."""
    try:
        times = psutil.cpu_times()
    except OSError:
        return None
    return float(
        sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
    )
