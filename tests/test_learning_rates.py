"""The script that finds fixed learning rates looks at validation texts alone."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest

from factories import tiny_run
from lora_efficiency_benchmark.dataset import JapaneseDatasetGenerator

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "learning_rates.py"


def test_a_trial_never_sees_the_evaluation_side(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("learning_rates", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    tokenized: list[list[str]] = []

    def tokenize(documents: Any, *rest: Any) -> Any:
        tokenized.append([document.text for document in documents])
        return real(documents, *rest)

    real = script.tokenize
    monkeypatch.setattr(script, "tokenize", tokenize)
    row = script.trial(tiny_run(tiny_model_dir, tmp_path), None, 1e-3)
    assert math.isfinite(row["loss"])
    generator = JapaneseDatasetGenerator()
    sides = generator.training_documents(24), generator.validation_documents(48)
    assert tokenized == [[document.text for document in side] for side in sides]
