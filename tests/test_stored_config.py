"""A folder of results is read as the run that wrote it meant it; a run is held to today's rules."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from factories import make_config, make_records
from lora_efficiency_benchmark.config.benchmark_config import load_config
from lora_efficiency_benchmark.config.stored import as_written
from lora_efficiency_benchmark.errors import ConfigError
from lora_efficiency_benchmark.folder import analyze_folder
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.search import folder_records

RESULTS = Path(__file__).parent.parent / "benchmarks/results"
ADAPTER = {"r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"], "dropout": 0}


def older_run(path: Path, base_model: str = "") -> Store:
    """Records and config.yaml of a version with other rules: keys since refused, whole numbers."""
    config = make_config(base_model_name=base_model)
    config.trainer_args = {"report_to": "tensorboard", "logging_steps": 5, "weight_decay": 0}
    config.lora_configurations = [ADAPTER]
    store = Store(path)
    store.create()
    store.write_text("config.yaml", config.to_yaml() + "once_a_field: 1\n")
    for side in filter(None, (config, config.reference)):
        for record in make_records(side):
            store.write_record(record)
    return store


@pytest.mark.parametrize("base_model", ["", "another-model"])
def test_no_record_of_an_older_run_is_left_out(tmp_path: Path, base_model: str) -> None:
    store = older_run(tmp_path, base_model)
    told: list[tuple[str, str]] = []
    records, config = folder_records(tmp_path, lambda en, ja: told.append((en, ja)))
    assert [r.cell_id for r in records] == [r.cell_id for r in store.load_records()]
    assert config is not None
    assert config.trainer_args["report_to"] == "tensorboard", "part of the cells, as it was"
    for number in (0, 1):
        lines = [both[number] for both in told]
        assert len(lines) == 2
        assert "'once_a_field'" in lines[0]
        assert "trainer_args.logging_steps, trainer_args.report_to" in lines[1]
        assert all(line.startswith(f"{tmp_path / 'config.yaml'}: ") for line in lines)


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ("ignored", "kept as it was")), ("ja", ("無視します", "当時のまま"))],
)
def test_verdicts_of_an_older_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], language: str, words: tuple[str, str]
) -> None:
    older_run(tmp_path)
    found = analyze_folder(tmp_path, language=language)
    assert {arm.label for arm in found.arms} == {"full", "r=4 q,v dropout=0"}
    assert found.unfinished == 0
    told = capsys.readouterr().err
    assert [told.count(word) for word in words] == [1, 1]


def test_an_older_run_goes_on_under_the_ids_of_its_records(tmp_path: Path) -> None:
    asked = make_config()
    asked.trainer_args = {"weight_decay": 0.0, "warmup_steps": 5.0}
    asked.lora_configurations = [{**ADAPTER, "dropout": 0.0}, {**ADAPTER, "r": 8}]
    older = copy.copy(asked)
    older.trainer_args = {"weight_decay": 0}
    older.lora_configurations = [ADAPTER]
    file = tmp_path / "config.yaml"
    assert as_written(asked, file) is asked, "a new folder"
    file.write_text(older.to_yaml(), encoding="utf-8")
    found = as_written(asked, file)
    assert repr(found.trainer_args) == "{'weight_decay': 0, 'warmup_steps': 5.0}"
    assert repr(found.lora_configurations[0]["dropout"]) == "0"
    assert found.lora_configurations[1] == asked.lora_configurations[1]
    assert repr(asked.lora_configurations[0]["dropout"]) == "0.0", "what was asked stays"
    file.write_text("seeds: many", encoding="utf-8")
    assert as_written(asked, file) is asked


def test_a_run_is_refused_what_an_older_run_was_allowed(tmp_path: Path) -> None:
    older_run(tmp_path)
    with pytest.raises(ConfigError, match="unknown key 'once_a_field'"):
        load_config(tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text().replace("once_a_field: 1\n", "")
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"trainer_args\.logging_steps"):
        load_config(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    "text", ["- a list", "once_a_field: 1", "trainer_args: 3", "max_length: x"]
)
def test_what_is_no_configuration_is_still_said(tmp_path: Path, text: str) -> None:
    store = older_run(tmp_path)
    whole = (tmp_path / "config.yaml").read_text().replace("max_length: 128", text)
    store.write_text("config.yaml", whole if text.startswith("max") else text)
    with pytest.raises(ConfigError, match=r"config\.yaml: "):
        analyze_folder(tmp_path)


@pytest.mark.parametrize("folder", sorted(p.name for p in RESULTS.iterdir() if p.is_dir()))
def test_no_record_that_the_repository_holds_is_left_out(folder: str) -> None:
    told: list[str] = []
    records, _ = folder_records(RESULTS / folder, lambda en, ja: told.append(en))
    assert len(records) == len(list((RESULTS / folder / "records").glob("*.json"))) > 0
    assert told == []
