"""The metric behind each claim, measured on every configuration (row 5).

parameter_reduction_ratio  trainable(full) / trainable(LoRA)
memory_reduction_ratio     peak allocated bytes of the training phase, full / LoRA
gain_retention             (base loss - LoRA loss) / (base loss - full loss), never clipped
time_ratio                 seconds of the optimizer steps, full / LoRA
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..config.claims import Claim
from ..language import Statement
from ..plan import AS_PRACTISED, CONTROLLED
from ..records.results import OK, CellRecord
from .contrasts import Document, Moments, PairedRatio
from .instead import instead_of_gain, instead_of_peak, instead_of_time
from .intervals import LOSS_SD, TIME_RELATIVE_SD
from .pairing import (
    Arm,
    Comparison,
    Pair,
    documents,
    eval_loss,
    memory_differences,
    number,
    quality,
)
from .wording import NOTHING

OUT_OF_MEMORY = "out_of_memory"
FIRST_TOKEN_BYTES = 24  # longest first token, in UTF-8 bytes, that two tokenizers may differ by


@dataclass(frozen=True)
class Measurement:
    """One metric of one configuration, before any judgement."""

    configuration: str
    dataset_size: int | None = None
    values: dict[int, float] = field(default_factory=dict)  # seed -> value; to be shown
    ratio: PairedRatio | None = None  # what a noisy metric is judged by
    bound: str | None = None  # "lower" | "upper" where an arm ran out of memory
    cells: tuple[str, ...] = ()
    reason: Statement = NOTHING  # why there is no value, or how the value is meant

    @property
    def value(self) -> float | None:
        """The ratio of the means over seeds; of a deterministic metric its value."""
        if self.ratio is not None:
            return self.ratio.value
        return math.fsum(self.values.values()) / len(self.values) if self.values else None


def measure(comparison: Comparison, claim: Claim) -> tuple[Measurement, ...]:
    """The claim's metric on every configuration; one entry a data size where it depends on it."""
    if comparison.across_models != (claim.comparison == "cross-model"):
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
        return _none(arm, f"no parameter count of {missing}", f"{missing}のパラメータ数なし")
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
        return _none(arm, f"no memory cell of {missing}", f"{missing}のメモリ測定なし")
    if reading == CONTROLLED and full.cell.precision != lora.cell.precision:
        return _none(arm, "the precisions differ", "精度の設定が不一致")
    if memory_differences(full, lora, comparison.across_models):
        return _none(arm, "the memory cells differ", "メモリ測定の条件が不一致")
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
        limit = max(memory_limit(full) or 0.0, b)
        en = f"full fine-tuning ran out of memory (more than {_gib(limit)} GiB)"
        ja = f"フルファインチューニングはメモリ不足({_gib(limit)} GiB超)"
        return Measurement(
            arm.label, values={0: limit / b}, bound="lower", cells=cells, reason=Statement(en, ja)
        )
    if a and _out_of_memory(lora):
        limit = max(memory_limit(lora) or 0.0, a)
        en = f"LoRA ran out of memory (more than {_gib(limit)} GiB)"
        ja = f"LoRAはメモリ不足({_gib(limit)} GiB超)"
        return Measurement(
            arm.label, values={0: a / limit}, bound="upper", cells=cells, reason=Statement(en, ja)
        )
    return _none(arm, *instead_of_peak(full, lora), cells)


def gain_retention(comparison: Comparison, arm: Arm) -> Measurement:
    """Share of full fine-tuning's improvement that the arm reaches, over the paired seeds.

    Across models both improvements count from the untrained model that was fully fine-tuned.
    """
    key = arm.label, arm.dataset_size
    if key not in comparison.gains:
        comparison.gains[key] = _gain_retention(comparison, arm)
    found: Measurement = comparison.gains[key]
    return found


def _gain_retention(comparison: Comparison, arm: Arm) -> Measurement:
    across = comparison.across_models
    base = quality(comparison.base, across) if comparison.base is not None else None
    if comparison.base is None or base is None:
        return _none(arm, *instead_of_gain(comparison.pairs(arm)), size=True)
    lora: dict[int, float] = {}
    full: dict[int, float] = {}
    used: list[Pair] = []
    for pair in comparison.pairs(arm):
        a, f = quality(pair.lora, across), quality(pair.full, across)
        if a is not None and f is not None:
            lora[pair.seed], full[pair.seed] = base - a, base - f
            used.append(pair)
    if not used:
        return _no_pairs(comparison, arm)
    if across and not _same_texts(comparison.base, used):
        return _none(
            arm,
            "the length limit cuts the texts at different places for the two models; raise "
            "max_length until no held-out text is cut",
            "系列長の上限で文章の切れる位置がモデルごとに不一致。評価文が切れないよう "
            "max_length を上げてください",
            size=True,
        )
    # A seed without a gain stays: leaving it out would keep only the runs in which full did well.
    if math.fsum(full.values()) <= 0:
        return _none(
            arm,
            "full fine-tuning gained nothing",
            "フルファインチューニングの改善なし",
            size=True,
        )
    planned_sd = LOSS_SD * base / (eval_loss(comparison.base) or base)  # in the unit of the gain
    planned = Moments(planned_sd**2, 0.0, planned_sd**2)
    texts = _document_gains(comparison.base, used, across)
    return _paired(arm, PairedRatio(lora, full, texts, planned), used)


def _document_gains(base: CellRecord, pairs: Sequence[Pair], across: bool) -> tuple[Document, ...]:
    """What every held-out text adds to both gains, means over seeds; empty where unknown."""
    before = documents(base, across)
    rows = [(documents(pair.lora, across), documents(pair.full, across)) for pair in pairs]
    known = [(a, f) for a, f in rows if a and f and before and len(a) == len(f) == len(before)]
    if not before or len(known) < len(rows):
        return ()
    if across:  # at the bytes of the one model, which are nearly those of the other
        known = [(_at_bytes_of(before, a), _at_bytes_of(before, f)) for a, f in known]
    return tuple(
        Document(
            nats - math.fsum(a[i][0] for a, _ in known) / len(known),
            nats - math.fsum(f[i][0] for _, f in known) / len(known),
            tokens,
        )
        for i, (nats, tokens) in enumerate(before)
    )


def _at_bytes_of(
    base: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    return [(bits * n / m if m else bits, n) for (_, n), (bits, m) in zip(base, other, strict=True)]


def _same_texts(base: CellRecord, pairs: Sequence[Pair]) -> bool:
    """Whether all were scored on the same text, the first token apart, which nothing predicts."""
    before = documents(base, across_models=True)
    for record in (r for pair in pairs for r in (pair.lora, pair.full)):
        scored = documents(record, across_models=True)
        if scored is None or before is None:
            continue  # nothing says so
        if len(scored) != len(before):
            return False
        if any(
            abs(n - m) > FIRST_TOKEN_BYTES for (_, n), (_, m) in zip(before, scored, strict=True)
        ):
            return False
    return True


def time_ratio(comparison: Comparison, arm: Arm) -> Measurement:
    """Training seconds of full over the arm's, from runs that had the machine to themselves."""
    full: dict[int, float] = {}
    lora: dict[int, float] = {}
    used: list[Pair] = []
    pairs = comparison.pairs(arm)
    for pair in pairs:
        blocks = (pair.full.training, pair.lora.training)
        f, a = (number(block, "train_seconds") for block in blocks)
        exclusive = all((block or {}).get("exclusive") is True for block in blocks)
        if f and a and exclusive:
            full[pair.seed], lora[pair.seed] = f, a
            used.append(pair)
    if pairs and not used:
        return _none(arm, *instead_of_time(pairs), size=True)
    if not used:
        return _no_pairs(comparison, arm)
    sd_full, sd_lora = (TIME_RELATIVE_SD * _mean(side) for side in (full, lora))
    planned = Moments(sd_full**2, 0.0, sd_lora**2)
    return _paired(arm, PairedRatio(full, lora, planned=planned), used)


def performance_retention(full: CellRecord, lora: CellRecord) -> float | None:
    """Perplexity of full over that of LoRA, as the specification compares them."""
    a, b = eval_loss(full), eval_loss(lora)
    return None if a is None or b is None else math.exp(min(a - b, 700.0))


def _paired(arm: Arm, ratio: PairedRatio, pairs: Sequence[Pair]) -> Measurement:
    return Measurement(
        arm.label,
        arm.dataset_size,
        values=ratio.by_seed,
        ratio=ratio,
        cells=tuple(cell for pair in pairs for cell in pair.cells),
    )


def _no_pairs(comparison: Comparison, arm: Arm) -> Measurement:
    full = comparison.full_arm(arm.dataset_size)
    if full is None or not full.train:
        return _none(arm, "no result of full", "フルファインチューニングの結果なし", size=True)
    if not arm.train:
        return _none(arm, "no result of this arm", "この設定の結果なし", size=True)
    return _none(arm, "no comparable pair of runs", "比較できる組なし", size=True)


def _none(
    arm: Arm, en: str, ja: str, cells: tuple[str, ...] = (), *, size: bool = False
) -> Measurement:
    where = arm.dataset_size if size else None
    return Measurement(arm.label, where, cells=cells, reason=Statement(en, ja))


def _mean(values: dict[int, float]) -> float:
    return math.fsum(values.values()) / len(values)


def _peak(record: CellRecord) -> float | None:
    return number(record.memory, "peak_allocated_bytes") if record.status == OK else None


def _out_of_memory(record: CellRecord) -> bool:
    return record.status != OK and (record.error or {}).get("kind") == OUT_OF_MEMORY


def memory_limit(record: CellRecord) -> float | None:
    """Memory of the accelerator; on a host only what the record states as its limit."""
    device = record.environment.get("device") or {}
    stated = number(record.environment, "memory_limit_bytes")
    on_host = device.get("type") in (None, "cpu")
    return stated if on_host or stated else number(device, "total_memory_bytes")


def _gib(nbytes: float) -> str:
    return f"{nbytes / 2**30:.2f}"


def _cells(records: Sequence[CellRecord]) -> tuple[str, ...]:
    return tuple(sorted({record.cell_id for record in records}))
