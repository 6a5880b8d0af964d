"""The figures of a candidate in words, for the sentences about it (row 5)."""

from __future__ import annotations

import math

from ..wording import NOTHING, Text, plural
from . import words
from .checks import Check
from .rule import Decision, Judged
from .values import PARAMETERS, Candidate, Limits


def conditions(limits: Limits) -> Text:
    """The limits in words: ``at least 95% of full fine-tuning's gain, at most 24.00 GiB``."""
    kept = words.share(limits.retention)
    parts = [Text(f"at least {kept} of full fine-tuning's gain", f"フルの改善幅の{kept}以上")]
    if limits.max_memory_bytes is not None:
        most = words.size(limits.max_memory_bytes)
        parts.append(Text(f"at most {most}", f"{most}以内"))
    if limits.max_seconds is not None:
        time = words.duration(limits.max_seconds)
        parts.append(Text(f"at most {time.en}", f"{time.ja}以内"))
    return Text(", ".join(p.en for p in parts), "、".join(p.ja for p in parts))


def evidence(check: Check) -> Text:
    """A retention that holds: value, lower bound, seeds."""
    shown = words.share(check.value or 0.0)
    if check.interval is None:
        return Text(shown, shown)
    low, seeds = words.share(check.interval[0]), check.num_seeds
    return Text(
        f"{shown} (lower bound {low}, {plural(seeds, 'seed')})",
        f"{shown}、信頼下限{low}、{seeds}シード",
    )


def quality(judged: Judged) -> Text:
    """Retention, or the held-out loss where there is none."""
    value, loss = judged.retention.value, judged.candidate.mean_loss
    if judged.candidate.is_full:
        return Text("keeps its gain by definition", "定義により維持率100%")
    if value is not None:
        shown = words.share(value)
        return Text(f"keeps {shown} of full's gain", f"改善幅の維持率{shown}")
    if loss is None:
        return Text("quality not measured", "品質は未測定")
    return Text(f"held-out loss {loss:.3f}", f"評価損失{loss:.3f}")


def quality_and_memory(judged: Judged) -> Text:
    """Of a configuration that is not shown to qualify."""
    shown, peak = quality(judged), judged.candidate.memory_bytes
    if peak is None or judged.candidate.out_of_memory:
        return shown
    return Text(f"{shown.en}, {words.size(peak)}", f"{shown.ja}、{words.size(peak)}")


def cost_beside_full(decision: Decision, candidate: Candidate) -> Text:
    """What a candidate costs, then what full fine-tuning does."""
    own = _costs(candidate, decision.limits)
    full = next((j.candidate for j in decision.judged if j.candidate.is_full), None)
    if full is None or full is candidate:
        return own
    other = _costs(full, decision.limits)
    if other == NOTHING:
        return own
    return Text(f"{own.en}; full fine-tuning {other.en}", f"{own.ja}。フルは{other.ja}")


def memory_or_infinity(judged: Judged) -> float:
    """For the choice of the smallest; unknown is never the smallest."""
    peak = judged.candidate.memory_bytes
    return math.inf if peak is None else peak


def _costs(candidate: Candidate, limits: Limits) -> Text:
    """Memory and time; parameters where they decide or nothing else is known."""
    parts = []
    peak, seconds, count = candidate.memory_bytes, candidate.mean_seconds, candidate.parameters
    if peak is not None:
        size = words.size(peak)
        over = candidate.out_of_memory
        parts.append(Text(f"more than {size}", f"{size}超") if over else Text(size, size))
    if seconds is not None:
        parts.append(words.duration(seconds))
    if count is not None and (limits.cheapest == PARAMETERS or not parts):
        parts.append(Text(f"{count:,} parameters", f"パラメータ{count:,}個"))
    return Text(", ".join(p.en for p in parts), "、".join(p.ja for p in parts))
