"""Student's t over seeds, and the number of seeds that would decide."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from scipy import stats

from lora_efficiency_benchmark.analysis.intervals import (
    gain_retention_sd,
    half_width,
    mean_interval,
    seeds_to_decide,
    standard_deviation,
    t_quantile,
    time_ratio_sd,
)


def test_three_values_by_hand() -> None:
    # mean 0.90, s = 0.02, t(0.975, 2) = 4.302653, so 0.90 +- 4.302653 * 0.02 / sqrt(3)
    low, high = mean_interval([0.88, 0.90, 0.92]) or (0.0, 0.0)
    assert low == pytest.approx(0.8503172, abs=1e-6)
    assert high == pytest.approx(0.9496828, abs=1e-6)


@pytest.mark.parametrize("values", [[1.0, 1.2], [0.7, 0.72, 0.69, 0.75], [2.0, 2.0, 2.0]])
@pytest.mark.parametrize("level", [0.95, 0.9875])
def test_the_interval_is_scipys(values: list[float], level: float) -> None:
    expected = (2.0, 2.0)
    if len(set(values)) > 1:
        expected = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    assert mean_interval(values, level) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("values", [[], [0.9]])
def test_fewer_than_two_values_have_no_interval(values: list[float]) -> None:
    assert mean_interval(values) is None
    assert standard_deviation(values) == 0.0


def test_the_quantile_is_scipys() -> None:
    assert t_quantile(0.975, 4) == pytest.approx(stats.t.ppf(0.975, 4))


@pytest.mark.parametrize(("distance", "sd"), [(0.05, 0.02), (0.01, 0.02), (0.3, 0.01)])
def test_the_number_of_seeds_is_the_first_that_fits(distance: float, sd: float) -> None:
    seeds = seeds_to_decide(distance, sd)
    assert seeds is not None
    assert half_width(sd, seeds) <= distance
    assert seeds == 2 or half_width(sd, seeds - 1) > distance


@pytest.mark.parametrize(
    ("distance", "sd"), [(0.0, 0.01), (0.001, 0.1), (math.nan, 0.1), (0.1, math.inf)]
)
def test_no_practical_number_of_seeds(distance: float, sd: float) -> None:
    assert seeds_to_decide(distance, sd) is None


def test_planned_deviations_by_hand() -> None:
    assert gain_retention_sd(0.75, 0.5) == pytest.approx(0.013 * 1.25 / 0.5)
    assert time_ratio_sd(2.0) == pytest.approx(2.0 * 0.05 * math.sqrt(2))


def test_the_delta_method_matches_a_numerical_derivative() -> None:
    base, arm, full, step = 2.85, 2.24, 1.97, 1e-6

    def gain(a: float, f: float) -> float:
        return (base - a) / (base - f)

    by_arm = (gain(arm + step, full) - gain(arm, full)) / step
    by_full = (gain(arm, full + step) - gain(arm, full)) / step
    expected = 0.013 * math.hypot(by_arm, by_full)
    assert gain_retention_sd(gain(arm, full), base - full) == pytest.approx(expected, rel=1e-4)


def test_importing_the_analysis_loads_neither_scipy_nor_numpy() -> None:
    code = (
        "import sys, lora_efficiency_benchmark.analysis; "
        "print([m for m in ('scipy', 'numpy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
