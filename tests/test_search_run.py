"""A whole run that searches its learning rates, stopped in the middle and gone on with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lora_efficiency_benchmark import LoRABenchmarkConfig, LoRAEfficiencyBenchmark
from lora_efficiency_benchmark.folder import analyze_folder
from lora_efficiency_benchmark.plan import Cell
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.search import found_rates

pytestmark = pytest.mark.usefixtures("close_log")


class Stop:
    """Lets a number of cells run, then interrupts."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.ran: list[CellRecord] = []
        self.expected = 0

    def run_started(self, facts: dict[str, Any], cells: Sequence[Cell], kept: int) -> None:
        self.expected = len(cells)

    def cell_started(self, cell: Cell) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1

    def event(self, event: dict[str, Any]) -> None:
        pass

    def cell_ended(self, record: CellRecord) -> None:
        self.ran.append(record)


def test_a_search_goes_on_where_it_stopped(tiny_model_dir: Path, tmp_path: Path) -> None:
    config = LoRABenchmarkConfig(
        model_name=str(tiny_model_dir),
        dataset_sizes=[24],
        lora_configurations=[{"r": 2, "alpha": 4, "target_modules": ["q_proj", "v_proj"]}],
        training_steps=4,
        eval_steps=4,
        output_dir=str(tmp_path / "run"),
        max_length=48,
        batch_size=2,
        evaluation_size=6,
        learning_rates="search",
        search={"trials": 3, "steps": 2, "validation_size": 5, "centres": {"full": 3e-3}},
        estimate_scale=False,
        probes=False,
        samples=[],
    )
    first = Stop(6)  # base, three memory cells, two trials
    with pytest.raises(KeyboardInterrupt):
        LoRAEfficiencyBenchmark(config).run(watch=first)
    second = Stop(100)
    LoRAEfficiencyBenchmark(config).run(watch=second)
    assert not {r.cell_id for r in first.ran} & {r.cell_id for r in second.ran}
    everything = [*first.ran, *second.ran]
    assert all(record.status == "ok" for record in everything)
    trials = [r for r in everything if r.cell.kind == "trial"]
    assert len(trials) == 2 * 3 + 1  # the last one: LoRA at the rate of full fine-tuning
    assert all(r.validation and not r.evaluation for r in trials)
    rates = found_rates(config, everything)
    assert rates is not None
    trained = {r.cell.label: r.cell.learning_rate for r in everything if r.cell.kind == "train"}
    assert trained == rates
    base = next(r for r in everything if r.cell.kind == "base")
    assert base.validation is not None
    assert len(base.validation["documents"]) == 5
    assert base.data is not None
    assert base.data["validation"]["overlap_with_evaluation"]["shared_groups"] == 0
    assert base.data["validation"]["overlap_with_training"]["exact"] == 0
    again = Stop(0)
    LoRAEfficiencyBenchmark(config).run(watch=again)
    assert again.ran == []

    found = analyze_folder(tmp_path / "run")
    assert [curve.label for curve in found.learning_rates] == ["full", "r=2 q,v"]
    assert found.learning_rates[1].shared[0].learning_rate in rates.values()
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Search for learning rates" in page or "学習率の探索" in page
    saved = json.loads((tmp_path / "run" / "analysis.json").read_text(encoding="utf-8"))
    assert len(saved["learning_rates"]) == 2
