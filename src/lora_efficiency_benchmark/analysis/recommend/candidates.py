"""From the arms of a comparison to candidates (row 5).

Peak memory is that of the precision the quality was measured in: a configuration is one thing, not
the quality of one run and the memory of another. The other reading stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...language import Statement
from ...plan import CONTROLLED
from ...records.results import OK, CellRecord
from ..metrics import OUT_OF_MEMORY, Measurement, gain_retention, memory_limit
from ..pairing import Arm, Comparison, documents, eval_loss, number
from ..wording import NOTHING, ending
from .values import FULL_NAME, Candidate, whole

_PEAKS = {"allocated": "peak_allocated_bytes", "reserved": "peak_reserved_bytes"}


def data_sizes(comparison: Comparison) -> tuple[int, ...]:
    """Data sizes of all arms, ascending."""
    return tuple(sorted({arm.dataset_size for arm in _arms(comparison)}))


def main_size(comparison: Comparison) -> int | None:
    """The largest data size with a LoRA result, else with any, else the largest."""
    trained = [arm for arm in _arms(comparison) if arm.train]
    lora = [arm for arm in trained if arm.adapter is not None]
    sizes = [arm.dataset_size for arm in lora or trained or _arms(comparison)]
    return max(sizes, default=None)


def candidates_at(comparison: Comparison, data_size: int) -> tuple[Candidate, ...]:
    """Full fine-tuning and every LoRA configuration of one data size."""
    arms = [arm for arm in _arms(comparison) if arm.dataset_size == data_size]
    kind = _peak_kind(arms)
    reference = _reference(arms)
    return tuple(_candidate(comparison, arm, arms, kind, reference) for arm in arms)


def _arms(comparison: Comparison) -> tuple[Arm, ...]:
    return (*comparison.full, *comparison.lora)


def _candidate(
    comparison: Comparison,
    arm: Arm,
    arms: Sequence[Arm],
    kind: str,
    reference: Mapping[int, CellRecord],
) -> Candidate:
    memory = _memory_record(arm)
    peak, out = _peak(memory, _PEAKS[kind]), _out_of_memory(arm, memory)
    compared = {s: r for s, r in arm.train.items() if _same_run(r, reference[s])}
    losses = {s: loss for s, r in compared.items() if (loss := eval_loss(r)) is not None}
    retention = _retention(comparison, arm)
    records = [r for r in (comparison.base, memory, *arm.train.values(), *arm.failed) if r]
    return Candidate(
        name=FULL_NAME if arm.adapter is None else arm.label,
        retention=retention,
        is_full=arm.adapter is None,
        memory_bytes=_at_least(arm, memory, arms) if out else peak,
        needed_bytes=_largest(peak, _peak(memory, _PEAKS["reserved"])),
        out_of_memory=out,
        seconds=_seconds(arm),
        parameters=whole(number(arm.parameters, "trainable")),
        losses=losses,
        diverged=_diverged(arm),
        adapter=arm.adapter,
        text_nats={s: tuple(nats for nats, _ in documents(compared[s]) or ()) for s in losses},
        text_tokens=next((_tokens(compared[s]) for s in losses), ()),
        memory_by_reading={
            reading: value
            for reading, record in sorted(arm.memory.items())
            if (value := _peak(record, _PEAKS[kind])) is not None
        },
        memory_reading=memory.cell.reading if memory else CONTROLLED,
        memory_kind=kind,
        whole_process=bool(memory and (memory.memory or {}).get("scope")),
        cells=tuple(sorted({*retention.cells, *(r.cell_id for r in records)})),
        no_result=_no_result(arm),
    )


# ---- quality -------------------------------------------------------------------------------------


def _retention(comparison: Comparison, arm: Arm) -> Measurement:
    if arm.adapter is None:
        return _own_retention(comparison, arm)
    found = gain_retention(comparison, arm)
    if found.value is not None:
        return found
    full = comparison.full_arm(arm.dataset_size)
    own, other = _no_result(arm), _no_result(full) if full else NOTHING
    if own == other == NOTHING:
        return found
    of_full = Statement(
        f"nothing to compare with, as full fine-tuning's {other.en}",
        f"比較の相手のフルファインチューニングは{other.ja}",
    )
    why = of_full if own == NOTHING else own
    return Measurement(arm.label, arm.dataset_size, cells=found.cells, reason=why)


def _own_retention(comparison: Comparison, arm: Arm) -> Measurement:
    """1 by definition, where full fine-tuning was trained and gained anything at all."""
    base = eval_loss(comparison.base) if comparison.base is not None else None
    losses = [loss for record in arm.train.values() if (loss := eval_loss(record)) is not None]
    reason = NOTHING
    if not losses:
        reason = _no_result(arm)
        if reason == NOTHING:
            reason = Statement("no result", "結果なし")
    elif base is not None and sum(losses) / len(losses) >= base:
        reason = Statement("gained nothing in training", "学習による改善なし")
    values = {} if reason != NOTHING else dict.fromkeys(arm.train, 1.0)
    return Measurement(arm.label, arm.dataset_size, values=values, reason=reason)


def _no_result(arm: Arm) -> Statement:
    """How training ended where it left nothing; nothing where it did or was not tried."""
    kinds = [_kind(record) for record in arm.failed if record.cell.kind == "train"]
    if arm.train or not kinds:
        return NOTHING
    how = ending(kinds[0])
    return Statement(f"training left no result ({how.en})", f"学習の結果なし({how.ja})")


def _diverged(arm: Arm) -> tuple[int, ...]:
    """Seeds that diverged under the settings that are judged. They keep nothing of the gain."""
    chosen = {_variant(record) for record in arm.train.values()}
    return tuple(
        sorted(
            {
                r.cell.seed
                for r in arm.failed
                if r.cell.kind == "train" and _kind(r) == "diverged"
                if r.cell.seed not in arm.train and (not chosen or _variant(r) in chosen)
            }
        )
    )


def _variant(record: CellRecord) -> tuple[Any, ...]:
    return record.cell.learning_rate, record.cell.precision, record.cell.reading


def _reference(arms: Iterable[Arm]) -> dict[int, CellRecord]:
    """The run of each seed that others are compared with: full fine-tuning's, else the first."""
    found: dict[int, CellRecord] = {}
    for arm in arms:
        for seed, record in arm.train.items():
            found.setdefault(seed, record)
    return found


def _same_run(record: CellRecord, other: CellRecord) -> bool:
    """True where data order, steps, tokens and held-out texts agree, as far as both say."""
    for name in ("order_sha256", "steps", "tokens"):
        a, b = (record.training or {}).get(name), (other.training or {}).get(name)
        if a is not None and b is not None and a != b:
            return False
    texts = [_tokens(r) for r in (record, other)]
    return not all(texts) or texts[0] == texts[1]


def _tokens(record: CellRecord) -> tuple[float, ...]:
    """Tokens of every held-out text, in order, as far as they are known."""
    return tuple(tokens for _, tokens in documents(record) or ())


# ---- cost ----------------------------------------------------------------------------------------


def _seconds(arm: Arm) -> dict[int, float]:
    """Training time of the runs that had the machine to themselves."""
    blocks = {seed: record.training or {} for seed, record in arm.train.items()}
    return {
        seed: seconds
        for seed, block in blocks.items()
        if block.get("exclusive") is True and (seconds := number(block, "train_seconds"))
    }


def _memory_record(arm: Arm) -> CellRecord | None:
    """The memory cell of the precision that training ran in; controlled before any training."""
    trained = {record.cell.precision for record in arm.train.values()}
    leading = sorted(arm.memory, key=lambda reading: reading != CONTROLLED)
    if not trained:
        return arm.memory[leading[0]] if leading else None
    same = (arm.memory[r] for r in leading if arm.memory[r].cell.precision in trained)
    return next(same, None)


def _peak_kind(arms: Iterable[Arm]) -> str:
    """Peak allocated; peak reserved only where no record has the other."""
    memory = [record for arm in arms for record in arm.memory.values()]
    known = [kind for kind, name in _PEAKS.items() if any(_peak(r, name) for r in memory)]
    return known[0] if known else "allocated"


def _peak(record: CellRecord | None, name: str) -> float | None:
    return number(record.memory, name) if record is not None and record.status == OK else None


def _out_of_memory(arm: Arm, memory: CellRecord | None) -> bool:
    """The memory cell ran out; or there is none, and training did."""
    if memory is not None:
        return memory.status != OK and _kind(memory) == OUT_OF_MEMORY
    kinds = [_kind(record) for record in arm.failed if record.cell.kind == "train"]
    return not arm.train and OUT_OF_MEMORY in kinds


def _at_least(arm: Arm, memory: CellRecord | None, arms: Iterable[Arm]) -> float | None:
    """What an arm that ran out needs at least: the device's memory, and what others were given."""
    ran_out = [r for r in (memory, *arm.failed) if r is not None and _kind(r) == OUT_OF_MEMORY]
    known = [memory_limit(record) for record in ran_out]
    known += [
        _peak(record, name)
        for other in arms
        for record in other.memory.values()
        for name in _PEAKS.values()
    ]
    return _largest(*known)


def _kind(record: CellRecord) -> str:
    return str((record.error or {}).get("kind", "")) if record.status != OK else ""


def _largest(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)
