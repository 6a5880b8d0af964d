"""The document of ``lora-bench recommend --json`` (row 5)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ...plan import FULL, LORA
from ...records.results import encode_non_finite
from ..contrasts import PairedRatio
from ..intervals import ratio_interval
from ..values import NOT_MEASURED, UNDECIDED
from .checks import Check
from .differences import Difference
from .front import Beside, Front, FrontPoint
from .pivot import PivotEntry
from .rule import NONE, RECOMMENDED, Decision, Judged
from .values import Candidate, whole

if TYPE_CHECKING:
    from ...language import Statement
    from .flow import Recommendation, SizeAnswer

SCHEMA = "lora-bench/recommendation/1"


def to_document(found: Recommendation) -> dict[str, Any]:
    """Schema first, the answer second; valid JSON."""
    decision = found.decision
    body = {
        "schema": SCHEMA,
        "answer": _answer(found),
        "limits": dataclasses.asdict(found.limits),
        "data_size": found.data_size,
        "conditions": dict(found.conditions),
        "confidence": {
            "within": decision.levels.within,
            "outside": decision.levels.outside,
            "corrected_for": decision.tries,
        },
        "candidates": [_candidate(j, found.front) for j in decision.judged],
        "pareto": [_point(point, decision) for point in found.front.points],
        "pareto_objectives": list(found.front.objectives),
        "off_front": [
            {
                "configuration": off.candidate.name,
                "dominated_by": off.dominated_by,
                "missing": list(off.missing),
            }
            for off in found.front.off
        ],
        "ties": [_tie(tie) for tie in found.ties],
        "pivot": [_entry(entry) for entry in found.pivot.entries],
        "best_lora": _best(found),
        "not_compared": [_both(text) for text in found.pivot.not_compared],
        "by_size": [_size(answer) for answer in found.by_size],
        "warnings": [dataclasses.asdict(warning) for warning in found.warnings],
    }
    encoded: dict[str, Any] = encode_non_finite(body)
    return encoded


def _answer(found: Recommendation) -> dict[str, Any]:
    decision, chosen = found.decision, found.decision.chosen
    name = chosen.candidate.name if chosen else None
    recommended = decision.verification == RECOMMENDED
    return {
        "verification": decision.verification,
        "configuration": name if recommended else None,
        "best_guess": name if decision.verification == UNDECIDED else None,
        "closest": name if decision.verification == NONE else None,
        "guess_within_limits_by_value": None if recommended or not chosen else chosen.met_by_value,
        "sentence": _both(found.sentence),
        "seeds_needed": None if recommended or not chosen else seeds_needed(decision),
        "possibly_cheaper": [j.candidate.name for j in decision.cheaper],
        "fallback": decision.fallback.candidate.name if decision.fallback else None,
        "cells": list(chosen.candidate.cells) if chosen else [],
    }


def seeds_needed(decision: Decision) -> int | None:
    """Seeds that would decide about the guess, or about all that stand in its way."""
    chosen = decision.chosen
    if decision.verification != UNDECIDED or chosen is None:
        return None
    if chosen.status == UNDECIDED:
        return chosen.seeds_needed
    needed = [j.seeds_needed for j in decision.cheaper]
    known = [n for n in needed if n is not None]
    return max(known) if known and len(known) == len(needed) else None


def _candidate(judged: Judged, front: Front) -> dict[str, Any]:
    c, retention = judged.candidate, judged.retention
    deciding = judged.deciding
    return {
        "configuration": c.name,
        "training_method": FULL if c.is_full else LORA,
        "adapter": c.adapter.to_dict() if c.adapter else None,
        "status": judged.status,
        "retention": retention.value,
        "ci95": _ci95(c),
        "interval": _pair(retention.interval),
        "num_seeds": len(c.losses) if c.is_full else retention.num_seeds,
        "eval_loss": c.mean_loss,
        "peak_memory_bytes": None if c.out_of_memory else whole(c.memory_bytes),
        "peak_memory_more_than_bytes": whole(c.memory_bytes) if c.out_of_memory else None,
        "memory_kind": c.memory_kind,
        "memory_reading": c.memory_reading,
        "memory_by_reading": {k: whole(v) for k, v in c.memory_by_reading.items()},
        "train_seconds": c.mean_seconds,
        "trainable_parameters": c.parameters,
        "on_front": any(p.candidate.name == c.name for p in front.points),
        "limits": [_check(check) for check in judged.checks],
        "seeds_needed": judged.seeds_needed,
        "reason": deciding.reason.en if deciding else "",
        "reason_ja": deciding.reason.ja if deciding else "",
        "cells": list(c.cells),
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "limit": check.limit,
        "required": check.required,
        "value": check.value,
        "interval": _pair(check.interval),
        "num_seeds": check.num_seeds,
        "verification": check.verification,
        "seeds_needed": check.seeds_needed,
        "reason": check.reason.en,
        "reason_ja": check.reason.ja,
    }


def _point(point: FrontPoint, decision: Decision) -> dict[str, Any]:
    c = point.candidate
    judged = next(j for j in decision.judged if j.candidate is c)
    return {
        "configuration": c.name,
        "status": judged.status,
        "retention": judged.retention.value,
        "eval_loss": c.mean_loss,
        "peak_memory_bytes": whole(c.memory_bytes),
        "train_seconds": c.mean_seconds,
        "trainable_parameters": c.parameters,
        "distinguishable": not point.indistinguishable_from,
        "indistinguishable_from": list(point.indistinguishable_from),
    }


def _tie(tie: Beside) -> dict[str, Any]:
    return {
        "configuration": tie.candidate.name,
        "status": tie.status,
        "loss_difference": _difference(tie.quality),
        "seconds_difference": _difference(tie.time),
        "peak_memory_bytes": whole(tie.candidate.memory_bytes),
        "trainable_parameters": tie.candidate.parameters,
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "interval": _pair(found.interval),
        "num_seeds": found.num_seeds,
        "distinguishable": found.shown,
        "seeds_needed": found.seeds_needed,
    }


def _entry(entry: PivotEntry) -> dict[str, Any]:
    judged = entry.judged
    check = judged.retention if judged else None
    adapter = entry.adapter
    return {
        "row": entry.row,
        "kind": entry.kind,
        "r": adapter.r if adapter else None,
        "alpha": adapter.alpha if adapter else None,
        "targets": entry.targets,
        "status": entry.status,
        "configuration": judged.candidate.name if judged else None,
        "retention": check.value if check else None,
        "ci95": _ci95(judged.candidate) if judged else None,
        "interval": _pair(check.interval) if check else None,
        "num_seeds": check.num_seeds if check else 0,
        "eval_loss": judged.candidate.mean_loss if judged else None,
        "verification": check.verification if check else NOT_MEASURED,
    }


def _best(found: Recommendation) -> dict[str, Any]:
    best = found.best
    return {
        "configuration": best.best.candidate.name if best.best else None,
        "verification": best.verification,
        "as_good": [j.candidate.name for j in best.as_good],
        "worse": [j.candidate.name for j in best.worse],
        "sentence": _both(found.best_sentence),
    }


def _size(answer: SizeAnswer) -> dict[str, Any]:
    decision, best = answer.decision, answer.best
    chosen = decision.chosen.candidate.name if decision.chosen else None
    recommended = decision.verification == RECOMMENDED
    return {
        "data_size": answer.data_size,
        "verification": decision.verification,
        "configuration": chosen if recommended else None,
        "closest": chosen if not recommended else None,
        "sentence": _both(answer.sentence),
        "best_lora": best.best.candidate.name if best.best else None,
        "best_lora_verification": best.verification,
        "best_lora_sentence": _both(answer.best_sentence),
    }


def _ci95(candidate: Candidate) -> list[float] | None:
    """The interval that ``analyze`` shows, corrected for nothing."""
    ratio: PairedRatio | None = candidate.retention.ratio
    return _pair(ratio_interval(ratio)) if ratio is not None else None


def _pair(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _both(text: Statement) -> dict[str, str]:
    return {"ja": text.ja, "en": text.en}
