"""Warnings about how the arms trained, their memory and their time (row 5).

A check returns the detail to fill in, or None where there is nothing to warn about.
"""

from __future__ import annotations

import math

from ..language import Statement
from ..records.results import OK
from .findings import TIE, Findings, join_texts, same_text
from .pairing import eval_loss, number
from .wording import arm_name, cell_name, phrase, quantity, reading_name

MOVED_SHARE = 0.5
"""With fp32 weights Adam changes nearly every weight, except embedding rows of tokens that never
occur (up to a third of a small model). Below half, rounding is losing updates."""


def shared_learning_rate(f: Findings) -> Statement | None:
    """One rate for both methods."""
    return same_text(
        f"{pair.full.cell.learning_rate:g}"
        for _, pair in f.pairs
        if pair.full.cell.learning_rate is not None
        and pair.full.cell.learning_rate == pair.lora.cell.learning_rate
    )


def best_rate_at_edge(f: Findings) -> Statement | None:
    """Searched arms whose best rate has no tried rate on one side."""
    edges = ((arm_name(c.label), c.chosen) for c in f.curves if c.at_edge and c.chosen)
    return join_texts(Statement(f"{t.en} ({rate:g})", f"{t.ja}({rate:g})") for t, rate in edges)


def arm_did_not_learn(f: Findings) -> Statement | None:
    """Arms whose mean held-out loss lies less than a tie below the base."""
    base = eval_loss(f.comparison.base) if f.comparison.base else None
    if base is None:
        return None
    learned = (
        (a, base - math.fsum(a.eval_losses) / len(a.eval_losses)) for a in f.arms if a.eval_losses
    )
    short = ((arm_name(arm.label), gain) for arm, gain in learned if gain < TIE)
    return join_texts(
        Statement(f"{t.en} ({gain:+.3f})", f"{t.ja}({gain:+.3f})") for t, gain in short
    )


def weights_do_not_move(f: Findings) -> Statement | None:
    """Runs in which less than half of the weights changed."""
    shares = ((arm_name(r.cell.label), number(r.training, "weights_moved")) for r in f.trained)
    return join_texts(
        Statement(f"{t.en} {share:.1%}", f"{t.ja} {share:.1%}")
        for t, share in shares
        if share is not None and share < MOVED_SHARE
    )


def loss_still_falling(f: Findings) -> Statement | None:
    """Runs whose held-out loss fell by more than a tie in the last interval."""
    labels = []
    for record in f.trained:
        curve = (record.training or {}).get("evaluation_curve") or []
        losses = [loss for point in curve if (loss := number(point, "loss")) is not None]
        if len(losses) >= 2 and losses[-2] - losses[-1] > TIE:
            labels.append(arm_name(record.cell.label))
    return join_texts(labels)


def precision_differs(f: Findings) -> Statement | None:
    """Pairs trained under different precisions."""
    both = ((pair.full.cell.precision, pair.lora.cell.precision) for _, pair in f.pairs)
    return join_texts(
        Statement(f"full {full}, LoRA {lora}", f"フルは{full}、LoRAは{lora}")
        for full, lora in both
        if full != lora
    )


# ---- memory and time ----------------------------------------------------------------------------


def lora_needs_more_memory(f: Findings) -> Statement | None:
    """Memory ratios below 1."""
    found = (
        (arm.label, quantity(value, "memory_reduction_ratio"), reading_name(reading))
        for arm in f.arms
        for reading, value in arm.memory_ratio.items()
        if value < 1 and arm.adapter is not None
    )
    return join_texts(
        Statement(f"{label} {ratio.en} ({reading.en})", f"{label} {ratio.ja}({reading.ja})")
        for label, ratio, reading in found
    )


def lora_slower(f: Findings) -> Statement | None:
    """Time ratios below 1."""
    slow = [a for a in f.arms if a.time_ratio is not None and a.time_ratio < 1]
    shown = ((a.label, phrase(a.time_ratio, "time_ratio")) for a in slow)
    return join_texts(Statement(f"{label} {t.en}", f"{label} {t.ja}") for label, t in shown)


def time_not_measured(f: Findings) -> Statement | None:
    """Runs that did not have their cores to themselves; where nobody knows, the claim says so."""
    shared = (r.cell for r in f.trained if (r.training or {}).get("exclusive") is False)
    return join_texts(
        Statement(f"{cell.label} seed {cell.seed}", f"{arm_name(cell.label).ja}のシード{cell.seed}")
        for cell in shared
    )


def emulated_bf16(f: Findings) -> Statement | None:
    """bf16 training on a processor without bf16 instructions."""
    return same_text(
        f"{r.environment.get('cpu_model', 'CPU')}"
        for r in f.trained
        if r.environment.get("bf16_matmul") == "emulated" and "bf16" in r.cell.precision
    )


def not_isolated(f: Findings) -> Statement | None:
    """Memory and training cells that shared a process."""
    # The base cell has neither memory nor time to protect.
    return join_texts(
        cell_name(r.cell.kind, r.cell.label)
        for r in f.selection.records
        if r.status == OK and not r.isolated and r.cell.kind != "base"
    )
