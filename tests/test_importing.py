"""Foreign results into records: two layouts with their figures, and what a stranger may hand us."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from factories import make_config, make_records
from lora_efficiency_benchmark import cli
from lora_efficiency_benchmark.config.architectures import load_architectures
from lora_efficiency_benchmark.importing import NotImportable, files, import_results
from lora_efficiency_benchmark.importing.fields import Fields
from lora_efficiency_benchmark.importing.peft_config import lora_settings
from lora_efficiency_benchmark.importing.trainer_runs import read_runs
from lora_efficiency_benchmark.importing.weights import adapter_weights
from lora_efficiency_benchmark.plan import CONTROLLED
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.units import GIB
from test_architecture import heavy_modules_after

FULL, R8, R16 = "full-finetuning--small", "lora--small-rank8", "lora--small-rank16"
COUNTS = {FULL: 600_000_000, R8: 2_000_000, R16: 4_000_000}
RESERVED_GIB = {FULL: 21.0, R8: 12.0, R16: 14.0}
STEP_SECONDS = {FULL: 0.30, R8: 0.20, R16: 0.25}
ACCURACY = {FULL: 0.48, R8: 0.46, R16: 0.47}


# ---- what the sources look like -----------------------------------------------------------------


def peft_lora(rank: int, **fields: Any) -> dict[str, Any]:
    """A ``peft_config`` as PEFT writes it, targets in the order of a set."""
    return {
        "task_type": "CAUSAL_LM", "peft_type": "LORA", "auto_mapping": None,
        "base_model_name_or_path": "example/small-lm", "revision": None, "inference_mode": False,
        "r": rank, "target_modules": ["v_proj", "q_proj"], "exclude_modules": None,
        "lora_alpha": 2 * rank, "lora_dropout": 0.0, "fan_in_fan_out": False, "bias": "none",
        "use_rslora": False, "modules_to_save": None, "init_lora_weights": True,
        "layers_to_transform": None, "rank_pattern": {}, "alpha_pattern": {},
        "megatron_core": "megatron.core", "loftq_config": {}, "use_dora": False,
        "use_qalora": False, "qalora_group_size": 16, "lora_bias": False, **fields,
    }  # fmt: skip


def peft_metrics(name: str, steps: int, every: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "step": step, "valid accuracy": 0.3, "train loss": 1.0 - step / 1000,
            "train samples": 4 * step, "train time": every * STEP_SECONDS[name], "eval time": 9.0,
            "tokens / sec": 2000.0, "mem allocated avg": 8 * GIB + step, "mem reserved avg": 9e9,
            "elapsed time": 60.0 * step,
        }
        for step in range(every, steps + 1, every)
    ]  # fmt: skip
    last = {"step": steps, "test accuracy": ACCURACY[name], "train loss": 0.6}
    return [*rows, {**last, "train samples": 4 * steps, "train total tokens": 40_000}]


def peft_result(name: str) -> dict[str, Any]:
    """A result file in the layout of method_comparison, with figures of our own."""
    full = name == FULL
    return {
        "run_info": {
            "created_at": "2026-07-15T06:48:11+00:00",
            "total_time": 900.5,
            "experiment_name": name.replace("--", "/"),
            "peft_branch": "main",
            "train_config": {
                "model_id": "example/small-lm", "dtype": "bfloat16", "max_seq_length": 512,
                "batch_size": 4, "batch_size_eval": 50, "max_steps": 200, "eval_steps": 50,
                "compile": False, "use_gc": False, "query_template": "Question: {query}\nAnswer:",
                "seed": 0, "grad_norm_clip": 1.0, "optimizer_type": "AdamW",
                "optimizer_kwargs": {"lr": 1e-5} if full else {"lr": 1e-4, "weight_decay": 0.1},
                "lr_scheduler": "cosine", "use_amp": False, "autocast_adapter_dtype": True,
                "attn_implementation": None,
            },
            "peft_config": None if full else peft_lora(16 if name == R16 else 8),
            "error_msg": "",
        },
        "train_info": {
            "accelerator_memory_reserved_avg": int(RESERVED_GIB[name] * 0.8 * GIB),
            "accelerator_memory_max": int(RESERVED_GIB[name] * GIB),
            "accelerator_memory_reserved_99th": int(RESERVED_GIB[name] * 0.9 * GIB),
            "train_time": 700.0,
            "file_size": COUNTS[name] * 2,
            "num_trainable_params": COUNTS[name],
            "num_total_params": COUNTS[FULL] + (0 if full else COUNTS[name]),
            "status": "success",
            "metrics": peft_metrics(name, 200, 50),
        },
        "meta_info": {
            "model_info": {"sha": "abc", "created_at": "2024-09-18T15:23:48+00:00"},
            "dataset_info": {"metamath": {"sha": "d1"}, "gsm8k": {"sha": "d2"}},
            "package_info": {
                "torch-version": "2.9.0", "torch-commit-hash": None, "peft-version": "0.18.0",
            },
            "system_info": {
                "system": "Linux", "release": "6.8.0", "machine": "x86_64",
                "accelerator": "Example GPU",
            },
            "pytorch_info": "built by hand",
        },
    }  # fmt: skip


def peft_folder(folder: Path, *names: str) -> Path:
    for name in names or (FULL, R8, R16):
        put(folder / f"{name}.json", peft_result(name))
    return folder


def put(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def safetensors(path: Path, shapes: dict[str, tuple[int, ...]], dtype: str = "F32") -> None:
    """A file of zeros."""
    head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * {"F32": 4, "BF16": 2, "U8": 1, "I64": 8}[dtype]
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(head).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


def layer(number: int, name: str) -> str:
    return f"model.layers.{number}.self_attn.{name}"


MODEL_SHAPES: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (100, 16)} | {
    f"{layer(n, name)}.weight": (16, 16) for n in range(2) for name in ("q_proj", "v_proj")
}
MODEL_PARAMETERS = 100 * 16 + 4 * 256


def adapter_shapes(rank: int, width: int = 16) -> dict[str, tuple[int, ...]]:
    return {
        f"base_model.model.{layer(n, name)}.lora_{side}.weight": shape
        for n in range(2)
        for name in ("q_proj", "v_proj")
        for side, shape in (("A", (rank, width)), ("B", (width, rank)))
    }


def trainer_state(losses: dict[int, float], steps: int = 20, **fields: Any) -> dict[str, Any]:
    """A trainer_state.json with held-out losses by step."""
    log: list[dict[str, Any]] = [
        {"epoch": s / 10, "grad_norm": 1.0, "learning_rate": 2e-4 * (1 - s / 25), "loss": 2.0,
         "step": s} for s in range(5, steps + 1, 5)
    ]  # fmt: skip
    log += [{"epoch": s / 10, "eval_loss": v, "eval_runtime": 1.0, "step": s} for s, v in
            losses.items()]  # fmt: skip
    log.sort(key=lambda row: row["step"])
    log.append({"epoch": 2.0, "step": steps, "train_loss": 2.0, "train_runtime": 60.0})
    return {
        "best_metric": None, "best_model_checkpoint": None, "epoch": 2.0, "eval_steps": 10,
        "global_step": steps, "is_hyper_param_search": False, "log_history": log,
        "logging_steps": 5, "max_steps": 20, "num_input_tokens_seen": 4000,
        "num_train_epochs": 2, "save_steps": 10, "stateful_callbacks": {}, "total_flos": 1e12,
        "train_batch_size": 4, "trial_name": None, "trial_params": None, **fields,
    }  # fmt: skip


def full_run(folder: Path, losses: dict[int, float], name: str | None = "example/tiny") -> Path:
    put(folder / "trainer_state.json", trainer_state(losses))
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16}
    put(folder / "config.json", config | ({"_name_or_path": name} if name else {}))
    safetensors(folder / "model.safetensors", MODEL_SHAPES, "BF16")
    return folder


def lora_run(folder: Path, losses: dict[int, float], rank: int = 2, width: int = 16) -> Path:
    put(folder / "trainer_state.json", trainer_state(losses))
    config = peft_lora(rank, base_model_name_or_path="example/tiny")
    put(folder / "adapter_config.json", config)
    safetensors(folder / "adapter_model.safetensors", adapter_shapes(rank, width))
    return folder


def trainer_folder(folder: Path) -> Path:
    full_run(folder / "full", {0: 3.0, 10: 2.5, 20: 2.0})
    lora_run(folder / "lora-r2", {0: 3.0, 10: 2.6, 20: 2.1})
    return folder


# ---- the command line ---------------------------------------------------------------------------


def call(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def imported(source: Path, directory: Path) -> dict[str, Any]:
    found = json.loads(call("import", source, directory, "--json"))
    assert isinstance(found, dict)
    return found


def analysis_of(source: Path, directory: Path) -> dict[str, Any]:
    imported(source, directory)
    found = json.loads(call("analyze", directory, "--json"))
    assert isinstance(found, dict)
    return found


def claim_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    claim = next(c for c in found["claims"] if c["id"] == name)
    assert isinstance(claim, dict)
    return claim


def values_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    return {e["configuration"]: e["value"] for e in claim_of(found, name)["per_configuration"]}


def one_line(monkeypatch: pytest.MonkeyPatch, capsys: Any, *arguments: object) -> str:
    """What a failing command says: exit 1, nothing on standard output, one line on the other."""
    monkeypatch.setattr(sys, "argv", ["lora-bench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return str(said.err)


R8_LABEL, R16_LABEL = "r=8 q,v dropout=0", "r=16 q,v dropout=0"


# ---- results of method_comparison ---------------------------------------------------------------


def test_peft_results_are_judged_by_what_they_hold(tmp_path: Path) -> None:
    found = analysis_of(peft_folder(tmp_path / "results"), tmp_path / "out")
    assert values_of(found, "parameter-reduction") == {R8_LABEL: 300.0, R16_LABEL: 150.0}
    assert claim_of(found, "parameter-reduction")["verification"] == "VERIFIED"
    for name in ("memory-controlled", "memory-as-practised", "gain-retention", "training-time"):
        claim = claim_of(found, name)
        assert claim["verification"] == "NOT_MEASURED", name
        assert claim["reason"], name
        entries = claim["per_configuration"]
        assert {e["configuration"] for e in entries} == {R8_LABEL, R16_LABEL}
        assert all(e["value"] is None and e["reason"] for e in entries)
    assert found["joint"]["verification"] == "NOT_MEASURED"
    assert found["environment"]["device"]["name"] == "Example GPU"
    assert found["environment"]["packages"] == {"torch": "2.9.0", "peft": "0.18.0"}
    arms = {arm["label"]: arm for arm in found["arms"]}
    assert arms["full"]["memory"][CONTROLLED]["peak_reserved_bytes"] == 21 * GIB
    assert all(not arm["memory_ratio"] for arm in arms.values())
    assert arms[R8_LABEL]["train_seconds"] == [pytest.approx(200 * 0.20)]
    assert arms[R8_LABEL]["learning_rate"] == 1e-4


def test_the_reason_names_what_the_source_gives_instead(tmp_path: Path) -> None:
    found = analysis_of(peft_folder(tmp_path / "results"), tmp_path / "out")

    def reason(claim: str) -> str:
        entries = claim_of(found, claim)["per_configuration"]
        return str(next(e["reason"] for e in entries if e["configuration"] == R8_LABEL))

    assert "peak reserved (1.75x)" in reason("memory-controlled")
    assert "not peak allocated" in reason("memory-controlled")
    assert "accuracy" in reason("gain-retention")
    assert "0.46" in reason("gain-retention")
    assert "0.48" in reason("gain-retention")
    assert "1.50x" in reason("training-time")
    assert "other work ran" not in reason("training-time")


def test_a_record_says_where_it_comes_from_and_what_its_figures_are(tmp_path: Path) -> None:
    imported(peft_folder(tmp_path / "results"), tmp_path / "out")
    records = {(r.cell.label, r.cell.kind): r for r in Store(tmp_path / "out").load_records()}
    assert set(records) == {
        (label, kind) for label in ("full", R8_LABEL, R16_LABEL) for kind in ("memory", "train")
    }
    memory, train = records[R8_LABEL, "memory"], records[R8_LABEL, "train"]
    for record in (memory, train):
        assert record.isolated is False
        assert record.data is not None
        assert record.data["imported_from"] == f"{R8}.json"
        assert record.data["format"] == "PEFT method_comparison"
        assert record.data["figures"]["parameters.trainable"] == "train_info.num_trainable_params"
        assert record.parameters == {"trainable": 2_000_000, "total": 602_000_000}
        assert str(tmp_path) not in json.dumps(record.to_dict())
    assert memory.memory is not None
    assert "peak_allocated_bytes" not in memory.memory
    assert memory.memory["peak_reserved_bytes"] == 12 * GIB
    assert memory.memory["end_of_step_allocated_mean_bytes"] == 8 * GIB + 125
    assert memory.memory["scope"] == "whole process, evaluation included"
    assert train.evaluation == {"accuracy": 0.46, "accuracy_metric": "test accuracy"}
    assert train.training is not None
    assert "exclusive" not in train.training
    assert train.training["tokens_per_second"] == pytest.approx(40_000 / 40)
    assert train.training["loop_seconds"] == 700.0, "the whole loop is kept under another name"
    assert train.saved == {"bytes": 4_000_000, "kind": "adapter", "dtype": "not stated"}
    assert train.data is not None
    assert train.data["facts"]["optimizer"] == {"lr": 1e-4, "weight_decay": 0.1}
    assert train.cell.precision == "bf16"
    assert train.ended_at == "2026-07-15T07:03:11+00:00"


def test_older_files_name_the_same_figures_differently(tmp_path: Path) -> None:
    source = peft_folder(tmp_path / "results", FULL)
    values = peft_result(R8)
    for name in ("memory_reserved_avg", "memory_max", "memory_reserved_99th"):
        values["train_info"][f"cuda_{name}"] = values["train_info"].pop(f"accelerator_{name}")
    system = values["meta_info"]["system_info"]
    system["gpu"] = system.pop("accelerator")
    put(source / f"{R8}.json", values)
    found = analysis_of(source, tmp_path / "out")
    arms = {arm["label"]: arm for arm in found["arms"]}
    assert arms[R8_LABEL]["memory"][CONTROLLED]["peak_reserved_bytes"] == 12 * GIB
    assert values_of(found, "parameter-reduction") == {R8_LABEL: 300.0}


def test_a_size_that_stands_for_unknown_is_not_taken(tmp_path: Path) -> None:
    values = peft_result(R8)
    values["train_info"]["file_size"] = 99_999_999
    values["train_info"]["metrics"] = values["train_info"]["metrics"][1:]
    put(tmp_path / "results" / "a.json", values)
    imported(tmp_path / "results", tmp_path / "out")
    train = next(r for r in Store(tmp_path / "out").load_records() if r.cell.kind == "train")
    assert train.saved is None
    assert train.training is not None
    assert "train_seconds" not in train.training, "an interval is missing, so there is no sum"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "IA3"}, "IA3 is neither"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
        ({"layers_to_transform": [0, 1]}, "layers_to_transform"),
        ({"modules_to_save": "lm_head"}, "modules_to_save"),
        ({"bias": "all"}, "bias"),
        ({"some_new_option": {"level": 3}}, "some_new_option"),
        ({"target_modules": ".*q_proj"}, "pattern"),
        ({"task_type": "SEQ_CLS"}, "causal"),
    ],
)
def test_what_a_record_cannot_hold_is_skipped(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    source = peft_folder(tmp_path / "results", FULL, R8)
    values = peft_result(R16)
    values["run_info"]["peft_config"] |= change
    put(source / "other.json", values)
    done = imported(source, tmp_path / "out")
    assert [entry["file"] for entry in done["skipped"]] == ["other.json"]
    assert said in done["skipped"][0]["reason"]
    assert len(done["imported"]) == 2


def test_dora_and_rslora_are_configurations_of_their_own(tmp_path: Path) -> None:
    source = peft_folder(tmp_path / "results", FULL, R8)
    for key, name in (("use_dora", "dora"), ("use_rslora", "rslora")):
        values = peft_result(R8)
        values["run_info"]["peft_config"] |= {key: True, "target_modules": ["up_proj", "q_proj"]}
        put(source / f"{name}.json", values)
    found = analysis_of(source, tmp_path / "out")
    labels = {f"{kind}r=8 q,up_proj dropout=0" for kind in ("DoRA ", "rsLoRA ")}
    assert set(values_of(found, "parameter-reduction")) == {R8_LABEL, *labels}


@pytest.mark.parametrize(
    ("place", "value", "warning"),
    [
        (("run_info", "train_config", "optimizer_type"), "lora-fa", "arms_differ"),
        (("run_info", "train_config", "use_gc"), True, "arms_differ"),
        (("run_info", "train_config", "batch_size"), 2, "arms_differ"),
        (("run_info", "train_config", "max_seq_length"), 768, "arms_differ"),
        (("run_info", "train_config", "query_template"), "{query}", "arms_differ"),
        (("meta_info", "dataset_info", "metamath", "sha"), "d9", "arms_differ"),
        (("meta_info", "package_info", "torch-version"), "2.7.1", "environments_differ"),
        (("meta_info", "system_info", "accelerator"), "Other GPU", "environments_differ"),
    ],
)
def test_runs_that_differ_are_not_compared(
    tmp_path: Path, place: tuple[str, ...], value: Any, warning: str
) -> None:
    source = peft_folder(tmp_path / "results", FULL)
    values = peft_result(R8)
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    assert place[-1] in inner
    inner[place[-1]] = value
    put(source / f"{R8}.json", values)
    found = analysis_of(source, tmp_path / "out")
    assert claim_of(found, "parameter-reduction")["verification"] == "NOT_MEASURED"
    assert warning in {w["code"] for w in found["warnings"]}


def test_a_lora_run_at_another_precision_is_the_reading_as_practised(tmp_path: Path) -> None:
    source = peft_folder(tmp_path / "results", R8)
    values = peft_result(FULL)
    values["run_info"]["train_config"] |= {"dtype": "float32", "use_amp": True}
    put(source / f"{FULL}.json", values)
    imported(source, tmp_path / "out")
    cells = {r.cell.label: r.cell for r in Store(tmp_path / "out").load_records()}
    assert (cells["full"].precision, cells["full"].reading) == ("amp-fp16", "controlled")
    assert (cells[R8_LABEL].precision, cells[R8_LABEL].reading) == ("bf16", "as-practised")


def test_runs_that_ended_badly_are_failed_cells(tmp_path: Path) -> None:
    source = peft_folder(tmp_path / "results", R8)
    values = peft_result(FULL)
    values["train_info"]["status"] = "canceled"
    values["run_info"]["error_msg"] = "CUDA out of memory. Tried to allocate\n\x1b[31m2 GiB"
    put(source / f"{FULL}.json", values)
    values = peft_result(R16)
    values["train_info"]["metrics"][-1]["train loss"] = math.nan
    put(source / f"{R16}.json", values)
    found = analysis_of(source, tmp_path / "out")
    kinds = {(f["cell_id"].split("-")[0], f["kind"]) for f in found["failures"]}
    assert kinds == {("memory", "out_of_memory"), ("train", "out_of_memory"), ("train", "diverged")}
    assert not any("\x1b" in f["message"] for f in found["failures"])


def test_the_latest_of_equal_runs_counts(tmp_path: Path) -> None:
    source = peft_folder(tmp_path / "results", FULL, R8)
    older = peft_result(R8)
    older["run_info"]["created_at"] = "2026-07-01T00:00:00+00:00"
    older["train_info"]["num_trainable_params"] = 1
    put(source / "aaa.json", older)
    found = analysis_of(source, tmp_path / "out")
    assert values_of(found, "parameter-reduction") == {R8_LABEL: 300.0}


# ---- folders of the Trainer ---------------------------------------------------------------------


def test_trainer_folders_are_judged_by_what_they_hold(tmp_path: Path) -> None:
    found = analysis_of(trainer_folder(tmp_path / "runs"), tmp_path / "out")
    label = "r=2 q,v dropout=0"
    ratio = MODEL_PARAMETERS / (4 * 2 * 2 * 16)
    assert values_of(found, "parameter-reduction") == {label: pytest.approx(ratio)}
    gain = claim_of(found, "gain-retention")
    assert gain["verification"] == "UNDECIDED", "one seed decides nothing"
    assert gain["mean"] == pytest.approx((3.0 - 2.1) / (3.0 - 2.0))
    for name in ("memory-controlled", "training-time"):
        assert claim_of(found, name)["verification"] == "NOT_MEASURED"
        assert claim_of(found, name)["reason"]
    assert found["base"]["loss"] == 3.0
    records = {(r.cell.label, r.cell.kind): r for r in Store(tmp_path / "out").load_records()}
    train = records[label, "train"]
    assert train.data is not None
    assert train.data["imported_from"] == "lora-r2/trainer_state.json"
    assert train.evaluation == {"loss": 2.1, "perplexity": math.exp(2.1), "step": 20}
    assert train.training is not None
    assert train.training["runtime_seconds"] == 60.0
    assert "train_seconds" not in train.training, "the runtime holds evaluation and saving too"
    assert train.parameters == {"trainable": 256, "dtypes": {"float32": 256}}
    assert train.cell.learning_rate == pytest.approx(2e-4 * 0.8)
    assert records["full", "train"].saved is not None
    assert records["base", "base"].parameters is None


def test_without_a_loss_before_training_quality_is_not_measured(tmp_path: Path) -> None:
    full_run(tmp_path / "runs/full", {20: 2.0})
    lora_run(tmp_path / "runs/lora", {20: 2.1})
    found = analysis_of(tmp_path / "runs", tmp_path / "out")
    assert claim_of(found, "gain-retention")["verification"] == "NOT_MEASURED"
    assert "base" in claim_of(found, "gain-retention")["reason"]


def test_other_held_out_texts_give_no_base_loss(tmp_path: Path) -> None:
    full_run(tmp_path / "runs/full", {0: 3.0, 20: 2.0})
    lora_run(tmp_path / "runs/lora", {0: 3.3, 20: 2.1})
    done = imported(tmp_path / "runs", tmp_path / "out")
    assert any("held-out" in note["note"] for note in done["notes"])
    assert not [r for r in Store(tmp_path / "out").load_records() if r.cell.kind == "base"]


def test_the_last_checkpoint_counts(tmp_path: Path) -> None:
    run = tmp_path / "runs/lora"
    for step, loss in ((5, 2.9), (20, 2.1), (10, 2.6)):
        lora_run(run / f"checkpoint-{step}", {step: loss})
        state = trainer_state({step: loss}, steps=step)
        put(run / f"checkpoint-{step}/trainer_state.json", state)
    done = imported(tmp_path / "runs", tmp_path / "out")
    assert [r["file"] for r in done["imported"]] == ["lora/checkpoint-20/trainer_state.json"]
    assert done["skipped"] == []
    # The final state beside the checkpoints holds their files' facts, and more of the log.
    put(run / "trainer_state.json", trainer_state({20: 2.05}))
    done = imported(tmp_path / "runs", tmp_path / "again")
    assert [r["file"] for r in done["imported"]] == ["lora/trainer_state.json"]
    assert done["imported"][0]["configuration"] == "r=2 q,v dropout=0"


@pytest.mark.parametrize(
    "fields",
    [
        {"epoch": 3.0},
        {"train_batch_size": 8},
        {"max_steps": 40},
        {"global_step": 15},
        {"num_input_tokens_seen": 5000},
    ],
    ids=str,
)
def test_trainer_runs_that_differ_in_what_is_stated_are_no_pair(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    source = trainer_folder(tmp_path / "runs")
    losses = {0: 3.0, 10: 2.6, 20: 2.1}
    put(source / "lora-r2/trainer_state.json", trainer_state(losses, **fields))
    found = analysis_of(source, tmp_path / "out")
    assert claim_of(found, "gain-retention")["verification"] == "NOT_MEASURED"
    assert {"arms_differ", "settings_mixed"} & {w["code"] for w in found["warnings"]}


def test_a_model_without_a_name_is_that_of_the_runs_beside_it(tmp_path: Path) -> None:
    full_run(tmp_path / "runs/full", {20: 2.0}, name=None)
    lora_run(tmp_path / "runs/lora", {20: 2.1})
    found = analysis_of(tmp_path / "runs", tmp_path / "out")
    assert claim_of(found, "parameter-reduction")["mean"] == pytest.approx(MODEL_PARAMETERS / 256)
    done = imported(tmp_path / "runs", tmp_path / "out")
    assert any("example/tiny" in note["note"] for note in done["notes"])


def test_an_adapter_that_does_not_fit_is_of_another_model(tmp_path: Path) -> None:
    full_run(tmp_path / "runs/full", {20: 2.0}, name=None)
    lora_run(tmp_path / "runs/lora", {20: 2.1}, width=24)
    found = analysis_of(tmp_path / "runs", tmp_path / "out")
    assert claim_of(found, "parameter-reduction")["verification"] == "NOT_MEASURED"


def test_a_structure_that_is_a_presets_has_its_parameters(tmp_path: Path) -> None:
    preset = load_architectures()["smollm2-135m"]
    run = full_run(tmp_path / "runs/full", {20: 2.0})
    (run / "model.safetensors").unlink()
    config = {"model_type": preset.model_type, **preset.config, "_name_or_path": "x"}
    put(run / "config.json", config)
    imported(tmp_path / "runs", tmp_path / "out")
    record = Store(tmp_path / "out").load_records()[0]
    assert record.parameters == {"trainable": 134_515_008, "total": 134_515_008}
    put(run / "config.json", config | {"vocab_size": 49_153})
    imported(tmp_path / "runs", tmp_path / "other")
    record = Store(tmp_path / "other").load_records()[0]
    assert record.parameters is None
    assert record.data is not None
    assert record.data["facts"]["parameters_not_counted"] == "no safetensors file"


def test_shards_are_counted_and_masks_are_not(tmp_path: Path) -> None:
    run = full_run(tmp_path / "runs/full", {20: 2.0})
    (run / "model.safetensors").unlink()
    names = list(MODEL_SHAPES)
    safetensors(run / "model-1.safetensors", {n: MODEL_SHAPES[n] for n in names[:2]}, "BF16")
    rest = {n: MODEL_SHAPES[n] for n in names[2:]} | {"h.0.attn.bias": (1, 1, 8, 8)}
    safetensors(run / "model-2.safetensors", rest, "BF16")
    weight_map = dict.fromkeys(names[:2], "model-1.safetensors")
    weight_map |= dict.fromkeys(names[2:], "model-2.safetensors")
    put(run / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    imported(tmp_path / "runs", tmp_path / "out")
    record = Store(tmp_path / "out").load_records()[0]
    assert record.parameters is not None
    assert record.parameters["total"] == MODEL_PARAMETERS


def _traversal(run: Path) -> None:
    (run / "model.safetensors").rename(run.parent.parent / "outside.safetensors")
    weight_map = {"a": "../../outside.safetensors"}
    put(run / "model.safetensors.index.json", {"weight_map": weight_map})


def _link(run: Path) -> None:
    (run / "model.safetensors").rename(run.parent.parent / "outside.safetensors")
    (run / "model.safetensors").symlink_to(run.parent.parent / "outside.safetensors")


def _pickle(run: Path) -> None:
    (run / "model.safetensors").rename(run / "pytorch_model.bin")


def _truncated(run: Path) -> None:
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _length(run: Path) -> None:
    (run / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")


def _packed(run: Path) -> None:
    safetensors(run / "model.safetensors", MODEL_SHAPES, "U8")


def _negative(run: Path) -> None:
    head = json.dumps({"w": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}).encode()
    (run / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(16))


@pytest.mark.parametrize(
    "spoil", [_traversal, _link, _pickle, _truncated, _length, _packed, _negative]
)
def test_weights_that_cannot_be_counted_leave_parameters_unmeasured(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    source = trainer_folder(tmp_path / "runs")
    spoil(source / "full")
    found = analysis_of(source, tmp_path / "out")
    assert claim_of(found, "parameter-reduction")["verification"] == "NOT_MEASURED"
    assert claim_of(found, "gain-retention")["mean"] == pytest.approx(0.9)


def test_an_adapter_with_more_than_lora_weights_is_counted_where_they_were_trained(
    tmp_path: Path,
) -> None:
    source = trainer_folder(tmp_path / "runs")
    shapes = {**adapter_shapes(2), "base_model.model.lm_head.weight": (100, 16)}
    safetensors(source / "lora-r2/adapter_model.safetensors", shapes)
    found = analysis_of(source, tmp_path / "out")
    assert claim_of(found, "parameter-reduction")["verification"] == "NOT_MEASURED"
    config = peft_lora(2, base_model_name_or_path="example/tiny", modules_to_save=["lm_head"])
    put(source / "lora-r2/adapter_config.json", config)
    found = analysis_of(source, tmp_path / "again")
    ratio = MODEL_PARAMETERS / (256 + 1600)
    expected = {"r=2 q,v + lm_head dropout=0": pytest.approx(ratio)}
    assert values_of(found, "parameter-reduction") == expected


@pytest.mark.parametrize(
    ("saved", "tied", "rows", "counted"),
    [
        (["embed_tokens", "lm_head"], True, 100, 1600),
        (["embed_tokens", "lm_head"], False, 100, 3200),
        (["embed_tokens", "lm_head"], None, 100, 3200),
        (["embed_tokens", "lm_head"], True, 101, 3216),  # not alike, so not one tensor
        (["model.embed_tokens"], True, 100, 1600),  # PEFT drops the other end from its list
        (["model.embed_tokens"], False, 100, None),
    ],
)
def test_embeddings_that_stay_tied_count_once(
    tmp_path: Path, saved: list[str], tied: bool | None, rows: int, counted: int | None
) -> None:
    run = lora_run(tmp_path / "runs/lora", {0: 3.0, 20: 2.1})
    fields = {"modules_to_save": saved, "ensure_weight_tying": tied}
    config = peft_lora(2, base_model_name_or_path="example/tiny", **fields)
    put(run / "adapter_config.json", config)
    ends = {"model.embed_tokens": (100, 16), "lm_head": (rows, 16)}
    whole = {f"base_model.model.{name}.weight": shape for name, shape in ends.items()}
    safetensors(run / "adapter_model.safetensors", {**adapter_shapes(2), **whole})
    path = run / "trainer_state.json"
    (entry,), skipped = read_runs({path: json.loads(path.read_text())}, tmp_path / "runs")
    assert not skipped
    found = entry.run.parameters
    assert found == (
        {"trainable": 256 + counted, "dtypes": {"float32": 256 + counted}} if counted else None
    )


def test_a_module_is_known_by_its_whole_name(tmp_path: Path) -> None:
    path = tmp_path / "adapter_model.safetensors"
    for name, known in (("embed_tokens", True), ("my_embed_tokens", False)):
        safetensors(path, {f"base_model.model.model.{name}.weight": (100, 16)})
        if known:
            assert adapter_weights(path, ["embed_tokens"]).parameters == 1600
        else:
            with pytest.raises(NotImportable, match="my_embed_tokens"):
                adapter_weights(path, ["embed_tokens"])


def test_an_adapter_that_keeps_embeddings_tied_can_be_imported() -> None:
    tied = {"ensure_weight_tying": True}
    fields = peft_lora(2, modules_to_save=["model.embed_tokens"], **tied)
    assert lora_settings(Fields(fields)).modules_to_save == ("model.embed_tokens",)
    with pytest.raises(NotImportable, match="ensure_weight_tying"):
        lora_settings(Fields(fields | {"ensure_weight_tying": "yes"}))
    with pytest.raises(NotImportable, match="ensure_weight_tying"):
        lora_settings(Fields(peft_lora(2, **tied)))  # it would tie LoRA weights


# ---- strangers ----------------------------------------------------------------------------------

DEEP = 200_000


def _peft(**changes: Any) -> Callable[[Path], Any]:
    """A result file with values replaced, given as ``run_info__train_config__seed=...``."""

    def write(path: Path) -> None:
        values = peft_result(R16)
        for place, value in changes.items():
            inner: Any = values
            *way, last = place.split("__")
            for key in way:
                inner = inner[key]
            if value is ...:
                del inner[last]
            else:
                inner[last] = value
        put(path, values)

    return write


def _raw(content: bytes | str) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'{"run_info": {}, "train_info": {}}')
        file.truncate(files.MAX_JSON_BYTES + 1)


BAD: list[tuple[str, Callable[[Path], Any]]] = [
    ("is not JSON", _raw("{")),
    ("is not JSON", _raw("")),
    ("not UTF-8", _raw(b"\xff\xfe\x00{")),
    ("nested too deeply", _raw("[" * DEEP + "]" * DEEP)),
    ("is not JSON", _raw('{"run_info": ' + "9" * 5000 + "}")),
    ("larger than", _huge),
    ("no result that is known", _raw("[1, 2]")),
    ("no result that is known", _raw('"text"')),
    ("no result that is known", _raw('{"log_history": []}')),
    ("run_info must be a mapping", _raw('{"run_info": [], "train_info": {}}')),
    ("train_config is missing", _raw('{"run_info": {}, "train_info": {}}')),
    ("peft_config is missing", _peft(run_info__peft_config=...)),
    ("peft_config.peft_type is missing", _peft(run_info__peft_config={"r": 1})),
    ("peft_config must be a mapping", _peft(run_info__peft_config="LORA")),
    ("only 4000000 of", _peft(run_info__peft_config=None)),
    ("num_trainable_params must be", _peft(train_info__num_trainable_params="many")),
    ("num_trainable_params must be", _peft(train_info__num_trainable_params=math.nan)),
    ("num_trainable_params must be", _peft(train_info__num_trainable_params=-5)),
    ("num_trainable_params must be", _peft(train_info__num_trainable_params=True)),
    ("num_trainable_params must be", _peft(train_info__num_trainable_params=2**70)),
    ("at most num_total_params", _peft(train_info__num_total_params=3)),
    ("accelerator_memory_max must be", _peft(train_info__accelerator_memory_max=math.inf)),
    ("accelerator_memory_max must be", _peft(train_info__accelerator_memory_max=[1])),
    ("train_time must be", _peft(train_info__train_time=math.nan)),
    ("train_time must be", _peft(train_info__train_time=-1.0)),
    ("metrics must be", _peft(train_info__metrics={"step": 1})),
    ("metrics must be", _peft(train_info__metrics=[1, 2])),
    ("test accuracy must be", _peft(train_info__metrics=[{"step": 1, "test accuracy": 46.0}])),
    ("step is missing", _peft(train_info__metrics=[{"train time": 1.0}])),
    ("status must be", _peft(train_info__status="done")),
    ("status is missing", _peft(train_info__status=None)),
    ("max_steps must be", _peft(run_info__train_config__max_steps=0)),
    ("max_steps is missing", _peft(run_info__train_config__max_steps=...)),
    ("seed must be", _peft(run_info__train_config__seed=-1)),
    ("model_id must be", _peft(run_info__train_config__model_id=["a"])),
    ("model_id is missing", _peft(run_info__train_config__model_id="")),
    ("optimizer_kwargs must be", _peft(run_info__train_config__optimizer_kwargs=3)),
    ("r must be a whole number", _peft(run_info__peft_config__r=0)),
    ("rank", _peft(run_info__peft_config__rank_pattern={"rank": "x" * 10**6})),
    ("lora_alpha is missing", _peft(run_info__peft_config__lora_alpha=None)),
    ("alpha", _peft(run_info__peft_config__lora_alpha=0)),
    ("dropout", _peft(run_info__peft_config__lora_dropout=1.5)),
    ("use_dora must be", _peft(run_info__peft_config__use_dora="yes")),
    ("target_modules must be", _peft(run_info__peft_config__target_modules=None)),
    ("target_modules must be", _peft(run_info__peft_config__target_modules=["<b>q</b>"])),
    ("target_modules must be", _peft(run_info__peft_config__target_modules=["../../etc"])),
    ("target_modules must be", _peft(run_info__peft_config__target_modules=["q"] * 300)),
    ("system_info must be", _peft(meta_info__system_info="Linux")),
    ("sha must be a text", _peft(meta_info__dataset_info__metamath={"sha": 3})),
]  # fmt: skip


@pytest.mark.parametrize(("said", "write"), BAD, ids=range(len(BAD)))
def test_a_bad_file_is_skipped_with_its_reason(
    tmp_path: Path, said: str, write: Callable[[Path], Any]
) -> None:
    source = peft_folder(tmp_path / "results", FULL, R8)
    write(source / "bad.json")
    done = imported(source, tmp_path / "out")
    assert [entry["file"] for entry in done["skipped"]] == ["bad.json"]
    reason, ja = done["skipped"][0]["reason"], done["skipped"][0]["reason_ja"]
    assert said in reason
    for text in (reason, ja):
        assert len(text) < 400
        assert text.isprintable()
    assert len(done["imported"]) == 2
    found = json.loads(call("analyze", tmp_path / "out", "--json"))
    assert values_of(found, "parameter-reduction") == {R8_LABEL: 300.0}


BAD_STATES: list[tuple[str, dict[str, Any]]] = [
    ("global_step must be", {"global_step": 0}),
    ("global_step must be", {"global_step": "20"}),
    ("log_history must be", {"log_history": {"0": 1}}),
    ("eval_loss must be", {"log_history": [{"step": 1, "eval_loss": "low"}]}),
    ("step is missing", {"log_history": [{"eval_loss": 1.0}]}),
    ("epoch must be", {"epoch": math.nan}),
    ("train_batch_size must be", {"train_batch_size": -4}),
    ("max_steps must be", {"max_steps": 1.5}),
]


@pytest.mark.parametrize(("said", "fields"), BAD_STATES, ids=range(len(BAD_STATES)))
def test_a_bad_state_is_skipped_with_its_reason(
    tmp_path: Path, said: str, fields: dict[str, Any]
) -> None:
    source = trainer_folder(tmp_path / "runs")
    put(source / "lora-r2/trainer_state.json", trainer_state({20: 2.0}, **fields))
    done = imported(source, tmp_path / "out")
    assert len(done["skipped"]) == 1
    assert said in done["skipped"][0]["reason"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("adapter_config.json", "{", "adapter_config.json: is not JSON"),
        ("adapter_config.json", "[]", "adapter_config.json: must be a mapping"),
        ("adapter_config.json", '{"peft_type": "LORA", "r": 2}', "lora_alpha is missing"),
        ("adapter_config.json", None, "neither adapter_config.json"),
        ("config.json", '{"quantization_config": {"bits": 4}}', "quantised"),
        ("config.json", '{"architectures": ["BertForSequenceClassification"]}', "causal"),
    ],
)
def test_bad_neighbours_of_a_state(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    source = trainer_folder(tmp_path / "runs")
    path = source / ("full" if name == "config.json" else "lora-r2") / name
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="utf-8")
    done = imported(source, tmp_path / "out")
    assert [said in entry["reason"] for entry in done["skipped"]] == [True]


def test_a_loss_that_is_no_number_is_a_run_that_diverged(tmp_path: Path) -> None:
    source = trainer_folder(tmp_path / "runs")
    put(source / "lora-r2/trainer_state.json", trainer_state({0: 3.0, 20: math.nan}))
    found = analysis_of(source, tmp_path / "out")
    assert [f["kind"] for f in found["failures"]] == ["diverged"]


EVIL = "<script>alert(1)</script>\x1b[2J\u202e\ud800\x00|`"


def test_evil_names_reach_no_terminal_and_no_report(tmp_path: Path) -> None:
    source = tmp_path / "results"
    for name in (FULL, R8):
        values = peft_result(name)
        values["run_info"]["train_config"] |= {
            "model_id": EVIL, "dtype": EVIL, "query_template": EVIL, "optimizer_type": EVIL,
        }  # fmt: skip
        values["run_info"]["created_at"] = EVIL
        values["run_info"]["experiment_name"] = f"../../{EVIL}"
        values["meta_info"]["package_info"] = {f"{EVIL}-version": EVIL}
        values["meta_info"]["system_info"] = {"system": EVIL, "accelerator": EVIL}
        values["meta_info"]["dataset_info"] = {EVIL: {"sha": EVIL}}
        put(source / f"{name}.json", values)
    bad = source / "evil\x1b[31m\n<b>\u202e.json"
    bad.write_text("{", encoding="utf-8")
    said = call("import", source, tmp_path / "out", "--lang", "en")
    assert "evil" in said
    out = tmp_path / "out"
    texts = [said, call("analyze", out, "--lang", "en"), call("report", out, "--format", "md")]
    texts += [path.read_text(encoding="utf-8") for path in (out / "records").iterdir()]
    page = call("report", out, "--format", "html")
    for text in (*texts, page):
        assert not {"\x1b", "\u202e", "\x00"} & set(text)
    assert "<script>alert" not in page
    assert {path.parent for path in out.rglob("*.json")} == {out / "records"}


def test_nothing_outside_the_source_is_read_or_written(tmp_path: Path) -> None:
    source = peft_folder(tmp_path / "results", FULL)
    secret = put(tmp_path / "secret" / f"{R8}.json", peft_result(R8))
    (source / "link.json").symlink_to(secret)
    (source / "folder").symlink_to(secret.parent)
    (source / "loop").symlink_to(source)
    os.mkfifo(source / "pipe.json")
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    done = imported(source, tmp_path / "out")
    assert [r["configuration"] for r in done["imported"]] == ["full"]
    reasons = {entry["file"]: entry["reason"] for entry in done["skipped"]}
    assert "link" in reasons["link.json"]
    assert "regular" in reasons["pipe.json"]
    assert {path for path in tmp_path.rglob("*") if "out" not in path.parts} == before


def test_a_checkpoint_alone_does_not_look_above_itself(tmp_path: Path) -> None:
    lora_run(tmp_path / "run", {20: 2.0})
    put(tmp_path / "run/checkpoint-20/trainer_state.json", trainer_state({20: 2.0}))
    with pytest.raises(NotImportable, match=r"neither adapter_config\.json"):
        import_results(tmp_path / "run/checkpoint-20", tmp_path / "out")


def test_a_folder_that_is_no_folder_of_results_is_left_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_ENTRIES", 2)
    with pytest.raises(NotImportable, match="more than 2 files"):
        import_results(peft_folder(tmp_path / "results"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- the output folder --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [peft_folder, trainer_folder])
def test_importing_twice_gives_the_same_records(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    source = make(tmp_path / "source")
    first = imported(source, source / "out")  # inside the source, and still not read
    contents = {p.name: p.read_bytes() for p in (source / "out/records").iterdir()}
    assert imported(source, source / "out") == first
    assert {p.name: p.read_bytes() for p in (source / "out/records").iterdir()} == contents


def test_one_file_can_be_imported(tmp_path: Path) -> None:
    source = peft_folder(tmp_path / "results")
    done = imported(source / f"{R8}.json", tmp_path / "out")
    assert [r["file"] for r in done["imported"]] == [f"{R8}.json"]
    done = imported(source / f"{FULL}.json", tmp_path / "out")
    found = json.loads(call("analyze", tmp_path / "out", "--json"))
    assert values_of(found, "parameter-reduction") == {R8_LABEL: 300.0}


def _measured(out: Path) -> None:
    store = Store(out)
    for record in make_records(make_config()):
        store.write_record(record)


def _configured(out: Path) -> None:
    put(out / "config.yaml", {})


def _other_files(out: Path) -> None:
    put(out / "thesis.txt", "years of work")


def _linked(out: Path) -> None:
    (out.parent / "elsewhere").mkdir()
    out.mkdir()
    (out / "records").symlink_to(out.parent / "elsewhere")


def _file(out: Path) -> None:
    out.write_text("x", encoding="utf-8")


def _broken_link(out: Path) -> None:
    out.symlink_to(out.parent / "nowhere")


@pytest.mark.parametrize(
    "prepare", [_measured, _configured, _other_files, _linked, _file, _broken_link]
)
def test_a_folder_with_something_else_is_refused(
    tmp_path: Path,
    prepare: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = peft_folder(tmp_path / "results")
    prepare(tmp_path / "out")
    before = sorted(map(str, tmp_path.rglob("*")))
    said = one_line(monkeypatch, capsys, "import", source, tmp_path / "out", "--json")
    assert str(tmp_path / "out") in said
    assert sorted(map(str, tmp_path.rglob("*"))) == before


@pytest.mark.parametrize(
    ("prepare", "en", "ja"),
    [
        (lambda path: None, "cannot be read", "読めません"),
        (lambda path: path.mkdir(), "holds no results", "結果がありません"),
        (lambda path: put(path / "a.json", [1]), "(1 skipped)", "(1件を除外)"),
        (lambda path: put(path, {"a": 1}), "(1 skipped)", "(1件を除外)"),
    ],
)
def test_a_source_without_results_is_one_line(
    tmp_path: Path,
    prepare: Callable[[Path], Any],
    en: str,
    ja: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "source.json"
    prepare(source)
    for language, expected in (("en", en), ("ja", ja)):
        arguments = ("import", source, tmp_path / "out", "--lang", language)
        assert expected in one_line(monkeypatch, capsys, *arguments)
    assert not (tmp_path / "out").exists()


def test_two_languages(tmp_path: Path) -> None:
    source = peft_folder(tmp_path / "results", FULL, R8)
    put(source / "bad.json", [])
    en = call("import", source, tmp_path / "out", "--lang", "en")
    assert "skipped: bad.json: holds no result that is known here" in en
    assert "weight_decay: not stated (full), 0.1 (LoRA)" in en
    assert f"lora-bench analyze {tmp_path / 'out'}" in en
    ja = call("import", source, tmp_path / "out", "--lang", "ja")
    assert "除外: bad.json: 対応している形式の結果ではありません" in ja
    assert "設定" in ja.splitlines()[0]


@pytest.mark.parametrize("make", [peft_folder, trainer_folder])
@pytest.mark.parametrize("kind", ["md", "html"])
def test_reports_of_imported_records_are_written(
    tmp_path: Path, make: Callable[[Path], Path], kind: str
) -> None:
    imported(make(tmp_path / "source"), tmp_path / "out")
    for language in ("en", "ja"):
        page = call("report", tmp_path / "out", "--format", kind, "--lang", language)
        assert "q,v dropout=0" in page


def test_importing_needs_no_torch() -> None:
    assert not heavy_modules_after("import lora_efficiency_benchmark.importing")
