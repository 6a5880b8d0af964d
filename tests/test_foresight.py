"""Memory foreseen: in records and plans, before a cell that will not fit, at the claim's scale."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from factories import environment, tiny_run
from lora_efficiency_benchmark import LoRABenchmarkConfig, LoRAEfficiencyBenchmark, benchmark
from lora_efficiency_benchmark.cli import app
from lora_efficiency_benchmark.cli import plan as cli_plan
from lora_efficiency_benchmark.errors import StoreError
from lora_efficiency_benchmark.estimate import claim_scale, foresight
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.folder import analyze_folder
from lora_efficiency_benchmark.language import Statement
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.report.terminal.progress import Progress
from lora_efficiency_benchmark.units import GIB

pytestmark = pytest.mark.usefixtures("close_log")

SPEC_ROUNDS = [("r=4 q,v", 512), ("r=8 q,k,v,o", 512), ("r=16 q,k,v,o", 512),
               ("r=32 q,k,v,o", 512), ("r=32 q,k,v,o", 2048)]  # fmt: skip

NOW = "2026-01-01T00:00:00+00:00"
SCALE_SIZE = {"trainable_parameters": 100, "peak_allocated_bytes": 100}
SCALE_ENTRY = {
    "comparison": "same-model", "model": "llama-2-7b", "base_model": "llama-2-7b",
    "reading": "controlled", "configuration": "r=32 q,k,v,o", "batch_size": 4, "seq_len": 512,
    "full": SCALE_SIZE, "lora": SCALE_SIZE, "skipped": None,
}  # fmt: skip

tiny_config = partial(tiny_run, training_steps=2)


class Watching:
    """Keeps what a person would be told."""

    def __init__(self) -> None:
        self.notes: list[Statement] = []
        self.told: list[dict[str, Any]] = []

    def run_started(self, facts: dict[str, Any], cells: Sequence[Cell], kept: int) -> None:
        self.notes = facts["notes"]

    def cell_started(self, cell: Cell) -> None:
        pass

    def event(self, event: dict[str, Any]) -> None:
        if event["event"] in ("too_large", "scale"):
            self.told.append(event)

    def cell_ended(self, record: CellRecord) -> None:
        pass


def cell_of(config: LoRABenchmarkConfig, kind: str, label: str = "full") -> Cell:
    return next(c for c in expand(config) if c.kind == kind and c.label == label)


# ---- run ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_records_hold_estimates_close_to_the_measurement(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is replaced here, but that the claim's scale lies in the cache already."""
    monkeypatch.setenv("LORA_BENCH_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as patched:
        patched.setattr(claim_scale, "_predict", lambda *_: SCALE_SIZE)
        claim_scale.scale_estimates()
    config, watch = tiny_config(tiny_model_dir, tmp_path / "out", estimate_scale=True), Watching()
    analysis = LoRAEfficiencyBenchmark(config).run(watch=watch)
    records = Store(tmp_path / "out").load_records()
    memory = [record for record in records if record.memory]
    assert len(memory) == 3
    for record in memory:
        assert record.estimate is not None
        assert record.memory is not None
        measured = record.memory["peak_allocated_bytes"]
        assert record.estimate["peak_allocated_bytes"] == pytest.approx(measured, rel=0.01)
        assert record.estimate["options"]["seq_len"] == record.memory["sequence_length"]
        assert record.estimate["fits"] is True
        assert record.estimate["limit_bytes"] > measured
    for record in records:
        assert (record.estimate is None) == (record.cell.kind == "base")
    assert analysis.estimator is not None
    assert len(analysis.estimator.cells) == 3
    assert {c.model for c in analysis.estimated_claims} == {"llama-2-7b", "opt-6.7b"}
    assert (watch.notes, watch.told) == ([], [])


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the cells a run tried; each runs out of memory at once, and nothing is started."""
    tried: list[str] = []

    def run(self: LocalLauncher, cell: Cell, on_event: Any) -> CellRecord:
        tried.append(cell.id)
        error = {"kind": "out_of_memory", "message": "as foreseen"}
        return CellRecord(cell, "failed", NOW, NOW, error=error, environment=environment())

    facts = {"model": "m", "parameters": 1, "environment": environment()}
    monkeypatch.setattr(LocalLauncher, "run", run)
    monkeypatch.setattr(LocalLauncher, "preflight", lambda self, config: facts)
    return tried


@pytest.mark.parametrize(
    ("language", "words"), [("en", "and its cell runs again"), ("ja", "そのセルを測り直します")]
)
def test_a_record_set_aside_is_told_in_the_language_of_the_reader(
    ran: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    language: Any,
    words: str,
) -> None:
    monkeypatch.setattr(LocalLauncher, "estimate", lambda self, cells: {})
    store = Store(tmp_path / "out")
    store.create()
    (store.records_path / "broken.json").write_text("{", encoding="utf-8")
    config = tiny_config(tmp_path, tmp_path / "out")
    LoRAEfficiencyBenchmark(config).run(watch=Watching(), language=language)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "broken.json" in line]
    assert line.endswith(words)
    log = (tmp_path / "out" / "lora_benchmark.log").read_text(encoding="utf-8")
    assert "and its cell runs again" in log, "a log is English"


def test_a_cell_that_will_not_fit_is_announced_and_tried(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, watch = tiny_config(tmp_path, tmp_path / "out"), Watching()
    large = cell_of(config, "memory").id
    sizes = {"least_needed_bytes": 2 * GIB, "limit_bytes": GIB}
    needs = {"peak_allocated_bytes": 2 * GIB, "fits": False, **sizes}
    monkeypatch.setattr(LocalLauncher, "estimate", lambda self, cells: {large: needs})
    analysis = LoRAEfficiencyBenchmark(config).run(watch=watch)
    assert watch.told == [{"event": "too_large", "cell_id": large, **sizes}]
    log = (tmp_path / "out" / "lora_benchmark.log").read_text(encoding="utf-8")
    assert f"{large}: needs an estimated 2.00 GiB, the limit is 1.00 GiB" in log
    assert large in ran
    (record,) = [r for r in Store(tmp_path / "out").load_records() if r.cell_id == large]
    assert (record.status, record.estimate) == ("failed", needs)
    assert analysis.estimator is not None
    assert [cell.cell_id for cell in analysis.estimator.out_of_memory] == [large]


@pytest.mark.parametrize(
    ("language", "words"), [("en", "needs an estimated 2.00 GiB"), ("ja", "推定 2.00 GiB")]
)
def test_progress_says_what_will_not_fit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, language: Any, words: str
) -> None:
    progress = Progress(language)
    progress.cell_started(cell_of(tiny_config(tmp_path, tmp_path), "memory"))
    progress.event({"event": "too_large", "least_needed_bytes": 2 * GIB, "limit_bytes": GIB})
    progress.event({"event": "scale"})
    first, second = capsys.readouterr().err.splitlines()
    assert words in first
    assert "1.00 GiB" in first
    assert second


def test_estimates_that_fail_do_not_stop_a_run(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = {"event": "error", "kind": "worker_died", "message": "no reason at all"}
    monkeypatch.setattr(LocalLauncher, "_ask", lambda *_: failure)
    config = tiny_config(tmp_path, tmp_path / "out", estimate_scale=True)
    watch = Watching()
    LoRAEfficiencyBenchmark(config).run(watch=watch)
    (note,) = watch.notes
    assert note.en == "memory could not be estimated: no reason at all"
    assert note.ja == "メモリを推定できません: no reason at all"
    assert note.en in (tmp_path / "out" / "lora_benchmark.log").read_text(encoding="utf-8")
    assert ran == [cell.id for cell in expand(config)]
    assert {r.estimate for r in Store(tmp_path / "out").load_records()} == {None}
    assert not (tmp_path / "out" / "estimates.json").exists()


# ---- estimates of cells -------------------------------------------------------------------------


def test_cells_of_one_structure_share_a_trace(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def predict(cell: Cell, options: Any) -> dict[str, Any]:
        asked.append(options)
        peak = 1000 if cell.adapter is None else 10
        sizes = {"peak_allocated_bytes": peak, "peak_reserved_range_bytes": None}
        return {**sizes, "context_bytes": 0}

    monkeypatch.setattr(foresight, "_predict", predict)
    monkeypatch.setattr(foresight, "memory_limit", lambda device: 100)
    cells = expand(tiny_config(tiny_model_dir, tmp_path, dataset_sizes=[12, 24], seeds=2))
    found = foresight.estimate_cells(cells, foresight.plan_shape)
    assert len(asked) == 3, "full, LoRA, LoRA as practised"
    assert len(found) == len(cells) - 1
    for cell in cells[1:]:
        assert found[cell.id]["fits"] is (cell.adapter is not None)
        assert found[cell.id]["limit_bytes"] == 100


def test_on_an_accelerator_context_and_the_least_reserved_count() -> None:
    sizes = {"peak_allocated_bytes": 5, "peak_reserved_range_bytes": [7, 9], "context_bytes": 2}
    assert foresight.judged(sizes, 9) == {
        **sizes, "fits": True, "least_needed_bytes": 9, "limit_bytes": 9,
    }  # fmt: skip
    assert foresight.judged(sizes, 8)["fits"] is False
    assert foresight.judged({"untraceable": "why"}, 8) == {"untraceable": "why"}


def test_records_with_the_older_name_are_read(tmp_path: Path) -> None:
    record = CellRecord(cell_of(tiny_config(tmp_path, tmp_path), "memory"), "failed", NOW, NOW)
    record.estimate = {
        "peak_allocated_bytes": 5,
        "needed_bytes": 9,
        "limit_bytes": 8,
        "fits": False,
    }
    store = Store(tmp_path / "run")
    store.write_record(record)
    assert analyze_folder(store.path).estimator is not None


def test_trainer_arguments_become_options(tmp_path: Path) -> None:
    arguments = {
        "optim": "sgd", "gradient_checkpointing": True, "gradient_accumulation_steps": 3,
        "max_grad_norm": 0, "warmup_steps": 2, "logging_first_step": True, "torch_compile": False,
    }  # fmt: skip
    config = tiny_config(tmp_path, tmp_path, trainer_args=arguments)
    cell = cell_of(config, "memory", "r=2 q,v")
    options = foresight.options_of(cell, foresight.Shape(40, False), "cuda", "sm89")
    assert options.optimizer == "sgd"
    assert options.gradient_checkpointing
    assert options.accumulation == 3
    assert options.max_grad_norm == 0
    assert (options.batch_size, options.seq_len, options.padded) == (2, 40, False)
    assert (options.precision, options.device, options.arch) == ("amp-bf16", "cuda", "sm89")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"torch_compile": True}, "torch_compile"),
        ({"optim": "galore_adamw"}, "galore_adamw"),
        ({"optim": "sgd", "weight_decay": 0.1}, "weight_decay"),
        ({"neftune_noise_alpha": 5}, "neftune_noise_alpha"),
    ],
)
def test_what_cannot_be_expressed_has_a_reason(
    tiny_model_dir: Path, tmp_path: Path, arguments: dict[str, Any], words: str
) -> None:
    cell = cell_of(tiny_config(tiny_model_dir, tmp_path, trainer_args=arguments), "memory")
    (found,) = foresight.estimate_cells([cell], foresight.plan_shape).values()
    assert list(found) == ["untraceable", "untraceable_ja"]
    assert words in found["untraceable"]
    assert words in found["untraceable_ja"]
    assert not found["untraceable_ja"].isascii()


@pytest.mark.parametrize("name", sorted(foresight._FREE))
def test_an_argument_that_is_free_can_be_given(tmp_path: Path, name: str) -> None:
    assert tiny_config(tmp_path, tmp_path, trainer_args={name: None}).trainer_args == {name: None}


def test_the_memory_of_several_processes_is_not_predicted(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    config = tiny_config(tiny_model_dir, tmp_path, launcher={"processes": 2})
    (found,) = foresight.estimate_cells([cell_of(config, "memory")], foresight.plan_shape).values()
    assert found == {
        "untraceable": "launcher.processes 2: memory is predicted for one process only",
        "untraceable_ja": "launcher.processes 2: メモリは1プロセスのときだけ予測できます",
    }


@pytest.mark.parametrize(
    ("longest", "arguments", "words"),
    [
        (300, {}, "max_length 300: beyond the 256 positions of"),
        (290, {}, "max_length 300 (longest text: 290): beyond the 256 positions of"),
        (
            40,
            {"gradient_accumulation_steps": 2**31 - 1},
            "trainer_args.gradient_accumulation_steps 2147483647: must be a whole number",
        ),
    ],
)
def test_a_reason_names_settings_as_they_were_written(
    tiny_model_dir: Path, tmp_path: Path, longest: int, arguments: dict[str, Any], words: str
) -> None:
    config = tiny_config(tiny_model_dir, tmp_path, max_length=300, trainer_args=arguments)
    shape = foresight.Shape(longest, padded=True)
    found = foresight.estimate_cells([cell_of(config, "memory")], lambda cell: shape)
    (reason,) = found.values()
    assert reason["untraceable"].startswith(words)
    start = words.partition(":")[0].replace("(longest text", "(最も長いテキスト")
    assert reason["untraceable_ja"].startswith(start)
    assert not reason["untraceable_ja"].isascii()


def test_a_step_that_cannot_be_traced_has_a_reason(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("its code does not like us\nat all")

    monkeypatch.setattr(foresight, "estimate", fail)
    cell = cell_of(tiny_config(tiny_model_dir, tmp_path), "memory")
    found = foresight.estimate_cells([cell], foresight.plan_shape)
    said = "its code does not like us"
    assert found == {cell.id: {"untraceable": said, "untraceable_ja": said}}


def test_the_longest_batch_of_the_data(tiny_model_dir: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    rows = [{"text": "a " * n} for n in (*range(2, 30), 34, 36, 90, 95)]
    texts.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    config = tiny_config(tiny_model_dir, tmp_path, dataset=str(texts), dataset_sizes=[20])
    shape_of = foresight.data_shapes()
    cell = cell_of(config, "memory")
    assert shape_of(dataclasses.replace(cell, batch_size=20)).padded
    assert shape_of(dataclasses.replace(cell, max_length=3)) == foresight.Shape(3, False)
    assert 3 < shape_of(cell).longest <= 48


# ---- plan ---------------------------------------------------------------------------------------


def plan(tmp_path: Path, config: LoRABenchmarkConfig, *options: str) -> Any:
    path = tmp_path / "asked.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    return CliRunner().invoke(app, ["plan", str(path), "--lang", "en", *options])


def test_the_plan_shows_memory(tiny_model_dir: Path, tmp_path: Path) -> None:
    config = tiny_config(tiny_model_dir, tmp_path / "out")
    rows = json.loads(plan(tmp_path, config, "--json").stdout)["cells"]
    peaks = {(r["kind"], r["label"], r["reading"]): r["estimated_peak_bytes"] for r in rows}
    assert peaks.pop(("base", "base", "controlled")) is None
    assert all(isinstance(peak, int) and peak > 0 for peak in peaks.values())
    full, lora = (peaks["memory", label, "controlled"] for label in ("full", "r=2 q,v"))
    assert full == peaks["train", "full", "controlled"]
    assert full > lora > peaks["memory", "r=2 q,v", "as-practised"]
    lines = plan(tmp_path, config).stdout.splitlines()
    assert "estimated" not in lines[0]
    assert lines[1].endswith("MiB estimated")


def test_a_plan_without_its_model_says_so_once(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "none", tmp_path / "out")
    done = plan(tmp_path, config, "--json")
    assert done.exit_code == 0
    rows = json.loads(done.stdout)["cells"]
    assert {row["estimated_peak_bytes"] for row in rows} == {None}
    (line,) = done.stderr.splitlines()
    assert "no such file or folder" in line


@pytest.mark.parametrize(
    ("language", "line"),
    [("en", "memory is not estimated: one; two"), ("ja", "メモリを推定できません: 一; 二")],
)
def test_a_plan_says_each_reason_once_in_the_language_of_the_reader(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    language: str,
    line: str,
) -> None:
    reasons = [("one", "一"), ("two", "二"), ("one", "一")]
    cells = expand(tiny_config(tmp_path, tmp_path))[: len(reasons)]
    found = {
        cell.id: {"untraceable": en, "untraceable_ja": ja}
        for cell, (en, ja) in zip(cells, reasons, strict=True)
    }
    monkeypatch.setattr(foresight, "plan_estimates", lambda cells: found)
    assert cli_plan._estimated_peaks(cells, language) == [None] * len(reasons)
    assert capsys.readouterr().err.splitlines() == [line]


def test_the_default_model_is_not_fetched_for_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_BENCH_CACHE", str(tmp_path / "empty"))
    asked: list[str] = []

    def predict(cell: Cell, options: Any) -> dict[str, Any]:
        asked.append(cell.model_name)
        return {"untraceable": "not asked for"}

    monkeypatch.setattr(foresight, "_predict", predict)
    cells = expand(tiny_config(tmp_path, tmp_path, model_name="smollm2-135m-instruct"))
    found = foresight.plan_estimates(cells)
    assert set(asked) == {"smollm2-135m"}
    assert set(found) == {cell.id for cell in cells[1:]}
    assert not (tmp_path / "empty").exists()


# ---- the claim's own scale ----------------------------------------------------------------------


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the scale would have traced, with figures that cost nothing."""
    asked: list[tuple[Any, ...]] = []

    def predict(model: str, method: Any, precision: str, seq_len: int) -> dict[str, Any]:
        asked.append((model, method.text, precision, seq_len))
        return {"trainable_parameters": 7, "peak_allocated_bytes": len(asked)}

    monkeypatch.setenv("LORA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(claim_scale, "_predict", predict)
    return asked


def test_the_scale_is_traced_once(tmp_path: Path, traced: list[tuple[Any, ...]]) -> None:
    heard: list[dict[str, Any]] = []
    entries = claim_scale.scale_estimates(heard.append)
    assert heard == [{"event": "scale"}]
    assert len(traced) == len(set(traced)) == 2 * (2 + 2 * len(SPEC_ROUNDS))
    assert claim_scale.scale_estimates(heard.append) == entries
    assert len(heard) == 1, "the second time it is read"
    assert len(traced) == 2 * (2 + 2 * len(SPEC_ROUNDS))
    assert claim_scale.cache_path().stat().st_size < 10_000


DAMAGE: dict[str, Callable[[str], str]] = {
    "truncated": lambda text: text[:-20],
    "edited": lambda text: text.replace('"peak_allocated_bytes": 3', '"peak_allocated_bytes": 4'),
    "empty": lambda text: "",
    "a list": lambda text: "[]",
    "another form": lambda text: json.dumps({"sha256": "0", "estimates": [1]}),
    "deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_made_anew(traced: list[tuple[Any, ...]], damage: str) -> None:
    claim_scale.scale_estimates()
    path, every = claim_scale.cache_path(), len(traced)
    text = path.read_text(encoding="utf-8")
    assert DAMAGE[damage](text) != text
    path.write_text(DAMAGE[damage](text), encoding="utf-8")
    entries = claim_scale.scale_estimates()
    assert len(traced) == 2 * every
    assert min(entry["lora"]["peak_allocated_bytes"] for entry in entries) > every


def test_an_interrupted_scale_goes_on_where_it_was(
    traced: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = claim_scale._predict

    def interrupted(*asked: Any) -> dict[str, Any]:
        if len(traced) == 5:
            raise KeyboardInterrupt
        return predict(*asked)

    monkeypatch.setattr(claim_scale, "_predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        claim_scale.scale_estimates()
    monkeypatch.setattr(claim_scale, "_predict", predict)
    claim_scale.scale_estimates()
    assert len(traced) == len(set(traced)) == 2 * (2 + 2 * len(SPEC_ROUNDS))


def test_what_failed_once_is_tried_again(
    traced: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = claim_scale._predict

    def failing(model: str, method: Any, *rest: Any) -> dict[str, Any]:
        found = predict(model, method, *rest)
        return {"untraceable": "no space left"} if method.kind == "full" else found

    monkeypatch.setattr(claim_scale, "_predict", failing)
    entries = claim_scale.scale_estimates()
    assert {entry["full"]["untraceable"] for entry in entries} == {"no space left"}
    assert len(traced) == len(set(traced)), "not twice within one run"
    monkeypatch.setattr(claim_scale, "_predict", predict)
    again, before = claim_scale.scale_estimates(), len(set(traced))
    assert not any("untraceable" in entry["full"] for entry in again)
    assert [entry["lora"] for entry in again] == [entry["lora"] for entry in entries]
    assert {text for _, text, _, _ in traced[before:]} == {"full"}


@pytest.mark.parametrize("error", [StoreError("full"), OSError("full")])
def test_a_cache_that_cannot_be_written_costs_only_time(
    traced: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Store, "write_json", refuse)
    assert len(claim_scale.scale_estimates()) == 4 * len(SPEC_ROUNDS)


def test_the_cache_belongs_to_the_program_and_its_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    for name in ("models/structure.py", "estimate/step.py", "presets/architectures/m.yaml"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("first", encoding="utf-8")
    monkeypatch.setattr(claim_scale, "_PACKAGE", package)
    paths = [claim_scale.cache_path()]
    assert claim_scale.cache_path() == paths[0]
    for file in sorted(package.rglob("*.*")):
        file.write_text("second", encoding="utf-8")
        paths.append(claim_scale.cache_path())
    for library in ("torch", "transformers", "peft", "accelerate"):
        versions = {**claim_scale.package_versions(), library: "0"}
        monkeypatch.setattr(claim_scale, "package_versions", lambda found=versions: found)
        paths.append(claim_scale.cache_path())
    assert len(set(paths)) == 1 + 3 + 4


def test_the_scale_covers_the_specification(tmp_path: Path, traced: list[tuple[Any, ...]]) -> None:
    entries = claim_scale.scale_estimates()
    for names, reading in (
        (("same-model", "llama-2-7b", "llama-2-7b"), "controlled"),
        (("cross-model", "opt-6.7b", "opt-1.3b"), "as-practised"),
    ):
        own = [
            e for e in entries
            if (e["comparison"], e["model"], e["base_model"]) == names and e["reading"] == reading
        ]  # fmt: skip
        assert [(e["configuration"], e["seq_len"]) for e in own] == SPEC_ROUNDS
    assert {(m, p) for m, text, p, _ in traced if text == "full"} == {
        ("llama-2-7b", "amp-bf16"), ("opt-1.3b", "amp-bf16"),
    }  # fmt: skip
    assert any(m == "opt-6.7b" and "out_proj" in text for m, text, _, _ in traced)
    store = Store(tmp_path / "out")
    store.create()
    store.write_json("estimates.json", {"schema": 1, "made_at": "now", "entries": entries})
    assert len(store.read_estimates()) == len(entries) == 20


def test_what_a_model_cannot_express_is_skipped(
    traced: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fused = ("same-model", "open-calm-1b", "open-calm-1b")
    monkeypatch.setattr(claim_scale, "COMPARISONS", (fused,))
    entries = claim_scale.scale_estimates()
    assert all(entry["skipped"] for entry in entries if entry["full"] is None)
    assert any(entry["skipped"] for entry in entries)
    assert {entry["skipped_ja"] for entry in entries if entry["skipped"]} == {
        "q・k・v が1つの query_key_value 層にまとまっています"
    }


def test_a_folder_gets_the_scale_once(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def scale(self: LocalLauncher, on_event: Any) -> list[dict[str, Any]]:
        asked.append(1)
        on_event({"event": "scale"})
        return [SCALE_ENTRY]

    monkeypatch.setattr(LocalLauncher, "estimate_scale", scale)
    monkeypatch.setattr(LocalLauncher, "estimate", lambda self, cells: {})
    config = tiny_config(tmp_path, tmp_path / "out", estimate_scale=True)
    watch = Watching()
    LoRAEfficiencyBenchmark(config).run(watch=watch)
    assert watch.told == [{"event": "scale"}]
    monkeypatch.setattr(benchmark, "remaining_cells", lambda *_: [])
    LoRAEfficiencyBenchmark(config).run()
    assert asked == [1], "a finished folder that has it is left alone"
    (tmp_path / "out" / "estimates.json").unlink()
    LoRAEfficiencyBenchmark(config).run()
    assert asked == [1, 1]
    off = dataclasses.replace(config, estimate_scale=False, output_dir=str(tmp_path / "off"))
    LoRAEfficiencyBenchmark(off).run()
    assert asked == [1, 1]


def test_the_switch_changes_no_cell(tmp_path: Path) -> None:
    on, off = (tiny_config(tmp_path, tmp_path, estimate_scale=value) for value in (True, False))
    assert [cell.id for cell in expand(on)] == [cell.id for cell in expand(off)]
