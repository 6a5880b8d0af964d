"""The output folder under good and bad conditions."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pytest

from factories import make_config, make_entry
from lora_efficiency_benchmark.errors import StoreError
from lora_efficiency_benchmark.plan import expand
from lora_efficiency_benchmark.records.results import (
    FAILED,
    OK,
    SKIPPED,
    CellRecord,
    LoRAEfficiencyResult,
)
from lora_efficiency_benchmark.records.store import Store, ok_records

SIZES = {"trainable_parameters": 9, "peak_allocated_bytes": 9}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "run")
    made.create()
    return made


def records(*statuses: str) -> list[CellRecord]:
    cells = expand(make_config())
    return [CellRecord(cell, s, "a", "b") for cell, s in zip(cells, statuses, strict=False)]


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_records_come_back_by_file_name(store: Store) -> None:
    written = records(OK, FAILED, SKIPPED)
    paths = [store.write_record(record) for record in written]
    assert [path.name for path in paths] == [f"{r.cell_id}.json" for r in written]
    assert store.load_records() == sorted(written, key=lambda r: r.cell_id)
    assert ok_records(written) == written[:1]


def test_resume_tries_failed_cells_again(store: Store) -> None:
    done, failed, skipped = records(OK, FAILED, SKIPPED)
    for record in (done, failed, skipped):
        store.write_record(record)
    assert store.finished_ids() == {done.cell_id, skipped.cell_id}


def test_a_record_is_replaced_whole(store: Store) -> None:
    (failed,) = records(FAILED)
    (ok,) = records(OK)
    store.write_record(failed)
    store.write_record(ok)
    assert store.load_records() == [ok]
    assert files(store.path) == [f"records/{ok.cell_id}.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_record_and_leaves_nothing_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (old,) = records(FAILED)
    (new,) = records(OK)
    path = store.write_record(old)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\)") as error:
        store.write_record(new)
    assert str(path) in str(error.value)
    assert store.load_records() == [old]
    assert files(store.path) == [f"records/{old.cell_id}.json"]


def test_a_crash_while_writing_keeps_the_old_record(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between writing and renaming: the half-written file is not taken for a record."""
    (old,) = records(FAILED)
    (new,) = records(OK)
    store.write_record(old)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write_record(new)
    assert store.load_records() == [old]


@pytest.mark.parametrize(
    "content", [b"{", b"", b"[]", b"3", b"\xff\xfe", b'{"format_version": 99}', b'{"a": NaN}']
)
def test_an_unreadable_record_is_named(store: Store, content: bytes) -> None:
    store.write_record(records(OK)[0])
    bad = store.records_path / "bad.json"
    bad.write_bytes(content)
    with pytest.raises(StoreError) as error:
        store.load_records()
    assert str(bad) in str(error.value)
    assert "\n" not in str(error.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        Store(tmp_path / "absent").load_records()


def test_an_empty_folder_has_no_records(tmp_path: Path) -> None:
    assert Store(tmp_path).load_records() == []


@pytest.mark.parametrize("below", [".", "deeper", "deeper/still"])
def test_the_output_path_is_a_file(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    store = Store(file / below)
    with pytest.raises(StoreError, match="a file, not a folder"):
        store.create()
    with pytest.raises(StoreError, match="cannot be written"):
        store.write_text("report.md", "x")
    assert file.read_text(encoding="utf-8") == "mine"


def test_the_records_path_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError):
        Store(tmp_path).create()


def test_a_folder_that_refuses_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(StoreError, match="Read-only file system"):
        Store(tmp_path / "run").create()


def test_moving_aside_deletes_nothing(store: Store) -> None:
    store.write_record(records(OK)[0])
    before = files(store.path)
    moved = store.move_aside()
    assert moved is not None
    assert moved.name.startswith("run.")
    assert not store.path.exists()
    assert files(moved) == before


def test_moving_aside_twice_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped:
        @staticmethod
        def now() -> Any:
            return time

    monkeypatch.setattr("lora_efficiency_benchmark.records.store.datetime", Stopped)
    monkeypatch.setattr(time, "strftime", lambda _: "20260101-000000")
    names = []
    for _ in range(3):
        (tmp_path / "run").mkdir()
        moved = Store(tmp_path / "run").move_aside()
        assert moved is not None
        names.append(moved.name)
    assert names == ["run.20260101-000000", "run.20260101-000000-2", "run.20260101-000000-3"]


def test_moving_aside_what_is_not_there(tmp_path: Path) -> None:
    assert Store(tmp_path / "absent").move_aside() is None


def test_moving_aside_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is a file"):
        Store(tmp_path / "file").move_aside()


def test_moving_aside_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    moved = Store(".").move_aside()
    assert moved is not None
    assert moved.parent == tmp_path


def test_json_is_valid_and_readable(store: Store) -> None:
    path = store.write_json("analysis.json", {"値": [math.nan, math.inf, 1.5]})
    text = path.read_text(encoding="utf-8")
    assert "値" in text
    assert json.loads(text, parse_constant=pytest.fail) == {
        "値": [{"non_finite": "nan"}, {"non_finite": "inf"}, 1.5]
    }


def test_text_that_utf8_cannot_hold(store: Store) -> None:
    path = store.write_json("analysis.json", {"path": "bad\udcff"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"path": "bad\udcff"}


def test_results_csv(store: Store) -> None:
    adapter = {"r": 8, "alpha": 16, "target_modules": ["q_proj"]}
    values = ("m", "lora", 10, adapter, 1, 2, 3.5, 4.0, 5.0, 6.0, math.inf, 7.0, "now")
    full = ("m", "full_finetuning", 10, None, 1, 2, 1.0, 4.0, 5.0, 6.0, 8.0, 7.0, "now")
    path = store.write_results([LoRAEfficiencyResult(*values), LoRAEfficiencyResult(*full)])
    with open(path, encoding="utf-8", newline="") as file:
        lora, plain = csv.DictReader(file)
    assert list(lora)[:4] == ["model_name", "training_method", "dataset_size", "lora_config"]
    assert json.loads(lora["lora_config"]) == adapter
    assert float(lora["eval_perplexity"]) == math.inf
    assert plain["lora_config"] == ""
    assert plain["bits_per_byte"] == "", "not measured is empty, not zero"


# ---- estimates ----------------------------------------------------------------------------------


def test_a_folder_without_estimates_has_none(store: Store) -> None:
    assert store.read_estimates() == []


def test_estimates_are_read_as_they_were_written(store: Store) -> None:
    skipped = make_entry(skipped="no such module", full=None, lora=None)
    entries = [make_entry(), make_entry(lora={"untraceable": "x"}), skipped]
    store.write_json("estimates.json", {"schema": 1, "made_at": "now", "entries": entries})
    assert store.read_estimates() == entries


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "not a file of estimates"),
        ('{"schema": 2, "entries": []}', "schema 2, this program reads 1"),
        ('{"schema": 1, "entries": [3]}', r"entries\[0\]: must be a mapping"),
        (make_entry(comparison="other"), "comparison must be same-model or cross-model"),
        (make_entry(reading=None), "reading must be"),
        (make_entry(model=""), "model must be a text"),
        (make_entry(batch_size=True), "batch_size must be a whole number"),
        (make_entry(seq_len=0), "seq_len must be a whole number"),
        (make_entry(skipped=3), "skipped must be null or the reason"),
        (make_entry(skipped="x", skipped_ja=3), "skipped_ja must be null or the reason"),
        (make_entry(lora={"untraceable": "x", "untraceable_ja": 3}), "untraceable_ja must be the"),
        (make_entry(lora=None), "lora is missing, and no reason in skipped"),
        (make_entry(full=[]), "full must be an estimate"),
        (make_entry(seq_len=512.0), "seq_len must be a whole number"),
        (make_entry(full={}), "full.trainable_parameters must be"),
        (make_entry(full={**SIZES, "peak_allocated_bytes": "9"}), "full.peak_allocated_bytes must"),
        (make_entry(full={**SIZES, "peak_allocated_bytes": None}), "got None"),
        (make_entry(full={**SIZES, "peak_allocated_bytes": -9}), "got -9"),
        (make_entry(full={**SIZES, "trainable_parameters": math.nan}), "got nan"),
        (make_entry(full={**SIZES, "trainable_parameters": {"non_finite": "inf"}}), "got inf"),
        (make_entry(full={**SIZES, "trainable_parameters": {"non_finite": []}}), "cannot be read"),
        (make_entry(full={**SIZES, "trainable_parameters": 10**400}), "full.trainable_parameters"),
        (make_entry(full={**SIZES, "breakdown": [1]}), "full.breakdown must be a mapping"),
        (make_entry(full={**SIZES, "breakdown": {"weights": -1}}), "breakdown.weights must be"),
        (make_entry(full={**SIZES, "breakdown": {"weights": None}}), "breakdown.weights must be"),
        (make_entry(lora={"untraceable": 3}), "lora.untraceable must be the reason"),
        (make_entry(lora={"untraceable": "", **SIZES}), "lora.untraceable must be the reason"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_broken_estimates_file_is_one_line(store: Store, content: Any, message: str) -> None:
    if isinstance(content, dict):
        content = json.dumps({"schema": 1, "entries": [content]})
    store.write_text("estimates.json", content)
    with pytest.raises(StoreError, match=message) as caught:
        store.read_estimates()
    assert "estimates.json" in str(caught.value)
    assert "move it away" in str(caught.value)
    assert "\n" not in str(caught.value)
