"""Intervals of ratios over seeds and documents, and what would decide (row 5).

The interval of theta = E[x] / E[y] holds every theta whose contrast d(theta) = x - theta * y is
compatible with zero (Fieller 1954):

    mean d(theta)^2 <= t(n - 1)^2 * seeds(theta) / n + t(m - 1)^2 * documents(theta)

``seeds`` is the variance of one of n seeds, ``documents`` that of the mean over m held-out texts,
t Student's quantile. Each source keeps its own t: for two independent sources the coverage then is
at least the nominal one, whatever their sizes (Banerjee 1960: the distribution of a squared normal
is concave). Pooled degrees of freedom (Welch and Satterthwaite) are not that safe with three seeds:
at the confidence that five configurations ask for, they let three times too many errors pass
(``benchmarks/verdict_simulation.py`` shows what this rule does). With two to five seeds a bootstrap
would resample a handful of numbers and come out far too narrow.

Both sides are quadratic in theta. Where y is not clearly above zero no bounded set of ratios is
compatible with the data, and there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from .contrasts import Moments, PairedRatio

LEVEL = 0.95  # two-sided
MAX_SEEDS = 100  # beyond this, "how many seeds" is no practical advice
MAX_TEXTS = 10_000  # and "how many held-out texts"
POWER = 0.8  # a plan should come true in four of five repeats

LOSS_SD = 0.013
"""Planning value, nats: the upper figure for the seed-to-seed standard deviation of the held-out
loss in repeated fine-tuning runs of the default model (0.008 to 0.013). Used with one seed only,
independently for both arms (on the same data order they tend to move together, which makes this the
careful side); from two seeds on the observed deviation takes its place."""

TIME_RELATIVE_SD = 0.05
"""Planning value, relative: run-to-run deviation of the training time of one arm on a machine that
was otherwise free. Repeats usually agree within 2 to 5 %; the upper figure is taken."""

Interval = tuple[float, float]


class Plan(NamedTuple):
    """What would decide if the means and deviations stay. None where no practical number would."""

    seeds: int | None = None  # on the present documents
    by_texts: bool = False  # True: the documents leave it open, whatever the seeds, up to 100
    texts: int | None = None  # then: how many it would take,
    seeds_with_texts: int | None = None  # and the seeds with them


@lru_cache(maxsize=1024)
def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit  # imported late: the command line must start fast

    return float(stdtrit(degrees, probability))


def ratio_interval(
    ratio: PairedRatio, level: float = LEVEL, below: float | None = None
) -> Interval | None:
    """Two-sided interval; None with one seed, or where y is not clearly above zero.

    ``below`` is the confidence of the upper end, where it is not that of the lower end.
    """
    lower = _fieller(ratio, level)
    upper = lower if below is None else _fieller(ratio, below)
    return None if lower is None or upper is None else (lower[0], upper[1])


def corrected(tries: int) -> float:
    """Confidence of each of several statements so that all hold at LEVEL (Bonferroni)."""
    return 1 - (1 - LEVEL) / max(1, tries)


def is_clear(ratio: PairedRatio, level: float = LEVEL) -> bool:
    """True where y is above zero beyond its error, so that there is a ratio at all."""
    if ratio.count < 2:
        return ratio.mean_y > 0
    return ratio.mean_y > math.sqrt(_error(ratio, level).yy)


def plan(
    ratio: PairedRatio,
    thresholds: Sequence[float],
    level: float = LEVEL,
    below: float | None = None,
) -> Plan:
    """Fewest seeds (2 to 100) that would clear every threshold, in four repeats of five.

    Where the documents leave too little room for that, the number of texts whose squared error
    takes half of the room, and of seeds that fit into the other half. A plan, not a promise: it
    takes the present means and deviations as they are.
    """
    rows = list(_distances(ratio, thresholds, level, level if below is None else below))
    if not all(row.distance > 0 for row in rows):
        return Plan()
    enough = _most(_seeds_for(row, row.documents) for row in rows)
    if enough is not None:
        return Plan(enough)
    seeds = _most(_seeds_for(row, min(row.documents, row.distance**2 / 2)) for row in rows)
    have = len(ratio.documents)
    texts = max(2 * row.documents / row.distance**2 for row in rows) * have
    if seeds is not None and have < texts <= MAX_TEXTS:
        return Plan(None, True, math.ceil(texts), seeds)
    return Plan(by_texts=any(row.distance**2 <= row.documents for row in rows))


def half_width(variance: float, documents: float, seeds: int, level: float = LEVEL) -> float:
    """Half width of a contrast's interval.

    ``variance`` is that of one seed; ``documents`` is what the texts add to the square.
    """
    t = t_quantile(0.5 + level / 2, seeds - 1)
    return math.sqrt(t**2 * variance / seeds + documents)


def _error(ratio: PairedRatio, level: float) -> Moments:
    """The right side of the rule: squared half width, as a quadratic in theta."""
    t = t_quantile(0.5 + level / 2, ratio.count - 1)
    seeds = ratio.seed_moments.times(t**2 / ratio.count)
    return seeds.plus(_document_error(ratio, level))


def _document_error(ratio: PairedRatio, level: float) -> Moments:
    if len(ratio.documents) < 2:
        return Moments()
    return ratio.document_moments.times(t_quantile(0.5 + level / 2, len(ratio.documents) - 1) ** 2)


def _fieller(ratio: PairedRatio, level: float) -> Interval | None:
    """The rule solved around the value: (y^2 - yy) d^2 - 2 b d - c <= 0 with d = theta - value."""
    if ratio.count < 2 or not is_clear(ratio, level):
        return None
    error, value = _error(ratio, level), ratio.value
    a, b = ratio.mean_y**2 - error.yy, value * error.yy - error.xy
    root = math.sqrt(b**2 + a * error.at(value))
    return value + (b - root) / a, value + (b + root) / a


class _Distance(NamedTuple):
    """A contrast that must be clear of zero, its error, and the confidence asked for."""

    distance: float
    variance: float  # of one seed
    documents: float  # squared half width that the texts add
    level: float


def _distances(
    ratio: PairedRatio, thresholds: Sequence[float], level: float, below: float
) -> Iterator[_Distance]:
    """To every threshold, and of y from zero."""
    for theta in thresholds:
        contrast = ratio.mean_x - theta * ratio.mean_y
        side = level if contrast > 0 else below
        variance, documents = ratio.seed_moments.at(theta), _document_error(ratio, side).at(theta)
        yield _Distance(abs(contrast), variance, documents, side)
    strict = max(level, below)
    documents = _document_error(ratio, strict).yy
    yield _Distance(ratio.mean_y, ratio.seed_moments.yy, documents, strict)


def _seeds_for(row: _Distance, documents: float) -> int | None:
    if not math.isfinite(row.variance):
        return None
    for seeds in range(2, MAX_SEEDS + 1):
        margin = t_quantile(POWER, seeds - 1) * math.sqrt(row.variance / seeds)
        if half_width(row.variance, documents, seeds, row.level) + margin <= row.distance:
            return seeds
    return None


def _most(counts: Iterator[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else max(n for n in known if n is not None)
