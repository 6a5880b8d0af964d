"""The same runs at equal steps and at equal training time."""

from __future__ import annotations

from typing import Any

import pytest

from factories import make_config, make_records
from lora_efficiency_benchmark.analysis import Analysis, analyze
from lora_efficiency_benchmark.analysis.matched import loss_at
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.records.results import CellRecord

ARM = [{"r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"]}]
BASE = 3.0


def curve(at: list[int], losses: list[float]) -> list[dict[str, Any]]:
    return [{"step": step, "loss": loss} for step, loss in zip(at, losses, strict=True)]


def analysed(seconds: dict[str, float], at: list[int], **changes: Any) -> Analysis:
    """Two arms of eight steps each; full falls by 0.1 a step, LoRA by 0.08."""

    def change(record: CellRecord) -> CellRecord:
        block = record.training
        if block and record.evaluation:
            label, rate = record.cell.label, 0.1 if record.cell.adapter is None else 0.08
            block["step_seconds"] = [seconds[label]] * 8
            block["train_seconds"] = seconds[label] * 8
            block["evaluation_curve"] = curve(at, [BASE - rate * step for step in at])
            block.update(changes)
        return record

    config = make_config(lora_configurations=ARM, training_steps=8, eval_steps=2, seeds=3)
    losses = {"full": BASE - 0.8, "r=4 q,v": BASE - 0.64}
    records = make_records(config, losses=losses, base_loss=BASE, noise=0.0, change=change)
    return analyze(records, load_claims("paper-r5"))


def test_a_faster_arm_gains_at_equal_time() -> None:
    found = analysed({"full": 4.0, "r=4 q,v": 2.0}, [2, 4, 6, 8]).matched[0]
    assert found.equal_steps == pytest.approx(0.8)
    assert found.seconds == pytest.approx(16.0)  # LoRA's eight steps, four of full fine-tuning
    assert found.equal_time == pytest.approx(0.64 / 0.4)
    assert found.equal_time_ci95 is not None
    assert found.num_seeds == 3


def test_a_slower_arm_loses_and_the_loss_is_interpolated() -> None:
    found = analysed({"full": 2.0, "r=4 q,v": 3.2}, [2, 4, 6, 8]).matched[0]
    assert found.seconds == pytest.approx(16.0)  # LoRA's fifth step, between two evaluations
    assert found.equal_time == pytest.approx(0.4 / 0.8)


def test_too_few_evaluations_are_not_interpolated() -> None:
    found = analysed({"full": 4.0, "r=4 q,v": 2.5}, [8]).matched[0]
    assert found.equal_time is None
    assert "eval_steps" in found.reason
    assert "eval_steps" in found.reason_ja
    assert found.equal_steps == pytest.approx(0.8)


def test_time_on_a_busy_machine_is_no_time() -> None:
    found = analysed({"full": 4.0, "r=4 q,v": 2.0}, [2, 4, 6, 8], exclusive=False).matched[0]
    assert (found.equal_time, found.reason) == (None, "time was not measured")


def test_the_ends_and_the_middle_of_a_curve() -> None:
    line = [(0.0, 3.0), (2.0, 2.0), (4.0, 1.0), (8.0, 0.5), (10.0, 0.4)]
    assert loss_at(line, 10.0) == 0.4
    assert loss_at(line, 3.0) == pytest.approx(1.5)
    assert loss_at(line, 6.0) is None  # four of ten seconds between two evaluations
    assert loss_at(line, 11.0) is None
