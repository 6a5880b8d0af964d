"""Ratios of paired noisy means, and where their error comes from (row 5).

A retention or a time ratio is theta = E[x] / E[y], with x and y measured once a seed on the same
data order. A mean of ratios would be biased and its interval wrong, because the lower part is
measured too. So a ratio is never averaged: it is judged by the contrast d(theta) = x - theta * y,
which is a plain mean for every theta and zero on average at the true one (Fieller 1954). Its
variance is a quadratic in theta, held here as ``Moments``, once for each source of error:

    seeds      training again: the seeds' own scatter, x and y of one seed taken together
    documents  another held-out set: the scatter over texts of the contrast averaged over seeds
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple


class Moments(NamedTuple):
    """Variances and covariance of a pair (x, y)."""

    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0

    def at(self, theta: float) -> float:
        """Variance of x - theta * y."""
        return max(0.0, self.xx - 2 * theta * self.xy + theta**2 * self.yy)

    def times(self, factor: float) -> Moments:
        """The same shape, scaled."""
        return Moments(self.xx * factor, self.xy * factor, self.yy * factor)

    def plus(self, other: Moments) -> Moments:
        """The sum of two sources."""
        return Moments(self.xx + other.xx, self.xy + other.xy, self.yy + other.yy)


class Document(NamedTuple):
    """One held-out text: what adds up to x and y (means over seeds), and its tokens."""

    x: float
    y: float
    tokens: float


@dataclass(frozen=True)
class PairedRatio:
    """mean(x) / mean(y) over paired seeds."""

    x: dict[int, float]  # seed -> value
    y: dict[int, float]  # the same seeds
    documents: tuple[Document, ...] = ()  # where x and y are sums over texts / tokens
    planned: Moments = field(default_factory=Moments)  # of one seed, for want of a second one

    @property
    def count(self) -> int:
        """Seeds."""
        return len(self.x)

    def over(self, seeds: Sequence[int]) -> PairedRatio:
        """The same over some of its seeds."""
        x, y = ({s: side[s] for s in seeds} for side in (self.x, self.y))
        return PairedRatio(x, y, self.documents, self.planned)

    @cached_property
    def mean_x(self) -> float:
        """Mean of x over seeds."""
        return math.fsum(self.x.values()) / len(self.x)

    @cached_property
    def mean_y(self) -> float:
        """Mean of y over seeds."""
        return math.fsum(self.y.values()) / len(self.y)

    @property
    def value(self) -> float:
        """The ratio of the means, which its interval always contains."""
        return self.mean_x / self.mean_y

    @cached_property
    def by_seed(self) -> dict[int, float]:
        """The ratio of every seed that has one; to be shown, not to be averaged."""
        return {seed: self.x[seed] / y for seed, y in self.y.items() if y > 0}

    @cached_property
    def seed_moments(self) -> Moments:
        """Of one seed: as observed, or as planned where there is only one."""
        if self.count < 2:
            return self.planned
        rows = [(self.x[s] - self.mean_x, self.y[s] - self.mean_y) for s in self.x]
        return _sums(rows).times(1 / (self.count - 1))

    @cached_property
    def document_moments(self) -> Moments:
        """Of the mean over documents; zero where fewer than two are known.

        The part of the seeds' scatter that differs from text to text is in both sources, which
        errs to the careful side.
        """
        return text_moments(self.documents)


def text_moments(documents: Sequence[Document]) -> Moments:
    """Of sum(x) / sum(tokens) and sum(y) / sum(tokens), over another draw of the documents.

    Linearised variance of a ratio of sums (Cochran, Sampling Techniques, section 2.11): texts
    differ in length. Zero for fewer than two.
    """
    count, tokens = len(documents), math.fsum(d.tokens for d in documents)
    if count < 2 or not tokens:
        return Moments()
    x = math.fsum(d.x for d in documents) / tokens
    y = math.fsum(d.y for d in documents) / tokens
    rows = [(d.x - x * d.tokens, d.y - y * d.tokens) for d in documents]
    return _sums(rows).times(count / (count - 1) / tokens**2)


def mean_of_ratios(ratios: Sequence[PairedRatio]) -> PairedRatio | None:
    """The mean of several ratios as one, over the seeds that all have; None without any.

    With m the mean of the ratios theta_k, x = mean of (x_k - (theta_k - m) * y_k) / mean(y_k) and
    y = mean of y_k / mean(y_k): the contrast x - theta * y then is the mean of the contrasts of the
    parts, each at its own distance from m. Where all parts share one y it is exact, else linear in
    the errors. Parts share seeds and documents, so nothing is treated as independent.
    """
    seeds = sorted(set.intersection(*(set(r.x) for r in ratios))) if ratios else []
    parts = [ratio.over(seeds) for ratio in ratios]
    if not seeds or any(part.mean_y <= 0 for part in parts):
        return None
    mean = math.fsum(part.value for part in parts) / len(parts)
    shift = [part.value - mean for part in parts]
    scale = [1 / (part.mean_y * len(parts)) for part in parts]
    each = list(zip(parts, shift, scale, strict=True))
    same_texts = len({tuple(d.tokens for d in part.documents) for part in parts}) == 1
    texts = zip(*(part.documents for part in parts), strict=True) if same_texts else ()
    return PairedRatio(
        x={s: math.fsum(k * (p.x[s] - d * p.y[s]) for p, d, k in each) for s in seeds},
        y={s: math.fsum(k * p.y[s] for p, _, k in each) for s in seeds},
        documents=tuple(
            Document(
                math.fsum(k * (t.x - d * t.y) for t, d, k in zip(row, shift, scale, strict=True)),
                math.fsum(k * t.y for t, k in zip(row, scale, strict=True)),
                row[0].tokens,
            )
            for row in texts
        ),
        planned=_mean_plan(parts),
    )


def _mean_plan(parts: Sequence[PairedRatio]) -> Moments:
    """As if the parts scattered together, the careful side."""
    total = Moments()
    for part in parts:
        total = total.plus(part.planned.times(1 / part.mean_y**2 / len(parts)))
    return total


def _sums(rows: Sequence[tuple[float, float]]) -> Moments:
    return Moments(
        math.fsum(x * x for x, _ in rows),
        math.fsum(x * y for x, y in rows),
        math.fsum(y * y for _, y in rows),
    )
