"""Whether two configurations can be told apart (row 5): paired differences over common seeds.

Both were trained on the same data order, seed by seed, so the difference of a seed is a plain
number and its mean has the interval of ``intervals``. Where the interval covers zero nothing is
said about which one is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..contrasts import Document, Moments, PairedRatio
from ..intervals import LOSS_SD, TIME_RELATIVE_SD, plan, ratio_interval
from .values import Candidate


@dataclass(frozen=True)
class Difference:
    """Mean of a - b over the seeds that both have."""

    mean: float | None  # None without a common seed
    interval: tuple[float, float] | None  # None with fewer than two
    num_seeds: int
    seeds_needed: int | None = None  # that would tell the two apart, where nothing does yet

    @property
    def shown(self) -> bool:
        """True where the interval leaves zero out."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def quality_difference(a: Candidate, b: Candidate, level: float) -> Difference:
    """Held-out loss of a minus that of b, in nats per token; below zero, a is better."""
    seeds = sorted(set(a.losses) & set(b.losses))
    return _difference(
        {s: a.losses[s] - b.losses[s] for s in seeds},
        planned_variance=2 * LOSS_SD**2,
        level=level,
        documents=_texts(a, b, seeds),
    )


def time_difference(a: Candidate, b: Candidate, level: float) -> Difference:
    """Training seconds of a minus those of b."""
    seeds = sorted(set(a.seconds) & set(b.seconds))
    planned = sum((TIME_RELATIVE_SD * (c.mean_seconds or 0.0)) ** 2 for c in (a, b))
    return _difference({s: a.seconds[s] - b.seconds[s] for s in seeds}, planned, level)


def plain_mean(
    values: Mapping[int, float], planned_variance: float, documents: tuple[Document, ...] = ()
) -> PairedRatio:
    """A mean in the form the intervals are made for: a ratio to exactly one."""
    ones = dict.fromkeys(values, 1.0)
    return PairedRatio(dict(values), ones, documents, Moments(xx=planned_variance))


def _difference(
    values: Mapping[int, float],
    planned_variance: float,
    level: float,
    documents: tuple[Document, ...] = (),
) -> Difference:
    if not values:
        return Difference(None, None, 0)
    found = plain_mean(values, planned_variance, documents)
    interval = ratio_interval(found, level)
    result = Difference(found.value, interval, found.count)
    if result.shown:
        return result
    return Difference(found.value, interval, found.count, plan(found, [0.0], level).seeds)


def _texts(a: Candidate, b: Candidate, seeds: Sequence[int]) -> tuple[Document, ...]:
    """Per held-out text, the difference in nats averaged over seeds."""
    count = len(a.text_tokens)
    sides = [c.text_nats.get(s, ()) for c in (a, b) for s in seeds]
    if not seeds or not count or a.text_tokens != b.text_tokens:
        return ()
    if any(len(nats) != count for nats in sides):
        return ()
    return tuple(
        Document(
            math.fsum(a.text_nats[s][i] - b.text_nats[s][i] for s in seeds) / len(seeds),
            tokens,
            tokens,
        )
        for i, tokens in enumerate(a.text_tokens)
    )
