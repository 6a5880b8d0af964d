"""The command line as outside checks call it: output, one-line errors, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from factories import BASE_LOSS, LOSSES, make_config, make_records
from lora_efficiency_benchmark.records.store import Store

CLI = [sys.executable, "-m", "lora_efficiency_benchmark.cli"]
TINY = (
    "dataset_sizes: [24]\ntraining_steps: 2\neval_steps: 2\nmax_length: 48\nbatch_size: 2\n"
    "evaluation_size: 6\nestimate_scale: false\nlearning_rates: {full: 1.0e-3, lora: 1.0e-2}\n"
    "lora_configurations:\n  - {r: 2, target_modules: [q_proj, v_proj]}\n"
)


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.fixture
def tiny_yaml(tiny_model_dir: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    text = f"model_name: {tiny_model_dir}\noutput_dir: {tmp_path / 'out'}\n{TINY}"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthetic records."""
    config = make_config()
    store = Store(tmp_path_factory.mktemp("stored"))
    store.create()
    store.write_text("config.yaml", config.to_yaml())
    for record in make_records(config):
        store.write_record(record)
    return store.path


def test_run_then_resume_in_two_languages(tiny_yaml: Path, tmp_path: Path) -> None:
    first = call("run", str(tiny_yaml), "--lang", "ja")
    assert first.returncode == 0, first.stderr
    assert "基準" in first.stdout or "設定" in first.stdout
    last = first.stdout.rstrip().splitlines()[-1]
    assert (
        last == json.loads((tmp_path / "out/analysis.json").read_text())["joint"]["sentence"]["ja"]
    )
    assert "✓" in first.stderr
    again = call("run", str(tiny_yaml), "--lang", "en")
    assert again.returncode == 0, again.stderr
    assert "✓" not in again.stderr, "nothing runs again"
    assert "Report: " in again.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_is_finished(
    tiny_yaml: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [*CLI, "run", str(tiny_yaml), "--set", "training_steps=5000", "--lang", "en"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    records = tmp_path / "out/records"
    deadline = time.monotonic() + 120
    while not list(records.glob("base-*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "finished cells are kept" in errors
    assert "Traceback" not in errors
    assert list(records.glob("base-*.json"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "no-such.yaml"], "neither a file nor a benchmarks preset"),
        (["run", "--set", "rank=0"], "--set: unknown key 'rank'"),
        (["plan", "--set", "dataset_sizes=[]"], "--set: dataset_sizes"),
        (["run", "--report-to", "tensorbord"], "--report-to tensorbord: must be one of none"),
        (["run", "--set", "lora_configurations=[{r: 0, target_modules: [q_proj]}]"], "rank must"),
        (["run", "--set", "dataset_sizes=[]"], "dataset_sizes"),
        (["run", "--set", "dataset_sizes=[-5]"], "dataset_sizes"),
        (["run", "--set", "learning_rates={full: .nan, lora: 1}"], "learning_rates.full"),
        (["run", "--set", "model_name=/no/such/model"], "no such file or folder"),
        (["run", "--set", "dataset=/no/such/data.jsonl"], "no such file or folder"),
        (["run", "--executor", "slurm"], "must be local or ray"),
        (["run", "--address", "auto"], "add --executor ray"),
        (["plan", "--set", "claims=nope"], "claims preset"),
        (["run", "--set", "claims=nope"], "claims preset"),
        (["plan", "--set", "trainer_args={gradient_accumulation_steps: abc}"], "whole number"),
        (["plan", "--set", "trainer_args={logging_dir: 2026-01-01}"], "plain values"),
        (["plan", "--set", "trainer_args=&a {x: *a}"], "trainer_args"),
        (["plan", "--set", "dataset={path: x, 1: 2, a: 3}"], "text keys"),
        (["run", "quick", "--preset", "quick"], "not both"),
        (["analyze", "/no/such/folder"], "no such folder"),
        (["report", "/no/such/folder"], "no such folder"),
        (["analyze", ".", "--lang", "fr"], "must be ja or en"),
    ],
)
def test_bad_input_is_one_line_and_exit_1(arguments: list[str], words: str, tmp_path: Path) -> None:
    output = ["--output-dir", str(tmp_path / "out")] if arguments[0] == "run" else []
    done = call(*arguments, *output)
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("lora-bench: ")
    assert words in lines[0]


def test_usage_errors_are_exit_2() -> None:
    assert call("run", "--no-such-option").returncode == 2
    assert call("nothing").returncode == 2
    assert call("analyze").returncode == 2


def test_hostile_yaml_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    hostile = tmp_path / "hostile.yaml"
    hostile.write_text(f"model_name: !!python/object/apply:os.system ['touch {marker}']\n")
    done = call("run", str(hostile))
    assert done.returncode == 1
    assert not marker.exists()
    assert "is not plain YAML" in done.stderr


def test_analyze_json_has_the_documented_shape(stored: Path) -> None:
    done = call("analyze", str(stored), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) >= {"schema", "claims", "joint", "warnings"}
    claim = found["claims"][0]
    assert set(claim) >= {
        "id", "metric", "comparison", "basis", "precision", "claimed", "mean", "verification",
        "per_configuration", "reason",
    }  # fmt: skip
    assert set(claim["per_configuration"][0]) >= {
        "configuration", "value", "ci95", "num_seeds", "verification",
    }  # fmt: skip
    assert set(found["joint"]) >= {"verification", "configurations"}
    assert all(set(w) >= {"code", "cause", "next_step"} for w in found["warnings"])
    assert claim["basis"] == "MEASURED"


def test_strict_is_exit_3_and_still_prints(stored: Path) -> None:
    done = call("analyze", str(stored), "--strict", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)


TWO_CLAIMS = """claims:
  - {id: fewer, metric: parameter_reduction_ratio, claimed: 100, verified_at: 100, partial_at: 50,
     text: {ja: 削減, en: fewer}, source: this test}
  - {id: as-good, metric: gain_retention, claimed: 1, verified_at: 0.95, partial_at: 0.5,
     text: {ja: 品質, en: as good}, source: this test}
"""


@pytest.mark.parametrize(
    ("small", "large", "joint", "together", "code"),
    [
        (1.1, 1.1, "VERIFIED", "true", 0),
        (0.9, 1.1, "PARTIAL", "true", 3),  # the small adapters lose quality, the large are large
        (0.9, 1.1, "NOT_MEASURED", "false", 0),  # no claim asks for it
    ],
)
def test_strict_asks_for_every_claim_and_the_joint_verdict(
    tmp_path: Path, small: float, large: float, joint: str, together: str, code: int
) -> None:
    config = make_config(seeds=5)
    gap = BASE_LOSS - LOSSES["full"]
    labels = [adapter.label for adapter in config.adapters]
    losses = {
        label: BASE_LOSS - gap * (small if place < 2 else large)
        for place, label in enumerate(labels)
    }
    claims = tmp_path / "claims.yaml"
    marked = TWO_CLAIMS.replace("source:", f"joint: {together}, source:")
    claims.write_text(marked, encoding="utf-8")
    store = Store(tmp_path / "run")
    for record in make_records(config, losses=losses):
        store.write_record(record)
    done = call("analyze", str(store.path), "--claims", str(claims), "--strict", "--json")
    found = json.loads(done.stdout)
    assert [claim["verification"] for claim in found["claims"]] == ["VERIFIED", "VERIFIED"]
    assert found["joint"]["verification"] == joint
    assert done.returncode == code


def test_the_last_line_is_the_joint_verdict(stored: Path) -> None:
    found = json.loads(call("analyze", str(stored), "--json").stdout)
    for language in ("ja", "en"):
        text = call("analyze", str(stored), "--lang", language).stdout.rstrip().splitlines()
        assert text[-1] == found["joint"]["sentence"][language]


def test_language_follows_the_locale(stored: Path) -> None:
    japanese = call("analyze", str(stored), LC_ALL="ja_JP.UTF-8").stdout
    assert japanese == call("analyze", str(stored), "--lang", "ja").stdout
    assert japanese != call("analyze", str(stored), LC_ALL="C.UTF-8").stdout


def test_report_in_both_formats(stored: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert call("report", str(stored), "--lang", "ja", "-o", str(page)).returncode == 0
    assert 'lang="ja"' in page.read_text(encoding="utf-8")
    assert call("report", str(stored), "--format", "md", "--lang", "en").stdout.startswith("#")
    assert call("report", str(stored), "-o", "/no/such/folder/x.html").returncode == 1


def test_a_plan_of_very_many_cells_estimates_nothing_unasked() -> None:
    done = call("plan", "--preset", "quick", "--set", "seeds=300", "--lang", "en")
    assert done.returncode == 0
    assert "more than 1,000 cells: memory is not estimated" in done.stderr
    assert "estimated" not in done.stdout


@pytest.mark.parametrize(
    ("settings", "total"),
    [
        ("learning_rate=2.0e-4", "66 cells, about"),
        ("learning_rate=null", "up to 65 cells, about"),  # that of full is not known yet
    ],
)
def test_a_plan_counts_the_trials_at_the_shared_rate(settings: str, total: str) -> None:
    done = call("plan", "--preset", "fair", "--no-estimates", "--lang", "en", "--set", settings)
    last = done.stdout.splitlines()[-1]
    assert last.startswith(total)
    assert "shared rate" in done.stdout


def test_plan_json_lists_every_cell() -> None:
    one = "lora_configurations=[{r: 8, target_modules: [q_proj]}]"
    done = call("plan", "--preset", "paper-r5", "--json", "--set", one)
    found: dict[str, Any] = json.loads(done.stdout)
    trained = [c for c in found["cells"] if c["kind"] == "train"]
    assert len(trained) == 3 * 3 * 2  # sizes, seeds, arms
    assert found["forecast_seconds"] == pytest.approx(
        sum(c["forecast_seconds"] for c in found["cells"])
    )
    assert all(isinstance(c["estimated_peak_bytes"], int) for c in trained)
    assert done.stderr == ""


def test_presets_and_doctor_speak_json() -> None:
    assert json.loads(call("presets", "--json").stdout)["benchmarks"] == [
        "fair",
        "paper-r5",
        "quick",
        "settings",
    ]
    done = call("doctor", "--json", LORA_BENCH_CACHE="/no/such/cache")
    found = json.loads(done.stdout)
    assert set(found) >= {"python", "packages", "devices", "default_model", "problems"}
    assert found["default_model"]["ok"] is False
    assert done.returncode == 1
    assert any("doctor --fix" in problem["mend"] for problem in found["problems"])


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom lora_efficiency_benchmark import cli\n"
        "heavy = {'torch', 'transformers', 'numpy', 'scipy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
