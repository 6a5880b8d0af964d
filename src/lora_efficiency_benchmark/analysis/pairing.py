"""From records to arms, and arms to pairs (row 5).

An arm is one method at one data size: its seeds, its memory readings, its failures. A pair is a
LoRA run and the full fine-tuning run of the same size, seed and data order; only pairs give ratios.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config.adapters import AdapterSettings
from ..language import Statement
from ..plan import CONTROLLED
from ..records.results import OK, CellRecord
from .selection import Selection
from .wording import arm_name

_MEASURED = {
    "steps": "ステップ数",
    "tokens": "トークン数",
    "batch_size": "バッチサイズ",
    "sequence_length": "系列長",
    "source": "測り方",
}
_SOURCES = {"accelerator": "アクセラレータ", "cpu-allocator": "CPUのアロケーター"}


@dataclass(frozen=True)
class Arm:
    """One method at one data size."""

    label: str
    adapter: AdapterSettings | None  # None for full fine-tuning
    dataset_size: int
    train: dict[int, CellRecord]  # seed -> result
    memory: dict[str, CellRecord]  # reading -> record, also a failed one
    parameters: dict[str, Any] | None
    failed: tuple[CellRecord, ...] = ()


@dataclass(frozen=True)
class Pair:
    """One seed of a LoRA arm beside the same seed of full fine-tuning."""

    seed: int
    full: CellRecord
    lora: CellRecord

    @property
    def cells(self) -> tuple[str, str]:
        """Ids of both records."""
        return self.full.cell_id, self.lora.cell_id


@dataclass(frozen=True)
class Comparison:
    """All arms of a selection."""

    full: tuple[Arm, ...]  # one a data size
    lora: tuple[Arm, ...]
    base: CellRecord | None
    full_trainable: int | None
    differences: tuple[Statement, ...] = ()  # why runs of the same seed were not paired
    variants_left_out: tuple[Statement, ...] = ()  # runs of an arm under a rate that was not chosen
    across_models: bool = False  # full is of another model: quality counts in bits per byte
    _pairs: dict[tuple[str, int], tuple[Pair, ...]] = field(default_factory=dict)
    gains: dict[tuple[str, int], Any] = field(default_factory=dict, init=False, compare=False)
    """What ``metrics.gain_retention`` found, by arm: rows, tables and claims ask for the same."""

    @property
    def arms(self) -> list[Arm]:
        """All of them, sizes ascending, full fine-tuning first within a size."""
        arms = (*self.full, *self.lora)
        return sorted(arms, key=lambda arm: (arm.dataset_size, arm.adapter is not None))

    def full_arm(self, dataset_size: int) -> Arm | None:
        """Full fine-tuning at one data size."""
        return next((arm for arm in self.full if arm.dataset_size == dataset_size), None)

    def pairs(self, arm: Arm) -> tuple[Pair, ...]:
        """The paired seeds of a LoRA arm, ascending."""
        return self._pairs.get((arm.label, arm.dataset_size), ())

    def full_memory(self) -> CellRecord | None:
        """The memory record of full fine-tuning, also a failed one."""
        return next((a.memory[CONTROLLED] for a in self.full if CONTROLLED in a.memory), None)


def compare_arms(selection: Selection) -> Comparison:
    """Build the arms and pair their seeds."""
    left_out: list[Statement] = []
    arms = [
        arm
        for adapter in _methods(selection.records)
        for arm in _arms(adapter, selection.records, left_out)
    ]
    full = [arm for arm in arms if arm.adapter is None]
    lora = [arm for arm in arms if arm.adapter is not None]
    base = _latest(r for r in selection.of_kind("base") if r.status == OK)
    differences: set[Statement] = {
        Statement(f"{arm.label}, memory, {line.en}", f"{arm.label}のメモリ測定: {line.ja}")
        for arm in lora
        for mine in arm.memory.values()
        for other in full
        for theirs in other.memory.values()
        for line in memory_differences(theirs, mine)
    }
    pairs = {
        (arm.label, arm.dataset_size): tuple(_pair_up(arm, other, base, differences))
        for arm in lora
        for other in full
        if other.dataset_size == arm.dataset_size
    }
    return Comparison(
        full=tuple(full),
        lora=tuple(lora),
        base=base,
        full_trainable=_full_trainable(full, base),
        differences=tuple(sorted(differences)),
        variants_left_out=tuple(sorted(left_out)),
        _pairs=pairs,
    )


def number(block: dict[str, Any] | None, name: str) -> float | None:
    """A finite number from a record's block, else None."""
    value = (block or {}).get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def eval_loss(record: CellRecord) -> float | None:
    """Held-out loss in nats per token, where it is finite."""
    return number(record.evaluation, "loss")


def quality(record: CellRecord, across_models: bool) -> float | None:
    """What a gain is counted in: nats per token, across models bits per byte of the raw text."""
    return number(record.evaluation, "bits_per_byte") if across_models else eval_loss(record)


def documents(record: CellRecord, across_models: bool = False) -> list[tuple[float, float]] | None:
    """Nats and tokens of every held-out text, across models bits and bytes.

    None where they do not add up to the quality of the whole.
    """
    unit, scale = ("raw_bytes", 1 / math.log(2)) if across_models else ("tokens", 1.0)
    nats, counts = text_numbers(record, "nats"), text_numbers(record, unit)
    whole = quality(record, across_models)
    if not nats or not counts or whole is None:
        return None
    parts, total = [scale * value for value in nats], math.fsum(counts)
    same = total and math.isclose(math.fsum(parts) / total, whole, rel_tol=1e-6)
    return list(zip(parts, counts, strict=True)) if same else None


def text_numbers(record: CellRecord, name: str) -> list[float] | None:
    """One field of every held-out text; None where one of them is no finite number."""
    rows = (record.evaluation or {}).get("documents") or []
    values = [row.get(name) for row in rows]
    usable = set(map(type, values)) <= {int, float} and all(map(math.isfinite, values))
    return list(map(float, values)) if usable else None


def _methods(records: Iterable[CellRecord]) -> list[AdapterSettings | None]:
    """Every method that was tried: full fine-tuning (None) first, then the smallest adapter."""
    sizes: dict[AdapterSettings | None, float] = {}
    for record in records:
        if record.cell.training_method is not None:
            size = number(record.parameters, "trainable") or 0.0
            sizes[record.cell.adapter] = max(size, sizes.get(record.cell.adapter, 0))
    adapters = [adapter for adapter in sizes if adapter is not None]
    adapters.sort(key=lambda a: (sizes[a], a.r, a.label, a.alpha, a.dropout))
    return [None, *adapters] if None in sizes else list(adapters)


def _arms(
    adapter: AdapterSettings | None,
    records: Sequence[CellRecord],
    left_out: list[Statement],
) -> list[Arm]:
    own = [r for r in records if r.cell.training_method is not None and r.cell.adapter == adapter]
    train = [r for r in own if r.cell.kind == "train"]
    memory = [r for r in own if r.cell.kind == "memory"]
    by_reading = {r.cell.reading: r for r in sorted(memory, key=_preference)}
    parameters = next((r.parameters for r in own if number(r.parameters, "trainable")), None)
    label = own[0].cell.label
    arms = []
    for size in sorted({r.cell.dataset_size for r in train or memory}):
        here = [r for r in train if r.cell.dataset_size == size]
        chosen = _one_variant(here, label, left_out)
        failed = [r for r in (*here, *memory) if r.status != OK]
        seeds = {
            r.cell.seed: r for r in sorted(chosen, key=_preference) if r.training or r.evaluation
        }
        seeds = dict(sorted(seeds.items()))
        arms.append(Arm(label, adapter, size, seeds, by_reading, parameters, tuple(failed)))
    return arms


def _one_variant(
    records: list[CellRecord], label: str, left_out: list[Statement]
) -> list[CellRecord]:
    """Results of one rate and precision: those with the most seeds, then the latest."""
    groups: dict[tuple[Any, ...], list[CellRecord]] = {}
    for record in records:
        cell = record.cell
        if record.status == OK:
            key = (cell.learning_rate, cell.precision, cell.reading)
            groups.setdefault(key, []).append(record)
    if not groups:
        return []
    best = max(groups, key=lambda k: (len(groups[k]), max(r.started_at for r in groups[k]), str(k)))
    left_out += [_variant(label, *key[:2]) for key in groups if key != best]
    return groups[best]


def _variant(label: str, rate: float | None, precision: str) -> Statement:
    rate_ja = "不明" if rate is None else rate
    return Statement(
        f"{label} at learning rate {rate}, {precision}",
        f"{arm_name(label).ja}(学習率{rate_ja}、{precision})",
    )


def _preference(record: CellRecord) -> tuple[bool, str, str]:
    return (record.status == OK, record.started_at, record.cell_id)


def _latest(records: Iterable[CellRecord]) -> CellRecord | None:
    return max(records, key=_preference, default=None)


def _full_trainable(full: Sequence[Arm], base: CellRecord | None) -> int | None:
    """Trainable parameters of full fine-tuning; the bare model trains everything."""
    blocks = [arm.parameters for arm in full] + [base.parameters if base else None]
    values = (number(block, "trainable") for block in blocks)
    return next((int(v) for v in values if v), None)


def _pair_up(
    arm: Arm, full: Arm, base: CellRecord | None, differences: set[Statement]
) -> Iterable[Pair]:
    for seed, lora in arm.train.items():
        other = full.train.get(seed)
        if other is None:
            continue
        found = _run_differences(lora, other) + _evaluation_differences(lora, base)
        if found:
            differences |= {
                Statement(
                    f"{arm.label}, {arm.dataset_size} texts, {line.en}",
                    f"{arm.label}(学習テキスト{arm.dataset_size}件) {line.ja}",
                )
                for line in found
            }
        else:
            yield Pair(seed, other, lora)


def _run_differences(lora: CellRecord, full: CellRecord) -> list[Statement]:
    """What makes two runs of one seed no pair: data order, steps, tokens or held-out texts."""
    found = []
    for name in ("order_sha256", "steps", "tokens"):
        a, b = (lora.training or {}).get(name), (full.training or {}).get(name)
        if a is not None and b is not None and a != b:
            order = Statement("data order", "データ順")
            found.append(_of_seed(lora, order if name == "order_sha256" else _against(name, a, b)))
    return found + _evaluation_differences(lora, full)


def memory_differences(
    full: CellRecord, lora: CellRecord, across_models: bool = False
) -> list[Statement]:
    """What makes two memory records no pair: the shape of the batch, or the way of measuring.

    Across models the same texts have another length.
    """
    found = []
    for name in (
        ("batch_size", "source") if across_models else ("batch_size", "sequence_length", "source")
    ):
        a, b = (lora.memory or {}).get(name), (full.memory or {}).get(name)
        if a is not None and b is not None and a != b:
            found.append(_against(name, a, b))
    return found


def _evaluation_differences(record: CellRecord, other: CellRecord | None) -> list[Statement]:
    if other is None:
        return []
    a, b = scored_texts(record.evaluation), scored_texts(other.evaluation)
    if a is None or b is None or a == b:
        return []
    label = other.cell.label
    line = Statement(f"held-out texts ({label})", f"評価テキスト({arm_name(label).ja}と不一致)")
    return [_of_seed(record, line)]


def _of_seed(record: CellRecord, line: Statement) -> Statement:
    seed = record.cell.seed
    return Statement(f"seed {seed}: {line.en}", f"シード{seed}: {line.ja}")


def _against(name: str, lora: Any, full: Any) -> Statement:
    """A measured figure of LoRA beside that of full fine-tuning."""
    lora_ja, full_ja = (_SOURCES.get(str(side), side) for side in (lora, full))
    return Statement(
        f"{name} {lora} against {full}", f"{_MEASURED[name]}(LoRAは{lora_ja}、フルは{full_ja})"
    )


def scored_texts(block: dict[str, Any] | None) -> list[tuple[Any, Any]] | None:
    """What identifies the texts of an evaluation: tokens and bytes of each document, in order."""
    documents = (block or {}).get("documents")
    if not documents:
        return None
    return [(d.get("tokens"), d.get("raw_bytes")) for d in documents]
