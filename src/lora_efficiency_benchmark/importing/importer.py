"""The whole import in one place (row 4, no torch): foreign files in, records out.

Everything is read and checked before anything is written, and only the output folder is written
to, through ``records.store.Store``. The same source gives the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..language import Statement
from ..plan import AS_PRACTISED, CONTROLLED
from ..records.results import CellRecord
from ..records.store import Store
from . import peft_results, trainer_runs
from .files import clean, find_files, name_within, read_json
from .refusal import NotImportable, Skipped
from .runs import NOT_STATED, Run, base_record, records_of

_BESIDE_RESULTS = {  # JSON that lies beside results and holds none
    "adapter_config.json", "added_tokens.json", "all_results.json", "config.json",
    "eval_results.json", "generation_config.json", "model.safetensors.index.json",
    "preprocessor_config.json", "processor_config.json", "special_tokens_map.json",
    "tokenizer.json", "tokenizer_config.json", "train_results.json", "training_params.json",
    "vocab.json",
}  # fmt: skip
_UNKNOWN = Statement("holds no result that is known here", "対応している形式の結果ではありません")
_SAME_LOSS = 0.01
"""Losses before training may differ by rounding between precisions, not by more than this share."""


@dataclass(frozen=True)
class ImportedRun:
    """One run that became records."""

    file: str  # relative to the source
    format: str
    model: str
    configuration: str  # "full" or the adapter's label
    status: str  # ok, or the kind of failure
    records: tuple[str, ...]  # ids
    figures: dict[str, str]  # field of the record -> the source's own name for it


@dataclass(frozen=True)
class Summary:
    """What an import did."""

    directory: str
    imported: tuple[ImportedRun, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[Statement, ...]  # what a reader of the verdicts should know

    def to_dict(self) -> dict[str, Any]:
        """The document of ``import --json``."""
        return {
            "directory": self.directory,
            "imported": [asdict(run) for run in self.imported],
            "skipped": [
                {"file": file, "reason": reason.en, "reason_ja": reason.ja}
                for file, reason in self.skipped
            ],
            "notes": [{"note": note.en, "note_ja": note.ja} for note in self.notes],
        }


def import_results(source: str | Path, directory: str | Path) -> Summary:
    """Read foreign results below ``source`` and write their records into ``directory``.

    Files that cannot be used are skipped, with the reason. Raises NotImportable where none can be
    used or the folder holds something else, and StoreError where it cannot be written.
    """
    store = Store(directory)
    _require_free(store)
    base, files, skipped = _find(Path(source), store.path)
    results, states, unread = _sort(files, base)
    runs, notes, unusable = _read(results, states, base)
    kept, repeated = _one_a_cell(_readings(runs))
    skipped = sorted([*skipped, *unread, *unusable, *repeated])
    if not kept:
        raise _nothing(source, skipped)
    records = [records_of(run) for run in kept]
    before, more = _before_training(kept)
    store.create()
    with store.lock():
        for record in (*before, *(record for group in records for record in group)):
            store.write_record(record)
    return Summary(
        directory=clean(store.path, 400),
        imported=tuple(_imported(*pair) for pair in zip(kept, records, strict=True)),
        skipped=tuple(skipped),
        notes=(*notes, *more, *_unequal_optimizers(kept)),
    )


def _require_free(store: Store) -> None:
    """Raises NotImportable unless the folder is new, empty, or holds imported records only."""
    path = store.path
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() and not path.exists():
        raise _refused(path, "is a broken link", "リンク先がありません")
    if not path.is_dir():
        raise _refused(path, "is a file, not a folder", "フォルダーではなくファイルです")
    try:
        empty = next(path.iterdir(), None) is None
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror})", f"{path}: 読めません ({error.strerror})"
        ) from None
    if empty:
        return
    if store.records_path.is_symlink():
        raise _refused(path, "its records are a link to elsewhere", "records がリンクです")
    ours = store.load_records() if store.records_path.is_dir() else []
    imported = bool(ours) and all("imported_from" in (r.data or ()) for r in ours)
    if not imported or (path / "config.yaml").exists():
        raise _refused(
            path,
            "holds something else than imported records; give a new or empty folder",
            "インポートした記録以外のものがあります。新しい、または空のフォルダーを指定してください",
        )


def _refused(path: Path, en: str, ja: str) -> NotImportable:
    return NotImportable(en, ja).within(clean(path, 400))


def _find(source: Path, directory: Path) -> tuple[Path, list[Path], list[Skipped]]:
    """The folder that names are relative to, the files in it, and what was passed over."""
    try:
        path = source.resolve(strict=True)
        if not path.is_dir():
            return path.parent, [path], []
        files, skipped = find_files(path, directory.resolve())
    except NotImportable as error:
        raise error.within(clean(source, 400)) from None
    except (OSError, RuntimeError, ValueError) as error:  # missing, a loop of links, a NUL
        reason = clean(getattr(error, "strerror", None) or error)
        raise _refused(source, f"cannot be read ({reason})", f"読めません ({reason})") from None
    return path, [file for file in files if file.suffix == ".json"], skipped


def _sort(
    files: Sequence[Path], base: Path
) -> tuple[dict[Path, Any], dict[Path, dict[str, Any]], list[Skipped]]:
    """Results of method_comparison, states of the Trainer, and what is neither or broken."""
    results: dict[Path, Any] = {}
    states: dict[Path, dict[str, Any]] = {}
    skipped: list[Skipped] = []
    for path in files:
        if path.name in _BESIDE_RESULTS:
            continue
        try:
            values = read_json(path)
        except NotImportable as error:
            skipped.append(Skipped(name_within(path, base), error.reason))
            continue
        if peft_results.is_peft_result(values):
            results[path] = values
        elif trainer_runs.is_trainer_state(values):
            states[path] = values
        else:
            skipped.append(Skipped(name_within(path, base), _UNKNOWN))
    return results, states, skipped


def _read(
    results: Mapping[Path, Any], states: Mapping[Path, dict[str, Any]], base: Path
) -> tuple[list[Run], list[Statement], list[Skipped]]:
    runs: list[Run] = []
    skipped: list[Skipped] = []
    for path, values in results.items():
        name = name_within(path, base)
        try:
            runs.append(peft_results.read_run(values, name))
        except NotImportable as error:
            skipped.append(Skipped(name, error.reason))
    found, unusable = trainer_runs.read_runs(states, base)
    named, notes = trainer_runs.name_models(found)
    return runs + named, notes, skipped + unusable


def _readings(runs: Sequence[Run]) -> list[Run]:
    """LoRA at a precision that full fine-tuning was not run at is the reading as practised."""
    full = {(run.model_name, run.precision) for run in runs if run.adapter is None}
    models = {name for name, _ in full}
    return [
        replace(run, reading=CONTROLLED)
        if run.adapter is None
        or run.model_name not in models
        or (run.model_name, run.precision) in full
        else replace(run, reading=AS_PRACTISED)
        for run in runs
    ]


def _one_a_cell(runs: Sequence[Run]) -> tuple[list[Run], list[Skipped]]:
    """The latest of runs with the same settings: a record holds one run of each."""
    latest: dict[str, Run] = {}
    for run in sorted(runs, key=lambda r: r.source, reverse=True):
        name = run.cell("train").id
        if name not in latest or run.started_at >= latest[name].started_at:
            latest[name] = run
    skipped = []
    for run in runs:
        kept = latest[run.cell("train").id]
        if kept is not run:
            reason = Statement(
                f"has the stated settings of {kept.source}, and a cell holds one run",
                f"記載された設定が {kept.source} と同じで、1つのセルには1回の実行しか入りません",
            )
            skipped.append(Skipped(run.source, reason))
    return sorted(latest.values(), key=lambda r: r.source), skipped


def _before_training(runs: Sequence[Run]) -> tuple[list[CellRecord], list[Statement]]:
    """One base record for every group of comparable runs that evaluated before the first step."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.base_loss is not None:
            groups.setdefault(run.cell("base").id, []).append(run)
    records: list[CellRecord] = []
    notes: list[Statement] = []
    for group in groups.values():
        losses = [run.base_loss for run in group if run.base_loss is not None]
        if max(losses) - min(losses) > _SAME_LOSS * max(losses):
            low, high = f"{min(losses):.4g}", f"{max(losses):.4g}"
            notes.append(
                Statement(
                    f"losses before training differ ({low} to {high}): not the same held-out "
                    "texts, so there is no base loss",
                    f"学習前の損失が一致せず ({low}から{high})、評価テキストが異なるため使いません",
                )
            )
            continue
        chosen = min(group, key=lambda run: (run.adapter is not None, run.source))
        if chosen.base_loss is not None:
            block = trainer_runs.evaluation_block(chosen.base_loss, 0)
            records.append(base_record(chosen, block))
    return records, notes


def _unequal_optimizers(runs: Sequence[Run]) -> list[Statement]:
    """Settings of the optimizer, beside the rate, in which LoRA differs from full fine-tuning."""
    lines: dict[Statement, None] = {}
    for lora in (run for run in runs if run.adapter is not None):
        for full in (run for run in runs if run.adapter is None):
            if lora.model_name != full.model_name:
                continue
            a, b = (dict(run.facts.get("optimizer") or {}) for run in (full, lora))
            for key in sorted((a.keys() | b.keys()) - {"lr"}):
                mine, theirs = (values.get(key, NOT_STATED) for values in (a, b))
                if mine != theirs:
                    text = f"{key}: {mine} (full), {theirs} (LoRA)"
                    en = f"the arms differ in the optimizer's {text}"
                    lines[Statement(en, f"オプティマイザの設定が異なります: {text}")] = None
    return list(lines)


def _imported(run: Run, records: Sequence[CellRecord]) -> ImportedRun:
    figures = {key: name for r in records for key, name in (r.data or {})["figures"].items()}
    return ImportedRun(
        file=run.source,
        format=run.format,
        model=run.model_name,
        configuration=run.label,
        status=run.error["kind"] if run.error else "ok",
        records=tuple(record.cell_id for record in records),
        figures=figures,
    )


def _nothing(source: str | Path, skipped: Sequence[Skipped]) -> NotImportable:
    if not skipped:
        return _refused(
            Path(source),
            "holds no results; give PEFT method_comparison JSON or folders with trainer_state.json",
            "結果がありません。PEFT method_comparison の JSON か、trainer_state.json を含む"
            "フォルダーを指定してください",
        )
    first = skipped[0]
    count = len(skipped)
    return _refused(
        Path(source),
        f"nothing could be imported ({count} skipped), such as {first.file}: {first.reason.en}",
        f"取り込める結果がありません ({count}件を除外)。例: {first.file}: {first.reason.ja}",
    )
