"""The search for learning rates: equal budget, moving edges, resuming, and what the report says."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factories import environment, make_config, make_records
from lora_efficiency_benchmark.analysis import analyze
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig, load_config
from lora_efficiency_benchmark.config.checks import Search
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.errors import ConfigError
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.records.results import FAILED, OK, CellRecord
from lora_efficiency_benchmark.report.tables.rates import rates_note
from lora_efficiency_benchmark.report.texts import wording
from lora_efficiency_benchmark.search import (
    found_rates,
    next_trials,
    planned_ids,
    remaining_cells,
    search_path,
    shared_rate,
    trial_losses,
    uncertain_trials,
)

ARMS = [
    {"r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    {"r": 8, "alpha": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
]
BASE = 2.85
FAIR = (
    Path(__file__).parents[1] / "benchmarks" / "results" / "fair-generated-2026-11-24" / "records"
)


def config(**fields: Any) -> LoRABenchmarkConfig:
    values = {"learning_rates": "search", "lora_configurations": ARMS, **fields}
    return make_config(**values)


def bowl(best: float, depth: float = 0.8) -> Callable[[float], float]:
    """Loss against rate: a parabola in log rate, lowest at ``best``."""
    return lambda rate: BASE - depth + 0.15 * math.log(rate / best) ** 2


LOSS = {"full": bowl(1e-4), "r=4 q,v": bowl(2e-2, 0.7), "r=8 q,k,v,o": bowl(4e-3, 0.75)}


def trial(cell: Cell, losses: dict[str, Callable[[float], float]] = LOSS) -> CellRecord:
    """The record that a trial would leave."""
    assert cell.learning_rate is not None
    record = CellRecord(cell, OK, "2026-07-01T09:00:00+00:00", "2026-07-01T09:01:00+00:00")
    record.environment = environment()
    record.validation = {"loss": losses[cell.label](cell.learning_rate)}
    if not math.isfinite(record.validation["loss"]):
        record.status, record.error = FAILED, {"kind": "diverged", "message": "nan"}
    return record


def searched(asked: LoRABenchmarkConfig, losses: Any = LOSS) -> list[CellRecord]:
    """All trials of a configuration, one round after the other."""
    records: list[CellRecord] = []
    while cells := next_trials(asked, records):
        records += [trial(cell, losses) for cell in cells]
    return records


def test_every_arm_gets_the_same_number_of_trials() -> None:
    asked = config(search={"trials": 6})
    records = searched(asked)
    search = asked.searched
    assert search is not None
    for arm, label in zip((None, *asked.adapters), LOSS, strict=True):
        tried, following = search_path(trial_losses(asked, records)[label], search, arm)
        assert (len(set(tried)), following) == (6, None)


@pytest.mark.parametrize("best", [1e-6, 3e-5, 1e-4, 2.5e-4, 5e-3])
def test_the_grid_moves_towards_the_best_and_closes_in(best: float) -> None:
    search = Search(8, 5, 10, 3.0, {"full": 1e-4, "lora": 2e-3})
    losses: dict[float, float] = {}
    while (rate := search_path(losses, search, None)[1]) is not None:
        losses[rate] = bowl(best)(rate)
    found = min(losses, key=lambda rate: losses[rate])
    assert abs(math.log(found / best)) < math.log(3.0)


def test_winners_and_the_price_of_one_rate() -> None:
    asked = config()
    records = searched(asked)
    rates = found_rates(asked, records)
    assert rates is not None
    assert rates["full"] == pytest.approx(1e-4)
    assert rates["r=4 q,v"] > rates["r=8 q,k,v,o"] > rates["full"]
    assert shared_rate(asked, records) == rates["full"]
    tried = {label: set(losses) for label, losses in trial_losses(asked, records).items()}
    assert all(rates["full"] in tried[label] for label in tried)
    explicit = config(learning_rate=2e-4)
    rerun = searched(explicit)
    assert all(2e-4 in losses for losses in trial_losses(explicit, rerun).values())


def test_a_shared_trial_decides_nothing() -> None:
    """Where the shared rate happens to be best, the arm's own search still decides."""
    flat = {**LOSS, "r=8 q,k,v,o": lambda rate: 0.1 if rate == 2e-4 else bowl(4e-3)(rate)}
    asked = config(learning_rate=2e-4)
    rates = found_rates(asked, searched(asked, flat))
    assert rates is not None
    assert rates["r=8 q,k,v,o"] != 2e-4


def test_no_rates_before_the_end_and_the_order_of_records_does_not_matter() -> None:
    asked = config()
    records = searched(asked)
    for count in range(len(records)):
        assert found_rates(asked, records[:count]) is None
    assert found_rates(asked, records) == found_rates(asked, records[::-1])
    assert next_trials(asked, records) == []


def test_a_rate_that_diverges_moves_the_grid_down() -> None:
    def wild(rate: float) -> float:
        return bowl(3e-5)(rate) if rate < 5e-5 else math.inf

    asked = config()
    records = searched(asked, {**LOSS, "full": wild})
    rates = found_rates(asked, records)
    assert rates is not None
    assert rates["full"] < 5e-5
    lost = searched(asked, {**LOSS, "full": lambda rate: math.inf})
    rates = found_rates(asked, lost)
    assert rates is not None
    assert rates["full"] == 1e-4


def test_what_remains_shrinks_to_nothing() -> None:
    asked = config()
    whole = remaining_cells(asked, [])
    assert [cell.kind for cell in whole].count("trial") == 3 * 5 + 2, "and LoRA at full's rate"
    assert [cell.kind for cell in whole[-len(ARMS) - 1 :]] == ["train"] * (len(ARMS) + 1)
    records = searched(asked)
    rates = found_rates(asked, records)
    assert rates is not None
    done = [
        CellRecord(cell, OK, "2026-07-01T09:00:00+00:00", "2026-07-01T09:01:00+00:00")
        for cell in expand(asked, rates)
    ]
    kinds = {cell.kind for cell in remaining_cells(asked, records)}
    assert kinds == {"base", "memory", "train"}
    assert remaining_cells(asked, [*records, *done]) == []
    assert {r.cell_id for r in (*records, *done)} == planned_ids(asked, [*records, *done])
    other = searched(config(search={"steps": 3}))
    assert not {r.cell_id for r in other} & planned_ids(asked, other)


def left(asked: LoRABenchmarkConfig, records: list[CellRecord]) -> tuple[int, int]:
    """Trials that are planned at most, and at least."""
    trials = sum(cell.kind == "trial" for cell in remaining_cells(asked, records))
    return trials, trials - uncertain_trials(asked, records)


@pytest.mark.parametrize("rate", [None, 1e-4, 2e-4, 1.73e-4, 1.11e-5, 7e-3])
@pytest.mark.parametrize("trials", [3, 5, 8])
def test_the_plan_counts_the_trials_at_the_shared_rate(rate: float | None, trials: int) -> None:
    """From the first round to the last, with losses of any shape."""
    dice = random.Random(trials)
    for _ in range(12):
        asked = config(learning_rate=rate, search={"trials": trials})
        wild: dict[str, Callable[[float], float]] = dict.fromkeys(LOSS, lambda _: dice.random())
        records: list[CellRecord] = []
        plans = [left(asked, records)]
        while cells := next_trials(asked, records):
            records += [trial(cell, wild) for cell in cells]
            plans.append(left(asked, records))
            assert plans[-1][1] <= plans[-1][0] < plans[-2][0]
        at_most, at_least = plans[0]
        assert at_least <= len(records) <= at_most
        assert plans[-1] == (0, 0)


def test_what_is_certain_is_not_called_uncertain() -> None:
    assert left(config(learning_rate=2e-4), []) == (3 * 5 + 3, 3 * 5 + 3)
    assert left(config(learning_rate=1e-4), [])[0] == 3 * 5 + 2, "full fine-tuning starts there"
    assert left(config(), []) == (3 * 5 + 2, 3 * 5)
    between = config(learning_rate=1.73e-4)  # where full fine-tuning may bisect
    assert left(between, []) == (3 * 5 + 3, 3 * 5 + 2)


def test_the_fair_plan_is_the_folder_it_made() -> None:
    """A run of it left 66 records: 60 cells and a trial an arm at the shared rate."""
    made = len(list(FAIR.glob("*.json")))
    assert len(remaining_cells(load_config("fair"), [])) == made
    assert uncertain_trials(load_config("fair"), []) == 0


def test_without_a_search_cells_keep_the_ids_they_had() -> None:
    cells = expand(make_config())
    assert all("validation_size" not in cell.to_dict() for cell in cells)
    assert Cell.from_dict(cells[0].to_dict()) == cells[0]
    searched_cell = expand(config())[0]
    assert Cell.from_dict(json.loads(json.dumps(searched_cell.to_dict()))) == searched_cell


def test_the_analysis_shows_the_curves_and_what_one_rate_would_have_said() -> None:
    asked = config(learning_rate=2e-4)
    trials = searched(asked)
    rates = found_rates(asked, trials)
    assert rates is not None

    def with_base(record: CellRecord) -> CellRecord:
        if record.cell.kind == "base":
            record.validation = {"loss": BASE}
        return record

    fixed = make_config(lora_configurations=ARMS, learning_rates=dict(rates.items()), seeds=2)
    records = make_records(fixed, change=with_base)
    for record in records:  # the cells of the search carry the size of its texts
        record.cell = Cell(**{**vars(record.cell), "validation_size": 48})
    found = analyze([*records, *trials], load_claims("paper-r5"))
    assert [curve.label for curve in found.learning_rates] == list(LOSS)
    full, small, _ = found.learning_rates
    assert full.elsewhere == ()
    assert (full.chosen, full.gain_retention, full.shared) == (rates["full"], None, ())
    assert small.chosen == rates["r=4 q,v"]
    shared = {entry.learning_rate: entry for entry in small.shared}
    expected = (BASE - LOSS["r=4 q,v"](2e-4)) / (BASE - LOSS["full"](2e-4))
    assert shared[2e-4].gain_retention == pytest.approx(expected)
    assert shared[2e-4].verification == "FAILED"
    assert small.gain_retention is not None
    assert small.gain_retention > expected
    assert "shared_learning_rate" not in {w.code for w in found.warnings}
    json.dumps(found.to_dict(), allow_nan=False)


def test_trials_of_another_machine_show_where_the_rates_come_from() -> None:
    asked = config(search={"trials": 3})
    trials = searched(asked)
    for record in trials:
        record.environment = environment(threads=64, device={"type": "cuda", "name": "Big <GPU>"})
    rates = found_rates(asked, trials)
    assert rates is not None
    fixed = make_config(lora_configurations=ARMS, learning_rates=dict(rates.items()), seeds=2)
    records = make_records(fixed)
    alone = analyze(records, load_claims("paper-r5"))
    found = analyze([*trials, *records], load_claims("paper-r5"))
    assert [c.verification for c in found.claims] == [c.verification for c in alone.claims]
    assert found.environment["threads"] == 2
    assert "environments_differ" not in {w.code for w in found.warnings}
    counts = Counter(record.cell.label for record in trials)
    assert {c.label: len(c.trials) for c in found.learning_rates} == counts
    assert {line for c in found.learning_rates for line in c.elsewhere} == {
        "Big <GPU> (torch 2.9.0, transformers 4.57.0, 64 threads)"
    }
    line_ja = "Big <GPU>(torch 2.9.0、transformers 4.57.0、スレッド数64)"
    assert {line for c in found.learning_rates for line in c.elsewhere_ja} == {line_ja}
    assert line_ja in rates_note(found, wording("ja"))
    assert "64 threads" in rates_note(found, wording("en"))

    again = [dataclasses.replace(record, environment=environment()) for record in trials]
    here = analyze([*trials, *again, *records], load_claims("paper-r5"))
    assert {c.label: len(c.trials) for c in here.learning_rates} == counts, "none counts twice"
    assert here.learning_rates[0].elsewhere == ()
    assert "environments_differ" in {w.code for w in here.warnings}


def test_a_best_rate_at_the_edge_is_a_warning() -> None:
    asked = config(search={"trials": 3})
    found = analyze(searched(asked), load_claims("paper-r5"))
    edges = {curve.label: curve.at_edge for curve in found.learning_rates}
    assert edges == {"full": False, "r=4 q,v": True, "r=8 q,k,v,o": True}
    warning = next(w for w in found.warnings if w.code == "best_rate_at_edge")
    assert "r=4 q,v" in warning.cause
    assert "search.trials" in warning.next_step_ja


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"search": {"trials": 2}}, "search.trials: must be a whole number of at least 3"),
        ({"search": {"factor": 1}}, "search.factor"),
        ({"search": {"factor": math.nan}}, "search.factor"),
        ({"search": {"centre": {}}}, "unknown key 'centre'"),
        ({"search": {"centres": {"lora": "fast"}}}, "search.centres.lora"),
        ({"search": {"centres": [1]}}, "search.centres"),
        ({"search": {"steps": 0.5}}, "search.steps"),
        ({"search": ["trials"]}, "search: must be a mapping"),
        ({"search": {"trials": 5}, "learning_rates": {"full": 1e-4, "lora": 1e-3}}, "only"),
        ({"learning_rates": "seek"}, "or 'search'"),
    ],
)
def test_wrong_settings_name_field_and_rule(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        load_config(config().to_dict(), **fields)
