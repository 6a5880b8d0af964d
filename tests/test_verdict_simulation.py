"""The verdicts themselves, tested: how often they are wrong where the truth is known."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from factories import make_config, make_records
from lora_efficiency_benchmark.analysis import FAILED, PARTIAL, VERIFIED, analyze
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.records.results import CellRecord

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "verdict_simulation.py"
LIMIT = 0.05
FEW, MANY = 250, 2000


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verdict_simulation", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verdict_simulation"] = module
    spec.loader.exec_module(module)
    return module


simulation = load_script()
WORLDS: list[tuple[str, Any]] = [
    (question, world) for question, world in simulation.worlds() if world.texts
]
"""Those without losses per text show what texts are for: there the limit does not hold."""


def allowed(limit: float, experiments: int) -> float:
    """The limit plus three binomial standard errors of a share that lies on it."""
    return limit + 3 * math.sqrt(limit * (1 - limit) / experiments)


def check(rows: Sequence[Any], limit: float = LIMIT) -> None:
    for row in rows:
        for verdict in (VERIFIED, PARTIAL, FAILED):
            assert row.false(verdict) <= allowed(limit, row.experiments), (verdict, row)


def ask(worlds: Sequence[tuple[str, Any]], experiments: int) -> list[Any]:
    return [simulation.simulate(question, world, experiments) for question, world in worlds]


# ---- in make test -------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["quality", "time", "mean quality"])
def test_few_experiments_on_the_thresholds(question: str) -> None:
    on = [(q, w) for q, w in WORLDS if q == question and w.full_gain == simulation.FULL_GAIN]
    bars = {(0.95,), (0.80,), (1.0,), (0.85, 1.05)}
    check(ask([(q, w) for q, w in on if w.truths in bars], FEW))


def test_few_experiments_with_five_configurations() -> None:
    worst = simulation.World(simulation.ALL_ON_UPPER, seeds=10)
    check(ask([("joint", worst)], FEW))


def test_few_recommendations() -> None:
    worst = simulation.World(simulation.ALL_ON_UPPER, seeds=5)
    check(ask([("recommend", worst)], 100))
    good, bad = simulation.World(simulation.ALL_GOOD, 10, 200), simulation.World((0.6,) * 5, 10)
    for world, right in ((good, VERIFIED), (bad, FAILED)):
        (row,) = ask([("recommend", world)], 20)
        assert row.right == right
        assert row.shares == {right: 1.0}


def test_what_is_far_from_a_threshold_is_decided_and_right() -> None:
    for truth, right in ((0.72, FAILED), (0.875, PARTIAL), (1.02, VERIFIED)):
        (row,) = ask([("quality", simulation.World((truth,), seeds=5, texts=200))], 50)
        assert row.right == right
        assert row.shares == {right: 1.0}


def test_without_documents_the_texts_own_error_is_missing() -> None:
    """What the interval would miss: the same world, judged on seeds alone."""
    world = simulation.World((0.95,), seeds=10)
    with_texts, without = ask([("quality", world), ("quality", replace(world, texts=0))], FEW)
    assert without.false(VERIFIED) > 0.10 > with_texts.false(VERIFIED)


def test_the_truth_is_told_apart() -> None:
    def truth(question: str, *truths: float) -> str | None:
        claim = simulation.QUESTIONS[question][1]
        found: str | None = simulation.truth(question, simulation.World(truths), claim)
        return found

    assert truth("quality", 0.96) == VERIFIED
    assert truth("quality", 0.94) == PARTIAL
    assert truth("quality", 0.79) == FAILED
    assert truth("quality", 0.95) is truth("quality", 0.80) is truth("time", 1.0) is None
    assert truth("mean quality", 0.85, 1.05) is None
    assert truth("joint", 0.80, 0.80) == PARTIAL
    assert truth("joint", 0.80, 1.0) == VERIFIED


def test_the_same_seed_gives_the_same_table() -> None:
    world = simulation.World((0.94,))
    first, second = ask([("quality", world)] * 2, 30)
    assert first == second


def test_it_prints_a_table_and_json() -> None:
    command = [sys.executable, str(SCRIPT), "--experiments", "1"]
    text, document = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=True).stdout
        for more in ([], ["--json"])
    )
    assert "5 x 0.95" in text
    assert "decided with it" in text
    body = json.loads(document)
    assert len(body["rows"]) == len(list(simulation.worlds()))
    assert {"false_verified", "false_failed", "shares", "right"} <= set(body["rows"][0])


# ---- through whole records ----------------------------------------------------------------------


def as_records(quality: Any, seeds: int) -> list[CellRecord]:
    """The gains of one experiment as records of a run with one configuration."""
    base = 2.9 * quality.tokens
    gains: Mapping[str, Any] = {"full": quality.full, "r=4 q,v": quality.lora[0]}

    def change(record: CellRecord) -> CellRecord | None:
        if record.cell.label not in ("base", *gains):
            return None
        if record.evaluation is not None:
            nats = base
            if record.cell.kind == "train":
                nats = base - gains[record.cell.label][record.cell.seed] * quality.tokens
            rows = zip(nats.tolist(), quality.tokens.tolist(), strict=True)
            texts = [{"nats": n, "tokens": int(t), "raw_bytes": 2 * int(t)} for n, t in rows]
            loss = float(nats.sum() / quality.tokens.sum())
            record.evaluation |= {"loss": loss, "documents": texts}
        return record

    return make_records(make_config(seeds=seeds), change=change)


@pytest.mark.parametrize("seeds", [1, 3])
def test_records_are_judged_as_the_simulation_judges(seeds: int) -> None:
    """The simulation hands over ratios, not records; from records the same ratios are made."""
    world = simulation.World((0.9,), seeds=seeds)
    (quality,) = simulation.draw_quality(world, np.random.default_rng(7))
    (ratio,) = quality.ratios()
    direct = simulation.judge_configuration(simulation.QUALITY, simulation.measurement(ratio))
    claims = load_claims("paper-r5")
    verdicts = analyze(as_records(quality, seeds), claims).claims
    (entry,) = next(v for v in verdicts if v.id == "gain-retention").per_configuration
    assert entry.value == pytest.approx(direct.value)
    assert entry.ci95 == (direct.ci95 and pytest.approx(direct.ci95))
    assert entry.verification == direct.verification
    assert (entry.seeds_needed, entry.reason) == (direct.seeds_needed, direct.reason)


# ---- in make test-all ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("question", "noise"), sorted({(q, w.noise) for q, w in WORLDS}))
def test_false_verdicts_stay_below_five_percent(question: str, noise: str) -> None:
    check(ask([(q, w) for q, w in WORLDS if q == question and w.noise == noise], MANY))


@pytest.mark.slow
def test_with_normal_noise_they_stay_below_the_nominal_share() -> None:
    """2.5 % an end is what the intervals promise, at any ratio of the two errors."""
    worlds = [
        ("quality", simulation.World((truth,), seeds, texts))
        for truth in (0.80, 0.95)
        for seeds in (3, 5, 10)
        for texts in (48, 200)
    ]
    check(ask(worlds, MANY), limit=0.025)


@pytest.mark.slow
def test_the_number_of_seeds_is_kept_four_times_of_five() -> None:
    for value in (0.90, 0.98):
        for seeds in (1, 3):
            found = simulation.promises(simulation.World((value,), seeds, 200), 400)
            assert found.undecided > 50
            assert found.kept > 0.8
