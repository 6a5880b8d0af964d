"""Services that follow a training: what they are told, when, and what stays in the records."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lora_efficiency_benchmark import LoRABenchmarkConfig, LoRAEfficiencyBenchmark
from lora_efficiency_benchmark.cell import CellRun, run_cell
from lora_efficiency_benchmark.config.tracking import SERVICES, Tracking, parse_tracking
from lora_efficiency_benchmark.errors import ConfigError
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.training import trainer


def tiny_config(model: Path, output: Path) -> LoRABenchmarkConfig:
    return LoRABenchmarkConfig(
        model_name=str(model), dataset_sizes=[16], training_steps=3, eval_steps=3, max_length=40,
        batch_size=2, evaluation_size=4, learning_rates={"full": 1e-3, "lora": 1e-2},
        lora_configurations=[{"r": 2, "target_modules": ["q_proj", "v_proj"]}], probes=False,
        samples=[], estimate_scale=False, output_dir=str(output),
    )  # fmt: skip


def cells(model: Path) -> dict[str, Cell]:
    config = tiny_config(model, Path("unused"))
    return {c.kind: c for c in expand(config) if c.adapter and c.reading == "controlled"}


def losses_in(folder: Path) -> dict[int, float]:
    """Step -> loss, read back from TensorBoard's event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {event.step: event.value for event in events.Scalars("train/loss")}


def test_losses_can_be_read_back(tiny_model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    cell = cells(tiny_model_dir)["train"]
    record = run_cell(cell, tracking=Tracking("tensorboard", str(tmp_path)))
    assert record.status == "ok", record.error
    assert record.cell_id == cell.id, "who is told is no part of the settings"
    assert record.training is not None
    assert record.training["report_to"] == ["tensorboard"]
    curve = {point["step"]: point["loss"] for point in record.training["loss_curve"]}
    found = losses_in(tmp_path / "tensorboard" / cell.id)
    assert found == pytest.approx(curve, rel=1e-6)  # events hold single precision
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ


@pytest.mark.slow
def test_a_run_reports_its_training_and_nothing_else(
    tiny_model_dir: Path, tmp_path: Path, close_log: None
) -> None:
    pytest.importorskip("tensorboard")
    config = tiny_config(tiny_model_dir, tmp_path / "out")
    LoRAEfficiencyBenchmark(config).run(report_to="tensorboard")
    records = Store(tmp_path / "out").load_records()
    assert [r.status for r in records] == ["ok"] * len(records)
    assert {r.cell_id for r in records} == {c.id for c in expand(config)}, "ids stay as they are"
    trained = {r.cell_id for r in records if r.cell.kind == "train"}
    folders = {path.name: path for path in (tmp_path / "out/tensorboard").iterdir()}
    assert set(folders) == trained, "memory cells and the base cell tell nobody"
    assert all(len(losses_in(folder)) == 3 for folder in folders.values())


def test_nobody_is_told_by_default(tiny_model_dir: Path) -> None:
    record = run_cell(cells(tiny_model_dir)["train"])
    assert record.training is not None
    assert record.training["report_to"] == []


def test_a_memory_cell_tells_nobody_whatever_is_asked(tiny_model_dir: Path, tmp_path: Path) -> None:
    memory = cells(tiny_model_dir)["memory"]
    memory = replace(memory, trainer_args={"report_to": "tensorboard"})
    run = CellRun(memory, tracking=Tracking("tensorboard", str(tmp_path)))
    assert trainer.training_arguments(run._settings(), str(tmp_path)).report_to == []


def test_the_clock_has_stopped_when_others_hear_of_a_step(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that works at the end of a step must not lengthen it."""
    from transformers import TrainerCallback

    order: list[str] = []

    class Service(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            order.append("service")

    stop = trainer.StepTimer.stop

    def stopped(self: Any) -> None:
        order.append("clock")
        stop(self)

    monkeypatch.setattr(trainer.StepTimer, "stop", stopped)
    monkeypatch.setattr(
        "transformers.trainer.get_reporting_integration_callbacks", lambda _: [Service]
    )
    run_cell(cells(tiny_model_dir)["train"])
    assert order == ["clock", "service"] * 3


def test_wandb_gets_its_last_lines_and_only_where_it_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[bool] = []
    fake = SimpleNamespace(finish=lambda: ended.append(True))
    monkeypatch.setitem(sys.modules, "wandb", fake)  # type: ignore[arg-type]
    plain = trainer.TrainSettings(1, 1, 1e-3, "fp32", 0, 1, False)
    with trainer._followed(plain):
        pass
    assert not ended
    with trainer._followed(replace(plain, report_to="wandb")):
        pass
    assert ended


def test_names_and_packages_are_checked_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parse_tracking(None, tmp_path) is None
    assert parse_tracking("none", tmp_path) is None
    with pytest.raises(ConfigError, match="must be one of none, tensorboard, wandb"):
        parse_tracking("tensorbord", tmp_path)
    monkeypatch.setattr("lora_efficiency_benchmark.config.tracking.find_spec", lambda name: None)
    for name, (_, package) in SERVICES.items():
        with pytest.raises(ConfigError, match=f"pip install {package}"):
            parse_tracking(name, tmp_path)


def test_every_service_is_one_the_trainer_knows() -> None:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert set(SERVICES) <= set(INTEGRATION_TO_CALLBACK)
