"""The rule of a recommendation (row 5): the cheapest configuration shown to be within the limits.

A candidate is held against every limit:

    QUALIFIES   all are met: retention and time by the interval over seeds, memory by value
    RULED_OUT   at least one is missed, by the same means
    UNDECIDED   anything else: it could still qualify

and the answer is

    RECOMMENDED  the cheapest that qualifies. One that may be cheaper and is undecided is named
    UNDECIDED    none qualifies yet and one still could; the best guess is called a guess
    NONE         every candidate is ruled out

Full fine-tuning keeps all of its own gain by definition, so recommending it says "do not use LoRA".
That is said only once every LoRA configuration that may be cheaper is ruled out. One seed therefore
is UNDECIDED, unless memory alone decides.

The two directions ask different questions, so the ends of an interval have their own confidence:

    within   choosing among m candidates gives chance m tries: 1 - 0.05/m (Bonferroni). m counts the
             candidates that chance could let pass, not those that memory, which does not scatter,
             rules out. Within one candidate all limits must hold, which needs no correction.
    outside  "none qualifies" is wrong only if the one that does was ruled out: no correction for m.
             But either of k noisy limits can rule it out: 1 - 0.05/k.

Every function here is pure and takes values, no records: it may be called thousands of times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..intervals import corrected
from ..values import FAILED, NOT_MEASURED, UNDECIDED, VERIFIED
from .checks import Check, Levels, check_limits, check_memory
from .differences import time_difference
from .values import ORDERS, TIME, Candidate, Limits

RECOMMENDED, NONE = "RECOMMENDED", "NONE"
QUALIFIES, RULED_OUT = "QUALIFIES", "RULED_OUT"


@dataclass(frozen=True)
class Judged:
    """A candidate and what every limit says about it."""

    candidate: Candidate
    checks: tuple[Check, ...]

    @property
    def status(self) -> str:
        """QUALIFIES, UNDECIDED or RULED_OUT."""
        found = {check.verification for check in self.checks}
        if FAILED in found:
            return RULED_OUT
        return QUALIFIES if found == {VERIFIED} else UNDECIDED

    @property
    def met_by_value(self) -> bool:
        """True where all values, taken as exact, are within the limits."""
        return all(check.met_by_value for check in self.checks)

    @property
    def retention(self) -> Check:
        """The check of quality, which every candidate has."""
        return next(check for check in self.checks if check.limit == "retention")

    @property
    def deciding(self) -> Check | None:
        """The check that keeps it from qualifying, a miss first; None where it qualifies."""
        order = (FAILED, NOT_MEASURED, UNDECIDED)
        left = [check for check in self.checks if check.verification in order]
        return min(left, key=lambda c: order.index(c.verification), default=None)

    @property
    def missed(self) -> tuple[str, ...]:
        """The limits that rule it out."""
        return tuple(check.limit for check in self.checks if check.verification == FAILED)

    @property
    def seeds_needed(self) -> int | None:
        """Seeds that would settle all that seeds can settle; None where that is not known."""
        left = [c for c in self.checks if c.verification in (UNDECIDED, NOT_MEASURED)]
        known = [c.seeds_needed for c in left if c.seeds_needed is not None]
        return max(known) if known and len(known) == len(left) else None

    @property
    def distance(self) -> tuple[int, float]:
        """How far from qualifying: limits missed, then the largest shortfall."""
        return len(self.missed), max(check.shortfall for check in self.checks)


@dataclass(frozen=True)
class Decision:
    """The answer for one data size."""

    verification: str  # RECOMMENDED, UNDECIDED or NONE
    limits: Limits
    judged: tuple[Judged, ...]  # cheapest first
    chosen: Judged | None  # what is recommended; else the best guess; else what comes closest
    cheaper: tuple[Judged, ...]  # may be cheaper than what qualifies, and is undecided
    fallback: Judged | None  # while undecided: what qualifies already
    levels: Levels
    tries: int  # candidates that the confidence is corrected for

    def of_status(self, status: str) -> tuple[Judged, ...]:
        """Candidates of one status, cheapest first."""
        return tuple(judged for judged in self.judged if judged.status == status)


def decide(candidates: Sequence[Candidate], limits: Limits) -> Decision:
    """Judge every candidate and choose. Their order does not matter."""
    tries = sum(_left_to_chance(candidate, limits) for candidate in candidates)
    noisy = 1 if limits.max_seconds is None else 2
    levels = Levels(corrected(tries), corrected(noisy))
    judged = tuple(
        Judged(candidate, check_limits(candidate, limits, levels))
        for candidate in sorted(candidates, key=lambda c: cost_key(c, limits))
    )
    best = next((j for j in judged if j.status == QUALIFIES), None)
    left = [j for j in judged if j.status == UNDECIDED]
    cheaper = tuple(
        j
        for j in left
        if best and may_be_cheaper(j.candidate, best.candidate, limits, levels.within)
    )
    verification = _answer(judged, best, cheaper)
    chosen = best if verification == RECOMMENDED else _guess(judged)
    fallback = best if verification == UNDECIDED and best is not chosen else None
    return Decision(verification, limits, judged, chosen, cheaper, fallback, levels, tries)


def cost_key(candidate: Candidate, limits: Limits) -> tuple[float | str, ...]:
    """What candidates are sorted by; what was not measured comes last."""
    costs = (candidate.cost(by) for by in ORDERS[limits.cheapest])
    return (*(math.inf if cost is None else cost for cost in costs), candidate.name)


def may_be_cheaper(a: Candidate, b: Candidate, limits: Limits, level: float) -> bool:
    """False only where a is known to cost at least as much as b."""
    first = ORDERS[limits.cheapest][0]
    if a.cost(first) is None or b.cost(first) is None:
        return True
    if first == TIME and not time_difference(a, b, level).shown:
        return True
    return cost_key(a, limits) < cost_key(b, limits)


def _answer(judged: Sequence[Judged], best: Judged | None, cheaper: Sequence[Judged]) -> str:
    if all(j.candidate.is_full for j in judged):
        return UNDECIDED  # no LoRA configuration, nothing to say about LoRA
    if best and not (best.candidate.is_full and cheaper):
        return RECOMMENDED
    return NONE if all(j.status == RULED_OUT for j in judged) else UNDECIDED


def _guess(judged: Sequence[Judged]) -> Judged | None:
    """The cheapest whose values are within the limits, else the one that comes closest."""
    if all(j.candidate.is_full for j in judged):
        return None
    alive = [j for j in judged if j.status != RULED_OUT] or list(judged)
    fitting = [j for j in alive if j.met_by_value]
    measured = [j for j in alive if j.distance[1] < math.inf]
    if fitting or not measured:
        return fitting[0] if fitting else None
    return min(measured, key=lambda j: j.distance)


def _left_to_chance(candidate: Candidate, limits: Limits) -> bool:
    """True where noise could let it pass: a measured noisy limit, and not ruled out by memory."""
    memory = check_memory(candidate, limits)
    if memory is not None and memory.verification == FAILED:
        return False
    noisy_time = limits.max_seconds is not None and bool(candidate.seconds)
    return noisy_time or (not candidate.is_full and candidate.retention.value is not None)
