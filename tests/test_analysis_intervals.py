"""Intervals of ratios over seeds and documents, and what would decide."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lora_efficiency_benchmark.analysis.contrasts import (
    Document,
    Moments,
    PairedRatio,
    mean_of_ratios,
)
from lora_efficiency_benchmark.analysis.intervals import (
    MAX_SEEDS,
    POWER,
    half_width,
    is_clear,
    plan,
    ratio_interval,
    t_quantile,
)


def plain(values: list[float]) -> PairedRatio:
    """A ratio whose lower part is known: the interval of a mean."""
    return PairedRatio(dict(enumerate(values)), dict.fromkeys(range(len(values)), 1.0))


def noisy(seeds: int = 4, texts: int = 30, seed: int = 1) -> PairedRatio:
    """Gains around 0.45 and 0.5 nats."""
    draw = random.Random(seed)
    tokens = [draw.randint(40, 160) for _ in range(texts)]
    rows = [(0.45 + draw.gauss(0, 0.1), 0.5 + draw.gauss(0, 0.1), t) for t in tokens]
    documents = tuple(Document(x * t, y * t, t) for x, y, t in rows)
    total = sum(tokens)
    x, y = (sum(d[k] for d in documents) / total for k in (0, 1)) if texts else (0.45, 0.5)
    shifts = [(draw.gauss(0, 0.01), draw.gauss(0, 0.01)) for _ in range(seeds)]
    centre = [sum(s[k] for s in shifts) / seeds for k in (0, 1)]
    return PairedRatio(
        {s: x + dx - centre[0] for s, (dx, _) in enumerate(shifts)},
        {s: y + dy - centre[1] for s, (_, dy) in enumerate(shifts)},
        documents,
    )


# ---- one ratio ----------------------------------------------------------------------------------


def test_three_values_by_hand() -> None:
    # mean 0.90, s = 0.02, t(0.975, 2) = 4.302653, so 0.90 +- 4.302653 * 0.02 / sqrt(3)
    low, high = ratio_interval(plain([0.88, 0.90, 0.92])) or (0.0, 0.0)
    assert low == pytest.approx(0.8503172, abs=1e-6)
    assert high == pytest.approx(0.9496828, abs=1e-6)


@pytest.mark.parametrize("values", [[1.0, 1.2], [0.7, 0.72, 0.69, 0.75], [2.0, 2.0, 2.0]])
@pytest.mark.parametrize("level", [0.95, 0.9875])
def test_over_a_known_value_it_is_scipys(values: list[float], level: float) -> None:
    expected = (2.0, 2.0)
    if len(set(values)) > 1:
        expected = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    assert ratio_interval(plain(values), level) == pytest.approx(tuple(expected))


def test_one_seed_has_no_interval() -> None:
    assert ratio_interval(noisy(seeds=1)) is None


def test_equal_seeds_leave_no_rounding_between_value_and_threshold() -> None:
    values = PairedRatio(dict.fromkeys(range(3), 0.95 * 0.6), dict.fromkeys(range(3), 0.6))
    assert ratio_interval(values) == (values.value, values.value)


@pytest.mark.parametrize("texts", [0, 30])
@pytest.mark.parametrize("seed", range(5))
def test_the_ends_solve_the_rule(texts: int, seed: int) -> None:
    """Fieller's equation, with both variances worked out anew for each end."""
    ratio = noisy(texts=texts, seed=seed)
    x, y = np.array(list(ratio.x.values())), np.array(list(ratio.y.values()))
    interval = ratio_interval(ratio)
    assert interval is not None
    assert interval[0] < ratio.value < interval[1]
    for theta in interval:
        contrast = x - theta * y
        bound = stats.t.ppf(0.975, len(x) - 1) ** 2 * contrast.var(ddof=1) / len(x)
        if texts:
            nats = np.array([d.x - theta * d.y for d in ratio.documents])
            tokens = np.array([d.tokens for d in ratio.documents])
            rest = nats - nats.sum() / tokens.sum() * tokens
            variance = texts / (texts - 1) * (rest**2).sum() / tokens.sum() ** 2
            bound += stats.t.ppf(0.975, texts - 1) ** 2 * variance
        assert contrast.mean() ** 2 == pytest.approx(bound, rel=1e-9)


def test_turned_upside_down_it_says_the_same() -> None:
    ratio = noisy()
    low, high = ratio_interval(ratio) or (0.0, 0.0)
    turned = tuple(Document(d.y, d.x, d.tokens) for d in ratio.documents)
    other = ratio_interval(PairedRatio(ratio.y, ratio.x, turned))
    assert other == pytest.approx((1 / high, 1 / low))


def test_documents_widen_the_interval_and_more_of_them_less() -> None:
    ratio = noisy()
    widths = []
    for documents in ((), ratio.documents * 4, ratio.documents):
        low, high = ratio_interval(replace(ratio, documents=documents)) or (0.0, 0.0)
        widths.append(high - low)
    assert widths == sorted(widths)
    assert widths[0] < widths[1] < widths[2]


def test_a_single_document_says_nothing_about_documents() -> None:
    ratio = noisy()
    alone = replace(ratio, documents=ratio.documents[:1])
    assert ratio_interval(alone) == ratio_interval(replace(ratio, documents=()))


def test_the_ends_may_have_their_own_confidence() -> None:
    ratio = noisy()
    plain_ends, strict = ratio_interval(ratio), ratio_interval(ratio, 0.99)
    mixed = ratio_interval(ratio, 0.99, below=0.95)
    assert plain_ends is not None
    assert strict is not None
    assert mixed == (strict[0], plain_ends[1])
    assert strict[0] < plain_ends[0]


@pytest.mark.parametrize("y", [[0.01, -0.01, 0.005], [-0.5, -0.51, -0.49], [0.02, 0.01, 0.0]])
def test_a_lower_part_around_zero_has_no_interval(y: list[float]) -> None:
    ratio = PairedRatio({0: 0.1, 1: 0.11, 2: 0.09}, dict(enumerate(y)))
    assert not is_clear(ratio)
    assert ratio_interval(ratio) is None


def test_documents_alone_can_put_the_lower_part_in_doubt() -> None:
    ratio = PairedRatio({0: 0.01, 1: 0.0101}, {0: 0.02, 1: 0.0201})
    documents = tuple(Document(1.0, y, 100.0) for y in (22.0, -18.0, 2.0))
    assert is_clear(ratio)
    assert not is_clear(replace(ratio, documents=documents))


def test_single_seeds_are_kept_for_showing() -> None:
    ratio = PairedRatio({0: 0.4, 1: 0.5}, {0: 0.5, 1: -0.1})
    assert ratio.by_seed == {0: 0.8}
    assert ratio.value == pytest.approx(0.45 / 0.2)


# ---- the mean of several ------------------------------------------------------------------------


def test_the_mean_of_one_is_itself() -> None:
    ratio = noisy()
    mean = mean_of_ratios([ratio])
    assert mean is not None
    assert mean.value == pytest.approx(ratio.value)
    assert ratio_interval(mean) == pytest.approx(ratio_interval(ratio))


def test_over_one_lower_part_it_is_the_ratio_of_the_mean() -> None:
    first, second = noisy(), noisy(seed=2)
    second = PairedRatio(second.x, first.y)
    first = replace(first, documents=())
    mean = mean_of_ratios([first, second])
    both = PairedRatio({s: (first.x[s] + second.x[s]) / 2 for s in first.x}, first.y)
    assert mean is not None
    assert mean.value == pytest.approx((first.value + second.value) / 2)
    assert ratio_interval(mean) == pytest.approx(ratio_interval(both))


def test_over_several_its_error_is_linear_in_the_errors() -> None:
    """A small change of one measured value moves the contrast as it moves the mean."""
    parts = [noisy(texts=0), noisy(texts=0, seed=2)]
    step = 1e-6
    before = mean_of_ratios(parts)
    assert before is not None
    for side in ("x", "y"):
        values = {**getattr(parts[1], side)}
        values[0] += step
        moved = [parts[0], replace(parts[1], **{side: values})]
        by_value = (sum(p.value for p in moved) - sum(p.value for p in parts)) / 2
        mean_y, shift = parts[1].mean_y, parts[1].value
        expected = step / mean_y / len(values) / 2 * (1 if side == "x" else -shift)
        assert by_value == pytest.approx(expected, rel=1e-4)
    spread = before.seed_moments.at(before.value)
    rows = [
        sum((p.x[s] - p.value * p.y[s]) / p.mean_y for p in parts) / 2 for s in sorted(parts[0].x)
    ]
    assert spread == pytest.approx(np.var(rows, ddof=1))


def test_the_mean_keeps_common_seeds_and_texts() -> None:
    first, second = noisy(seeds=4), noisy(seeds=3)
    mean = mean_of_ratios([first, second])
    assert mean is not None
    assert set(mean.x) == {0, 1, 2}
    assert len(mean.documents) == len(first.documents)
    other = mean_of_ratios([first, replace(second, documents=())])
    assert other is not None
    assert other.documents == ()
    shifted = PairedRatio({s + 10: v for s, v in first.x.items()}, {s + 10: 1.0 for s in first.x})
    assert mean_of_ratios([first, shifted]) is None
    assert mean_of_ratios([]) is None


# ---- what would decide --------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "sd"), [(0.90, 0.02), (0.94, 0.02), (0.85, 0.01)])
def test_the_number_of_seeds_is_the_first_that_fits(value: float, sd: float) -> None:
    ratio = plain([value - sd, value, value + sd])
    seeds = plan(ratio, [0.95, 0.80]).seeds
    distance = min(abs(value - 0.95), abs(value - 0.80))

    def fits(count: int) -> bool:
        margin = t_quantile(POWER, count - 1) * sd / math.sqrt(count)
        return half_width(sd**2, 0.0, count) + margin <= distance

    assert seeds is not None
    assert fits(seeds)
    assert seeds == 2 or not fits(seeds - 1)


@pytest.mark.parametrize(("value", "sd"), [(0.95, 0.01), (0.949, 0.1), (0.9, math.inf)])
def test_no_practical_number_of_seeds(value: float, sd: float) -> None:
    ratio = PairedRatio({0: value}, {0: 1.0}, planned=Moments(xx=sd**2))
    found = plan(ratio, [0.95, 0.80])
    assert (found.seeds, found.by_texts) == (None, False)


def test_one_seed_is_planned_with_its_stated_deviation() -> None:
    # sd of x - 0.95 y is 0.013 * sqrt(1 + 0.95^2) = 0.0179; 0.05 * 0.6 = 0.03 away from 0.95
    ratio = PairedRatio({0: 0.9 * 0.6}, {0: 0.6}, planned=Moments(0.013**2, 0.0, 0.013**2))
    seeds = plan(ratio, [0.95]).seeds
    assert seeds is not None
    sd = 0.013 * math.sqrt(1 + 0.95**2)
    assert half_width(sd**2, 0.0, seeds) < 0.03 < half_width(sd**2, 0.0, seeds - 2)


def test_a_stricter_question_asks_for_more_seeds() -> None:
    ratio = plain([0.96, 0.98, 1.0])
    weak, strict = plan(ratio, [0.95]).seeds, plan(ratio, [0.95], 0.99).seeds
    assert weak is not None
    assert strict is not None
    assert strict > weak
    assert plan(ratio, [0.95], 0.95, 0.99).seeds == weak  # the value lies above: the lower end


def test_where_documents_leave_it_open_texts_are_asked_for() -> None:
    """As many copies of the texts as are named, with as many seeds, do decide."""
    ratio = noisy(texts=24)
    threshold = ratio.value + 0.02
    found = plan(ratio, [threshold])
    assert found.by_texts
    assert found.seeds is None
    assert found.texts is not None
    assert found.seeds_with_texts is not None
    assert found.texts > 24
    more = ratio.documents * math.ceil(found.texts / 24)
    seeds = range(found.seeds_with_texts)
    repeated = PairedRatio(
        {s: ratio.x[s % 4] for s in seeds}, {s: ratio.y[s % 4] for s in seeds}, more
    )
    interval = ratio_interval(repeated)
    assert interval is not None
    assert not interval[0] <= threshold <= interval[1]


def test_where_documents_leave_little_room_texts_are_asked_for_too() -> None:
    """A hundred seeds would not fit beside the texts' error, although that alone would."""
    ratio = PairedRatio({0: 0.9, 1: 0.94}, {0: 1.0, 1: 1.0})
    texts = tuple(Document(92.0 + 24 * (-1) ** i, 100.0, 100.0) for i in range(300))
    alone = plan(replace(ratio, x={0: 0.9199, 1: 0.9201}, documents=texts), [0.95])
    assert not alone.by_texts
    found = plan(replace(ratio, documents=texts), [0.95])
    assert (found.seeds, found.by_texts) == (None, True)
    assert found.texts is not None
    assert found.texts > 300


def test_no_practical_number_of_texts() -> None:
    ratio = noisy(texts=24)
    found = plan(ratio, [ratio.value + 0.0005])
    assert (found.by_texts, found.texts, found.seeds_with_texts) == (True, None, None)


def test_a_gain_in_doubt_needs_seeds_too() -> None:
    """Far from every threshold, but the lower part is not clear of zero yet."""
    ratio = PairedRatio({0: 0.3, 1: 0.31, 2: 0.29}, {0: 0.02, 1: 0.03, 2: 0.001})
    seeds = plan(ratio, [0.95]).seeds
    assert not is_clear(ratio)
    assert seeds is not None
    assert 3 < seeds <= MAX_SEEDS


def test_the_quantile_is_scipys() -> None:
    assert t_quantile(0.975, 4) == pytest.approx(stats.t.ppf(0.975, 4))


def test_importing_the_analysis_loads_neither_scipy_nor_numpy() -> None:
    code = (
        "import sys, lora_efficiency_benchmark.analysis; "
        "print([m for m in ('scipy', 'numpy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
