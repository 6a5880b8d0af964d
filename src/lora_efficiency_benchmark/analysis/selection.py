"""Which records are judged together (row 5): one environment, one setting, one record a cell.

Figures from different hardware or package versions say nothing about LoRA against full
fine-tuning, so they are never pooled: the environment with the most results is judged, the others
are named. The same goes for settings (steps, batch, length, data): a folder can hold more than one.
Trials of a search are not judged: their losses chose the rates, wherever they were measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ..language import Statement
from ..plan import FULL, LORA
from ..records.results import OK, CellRecord
from .wording import arm_name

_SHARED = ("model_name", "max_length")
_STEP = ("dataset", "batch_size", "trainer_args", "processes", "accelerate")
_FIELDS = {
    "base": (*_SHARED, "dataset", "evaluation_size"),
    "memory": (*_SHARED, *_STEP),
    "trial": (*_SHARED, *_STEP),
    "train": (*_SHARED, *_STEP, "evaluation_size", "training_steps"),
}  # fmt: skip
"""Settings, by kind of cell, that every compared arm must share."""


@dataclass(frozen=True)
class Selection:
    """The records to judge, in a fixed order, and what was left out."""

    records: tuple[CellRecord, ...]
    environment: dict[str, Any]
    settings: dict[str, Any]
    other_environments: tuple[Statement, ...] = ()  # one line each
    environment_left_out: int = 0  # records
    settings_left_out: int = 0  # records
    differences: tuple[Statement, ...] = ()  # settings in which the two methods differ
    reference: tuple[CellRecord, ...] = ()  # full fine-tuning of another model, all else the same

    def of_kind(self, kind: str) -> list[CellRecord]:
        """The selected records of one kind."""
        return [record for record in self.records if record.cell.kind == kind]


def select(records: Sequence[CellRecord], base_model: str | None = None) -> Selection:
    """Choose what is judged. The order of ``records`` never matters.

    ``base_model`` is the other model of a cross-model comparison, where one was asked for.
    """
    unique = _one_per_cell(records)
    kept, others, outside = _one_environment(unique)
    chosen = _chosen_settings(kept)
    same = [record for record in kept if _agrees(record, chosen)]
    reference = _of_another_model(kept, chosen, base_model)
    environment: dict[str, Any] = next((r.environment for r in same if r.environment), {})
    return Selection(
        records=tuple(same),
        environment=environment,
        settings=chosen,
        other_environments=tuple(others),
        environment_left_out=outside,
        settings_left_out=len(kept) - len(same) - len(reference),
        differences=tuple(_differences(kept, same, chosen)),
        reference=tuple(reference),
    )


def model_shown(records: Sequence[CellRecord]) -> str:
    """The name to show: a converted model carries its own, which says that it was dequantised."""
    shown = (r.model["display_name"] for r in records if r.model)
    named = (r.cell.model_name for r in records)
    return str(next(shown, next(named, "")))


def searched_elsewhere(selection: Selection) -> tuple[Statement, ...]:
    """Where trials ran that did not run in the environment that is judged, one line each."""
    judged = {r.environment_key for r in selection.records if r.cell.kind != "trial"} - {None}
    trials = [r for r in selection.of_kind("trial") if r.environment]
    lines = {_environment_line(r) for r in trials if judged and r.environment_key not in judged}
    return tuple(sorted(lines))


def _order(record: CellRecord) -> tuple[Any, ...]:
    cell = record.cell
    return (cell.kind, cell.label, cell.dataset_size, cell.seed, record.cell_id)


def _one_per_cell(records: Iterable[CellRecord]) -> list[CellRecord]:
    """Drop repeats of a cell measured in the same environment: a result first, then the latest."""
    best: dict[tuple[Any, ...], CellRecord] = {}
    for record in records:
        key = (record.cell_id, record.environment_key)
        if key not in best or _rank(record) > _rank(best[key]):
            best[key] = record
    return sorted(best.values(), key=lambda r: (*_order(r), str(r.environment_key)))


def _rank(record: CellRecord) -> tuple[bool, str, str]:
    content = json.dumps(record.to_dict(), sort_keys=True, default=str)
    return (record.status == OK, record.started_at, content)


def _one_environment(records: list[CellRecord]) -> tuple[list[CellRecord], list[Statement], int]:
    """The environment with the most results. Records that name none (a dead worker) stay.

    So do trials of other environments, where the chosen one has no trial of that cell.
    """
    judged = [record for record in records if record.cell.kind != "trial"]
    key = attrgetter("environment_key")
    chosen = _most(judged, key) or _most(records, key)
    if chosen is None:
        return records, [], 0
    here = {r.cell_id for r in records if r.environment_key == chosen}
    kept: list[CellRecord] = []
    left: list[CellRecord] = []
    for record in records:
        # A result without an environment cannot be known to be comparable; a failure needs none.
        stays = record.environment_key == chosen or not (record.environment or record.status == OK)
        searched = record.cell.kind == "trial" and record.cell_id not in here and bool(judged)
        if searched:
            here.add(record.cell_id)
        (kept if stays or searched else left).append(record)
    others = sorted({_environment_line(record) for record in left if record.environment})
    unknown = any(not record.environment for record in left)
    nameless = [Statement("unknown environment", "不明な環境")] if unknown else []
    return kept, others + nameless, len(left)


def _environment_line(record: CellRecord) -> Statement:
    environment = record.environment
    device = (environment.get("device") or {}).get("name")
    packages = environment.get("packages") or {}
    threads = environment.get("threads")
    versions = [f"{k} {packages[k]}" for k in ("torch", "transformers") if k in packages]
    known = Statement(
        ", ".join(versions) or "versions unknown", "、".join(versions) or "バージョン不明"
    )
    device_ja = "不明なデバイス" if device is None else device
    threads_ja = "不明" if threads is None else threads
    return Statement(
        f"{device} ({known.en}, {threads} threads)",
        f"{device_ja}({known.ja}、スレッド数{threads_ja})",
    )


def _most(
    records: Iterable[CellRecord], key: Callable[[CellRecord], Hashable | None]
) -> Hashable | None:
    """The key of the most results; ties go to more records, then to the latest start."""
    score: dict[Hashable, tuple[int, int, str]] = {}
    for record in records:
        name = key(record)
        if name is None:
            continue
        results, count, latest = score.get(name, (0, 0, ""))
        started = max(latest, record.started_at)
        score[name] = (results + (record.status == OK), count + 1, started)
    return max(score, key=lambda name: (score[name], str(name))) if score else None


def _settings(record: CellRecord) -> dict[str, Any]:
    return {name: getattr(record.cell, name) for name in _FIELDS[record.cell.kind]}


def _frozen(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, ensure_ascii=False, default=str)


def _chosen_settings(records: list[CellRecord]) -> dict[str, Any]:
    """Settings of the training cells (else memory, else base) with results of both methods."""
    for kind in ("train", "memory", "base"):
        here = [record for record in records if record.cell.kind == kind]
        if not here:
            continue
        done: dict[str, set[str | None]] = {}
        for record in here:
            methods = done.setdefault(_frozen(_settings(record)), set())
            if record.status == OK:
                methods.add(record.cell.training_method)
        whole = max(len(methods) for methods in done.values())
        best = [r for r in here if len(done[_frozen(_settings(r))]) == whole]
        name = _most(best, lambda record: _frozen(_settings(record)))
        return next(_settings(r) for r in best if _frozen(_settings(r)) == name)
    return {}


def _agrees(record: CellRecord, chosen: dict[str, Any]) -> bool:
    own = _settings(record)
    return all(chosen.get(name, own[name]) == own[name] for name in own)


def _of_another_model(
    records: list[CellRecord], chosen: dict[str, Any], base_model: str | None
) -> list[CellRecord]:
    """Untrained and fully fine-tuned records of the other model, under the chosen settings."""
    if base_model is None or base_model == chosen.get("model_name"):
        return []
    return [
        record
        for record in records
        if record.cell.adapter is None
        and record.cell.model_name == base_model
        and _agrees(record, {**chosen, "model_name": base_model})
    ]


def _differences(
    records: list[CellRecord], kept: list[CellRecord], chosen: dict[str, Any]
) -> list[Statement]:
    """Settings because of which one method has no result beside the other's."""
    lines: set[Statement] = set()
    for kind in ("train", "memory"):
        have = {r.cell.training_method for r in kept if r.cell.kind == kind and r.status == OK}
        for method in {FULL, LORA} - have if have else set():
            for record in records:
                cell = record.cell
                if (cell.kind, cell.training_method, record.status) != (kind, method, OK):
                    continue
                lines |= {
                    _difference(name, value, cell.label, chosen[name])
                    for name, value in _settings(record).items()
                    if name in chosen and chosen[name] != value
                }
    return sorted(lines)


def _difference(name: str, value: Any, label: str, chosen: Any) -> Statement:
    """A setting of one arm beside that of what is judged; settings keep the name they have."""
    value_ja, chosen_ja = ("なし" if side is None else repr(side) for side in (value, chosen))
    return Statement(
        f"{name} {value!r} ({label}) against {chosen!r}",
        f"{name}({arm_name(label).ja}は{value_ja}、判定対象は{chosen_ja})",
    )
