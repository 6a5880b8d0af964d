"""The output folder (row 3): the only module that writes ``records/``.

    config.yaml  environment.json  lora_benchmark.log  records/<cell>.json
    estimates.json  results.csv  analysis.json  report.html  report.md

Each record is written the moment it exists, to a temporary file that is then renamed: a crash
loses at most the cell that was running. One run at a time writes into a folder.
"""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import StoreError, first_line
from ..language import Statement
from ..plain_text import spreadsheet_text
from ..units import MIB
from .estimates_shape import estimates_problem
from .results import OK, CellRecord, LoRAEfficiencyResult, decode_object, encode_non_finite

ESTIMATES = "estimates.json"
MAX_FILE_BYTES = 64 * MIB
_CELL_ID = re.compile(r"[A-Za-z0-9-]+")  # a file name, and nothing else
_LEFTOVER = re.compile(r"\..+\.\d+\.tmp")  # of a write that a crash cut short
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Store:
    """One output folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._outlines: dict[str, CellRecord] | None = None  # by id; None: not read yet

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
                f"{self.path}: is (or lies below) a file, not a folder; give another output_dir",
                f"{self.path}: ファイルであるか、ファイルの下にあります。"
                "別の output_dir を指定してください",
            ) from None
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written ({error.strerror})",
                f"{self.path}: 書き込めません ({error.strerror})",
            ) from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by the one run that writes; the system lets go of it when the process ends, however.

        Raises StoreError where another process holds it. Windows, and file systems without locks,
        have none.
        """
        descriptor = _locked(self.path)
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def tidy(self) -> list[Statement]:
        """Before a run, under the lock: what is no record is renamed, so that its cell runs again.

        Nothing is deleted but the halves of writes that a crash cut short. Returns one line for
        each file that was set aside.
        """
        for folder in (self.path, self.records_path):
            for path in folder.glob(".*.tmp"):
                if _LEFTOVER.fullmatch(path.name):
                    with suppress(OSError):
                        path.unlink()
        lines = []
        whole: dict[str, CellRecord] = {}
        for path in sorted(self.records_path.glob("*.json")):
            try:
                whole[path.stem] = self._read_record(path).outline()
            except StoreError as error:
                kept = _set_aside(path, "unreadable")
                line = Statement(
                    f"{error}; it is kept as {kept.name}, and its cell runs again",
                    f"{error.text('ja')}。{kept.name} として残し、そのセルを測り直します",
                )
                lines.append(line)
        self._outlines = whole
        return lines

    def set_aside(self, cell_ids: Iterable[str], mark: str) -> list[str]:
        """Rename records to ``<name>.<mark>``, so that their cells run again.

        Returns the new names. Nothing is deleted. Raises StoreError.
        """
        kept = []
        for cell_id in cell_ids:
            kept.append(_set_aside(self.records_path / f"{cell_id}.json", mark).name)
            if self._outlines is not None:
                self._outlines.pop(cell_id, None)
        return kept

    def move_aside(self) -> Path | None:
        """Rename an existing folder to ``<name>.<time>``; nothing measured is deleted.

        Raises StoreError where another run is writing into it.
        """
        if not self.path.exists():
            return None
        if not self.path.is_dir():
            raise StoreError(
                f"{self.path}: is a file, not a folder; give another output_dir",
                f"{self.path}: フォルダーではなくファイルです。別の output_dir を指定してください",
            )
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        path = self.path.resolve()  # "." has no name of its own
        target = _free_name(path, stamp)
        try:
            with self.lock():
                self._outlines = None
                return path.rename(target)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be moved aside ({error.strerror})",
                f"{self.path}: 名前を変えて退避できません ({error.strerror})",
            ) from None

    def write_record(self, record: CellRecord) -> Path:
        """Store one record atomically. Raises StoreError; what was stored before stays."""
        if not _CELL_ID.fullmatch(record.cell_id):
            raise StoreError(
                f"{self.path}: {record.cell_id!r} is no name for a record",
                f"{self.path}: {record.cell_id!r} は記録の名前になりません",
            )
        path = self.records_path / f"{record.cell_id}.json"
        self._write(path, _to_json(record.to_dict()))
        if self._outlines is not None:
            self._outlines[record.cell_id] = record.outline()
        return path

    def outlines(self) -> list[CellRecord]:
        """What planning needs of every record; see ``CellRecord.outline``.

        The folder is read once, by ``tidy`` or here, and what this store writes is added: the cost
        of a run stays the same from its first cell to its last. Raises StoreError.
        """
        if self._outlines is None:
            self._outlines = {r.cell_id: r.outline() for r in self.load_records()}
        return list(self._outlines.values())

    def load_records(self) -> list[CellRecord]:
        """All records, by file name. Raises StoreError naming a file that cannot be read."""
        if not self.path.is_dir():
            raise StoreError(
                f"{self.path}: no such folder; run the benchmark first",
                f"{self.path}: フォルダーがありません。先にベンチマークを実行してください",
            )
        try:
            return [self._read_record(path) for path in sorted(self.records_path.glob("*.json"))]
        except StoreError as error:
            raise StoreError(f"{error}; {_MEND.en}", f"{error.text('ja')}。{_MEND.ja}") from None

    def read_estimates(self) -> list[dict[str, Any]]:
        """Entries of estimates.json, checked; none where there is no such file.

        Raises StoreError naming the file, the entry that cannot be used and what to do.
        """
        path = self.path / ESTIMATES
        advice = Statement(
            "move it away; the next run makes it anew",
            "別の場所へ移してください。次の実行で作り直します",
        )
        if not path.exists():
            return []
        try:
            values = _read_json(path)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise StoreError(
                f"{path}: cannot be read ({first_line(error)}); {advice.en}",
                f"{path}: 読めません ({first_line(error)})。{advice.ja}",
            ) from None
        problem = estimates_problem(values)
        if problem:
            raise StoreError(
                f"{path}: {problem.en}; {advice.en}", f"{path}: {problem.ja}。{advice.ja}"
            )
        entries: list[dict[str, Any]] = values["entries"]
        return entries

    def finished_ids(self) -> set[str]:
        """Ids of cells that ended ok or were skipped; failed ones are tried again."""
        return {r.cell_id for r in self.outlines() if r.status != "failed"}

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
            texts = {k: spreadsheet_text(v) for k, v in values.items() if isinstance(v, str)}
            writer.writerow({**values, **texts})
        return self.write_text("results.csv", out.getvalue())

    def _read_record(self, path: Path) -> CellRecord:
        try:
            values = _read_json(path)
        except RecursionError:
            raise StoreError(
                f"{path}: cannot be read (nested too deeply)",
                f"{path}: 読めません (入れ子が深すぎます)",
            ) from None
        except (OSError, TypeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or first_line(error)
            raise StoreError(
                f"{path}: cannot be read ({reason})", f"{path}: 読めません ({reason})"
            ) from None
        if not isinstance(values, dict):
            raise StoreError(f"{path}: not a cell record", f"{path}: セルの記録ではありません")
        record = CellRecord.from_decoded(values, str(path))
        if record.cell_id != path.stem:
            raise StoreError(
                f"{path}: holds the record of {record.cell_id}",
                f"{path}: 中身は {record.cell_id} の記録です",
            )
        return record

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
            is_full = error.errno in _FULL
            full = "make room and" if is_full else "mend that and"
            full_ja = "空きを作り、" if is_full else "原因を取り除き、"
            raise StoreError(
                f"{path}: cannot be written ({error.strerror or error}); {full} run the same "
                "command again, what was stored before is kept",
                f"{path}: 書き込めません ({error.strerror or error})。"
                f"{full_ja}同じコマンドをもう一度実行してください。保存済みのものは残っています",
            ) from None


_MEND = Statement(
    "move it away, or run the benchmark again, which keeps it beside and measures its cell anew",
    "別の場所へ移すか、ベンチマークをもう一度実行してください。元のファイルは別名で残し、"
    "そのセルを測り直します",
)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the lock until it is closed; None where the system has none."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be opened ({error.strerror})",
            f"{folder}: 開けません ({error.strerror})",
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreError(
            f"{folder}: another run is writing into this folder; wait until it ends, or give "
            "another output_dir",
            f"{folder}: 別の実行がこのフォルダーに書き込んでいます。終わるのを待つか、"
            "別の output_dir を指定してください",
        ) from None
    except OSError:  # a file system without locks: there, two runs are the user's to keep apart
        os.close(descriptor)
        return None
    return descriptor


def _set_aside(path: Path, mark: str) -> Path:
    """Rename to ``<name>.<mark>``, with a number where there is one already."""
    target = _free_name(path, mark)
    try:
        return path.rename(target)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be moved aside ({error.strerror})",
            f"{path}: 名前を変えて退避できません ({error.strerror})",
        ) from None


def _free_name(path: Path, mark: str) -> Path:
    """``<name>.<mark>`` beside ``path``, with a number where there is one already."""
    target, count = path.with_name(f"{path.name}.{mark}"), 1
    while target.exists():
        count += 1
        target = path.with_name(f"{path.name}.{mark}-{count}")
    return target


def _read_json(path: Path) -> Any:
    """Data from a file of bearable size, decoded. Raises OSError, ValueError, TypeError or
    RecursionError."""
    if path.exists() and not path.is_file():  # a pipe would wait for a writer
        raise ValueError("not a file")
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES // MIB} MiB")
    return json.loads(content.decode("utf-8"), object_hook=decode_object)


def _to_json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def ok_records(records: Iterable[CellRecord]) -> list[CellRecord]:
    """The records that hold a result."""
    return [record for record in records if record.status == OK]
