"""The real default model, once: a short run from the plan to the verdict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lora_efficiency_benchmark.config.benchmark_config import load_config
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.models.cache import check_default_model
from lora_efficiency_benchmark.plan import expand
from lora_efficiency_benchmark.records.results import OK
from lora_efficiency_benchmark.records.store import Store

PARAMETERS = 134_515_008  # of the model card; the GGUF file has as many


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_quick_preset_shortened(tmp_path: Path) -> None:
    """Full fine-tuning against r=8 for two steps: real weights, real tokenizer, real verdicts."""
    assert check_default_model()["ok"], "run make setup first"
    adapter = "[{r: 8, target_modules: [q_proj, k_proj, v_proj, o_proj]}]"
    settings = [
        "training_steps=2", "eval_steps=2", "max_length=64", "evaluation_size=8",
        "estimate_scale=false", f"lora_configurations={adapter}",
    ]  # fmt: skip
    options = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "lora_efficiency_benchmark.cli", "run", "--preset", "quick"]
    done = subprocess.run(
        [*command, *options, "--output-dir", str(tmp_path / "out"), "--lang", "en"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    records = Store(tmp_path / "out").load_records()
    assert [r.status for r in records] == [OK] * 6
    full = next(r for r in records if r.cell.kind == "train" and r.cell.adapter is None)
    lora = next(r for r in records if r.cell.kind == "train" and r.cell.adapter is not None)
    assert full.parameters is not None
    assert lora.parameters is not None
    assert full.parameters["total"] == PARAMETERS
    # r=8 on 30 layers: 8 * ((576+576) + (576+192) + (576+192) + (576+576))
    assert lora.parameters["trainable"] == 30 * 8 * (1152 + 768 + 768 + 1152)
    base = next(r for r in records if r.cell.kind == "base")
    assert base.evaluation is not None
    assert full.evaluation is not None
    assert full.evaluation["loss"] < base.evaluation["loss"] < 4.0
    assert base.data is not None
    assert base.data["overlap"]["shared_groups"] == base.data["overlap"]["exact"] == 0
    analysis = json.loads((tmp_path / "out/analysis.json").read_text(encoding="utf-8"))
    by_id = {c["id"]: c for c in analysis["claims"] if c["basis"] == "MEASURED"}
    ratio = by_id["parameter-reduction"]["per_configuration"][0]["value"]
    assert ratio == PARAMETERS / lora.parameters["trainable"]
    assert by_id["memory-controlled"]["verification"] in ("VERIFIED", "PARTIAL", "FAILED")
    assert analysis["estimator"]["max_absolute"] < 0.002
    assert by_id["gain-retention"]["verification"] == "UNDECIDED"
    assert "dequantised" in analysis["joint"]["sentence"]["en"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("label", ["full", "r=8 q,k,v,o"])
def test_the_same_seed_gives_the_same_bits(label: str) -> None:
    config = load_config("quick", training_steps=3, eval_steps=3, max_length=64, evaluation_size=8)
    cell = next(c for c in expand(config) if c.kind == "train" and c.label == label)
    with LocalLauncher() as launcher:
        first, second = launcher.run(cell).evaluation, launcher.run(cell).evaluation
    assert first is not None
    assert first == second, "every document's loss, to the last bit"
