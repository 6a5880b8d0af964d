"""The figures of a candidate in words, for the sentences about it (row 5)."""

from __future__ import annotations

import math

from ...language import Statement
from ..wording import NOTHING, seed_count
from . import words
from .checks import Check
from .rule import Decision, Judged
from .values import PARAMETERS, Candidate, Limits


def conditions(limits: Limits) -> Statement:
    """The limits in words: ``at least 95% of full fine-tuning's gain, at most 24.00 GiB``."""
    kept = words.share(limits.retention)
    parts = [Statement(f"at least {kept} of full fine-tuning's gain", f"フルの改善幅の{kept}以上")]
    if limits.max_memory_bytes is not None:
        most = words.size(limits.max_memory_bytes)
        parts.append(Statement(f"at most {most}", f"{most}以内"))
    if limits.max_seconds is not None:
        time = words.duration(limits.max_seconds)
        parts.append(Statement(f"at most {time.en}", f"{time.ja}以内"))
    return Statement(", ".join(p.en for p in parts), "、".join(p.ja for p in parts))


def evidence(check: Check) -> Statement:
    """A retention that holds: value, lower bound, seeds."""
    shown = words.share(check.value or 0.0)
    if check.interval is None:
        return Statement.unchanged(shown)
    low, seeds = words.share(check.interval[0]), seed_count(check.num_seeds)
    return Statement(
        f"{shown} (lower bound {low}, {seeds.en})",
        f"{shown}、信頼下限{low}、{seeds.ja}",
    )


def quality(judged: Judged) -> Statement:
    """Retention, or the held-out loss where there is none."""
    value, loss = judged.retention.value, judged.candidate.mean_loss
    if judged.candidate.is_full:
        return Statement("keeps its gain by definition", "定義により維持率100%")
    if value is not None:
        shown = words.share(value)
        return Statement(f"keeps {shown} of full's gain", f"改善幅の維持率{shown}")
    if loss is None:
        return Statement("quality not measured", "品質は未測定")
    return Statement(f"held-out loss {loss:.3f}", f"評価損失{loss:.3f}")


def quality_and_memory(judged: Judged) -> Statement:
    """Of a configuration that is not shown to qualify."""
    shown, peak = quality(judged), judged.candidate.memory_bytes
    if peak is None or judged.candidate.out_of_memory:
        return shown
    return Statement(f"{shown.en}, {words.size(peak)}", f"{shown.ja}、{words.size(peak)}")


def cost_beside_full(decision: Decision, candidate: Candidate) -> Statement:
    """What a candidate costs, then what full fine-tuning does."""
    own = _costs(candidate, decision.limits)
    full = next((j.candidate for j in decision.judged if j.candidate.is_full), None)
    if full is None or full is candidate:
        return own
    other = _costs(full, decision.limits)
    if other == NOTHING:
        return own
    return Statement(f"{own.en}; full fine-tuning {other.en}", f"{own.ja}。フルは{other.ja}")


def memory_or_infinity(judged: Judged) -> float:
    """For the choice of the smallest; unknown is never the smallest."""
    peak = judged.candidate.memory_bytes
    return math.inf if peak is None else peak


def _costs(candidate: Candidate, limits: Limits) -> Statement:
    """Memory and time; parameters where they decide or nothing else is known."""
    parts = []
    peak, seconds, count = candidate.memory_bytes, candidate.mean_seconds, candidate.parameters
    if peak is not None:
        size = words.size(peak)
        over = candidate.out_of_memory
        more = Statement(f"more than {size}", f"{size}超")
        parts.append(more if over else Statement.unchanged(size))
    if seconds is not None:
        parts.append(words.duration(seconds))
    if count is not None and (limits.cheapest == PARAMETERS or not parts):
        parts.append(Statement(f"{count:,} parameters", f"パラメータ{count:,}個"))
    return Statement(", ".join(p.en for p in parts), "、".join(p.ja for p in parts))
