"""A cell that two processes train together on this machine's CPU: the same step, told once."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lora_efficiency_benchmark.benchmark import LoRAEfficiencyBenchmark
from lora_efficiency_benchmark.config.adapters import parse_adapter
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig
from lora_efficiency_benchmark.errors import UserError
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ADAPTER = {"r": 2, "target_modules": ["q_proj", "v_proj"], "dropout": 0.0}
LORA = parse_adapter(ADAPTER).label
FSDP = {
    "distributed_type": "FSDP",
    "num_processes": 2,
    "fsdp_config": {"fsdp_version": 2, "fsdp_cpu_ram_efficient_loading": False},
}
Records = dict[tuple[str, str, str], CellRecord]  # by kind, arm and reading


def config(model: Path, **fields: Any) -> LoRABenchmarkConfig:
    defaults: dict[str, Any] = {
        "model_name": str(model),
        "dataset_sizes": [24],
        "lora_configurations": [ADAPTER],
        "training_steps": 4,
        "eval_steps": 2,
        "max_length": 200,  # longer than most texts: the ranks train on unequal numbers of tokens
        "batch_size": 4,
        "precision": "fp32",
        "learning_rates": {"full": 1e-3, "lora": 1e-2},
        "evaluation_size": 21,  # three batches for two processes, the last of them short
        "estimate_scale": False,
        "samples": ["技術解説: "],
        "launcher": {"processes": 2},
    }
    return LoRABenchmarkConfig(**{**defaults, **fields})


def measured(asked: LoRABenchmarkConfig) -> Records:
    """Every record that a run leaves in its folder."""
    LoRAEfficiencyBenchmark(asked).run()
    records = Store(asked.output_dir).load_records()
    assert len(records) == len(expand(asked)), "one record a cell, whoever wrote it"
    return {(r.cell.kind, r.cell.label, r.cell.reading): r for r in records}


@pytest.fixture(scope="module")
def both(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Records, Records]:
    """The same benchmark in one process and in two."""
    folder = tmp_path_factory.mktemp("ranks")
    settings = [
        config(tiny_model_dir, output_dir=str(folder / name), launcher=launcher)
        for name, launcher in (("one", {}), ("two", {"processes": 2}))
    ]
    alone, together = (measured(asked) for asked in settings)
    return alone, together


def test_every_cell_has_a_result(both: tuple[Records, Records]) -> None:
    alone, together = both
    assert set(alone) == set(together)
    for record in (*alone.values(), *together.values()):
        assert record.status == "ok", record.error
    for key, record in together.items():
        assert record.cell.processes == (1 if key[0] == "base" else 2)


@pytest.mark.parametrize("label", ["full", LORA])
def test_two_processes_train_on_the_same_loss_as_one(
    both: tuple[Records, Records], label: str
) -> None:
    one, two = (side["train", label, "controlled"] for side in both)
    assert one.training is not None
    assert two.training is not None
    for name in ("order_sha256", "tokens", "trained_tokens", "examples", "steps", "epochs"):
        assert two.training[name] == one.training[name], name
    # shorter batches, and texts of different lengths: else any weighting of the ranks would do
    padded = [t.training["padded_tokens"] for t in (one, two)]  # type: ignore[index]
    assert one.training["tokens"] < padded[1] < padded[0]
    for name in ("loss_curve", "evaluation_curve"):
        steps = [[point["step"] for point in t.training[name]] for t in (one, two)]  # type: ignore[index]
        assert steps[0] == steps[1]
        losses = [[point["loss"] for point in t.training[name]] for t in (one, two)]  # type: ignore[index]
        assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[1][-1] != losses[1][0], "something was learned"


@pytest.mark.parametrize("label", ["full", LORA])
def test_the_evaluation_counts_every_text_once(both: tuple[Records, Records], label: str) -> None:
    one, two = (side["train", label, "controlled"].evaluation for side in both)
    assert one is not None
    assert two is not None
    assert len(two["documents"]) == len(one["documents"]) == 21
    for name in ("tokens", "raw_bytes"):
        assert two[name] == one[name]
        assert [d[name] for d in two["documents"]] == [d[name] for d in one["documents"]]
    nats = [[d["nats"] for d in block["documents"]] for block in (one, two)]
    assert nats[1] == pytest.approx(nats[0], rel=1e-5)
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-6)


def test_what_one_process_counts_several_count(both: tuple[Records, Records]) -> None:
    alone, together = both
    for key, record in together.items():
        assert record.parameters == alone[key].parameters
        assert record.saved == alone[key].saved
        assert record.environment["threads"] == alone[key].environment["threads"]
        if record.cell.processes == 2:
            each = max(1, record.environment["threads"] // 2)
            assert record.environment["threads_per_process"] == each


@pytest.mark.parametrize("label", ["full", LORA])
def test_memory_is_the_largest_of_any_rank(both: tuple[Records, Records], label: str) -> None:
    one, two = (side["memory", label, "controlled"].memory for side in both)
    assert one is not None
    assert two is not None
    assert "ranks" not in one
    assert [rank["rank"] for rank in two["ranks"]] == [0, 1]
    peaks = [rank["peak_allocated_bytes"] for rank in two["ranks"]]
    assert two["peak_allocated_bytes"] == max(peaks)
    assert two["process_peak_bytes"] == max(rank["process_peak_bytes"] for rank in two["ranks"])
    assert two["breakdown"] is None
    for name in ("batch_size", "sequence_length", "tokens_per_step", "steps", "source"):
        assert two[name] == one[name], name
    parameters = both[1]["memory", label, "controlled"].parameters
    assert parameters is not None
    # every rank holds all weights, gradients, two moments, and what is exchanged of the gradients
    least = parameters["model_size_bytes"] + 4 * parameters["trainable_bytes"]
    assert min(peaks) >= least
    # at the end of a step: what one process keeps, and what DDP keeps to exchange the gradients
    kept = one["end_of_step_allocated_bytes"] + parameters["trainable_bytes"]
    assert abs(two["end_of_step_allocated_bytes"] - kept) < 4096


def test_probes_and_samples_are_told_once(both: tuple[Records, Records]) -> None:
    one, two = (side["train", "full", "controlled"] for side in both)
    assert one.probes is not None
    assert two.probes is not None
    for language, block in one.probes.items():
        assert two.probes[language]["tokens"] == block["tokens"]
        assert two.probes[language]["loss"] == pytest.approx(block["loss"], rel=1e-5)
    assert [sample["prompt"] for sample in two.samples or []] == ["技術解説: "]


def test_no_memory_is_predicted_and_the_reason_is_kept(both: tuple[Records, Records]) -> None:
    for key, record in both[1].items():
        if key[0] != "base":
            assert record.estimate is not None
            assert set(record.estimate) == {"untraceable", "untraceable_ja"}
            assert "launcher.processes 2" in record.estimate["untraceable"]


# ---- what goes wrong ------------------------------------------------------------------------


def train_cell(model: Path, **fields: Any) -> Cell:
    return next(c for c in expand(config(model, **fields)) if c.kind == "train")


def ranks_below() -> list[psutil.Process]:
    """Processes of this test that train."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if any("execution.rank" in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            pass
    return found


def rank_one() -> psutil.Process:
    """The second of them, not the launcher."""
    return next(p for p in ranks_below() if p.environ().get("RANK") == "1")


def once(action: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    """An event hook that acts at the first step."""
    left = [action]

    def hook(event: dict[str, Any]) -> None:
        if event["event"] == "step" and left:
            left.pop()()

    return hook


def test_a_killed_rank_is_the_cells_error_and_nothing_is_left(tiny_model_dir: Path) -> None:
    cell = train_cell(tiny_model_dir, training_steps=5000, eval_steps=5000)
    with LocalLauncher("fork", processes=2) as launch:
        record = launch.run(cell, once(lambda: rank_one().kill()))
        assert record.status == "failed"
        assert record.error is not None
        assert record.error["kind"] == "worker_died"
        assert "SIGKILL" in record.error["message"]
        assert not ranks_below()
        assert launch.run(train_cell(tiny_model_dir)).status == "ok", "the next cell runs"


def test_a_rank_that_hangs_ends_at_the_time_limit(tiny_model_dir: Path) -> None:
    cell = train_cell(tiny_model_dir, training_steps=5000, eval_steps=5000)
    with LocalLauncher("fork", time_limit_seconds=60.0, processes=2) as launch:
        start = time.monotonic()
        record = launch.run(cell, once(lambda: rank_one().send_signal(signal.SIGSTOP)))
        assert time.monotonic() - start < 300
        assert record.error is not None
        assert record.error["kind"] == "time_limit"
        assert not ranks_below()


def test_what_a_rank_says_is_the_cells_error(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import os\n"
        "if os.environ.get('RANK') == '1':\n"
        "    import lora_efficiency_benchmark.dataset as dataset\n"
        "    def broken(*_, **__):\n"
        "        raise MemoryError('no room here')\n"
        "    dataset.load_split = broken\n"
    )
    (tmp_path / "sitecustomize.py").write_text(code, encoding="utf-8")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    with LocalLauncher("fork", processes=2) as launch:
        record = launch.run(train_cell(tiny_model_dir))
    assert record.status == "failed"
    assert record.error == {"kind": "out_of_memory", "message": "rank 1: no room here"}
    assert not ranks_below()


def test_a_diverging_cell_is_recorded(tiny_model_dir: Path) -> None:
    rates = {"full": 1e30, "lora": 1e-2}
    with LocalLauncher("fork", processes=2) as launch:
        record = launch.run(train_cell(tiny_model_dir, learning_rates=rates, training_steps=6))
    assert record.error is not None
    assert record.error["kind"] == "diverged"
    assert record.error["message"].startswith("loss became")


def test_dividing_a_model_needs_accelerators(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU accelerate would train plain copies without a word."""
    monkeypatch.setenv("LORA_BENCH_DEVICE", "cpu")
    launcher = {"processes": 2, "accelerate_config": FSDP}
    with (
        LocalLauncher("fork", processes=2) as launch,
        pytest.raises(UserError, match="fsdp2 needs accelerators"),
    ):
        launch.preflight(config(tiny_model_dir, launcher=launcher))


def test_accumulated_passes_are_shared_too(tiny_model_dir: Path) -> None:
    arguments = {"gradient_accumulation_steps": 2}
    cells = [
        train_cell(tiny_model_dir, launcher=launcher, trainer_args=arguments)
        for launcher in ({}, {"processes": 2})
    ]
    cells = [dataclasses.replace(cell, probes=0, samples=()) for cell in cells]
    with LocalLauncher("fork", processes=2) as launch:
        one, two = (launch.run(cell).training for cell in cells)
    assert one is not None
    assert two is not None
    assert two["order_sha256"] == one["order_sha256"]
    losses = [[point["loss"] for point in block["loss_curve"]] for block in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
