"""The output folder (row 3): the only module that writes ``records/``.

    config.yaml  environment.json  lora_benchmark.log  records/<cell>.json
    estimates.json  results.csv  analysis.json  report.html  report.md

Each record is written the moment it exists, to a temporary file that is then renamed: a crash
loses at most the cell that was running.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from .errors import StoreError, first_line
from .plan import AS_PRACTISED, CONTROLLED
from .results import OK, CellRecord, LoRAEfficiencyResult, decode_non_finite, encode_non_finite

ESTIMATES, ESTIMATES_SCHEMA = "estimates.json", 1
_WORDS = {
    "comparison": ("same-model", "cross-model"),
    "reading": (CONTROLLED, AS_PRACTISED),
}


class Store:
    """One output folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def records_path(self) -> Path:
        """Folder of the cell records."""
        return self.path / "records"

    def create(self) -> None:
        """Make the folder and prove that it can be written. Raises StoreError."""
        try:
            self.records_path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except (FileExistsError, NotADirectoryError):
            raise StoreError(
                f"{self.path}: is (or lies below) a file, not a folder; give another output_dir"
            ) from None
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written ({error.strerror})") from None

    def move_aside(self) -> Path | None:
        """Rename an existing folder to ``<name>.<time>``; nothing measured is deleted."""
        if not self.path.exists():
            return None
        if not self.path.is_dir():
            raise StoreError(f"{self.path}: is a file, not a folder; give another output_dir")
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        path = self.path.resolve()  # "." has no name of its own
        target = path.with_name(f"{path.name}.{stamp}")
        count = 1
        while target.exists():
            count += 1
            target = path.with_name(f"{path.name}.{stamp}-{count}")
        try:
            return path.rename(target)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be moved aside ({error.strerror})") from None

    def write_record(self, record: CellRecord) -> Path:
        """Store one record atomically."""
        path = self.records_path / f"{record.cell_id}.json"
        self._write(path, _to_json(record.to_dict()))
        return path

    def load_records(self) -> list[CellRecord]:
        """All records, by file name. Raises StoreError naming a file that cannot be read."""
        if not self.path.is_dir():
            raise StoreError(f"{self.path}: no such folder; run the benchmark first")
        return [self._read_record(path) for path in sorted(self.records_path.glob("*.json"))]

    def read_estimates(self) -> list[dict[str, Any]]:
        """Entries of estimates.json, checked; none where there is no such file.

        Raises StoreError naming the file, the entry that cannot be used and what to do.
        """
        path, advice = self.path / ESTIMATES, "move it away; the next run makes it anew"
        if not path.exists():
            return []
        try:
            values = decode_non_finite(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise StoreError(f"{path}: cannot be read ({first_line(error)}); {advice}") from None
        problem = _estimates_problem(values)
        if problem:
            raise StoreError(f"{path}: {problem}; {advice}")
        entries: list[dict[str, Any]] = values["entries"]
        return entries

    def finished_ids(self) -> set[str]:
        """Ids of cells that ended ok or were skipped; failed ones are tried again."""
        return {r.cell_id for r in self.load_records() if r.status != "failed"}

    def write_text(self, name: str, text: str) -> Path:
        """Write one of the folder's own files atomically."""
        path = self.path / name
        self._write(path, text)
        return path

    def write_json(self, name: str, data: Any) -> Path:
        """Write JSON, Japanese as it is, non-finite numbers as in the records."""
        return self.write_text(name, _to_json(encode_non_finite(data)))

    def write_results(self, rows: Iterable[LoRAEfficiencyResult]) -> Path:
        """results.csv: the specification's columns first; lora_config as JSON."""
        import io

        names = [f.name for f in dataclasses.fields(LoRAEfficiencyResult)]
        out = io.StringIO()
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = dataclasses.asdict(row)
            values["lora_config"] = json.dumps(row.lora_config) if row.lora_config else ""
            writer.writerow(values)
        return self.write_text("results.csv", out.getvalue())

    def _read_record(self, path: Path) -> CellRecord:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: cannot be read ({error}); move it away to go on") from None
        if not isinstance(values, dict):
            raise StoreError(f"{path}: not a cell record; move it away to go on")
        return CellRecord.from_dict(values, str(path))

    def _write(self, path: Path, text: str) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A path that is no valid UTF-8 reaches us with lone surrogates; written as \udc80.
            with open(
                temporary, "w", encoding="utf-8", errors="backslashreplace", newline="\n"
            ) as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            reason = error.strerror or str(error)
            raise StoreError(f"{path}: cannot be written ({reason})") from None


def _to_json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _estimates_problem(values: Any) -> str | None:
    """What is wrong with the content of estimates.json, in a few words."""
    if not isinstance(values, Mapping) or not isinstance(values.get("entries"), list):
        return "not a file of estimates"
    if values.get("schema") != ESTIMATES_SCHEMA:
        return f"schema {values.get('schema')!r}, this program reads {ESTIMATES_SCHEMA}"
    found = ((i, _entry_problem(entry)) for i, entry in enumerate(values["entries"]))
    return next((f"entries[{i}]: {problem}" for i, problem in found if problem), None)


def _entry_problem(entry: Any) -> str | None:
    if not isinstance(entry, Mapping):
        return "must be a mapping"
    for name, allowed in _WORDS.items():
        if entry.get(name) not in allowed:
            return f"{name} must be {' or '.join(allowed)}, got {entry.get(name)!r}"
    for name in ("model", "base_model", "configuration"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            return f"{name} must be a text, got {entry.get(name)!r}"
    for name in ("batch_size", "seq_len"):
        if not _counts(entry.get(name), least=1):
            return f"{name} must be a whole number of at least 1, got {entry.get(name)!r}"
    if entry.get("skipped") is not None and not isinstance(entry["skipped"], str):
        return "skipped must be null or the reason"
    problems = (_side_problem(entry, side) for side in ("full", "lora"))
    return next((problem for problem in problems if problem), None)


def _side_problem(entry: Mapping[str, Any], side: str) -> str | None:
    estimate = entry.get(side)
    if estimate is None:
        return None if entry.get("skipped") else f"{side} is missing, and no reason in skipped"
    if not isinstance(estimate, Mapping):
        return f"{side} must be an estimate"
    if "untraceable" in estimate:
        reason = estimate["untraceable"]
        known = isinstance(reason, str) and reason
        return None if known else f"{side}.untraceable must be the reason, got {reason!r}"
    for name in ("trainable_parameters", "peak_allocated_bytes"):
        if not _counts(estimate.get(name), least=1):
            got = f"got {estimate.get(name)!r}"
            return f"{side}.{name} must be a whole number of at least 1, {got}"
    parts = estimate.get("breakdown", {})
    if not isinstance(parts, Mapping):
        return f"{side}.breakdown must be a mapping"
    wrong = next((name for name, value in parts.items() if not _counts(value)), None)
    return None if wrong is None else f"{side}.breakdown.{wrong} must be bytes"


def _counts(value: Any, least: int = 0) -> bool:
    """A number of things or bytes; no float, and nothing that a float could not hold."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 63


def ok_records(records: Iterable[CellRecord]) -> list[CellRecord]:
    """The records that hold a result."""
    return [record for record in records if record.status == OK]
