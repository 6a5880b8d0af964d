"""The Pareto front over quality, memory, time and parameters, and who can be told apart (row 5).

A candidate is on the front when no other is at least as good in every objective and better in one,
by the measured means over common seeds. Means scatter, so every point also says from which others
its quality cannot be told at this number of seeds: a step along the front may buy nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from ..intervals import corrected
from .differences import Difference, quality_difference, time_difference
from .rule import RULED_OUT, Decision
from .values import MEMORY, PARAMETERS, TIME, Candidate

QUALITY = "quality"
OBJECTIVES = (QUALITY, MEMORY, TIME, PARAMETERS)


@dataclass(frozen=True)
class FrontPoint:
    """A candidate on the front."""

    candidate: Candidate
    indistinguishable_from: tuple[str, ...]  # in quality, among the points of the front


@dataclass(frozen=True)
class OffFront:
    """A candidate that is not on the front, and why."""

    candidate: Candidate
    dominated_by: str | None = None
    missing: tuple[str, ...] = ()  # objectives without a figure


@dataclass(frozen=True)
class Front:
    """The front, cheapest first."""

    objectives: tuple[str, ...]  # quality, and what else at least one candidate has
    points: tuple[FrontPoint, ...]
    off: tuple[OffFront, ...]
    level: float  # confidence of every comparison, corrected for the number of pairs


@dataclass(frozen=True)
class Beside:
    """A candidate that is not ruled out, beside the chosen one."""

    candidate: Candidate
    status: str
    quality: Difference  # candidate - chosen, nats per token
    time: Difference  # candidate - chosen, seconds


def pareto_front(decision: Decision) -> Front:
    """The front of all candidates, whatever the limits."""
    candidates = [judged.candidate for judged in decision.judged]
    measured = (o for o in OBJECTIVES if any(_has(c, o) for c in candidates))
    objectives = tuple(dict.fromkeys((QUALITY, *measured)))  # without quality there is no choice
    missing = {c.name: tuple(o for o in objectives if not _has(c, o)) for c in candidates}
    placed = [c for c in candidates if not missing[c.name]]
    dominators = {
        c.name: next((d.name for d in placed if _dominates(d, c, objectives)), None) for c in placed
    }
    on = [c for c in placed if dominators[c.name] is None]
    level = corrected(len(on) * (len(on) - 1) // 2)
    same = _indistinguishable(on, level)
    off = [
        OffFront(c, dominators.get(c.name), missing[c.name])
        for c in candidates
        if missing[c.name] or dominators.get(c.name)
    ]
    points = (FrontPoint(c, tuple(n for n in _names(on) if (c.name, n) in same)) for c in on)
    return Front(objectives, tuple(points), tuple(off), level)


def beside_chosen(decision: Decision) -> tuple[Beside, ...]:
    """Candidates that are not ruled out against the chosen one, corrected for their number."""
    if decision.chosen is None:
        return ()
    own = decision.chosen.candidate
    others = [
        j for j in decision.judged if j is not decision.chosen and j.status != RULED_OUT
        and j.candidate.losses
    ]  # fmt: skip
    level = corrected(len(others))
    return tuple(
        Beside(
            j.candidate,
            j.status,
            quality_difference(j.candidate, own, level),
            time_difference(j.candidate, own, level),
        )
        for j in others
    )


def _has(candidate: Candidate, objective: str) -> bool:
    if objective == QUALITY:
        return bool(candidate.losses)
    if objective == MEMORY and candidate.out_of_memory:
        return False
    return candidate.cost(objective) is not None


def _dominates(a: Candidate, b: Candidate, objectives: Sequence[str]) -> bool:
    gaps = [_gap(a, b, objective) for objective in objectives]
    known = [gap for gap in gaps if gap is not None]
    return len(known) == len(gaps) and max(known) <= 0 and min(known) < 0


def _gap(a: Candidate, b: Candidate, objective: str) -> float | None:
    """How much worse a is than b; None where they have no seed in common."""
    if objective == QUALITY:
        return _common(a.losses, b.losses)
    if objective == TIME:
        return _common(a.seconds, b.seconds)
    return (a.cost(objective) or 0.0) - (b.cost(objective) or 0.0)


def _common(a: Mapping[int, float], b: Mapping[int, float]) -> float | None:
    seeds = set(a) & set(b)
    return sum(a[s] - b[s] for s in seeds) / len(seeds) if seeds else None


def _indistinguishable(candidates: Sequence[Candidate], level: float) -> set[tuple[str, str]]:
    found = set()
    for a, b in combinations(candidates, 2):
        if not quality_difference(a, b, level).shown:
            found |= {(a.name, b.name), (b.name, a.name)}
    return found


def _names(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.name for candidate in candidates]
