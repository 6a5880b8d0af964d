"""Records on generated texts that are no longer made: told apart, set aside by name, kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from factories import make_config, make_records
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig
from lora_efficiency_benchmark.dataset import (
    GENERATED_EDITION,
    JapaneseDatasetGenerator,
    edition_of,
    on_other_texts,
)
from lora_efficiency_benchmark.measuring import set_aside_other_texts
from lora_efficiency_benchmark.plan import expand
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.search import remaining_cells

TEXTS, VALIDATED = 50, 6
OLD, NEW = GENERATED_EDITION - 1, GENERATED_EDITION


def config(**fields: Any) -> LoRABenchmarkConfig:
    arm = {"r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"]}
    searched = {"learning_rates": "search", "search": {"validation_size": VALIDATED}}
    sizes = {"dataset_sizes": [TEXTS], "evaluation_size": 8, "lora_configurations": [arm]}
    return make_config(**{**searched, **sizes, **fields})


def validation_sizes() -> list[int]:
    made = JapaneseDatasetGenerator().validation_documents(VALIDATED)
    return [len(document.text.encode()) for document in made]


def training_bytes() -> int:
    made = JapaneseDatasetGenerator().training_documents(TEXTS)
    return sum(len(document.text.encode()) for document in made)


def records(
    settings: LoRABenchmarkConfig,
    *,
    edition: int | None = None,
    trained: int | None = None,
    validated: Sequence[int] | None = None,
) -> list[CellRecord]:
    """One record a cell, each stating ``edition``; a base that states the sizes of its texts."""

    def change(record: CellRecord) -> CellRecord:
        if edition is not None:
            record.data = {**(record.data or {}), "edition": edition}
        if record.cell.kind == "base" and trained is not None and record.data is not None:
            record.data["train_statistics"]["utf8_bytes"] = trained
        if record.cell.kind in ("base", "trial") and validated is not None:
            rows = [{"nats": 9.0, "tokens": 9, "raw_bytes": size} for size in validated]
            record.validation = {"loss": 1.0, "documents": rows}
        return record

    made = make_records(settings, change=change)
    return list({record.cell_id: record for record in made}.values())


def test_a_stated_edition_decides() -> None:
    assert on_other_texts(records(config(), edition=NEW)) == []
    old = records(config(), edition=OLD)
    assert on_other_texts(old) == old
    plain = records(config(learning_rates={"full": 1e-4, "lora": 1e-3}, search={}), edition=OLD)
    assert on_other_texts(plain) == plain


def test_without_an_edition_the_sizes_of_the_texts_tell() -> None:
    now = {"trained": training_bytes(), "validated": [size - 3 for size in validation_sizes()]}
    assert on_other_texts(records(config(), **now)) == []
    longer = [size + 40 for size in validation_sizes()]
    for other in ({"trained": training_bytes() + 1}, {"validated": longer}):
        old = records(config(), **{**now, **other})
        assert on_other_texts(old) == old, "made together: all of them"


def test_what_was_not_searched_has_never_changed() -> None:
    plain = config(learning_rates={"full": 1e-4, "lora": 1e-3}, search={})
    assert on_other_texts(records(plain, trained=1)) == []


@pytest.mark.parametrize("dataset", ["texts.jsonl", {"path": "texts.jsonl"}])
def test_other_data_has_no_edition(dataset: Any) -> None:
    own = config(dataset=dataset)
    assert {edition_of(cell) for cell in expand(own)} == {None}
    assert on_other_texts(records(own, trained=1)) == []
    assert {edition_of(cell) for cell in expand(config())} == {NEW}


def test_a_run_sets_them_aside_by_name_and_measures_again(tmp_path: Path) -> None:
    settings = config(output_dir=str(tmp_path / "run"))
    store = Store(tmp_path / "run")
    store.create()
    stored = records(settings, trained=training_bytes() + 1)
    for record in stored:
        store.write_record(record)
    before = {path.name: path.read_bytes() for path in store.records_path.iterdir()}
    (line,) = set_aside_other_texts(settings, store)
    assert all(f"{store.records_path}: " in text for text in line)
    assert all(".json.other-texts" in text for text in line)
    assert f"{len(stored)} records" in line.en
    assert f", {len(stored) - 3} more, and their cells run again" in line.en
    assert f" {len(stored)} 件の記録" in line.ja
    assert "名前を変えて残し (" in line.ja
    assert " など)、それらのセルを測り直します" in line.ja
    after = {path.name: path.read_bytes() for path in store.records_path.iterdir()}
    assert after == {f"{name}.other-texts": content for name, content in before.items()}
    assert store.load_records() == []
    assert {c.id for c in expand(settings)} <= {c.id for c in remaining_cells(settings, [])}
    assert set_aside_other_texts(settings, store) == [], "once is enough"


def test_a_run_keeps_what_is_current_or_belongs_to_another_configuration(tmp_path: Path) -> None:
    settings = config(output_dir=str(tmp_path / "run"))
    store = Store(tmp_path / "run")
    store.create()
    other = records(config(max_length=64, output_dir=str(tmp_path / "run")), edition=OLD)
    for record in [*records(settings, edition=NEW), *other]:
        store.write_record(record)
    kept = len(store.load_records())
    assert set_aside_other_texts(settings, store) == []
    assert len(store.load_records()) == kept
