"""Forecasts: more work takes longer, and what was seen corrects what is left."""

from __future__ import annotations

import dataclasses

import pytest

from factories import make_config
from lora_efficiency_benchmark.forecast import Pace, forecast_seconds
from lora_efficiency_benchmark.plan import Cell, expand


def train_cell() -> Cell:
    return next(cell for cell in expand(make_config()) if cell.kind == "train")


@pytest.mark.parametrize(
    "change", [{"training_steps": 48}, {"max_length": 256}, {"evaluation_size": 400}]
)
def test_more_work_takes_longer(change: dict[str, int]) -> None:
    cell = train_cell()
    assert forecast_seconds(dataclasses.replace(cell, **change)) > forecast_seconds(cell)


def test_evaluation_counts_every_pass() -> None:
    cell = dataclasses.replace(train_cell(), training_steps=24, eval_steps=24)
    often = dataclasses.replace(cell, eval_steps=6)
    never_trained = dataclasses.replace(cell, training_steps=1, eval_steps=1, evaluation_size=1)
    assert forecast_seconds(often) > forecast_seconds(cell) > forecast_seconds(never_trained)


def test_what_was_seen_corrects_the_rest() -> None:
    cells = expand(make_config())
    pace = Pace(cells)
    before = pace.seconds_left()
    assert before == pytest.approx(sum(map(forecast_seconds, cells)))
    pace.ended(cells[0], 3 * forecast_seconds(cells[0]))
    rest = before - forecast_seconds(cells[0])
    assert pace.seconds_left() == pytest.approx(3 * rest), "three times as slow"
    memory = next(cell for cell in cells if cell.kind == "memory")
    pace.ended(memory, forecast_seconds(memory))
    other = next(cell for cell in cells if cell.kind == "memory" and cell is not memory)
    assert pace.seconds_of(other) == pytest.approx(forecast_seconds(other)), "its own kind counts"


def test_time_left_never_falls_below_nothing() -> None:
    cell = train_cell()
    pace = Pace([cell])
    assert pace.seconds_left(cell, elapsed=1e9) == 0.0
