"""The metric behind each claim, measured on every configuration (row 5).

parameter_reduction_ratio  trainable(full) / trainable(LoRA)
memory_reduction_ratio     peak allocated bytes of the training phase, full / LoRA
gain_retention             (base loss - LoRA loss) / (base loss - full loss), never clipped
time_ratio                 seconds of the optimizer steps, full / LoRA
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..claims import Claim
from ..plan import AS_PRACTISED, CONTROLLED
from ..results import OK, CellRecord
from .intervals import gain_retention_sd, time_ratio_sd
from .pairing import Arm, Comparison, Pair, eval_loss, memory_differences, number
from .wording import NOTHING, Text

OUT_OF_MEMORY = "out_of_memory"


@dataclass(frozen=True)
class Measurement:
    """One metric of one configuration, before any judgement."""

    configuration: str
    dataset_size: int | None = None
    values: dict[int, float] = field(default_factory=dict)  # seed -> value
    planned_sd: float | None = None  # of one value, for noisy metrics
    bound: str | None = None  # "lower" | "upper" where an arm ran out of memory
    cells: tuple[str, ...] = ()
    reason: Text = NOTHING  # why there is no value, or how the value is meant

    @property
    def value(self) -> float | None:
        """Mean over seeds."""
        return math.fsum(self.values.values()) / len(self.values) if self.values else None


def measure(comparison: Comparison, claim: Claim) -> tuple[Measurement, ...]:
    """The claim's metric on every configuration; one entry a data size where it depends on it."""
    if claim.comparison != "same-model":
        return ()
    if claim.metric == "gain_retention":
        return tuple(gain_retention(comparison, arm) for arm in comparison.lora)
    if claim.metric == "time_ratio":
        return tuple(time_ratio(comparison, arm) for arm in comparison.lora)
    once = {arm.label: arm for arm in reversed(comparison.lora)}
    arms = [arm for arm in comparison.lora if once[arm.label] is arm]
    if claim.metric == "memory_reduction_ratio":
        return tuple(memory_reduction(comparison, arm, claim.precision) for arm in arms)
    return tuple(parameter_reduction(comparison, arm) for arm in arms)


def parameter_reduction(comparison: Comparison, arm: Arm) -> Measurement:
    """Trainable parameters of full fine-tuning over those of the arm."""
    trainable = number(arm.parameters, "trainable")
    if not trainable or comparison.full_trainable is None:
        missing = "LoRA" if comparison.full_trainable is not None else "full"
        return _none(arm, f"no parameter count of {missing}", f"{missing}のパラメータ数がない")
    ratio = comparison.full_trainable / trainable
    records = [r for other in (*comparison.full, arm) for r in other.memory.values()]
    records += [r for other in (*comparison.full, arm) for r in other.train.values()]
    return Measurement(arm.label, values={0: ratio}, cells=_cells(records))


def memory_reduction(comparison: Comparison, arm: Arm, reading: str) -> Measurement:
    """Peak memory of full fine-tuning over that of the arm; a bound where one ran out of memory.

    As practised compares LoRA on a frozen bf16 base with full fine-tuning as configured. Where
    that is the configured precision already, both readings are the same pair.
    """
    full, lora = comparison.full_memory(), arm.memory.get(reading)
    controlled = arm.memory.get(CONTROLLED)
    if reading == AS_PRACTISED and lora is None and controlled is not None:
        lora = controlled if controlled.cell.precision == "bf16" else None
    if full is None or lora is None:
        missing = "full" if full is None else "LoRA"
        return _none(arm, f"no memory cell of {missing}", f"{missing}のメモリ測定がない")
    if reading == CONTROLLED and full.cell.precision != lora.cell.precision:
        return _none(arm, "the precisions differ", "精度の設定が異なる")
    if memory_differences(full, lora):
        return _none(arm, "the memory cells differ", "メモリ測定の条件が異なる")
    a, b = _peak(full), _peak(lora)
    cells = _cells([full, lora])
    if a and b:
        return Measurement(arm.label, values={0: a / b}, cells=cells)
    return _memory_bound(arm, full, lora, cells)


def _memory_bound(
    arm: Arm, full: CellRecord, lora: CellRecord, cells: tuple[str, ...]
) -> Measurement:
    """Running out of memory is an observation: that arm needs more than the limit.

    On an accelerator the limit is the device's memory. On the host it is unknown (containers and
    other processes take their share), unless the record says; then only this is certain: the arm
    that ran out needs more than the one that did not.
    """
    a, b = _peak(full), _peak(lora)
    if b and _out_of_memory(full):
        limit = max(_limit(full) or 0.0, b)
        en = f"full fine-tuning ran out of memory (more than {_gib(limit)} GiB)"
        ja = f"フルファインチューニングはメモリ不足({_gib(limit)} GiB超)"
        return Measurement(
            arm.label, values={0: limit / b}, bound="lower", cells=cells, reason=Text(en, ja)
        )
    if a and _out_of_memory(lora):
        limit = max(_limit(lora) or 0.0, a)
        en = f"LoRA ran out of memory (more than {_gib(limit)} GiB)"
        ja = f"LoRAはメモリ不足({_gib(limit)} GiB超)"
        return Measurement(
            arm.label, values={0: a / limit}, bound="upper", cells=cells, reason=Text(en, ja)
        )
    return _none(
        arm, "a memory cell ended without a figure", "メモリ測定が値を残さず終わった", cells
    )


def gain_retention(comparison: Comparison, arm: Arm) -> Measurement:
    """Share of full fine-tuning's improvement that the arm reaches, by seed."""
    pairs = comparison.pairs(arm)
    base = eval_loss(comparison.base) if comparison.base is not None else None
    if base is None:
        return _none(arm, "no base loss", "学習前の損失がない", size=True)
    values, gains = {}, {}
    used: list[Pair] = []
    for pair in pairs:
        full, lora = eval_loss(pair.full), eval_loss(pair.lora)
        if full is None or lora is None:
            continue
        if base - full <= 0:
            # Leaving such a seed out would keep only the runs in which full did well.
            return _none(
                arm,
                f"full fine-tuning gained nothing (seed {pair.seed})",
                f"フルファインチューニングに改善がない(シード{pair.seed})",
                size=True,
            )
        values[pair.seed], gains[pair.seed] = (base - lora) / (base - full), base - full
        used.append(pair)
    return _paired(comparison, arm, values, used, lambda v: gain_retention_sd(v, _mean(gains)))


def time_ratio(comparison: Comparison, arm: Arm) -> Measurement:
    """Training seconds of full over the arm's, from runs that had the machine to themselves."""
    values: dict[int, float] = {}
    used: list[Pair] = []
    pairs = comparison.pairs(arm)
    for pair in pairs:
        blocks = (pair.full.training, pair.lora.training)
        full, lora = (number(block, "train_seconds") for block in blocks)
        exclusive = all((block or {}).get("exclusive") is True for block in blocks)
        if full and lora and exclusive:
            values[pair.seed] = full / lora
            used.append(pair)
    if pairs and not values:
        return _none(
            arm, "other work ran on the machine", "測定中に他の処理が動いていた", size=True
        )
    return _paired(comparison, arm, values, used, time_ratio_sd)


def performance_retention(full: CellRecord, lora: CellRecord) -> float | None:
    """Perplexity of full over that of LoRA, as the specification compares them."""
    a, b = eval_loss(full), eval_loss(lora)
    return None if a is None or b is None else math.exp(min(a - b, 700.0))


def _paired(
    comparison: Comparison,
    arm: Arm,
    values: dict[int, float],
    pairs: Sequence[Pair],
    planned: Callable[[float], float],
) -> Measurement:
    if not values:
        full = comparison.full_arm(arm.dataset_size)
        if full is None or not full.train:
            return _none(
                arm, "no result of full", "フルファインチューニングの結果がない", size=True
            )
        if not arm.train:
            return _none(arm, "no result of this arm", "この設定の結果がない", size=True)
        return _none(arm, "no comparable pair of runs", "比較できる組がない", size=True)
    return Measurement(
        arm.label,
        arm.dataset_size,
        values,
        planned_sd=planned(_mean(values)),
        cells=tuple(cell for pair in pairs for cell in pair.cells),
    )


def _none(
    arm: Arm, en: str, ja: str, cells: tuple[str, ...] = (), *, size: bool = False
) -> Measurement:
    where = arm.dataset_size if size else None
    return Measurement(arm.label, where, cells=cells, reason=Text(en, ja))


def _mean(values: dict[int, float]) -> float:
    return math.fsum(values.values()) / len(values)


def _peak(record: CellRecord) -> float | None:
    return number(record.memory, "peak_allocated_bytes") if record.status == OK else None


def _out_of_memory(record: CellRecord) -> bool:
    return record.status != OK and (record.error or {}).get("kind") == OUT_OF_MEMORY


def _limit(record: CellRecord) -> float | None:
    device = record.environment.get("device") or {}
    stated = number(record.environment, "memory_limit_bytes")
    on_host = device.get("type") in (None, "cpu")
    return stated if on_host or stated else number(device, "total_memory_bytes")


def _gib(nbytes: float) -> str:
    return f"{nbytes / 2**30:.2f}"


def _cells(records: Sequence[CellRecord]) -> tuple[str, ...]:
    return tuple(sorted({record.cell_id for record in records}))
