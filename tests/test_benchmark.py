"""The whole flow on a tiny model: run, resume, files, and the specification's Python interface."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from factories import tiny_run
from lora_efficiency_benchmark import JapaneseDatasetGenerator, LoRAEfficiencyBenchmark
from lora_efficiency_benchmark.config.benchmark_config import load_config
from lora_efficiency_benchmark.errors import ConfigError, StoreError, TargetModulesError
from lora_efficiency_benchmark.folder import analyze_folder
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.records.results import CellRecord

pytestmark = pytest.mark.usefixtures("close_log")

ADAPTERS = [
    {"r": 2, "alpha": 4, "target_modules": ["q_proj", "v_proj"]},
    {"r": 4, "alpha": 8, "target_modules": ["all-linear"]},
]

tiny_config = partial(tiny_run, lora_configurations=ADAPTERS, probes=False, samples=[])


class Watching:
    """Counts what a person would see; may interrupt."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.ran: list[str] = []
        self.kept = 0
        self.losses: list[float] = []
        self._interrupt_after = interrupt_after

    def run_started(self, facts: dict[str, Any], cells: Sequence[Cell], kept: int) -> None:
        self.kept = kept

    def cell_started(self, cell: Cell) -> None:
        if self._interrupt_after is not None and len(self.ran) >= self._interrupt_after:
            raise KeyboardInterrupt

    def event(self, event: dict[str, Any]) -> None:
        if event["event"] == "step":
            self.losses.append(event["loss"])

    def cell_ended(self, record: CellRecord) -> None:
        self.ran.append(record.cell_id)


@pytest.fixture(scope="module")
def finished(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a finished run, interrupted once on the way."""
    output = tmp_path_factory.mktemp("runs") / "run"
    config = tiny_config(tiny_model_dir, output)
    first = Watching(interrupt_after=3)
    with pytest.raises(KeyboardInterrupt):
        LoRAEfficiencyBenchmark(config).run(watch=first)
    assert len(first.ran) == 3
    second = Watching()
    LoRAEfficiencyBenchmark(config).run(watch=second)
    assert second.kept == 3
    assert not set(first.ran) & set(second.ran), "nothing is measured twice"
    assert len(first.ran) + len(second.ran) == len(expand(config))
    assert all(math.isfinite(loss) for loss in second.losses)
    return output


def test_the_folder_holds_everything(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "config.yaml", "environment.json", "lora_benchmark.log", "records", "results.csv",
        "analysis.json", "report.html", "report.md", "figures",
    }  # fmt: skip
    assert load_config(finished / "config.yaml").training_steps == 4
    assert "joint" in json.loads((finished / "analysis.json").read_text(encoding="utf-8"))
    log = (finished / "lora_benchmark.log").read_text(encoding="utf-8")
    assert log.startswith("20"), "every line has a time stamp"
    assert "device:" in log


def test_rows_start_with_the_specifications_columns(finished: Path) -> None:
    with open(finished / "results.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:13] == [
        "model_name", "training_method", "dataset_size", "lora_config", "trainable_parameters",
        "total_parameters", "parameter_reduction_ratio", "peak_memory_mb",
        "training_time_minutes", "eval_loss", "eval_perplexity", "model_size_mb",
        "measurement_timestamp",
    ]  # fmt: skip
    assert [row["training_method"] for row in rows] == ["full_finetuning", "lora", "lora"]
    for row in rows:
        assert float(row["eval_perplexity"]) == pytest.approx(math.exp(float(row["eval_loss"])))
        assert float(row["peak_memory_mb"]) > 0
    full, lora = float(rows[0]["trainable_parameters"]), float(rows[1]["trainable_parameters"])
    assert float(rows[1]["parameter_reduction_ratio"]) == pytest.approx(full / lora)


def test_a_finished_run_runs_nothing(finished: Path) -> None:
    watch = Watching()
    LoRAEfficiencyBenchmark(finished / "config.yaml").run(watch=watch)
    assert watch.ran == []


def test_other_settings_in_one_folder_are_not_mixed(finished: Path, tmp_path: Path) -> None:
    before = analyze_folder(finished)
    config = load_config(finished / "config.yaml", training_steps=3, eval_steps=3)
    planned = {cell.id for cell in expand(config)}
    assert not planned & {id_ for arm in before.arms for id_ in arm.cells if "train" in id_}


@pytest.mark.slow
def test_fresh_moves_the_old_folder_aside(tiny_model_dir: Path, tmp_path: Path) -> None:
    config = tiny_config(
        tiny_model_dir, tmp_path / "out", lora_configurations=ADAPTERS[:1], training_steps=1
    )
    old = tmp_path / "out" / "records" / "measured.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}", encoding="utf-8")
    watch = Watching()
    LoRAEfficiencyBenchmark(config).run(watch=watch, fresh=True)
    assert len(watch.ran) == len(expand(config))
    kept = [path for path in tmp_path.iterdir() if path.name != "out"]
    assert len(kept) == 1
    assert [path.name for path in (kept[0] / "records").iterdir()] == ["measured.json"]


def test_a_failing_arm_does_not_stop_the_others(tiny_model_dir: Path, tmp_path: Path) -> None:
    config = tiny_config(
        tiny_model_dir, tmp_path / "out", precision="fp32", training_steps=6,
        lora_configurations=ADAPTERS[:1], learning_rates={"full": 1e30, "lora": 1e-2},
    )  # fmt: skip
    analysis = LoRAEfficiencyBenchmark(config).run(watch=Watching())
    assert [f["kind"] for f in analysis.failures if f["cell_id"].startswith("train-full")]
    assert any(row.training_method == "lora" for row in analysis.rows)
    again = Watching()
    LoRAEfficiencyBenchmark(config).run(watch=again)
    assert all("full" in id_ for id_ in again.ran), "only what failed is tried again"
    assert again.ran


# ---- as the specification uses it -------------------------------------------------------------


def test_claims_are_unknown_before_there_is_data(tiny_model_dir: Path, tmp_path: Path) -> None:
    benchmark = LoRAEfficiencyBenchmark(tiny_config(tiny_model_dir, tmp_path / "out"))
    found = benchmark.analyze_efficiency_claims()
    assert found["parameter_reduction"]["claimed"] == 200
    assert found["memory_reduction"]["claimed"] == 2.0
    assert found["parameter_reduction"]["verification"] == "unknown"
    assert found["parameter_reduction"]["measured"] == []
    assert not (tmp_path / "out").exists(), "asking writes nothing"


def test_in_this_process_as_the_document_does(tiny_model_dir: Path, tmp_path: Path) -> None:
    import datasets
    from transformers import AutoModelForCausalLM, AutoTokenizer

    benchmark = LoRAEfficiencyBenchmark(tiny_config(tiny_model_dir, tmp_path / "out"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    texts = JapaneseDatasetGenerator().generate_japanese_training_data(30)
    dataset = datasets.Dataset.from_dict({"text": texts})

    def load() -> Any:
        return AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype="float32")

    full = benchmark.run_training_benchmark(load(), tokenizer, dataset, "full_finetuning")
    lora = benchmark.run_training_benchmark(load(), tokenizer, dataset, "lora", ADAPTERS[0])
    for row in (full, lora):
        assert row["status"] == "ok"
        assert row["isolated"] is False
        assert row["eval_perplexity"] == pytest.approx(math.exp(row["eval_loss"]))
        assert row["peak_memory_mb"] > row["model_size_mb"]
    assert lora["parameter_reduction_ratio"] == pytest.approx(
        full["trainable_parameters"] / lora["trainable_parameters"]
    )
    found = benchmark.analyze_efficiency_claims()
    assert found["parameter_reduction"]["measured"] == [lora["parameter_reduction_ratio"]]
    assert found["parameter_reduction"]["verification"] in ("VERIFIED", "PARTIAL", "FAILED")
    assert [row.training_method for row in benchmark.results] == ["full_finetuning", "lora"]


def test_small_methods_of_the_document(tiny_model_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    benchmark = LoRAEfficiencyBenchmark(tiny_config(tiny_model_dir, tmp_path / "out"))
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype="float32")
    total = sum(p.numel() for p in model.parameters())
    assert benchmark.count_parameters(model) == (total, total)
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    assert benchmark.measure_model_size(model) == (4 * total + buffers) / 2**20
    wrapped = benchmark.create_lora_model(model, ADAPTERS[0])
    trainable, all_of_them = benchmark.count_parameters(wrapped)
    assert all_of_them == total + trainable
    assert wrapped.peft_config["default"].lora_dropout == 0.1
    assert benchmark.device == "cpu"
    with pytest.raises(TargetModulesError, match="c_attn match"):
        benchmark.create_lora_model(model, {"r": 2, "target_modules": ["c_attn"]})


@pytest.mark.parametrize(
    ("method", "adapter"), [("lora", None), ("full_finetuning", ADAPTERS[0]), ("qlora", None)]
)
def test_methods_that_do_not_exist(
    tiny_model_dir: Path, tmp_path: Path, method: str, adapter: Any
) -> None:
    benchmark = LoRAEfficiencyBenchmark(tiny_config(tiny_model_dir, tmp_path / "out"))
    with pytest.raises(ConfigError):
        benchmark.run_training_benchmark(None, None, ["a", "b"], method, adapter)


def test_an_output_path_that_is_a_file(tiny_model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match="a file"):
        LoRAEfficiencyBenchmark(tiny_config(tiny_model_dir, tmp_path / "file")).run()


def test_analysis_and_report_need_no_torch(finished: Path) -> None:
    code = (
        "import sys\n"
        "from lora_efficiency_benchmark.folder import analyze_folder\n"
        "from lora_efficiency_benchmark.report import render_html\n"
        f"render_html(analyze_folder({str(finished)!r}), 'ja')\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
