"""Intervals over seeds, and how many seeds would decide (row 5).

Each seed gives one paired value (LoRA against full fine-tuning on the same data order), so the
interval is Student's t for a mean: m +- t(1 - alpha/2, n - 1) * s / sqrt(n). With two to five seeds
a bootstrap would resample a handful of numbers and come out far too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEVEL = 0.95  # two-sided
MAX_SEEDS = 100  # beyond this, "how many seeds" is no practical advice

LOSS_SD = 0.013
"""Planning value, nats: the upper figure for the seed-to-seed standard deviation of the held-out
loss in repeated fine-tuning runs of the default model (0.008 to 0.013). Used with one seed only;
from two seeds on the observed deviation takes its place."""

TIME_RELATIVE_SD = 0.05
"""Planning value, relative: run-to-run deviation of the training time of one arm on a machine that
was otherwise free. Repeats usually agree within 2 to 5 %; the upper figure is taken."""


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit  # imported late: the command line must start fast

    return float(stdtrit(degrees, probability))


def standard_deviation(values: Sequence[float]) -> float:
    """Sample standard deviation (n - 1); 0.0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def mean_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float] | None:
    """Two-sided Student t interval of the mean; None for fewer than two values."""
    count = len(values)
    if count < 2:
        return None
    mean = math.fsum(values) / count
    half = half_width(standard_deviation(values), count, level)
    return mean - half, mean + half


def half_width(sd: float, seeds: int, level: float = LEVEL) -> float:
    """Half width of the interval of ``seeds`` values with standard deviation ``sd``."""
    return t_quantile(0.5 + level / 2, seeds - 1) * sd / math.sqrt(seeds)


def seeds_to_decide(distance: float, sd: float, level: float = LEVEL) -> int | None:
    """Fewest seeds (2 to 100) whose interval would be narrower than the distance to a threshold.

    A plan, not a promise: it takes the present mean and deviation as they are. None where more
    than 100 would be needed, or where the value sits on the threshold.
    """
    if not distance > 0 or not math.isfinite(sd):
        return None
    for seeds in range(2, MAX_SEEDS + 1):
        if half_width(sd, seeds, level) <= distance:
            return seeds
    return None


def gain_retention_sd(retention: float, full_gain: float, loss_sd: float = LOSS_SD) -> float:
    """Planned deviation of the gain retention g = (b - a) / (b - f), by the delta method.

    dg/da = -1 / (b - f) and dg/df = g / (b - f); both losses scatter by ``loss_sd``, independently
    (on the same data order they tend to move together, which makes this the careful side), and the
    base loss b is not trained: sd(g) = loss_sd * sqrt(1 + g^2) / (b - f).
    """
    return loss_sd * math.sqrt(1 + retention**2) / full_gain


def time_ratio_sd(ratio: float, relative_sd: float = TIME_RELATIVE_SD) -> float:
    """Planned deviation of a ratio of two times, each with ``relative_sd``: r * sd * sqrt(2)."""
    return ratio * relative_sd * math.sqrt(2)
