"""How long cells will take (row 2): a reference speed, corrected by what this run has seen. Pure.

Seconds of a cell = fixed + training tokens x seconds a token + evaluated tokens x seconds a token.
The reference is a measurement on one named machine (``presets/reference_speed.yaml``); every cell
that ends corrects it by the ratio of seconds taken to seconds forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from .config.yaml_io import load_yaml_file
from .plan import Cell

_PROBE_TEXTS, _PROBE_TOKENS = 48, 65  # in all; of one, about
_SAMPLE_TOKENS = 1500  # evaluated tokens that take about as long as one continuation of 48 tokens
_REFERENCE = Path(__file__).parent / "presets" / "reference_speed.yaml"


@cache
def reference_speed() -> dict[str, Any]:
    """Seconds per token and per cell, with machine, model, date and command."""
    return dict(load_yaml_file(_REFERENCE))


def forecast_seconds(cell: Cell) -> float:
    """Seconds the cell would take on the reference machine with the reference model."""
    speed = reference_speed()
    accumulation = int(cell.trainer_args.get("gradient_accumulation_steps", 1))
    step_tokens = cell.batch_size * cell.max_length * accumulation
    evaluated_tokens = cell.evaluation_size * cell.max_length
    arm = "full" if cell.adapter is None else "lora"
    training = evaluation = 0.0
    if cell.kind != "base":
        kind = "memory" if cell.kind == "memory" else "train"
        per_token = speed[f"{kind}_{arm}_seconds_per_token"]
        training = cell.training_steps * step_tokens * per_token
    if cell.kind == "trial":
        evaluation = cell.validation_size * cell.max_length * speed["evaluate_seconds_per_token"]
    elif cell.kind != "memory":
        passes = ceil(cell.training_steps / cell.eval_steps) if cell.kind == "train" else 1
        evaluation = passes * evaluated_tokens * speed["evaluate_seconds_per_token"]
    beside = _PROBE_TEXTS * min(cell.max_length, _PROBE_TOKENS) if cell.probes else 0
    beside += _SAMPLE_TOKENS * len(cell.samples)
    evaluation += beside * speed["evaluate_seconds_per_token"]
    return float(speed["fixed_seconds"] + training + evaluation)


class Pace:
    """Time left for a list of cells, corrected as cells end.

    Sums are kept by kind, so that asking costs the same for ten cells and for ten thousand: it is
    asked four times a second while a cell is being timed.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._waiting: dict[_Place, list[float]] = {}  # forecasts; trials of an arm share a place
        self._left: dict[str, float] = {}  # kind -> seconds forecast of those that wait
        self._taken: dict[str, tuple[float, float]] = {}  # kind -> (seconds taken, forecast)
        for cell in cells:
            seconds = forecast_seconds(cell)
            self._waiting.setdefault(_place(cell), []).append(seconds)
            self._left[cell.kind] = self._left.get(cell.kind, 0.0) + seconds

    def ended(self, cell: Cell, seconds: float) -> None:
        """One cell is done."""
        forecast, kind = self._forecast(cell), cell.kind
        expected_here = self._waiting.get(_place(cell))
        if expected_here:  # else a cell that was not expected
            self._left[kind] -= expected_here.pop(0)
        taken, expected = self._taken.get(kind, (0.0, 0.0))
        self._taken[kind] = (taken + seconds, expected + forecast)

    def seconds_of(self, cell: Cell) -> float:
        """Seconds the whole cell will take, as far as known."""
        return self._forecast(cell) * self._ratio(cell.kind)

    def seconds_left(self, running: Cell | None = None, elapsed: float = 0.0) -> float:
        """Seconds until the last cell ends; ``elapsed`` of the running one are already spent."""
        left = sum(forecast * self._ratio(kind) for kind, forecast in self._left.items())
        if running is not None:
            left -= min(elapsed, self.seconds_of(running))
        return max(0.0, left)

    def _forecast(self, cell: Cell) -> float:
        waiting = self._waiting.get(_place(cell))
        return waiting[0] if waiting else forecast_seconds(cell)

    def _ratio(self, kind: str) -> float:
        known = [self._taken[kind]] if kind in self._taken else list(self._taken.values())
        expected = sum(forecast for _, forecast in known)
        return sum(taken for taken, _ in known) / expected if expected else 1.0


_Place = tuple[str, str, str, int, int]


def _place(cell: Cell) -> _Place:
    """What tells cells apart before a search has found their learning rates."""
    return (cell.kind, cell.label, cell.reading, cell.dataset_size, cell.seed)
