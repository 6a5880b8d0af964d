"""Which setting to use: the rule on values, and the whole way from records to text and JSON."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factories import fail, make_config, make_records
from lora_efficiency_benchmark import cli
from lora_efficiency_benchmark.analysis.contrasts import Moments, PairedRatio
from lora_efficiency_benchmark.analysis.metrics import Measurement
from lora_efficiency_benchmark.analysis.recommend import (
    NONE,
    ORDERS,
    QUALIFIES,
    RECOMMENDED,
    RULED_OUT,
    Candidate,
    Decision,
    Judged,
    Limits,
    Recommendation,
    decide,
    recommend,
)
from lora_efficiency_benchmark.analysis.recommend.rule import cost_key
from lora_efficiency_benchmark.errors import ConfigError
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.report.terminal.recommendation import render_recommendation
from lora_efficiency_benchmark.units import GIB

UNDECIDED = "UNDECIDED"
GOOD = {
    "full": 1.97, "r=4 q,v": 2.20, "r=8 q,k,v,o": 1.985, "r=16 q,k,v,o": 1.98,
    "r=32 q,k,v,o": 1.975,
}  # fmt: skip
BAD = {name: 2.3 for name in GOOD if name != "full"}
Change = Callable[[CellRecord], CellRecord | None]


def of(found: Recommendation | Decision, name: str) -> Judged:
    decision = found if isinstance(found, Decision) else found.decision
    return next(j for j in decision.judged if j.candidate.name == name)


def chosen(found: Recommendation | Decision) -> str | None:
    decision = found if isinstance(found, Decision) else found.decision
    return decision.chosen.candidate.name if decision.chosen else None


def from_records(seeds: int = 4, limits: Limits | None = None, **fields: Any) -> Recommendation:
    fields.setdefault("losses", GOOD)
    return recommend(make_records(seeds=seeds, **fields), limits)


def measured(name: str, retention: Sequence[float], gain: float = 1.0) -> Measurement:
    """Retention of every seed where full fine-tuning always gains the same."""
    ratio = PairedRatio(
        {s: value * gain for s, value in enumerate(retention)},
        dict.fromkeys(range(len(retention)), gain),
        planned=Moments(0.013**2, 0.0, 0.013**2),
    )
    return Measurement(name, values=ratio.by_seed, ratio=ratio)


def lora(name: str, retention: Sequence[float], memory: float | None = None, **fields: Any) -> Any:
    """A LoRA candidate; its losses follow from its retention."""
    losses = {s: 3.0 - value for s, value in enumerate(retention)}
    fields = {"memory_bytes": memory, "losses": losses, **fields}
    return Candidate(name, measured(name, retention), **fields)


def full(memory: float | None = None, seeds: int = 3, **fields: Any) -> Candidate:
    values = dict.fromkeys(range(seeds), 1.0)
    losses = dict.fromkeys(range(seeds), 2.0)
    fields = {"memory_bytes": memory, "losses": losses, **fields}
    return Candidate("full", Measurement("full", values=values), is_full=True, **fields)


# ---- the rule on values --------------------------------------------------------------------------


def test_the_cheapest_that_is_shown_to_qualify_is_recommended() -> None:
    found = decide(
        [full(30), lora("b", [0.97, 0.971, 0.972], 20), lora("a", [0.8, 0.801, 0.802], 10)],
        Limits(),
    )
    assert (found.verification, chosen(found)) == (RECOMMENDED, "b")
    assert of(found, "a").status == RULED_OUT
    assert [j.candidate.name for j in found.judged] == ["a", "b", "full"]


def test_one_seed_decides_nothing() -> None:
    found = decide([full(30, 1), lora("b", [0.99], 20), lora("a", [0.5], 10)], Limits())
    assert (found.verification, chosen(found)) == (UNDECIDED, "b")
    assert found.fallback is not None
    assert found.fallback.candidate.is_full
    assert of(found, "b").seeds_needed is not None


def test_an_undecided_cheaper_one_is_named_and_does_not_hide_what_qualifies() -> None:
    found = decide([lora("a", [0.9, 1.0, 0.95], 10), lora("b", [0.97, 0.971, 0.972], 20)], Limits())
    assert (found.verification, chosen(found)) == (RECOMMENDED, "b")
    assert [j.candidate.name for j in found.cheaper] == ["a"]


def test_lora_is_given_up_only_when_all_of_it_is_ruled_out() -> None:
    unclear, poor = lora("a", [0.9, 1.0, 0.95], 10), lora("b", [0.8, 0.801, 0.802], 20)
    assert decide([full(30), unclear, poor], Limits()).verification == UNDECIDED
    found = decide([full(30), poor], Limits())
    assert (found.verification, chosen(found)) == (RECOMMENDED, "full")
    # An open configuration that costs more than full fine-tuning cannot stand in its way.
    costly = replace(unclear, memory_bytes=40)
    found = decide([full(30), costly, poor], Limits())
    assert (found.verification, chosen(found)) == (RECOMMENDED, "full")


def test_a_miss_is_never_rounded_up_to_the_limit() -> None:
    found = of(decide([lora("a", [0.94961, 0.94962, 0.94963])], Limits()), "a")
    assert found.deciding is not None
    assert found.deciding.reason.en == "keeps 94.96% (upper bound 94.96%), below 95%"


def test_nothing_is_said_about_lora_without_lora() -> None:
    found = decide([full(30)], Limits())
    assert (found.verification, chosen(found)) == (UNDECIDED, None)
    assert decide([], Limits()).verification == UNDECIDED


def test_none_when_everything_is_ruled_out() -> None:
    limits = Limits(max_memory_bytes=15)
    found = decide(
        [full(30), lora("b", [0.97, 0.971, 0.972], 20), lora("a", [0.8, 0.801, 0.802], 10)], limits
    )
    assert (found.verification, chosen(found)) == (NONE, "a")
    assert of(found, "b").missed == ("memory",)


def test_choosing_among_many_needs_stronger_evidence() -> None:
    """Qualifies alone at 95 %, not among eight at 99.4 %."""
    one = lora("a", [0.965, 0.97, 0.975], 10)
    others = [lora(f"c{i}", [0.90, 1.00, 0.95], 20 + i) for i in range(7)]
    assert of(decide([one], Limits()), "a").status == QUALIFIES
    crowded = decide([one, *others], Limits())
    assert of(crowded, "a").status == UNDECIDED
    assert crowded.tries == 8
    # What memory rules out gives chance no try.
    assert of(decide([one, *others], Limits(max_memory_bytes=15)), "a").status == QUALIFIES


def test_ruling_out_is_not_corrected_for_the_number_of_settings() -> None:
    poor = [lora(f"c{i}", [0.92, 0.925, 0.93], i) for i in range(8)]
    assert {j.status for j in decide(poor, Limits()).judged} == {RULED_OUT}


def test_the_order_is_the_users() -> None:
    good = [0.98, 0.981, 0.982]
    candidates = [
        lora("a", good, 10, parameters=3, seconds={s: 30.0 + s / 10 for s in range(3)}),
        lora("b", good, 20, parameters=2, seconds={s: 10.0 + s / 10 for s in range(3)}),
        lora("c", good, 30, parameters=1, seconds={s: 20.0 + s / 10 for s in range(3)}),
    ]
    best = {by: chosen(decide(candidates, Limits(cheapest=by))) for by in ORDERS}
    assert best == {"memory": "a", "time": "b", "parameters": "c"}
    same = [replace(c, memory_bytes=10) for c in candidates]
    assert chosen(decide(same, Limits())) == "b", "time breaks a tie in memory"


def test_a_difference_in_time_counts_only_where_it_is_shown() -> None:
    """Slower by the mean is not yet slower: full fine-tuning must wait for it."""
    limits = Limits(cheapest="time")
    fast = full(30, seconds={0: 10.0, 1: 11.0, 2: 12.0})
    unclear = lora("a", [0.9, 1.0, 0.95], 10, seconds={0: 10.0, 1: 12.0, 2: 12.0})
    slower = replace(unclear, seconds={0: 20.0, 1: 21.0, 2: 22.1})
    assert decide([fast, unclear], limits).verification == UNDECIDED
    found = decide([fast, slower], limits)
    assert (found.verification, chosen(found)) == (RECOMMENDED, "full")


def test_where_memory_is_unknown_the_order_goes_on_to_time() -> None:
    good = [0.98, 0.981, 0.982]
    slow = lora("a", good, seconds={0: 30.0, 1: 30.0, 2: 30.0})
    fast = lora("b", good, seconds={0: 10.0, 1: 10.0, 2: 10.0})
    assert chosen(decide([slow, fast], Limits())) == "b"


def test_a_limit_that_cannot_be_checked_is_not_met() -> None:
    good = lora("a", [0.98, 0.981, 0.982])
    for limits in (Limits(max_memory_bytes=100), Limits(max_seconds=100)):
        found = decide([good], limits)
        assert found.verification == UNDECIDED
        assert "cannot be checked" in of(found, "a").checks[-1].reason.en
    assert decide([good], Limits()).verification == RECOMMENDED


def test_a_time_limit_is_judged_by_its_interval() -> None:
    good = [0.98, 0.981, 0.982]
    inside = lora("a", good, 1, seconds={0: 50.0, 1: 50.5, 2: 51.0})
    unclear = lora("b", good, 2, seconds={0: 50.0, 1: 53.0, 2: 59.0})
    outside = lora("c", good, 3, seconds={0: 70.0, 1: 70.5, 2: 71.0})
    found = decide([inside, unclear, outside], Limits(max_seconds=60))
    assert [j.status for j in found.judged] == [QUALIFIES, UNDECIDED, RULED_OUT]
    assert of(found, "b").seeds_needed is not None
    one = decide([lora("a", good, 1, seconds={0: 50.0})], Limits(max_seconds=60))
    assert of(one, "a").status == UNDECIDED


def test_out_of_memory_is_a_bound() -> None:
    ran_out = Candidate("a", Measurement("a"), memory_bytes=24.0, out_of_memory=True)
    assert of(decide([ran_out], Limits()), "a").status == RULED_OUT
    assert of(decide([ran_out], Limits(max_memory_bytes=16)), "a").status == RULED_OUT
    larger = of(decide([ran_out], Limits(max_memory_bytes=80)), "a")
    assert larger.status == UNDECIDED
    assert "not known" in larger.checks[-1].reason.en


def test_a_seed_that_diverged_rules_a_configuration_out() -> None:
    found = decide([full(30), lora("a", [0.98, 0.981, 0.982], 10, diverged=(3,))], Limits())
    assert of(found, "a").status == RULED_OUT
    assert chosen(found) == "full"


def test_the_limit_is_held_against_what_is_reserved_where_that_is_known() -> None:
    good = lora("a", [0.98, 0.981, 0.982], 10, needed_bytes=14)
    assert decide([good], Limits(max_memory_bytes=12)).verification == NONE
    assert decide([good], Limits(max_memory_bytes=14)).verification == RECOMMENDED


@pytest.mark.parametrize(
    "fields",
    [
        {"retention": -0.1}, {"retention": 95.0}, {"retention": float("nan")},
        {"max_memory_bytes": 0}, {"max_seconds": float("inf")}, {"cheapest": "disk"},
    ],
)  # fmt: skip
def test_limits_that_cannot_be_meant_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Limits(**fields)


def _random_candidates(dice: random.Random) -> list[Candidate]:
    seeds = dice.choice([1, 2, 3, 5, 8])
    candidates = [full(dice.uniform(15, 30), seeds)] if dice.random() < 0.8 else []
    for i in range(dice.randint(1, 7)):
        centre, noise = dice.uniform(0.8, 1.05), dice.choice([0.0, 0.002, 0.02, 0.1])
        retention = [dice.gauss(centre, noise) for _ in range(seeds)]
        memory = None if dice.random() < 0.1 else dice.uniform(5, 25)
        seconds = {} if dice.random() < 0.1 else {s: dice.uniform(9, 11) for s in range(seeds)}
        parameters = dice.randint(1, 9)
        found = lora(f"c{i}", retention, memory, seconds=seconds, parameters=parameters)
        if dice.random() < 0.1:
            found = replace(found, retention=Measurement(found.name), losses={})
        candidates.append(found)
    dice.shuffle(candidates)
    return candidates


def _independently_within(candidate: Candidate, limits: Limits, tries: int) -> bool:
    """The limits once more, written out: Student's t by hand, no code of the rule."""
    from scipy.stats import t

    peak, most = candidate.memory_bytes, limits.max_memory_bytes
    if most is not None and (peak is None or peak > most):
        return False
    level = 1 - 0.05 / max(1, tries) / 2

    def bound(values: Sequence[float], sign: int) -> float | None:
        n = len(values)
        if n < 2:
            return None
        centre = sum(values) / n
        sd = (sum((v - centre) ** 2 for v in values) / (n - 1)) ** 0.5
        return float(centre + sign * t.ppf(level, n - 1) * sd / n**0.5)

    if limits.max_seconds is not None:
        high = bound(list(candidate.seconds.values()), 1)
        if high is None or high > limits.max_seconds + 1e-9:
            return False
    if candidate.is_full:
        return limits.retention <= 1
    low = bound(list(candidate.retention.values.values()), -1)
    return low is not None and low >= limits.retention - 1e-9


def test_what_is_recommended_is_within_all_limits_and_none_that_is_costs_less() -> None:
    dice = random.Random(7)
    answers = dict.fromkeys((RECOMMENDED, UNDECIDED, NONE), 0)
    for _ in range(600):
        candidates = _random_candidates(dice)
        limits = Limits(
            retention=dice.choice([0.8, 0.9, 0.95, 1.0, 1.1]),
            max_memory_bytes=dice.choice([None, 10.0, 20.0]),
            max_seconds=dice.choice([None, 10.5, 12.0]),
            cheapest=dice.choice(list(ORDERS)),
        )
        found = decide(candidates, limits)
        answers[found.verification] += 1
        within = [c for c in candidates if _independently_within(c, limits, found.tries)]
        if found.verification != RECOMMENDED:
            assert all(c.is_full for c in within)
            continue
        assert found.chosen is not None
        best = found.chosen.candidate
        assert best in within
        assert all(cost_key(best, limits) <= cost_key(c, limits) for c in within)
        if best.is_full:
            cheaper = [c for c in candidates if cost_key(c, limits) < cost_key(best, limits)]
            assert all(of(found, c.name).status == RULED_OUT for c in cheaper)
    assert min(answers.values()) > 30, answers


def test_false_recommendations_are_rare() -> None:
    """Six settings just below the limit: in at most one of forty runs is any recommended."""
    dice = random.Random(11)
    runs, wrong = 600, 0
    for _ in range(runs):
        candidates = [
            lora(f"c{i}", [dice.gauss(0.9499, 0.02) for _ in range(3)], i) for i in range(6)
        ]
        wrong += decide(candidates, Limits()).verification == RECOMMENDED
    assert wrong / runs < 0.045  # 0.025 and three standard errors


# ---- from records --------------------------------------------------------------------------------


def test_a_clear_recommendation() -> None:
    found = from_records()
    assert (found.decision.verification, chosen(found)) == (RECOMMENDED, "r=8 q,k,v,o")
    assert found.sentence.en.startswith("Use r=8 q,k,v,o: shown to meet the limits (at least 95%")
    assert "lower bound" in found.sentence.en
    assert "4 seeds" in found.sentence.en
    assert "full fine-tuning 2.61 GiB" in found.sentence.en
    assert found.sentence.ja.startswith("r=8 q,k,v,o を推奨します。")
    assert of(found, "r=4 q,v").status == RULED_OUT


def test_the_order_of_the_records_does_not_matter() -> None:
    records = make_records(seeds=3, losses=GOOD)
    shuffled = list(records)
    random.Random(1).shuffle(shuffled)
    assert recommend(records).to_dict() == recommend(shuffled).to_dict()


def test_with_one_seed_a_guess_is_called_a_guess() -> None:
    found = from_records(seeds=1)
    assert found.decision.verification == UNDECIDED
    assert found.sentence.en.startswith("Undecided at one seed")
    assert "the best guess is r=8 q,k,v,o" in found.sentence.en
    assert "full fine-tuning meets the limits meanwhile" in found.sentence.en
    assert "現時点の推測は r=8 q,k,v,o" in found.sentence.ja
    assert "which is a guess" in found.best_sentence.en
    document = found.to_dict()
    assert document["answer"]["configuration"] is None
    assert document["answer"]["best_guess"] == "r=8 q,k,v,o"
    assert len(found.ties) == 4, "one seed tells nothing apart"
    assert "One seed tells no two of them apart" in render_recommendation(found, "en")
    assert "1シードでは" in render_recommendation(found, "ja")


def test_when_no_lora_reaches_the_limit_the_guess_is_full() -> None:
    found = from_records(seeds=1, losses=BAD)
    assert (found.decision.verification, chosen(found)) == (UNDECIDED, "full")
    assert "best guess is full fine-tuning" in found.sentence.en
    assert "no LoRA setting reaches them" in found.sentence.en


def test_do_not_use_lora() -> None:
    found = from_records(losses=BAD)
    assert (found.decision.verification, chosen(found)) == (RECOMMENDED, "full")
    assert found.sentence.en.startswith("Do not use LoRA here: no LoRA setting of 4 meets")
    assert found.sentence.ja.startswith("ここではLoRAを使わないでください。")
    assert "within the limits?" in render_recommendation(found, "en")


def test_nothing_qualifies() -> None:
    limits = Limits(max_memory_bytes=1.6 * GIB)
    found = from_records(limits=limits, losses={**GOOD, **BAD})
    assert found.decision.verification == NONE
    assert found.sentence.en.startswith("No setting meets the limits (at least 95%")
    assert "at most 1.60 GiB" in found.sentence.en
    assert "を満たす設定はありません" in found.sentence.ja
    assert found.to_dict()["answer"]["closest"] == chosen(found)


def test_the_memory_limit_excludes_and_names_the_other_reading() -> None:
    found = from_records(limits=Limits(max_memory_bytes=1.615 * GIB))
    assert chosen(found) == "r=8 q,k,v,o"
    out = of(found, "r=16 q,k,v,o")
    assert out.status == RULED_OUT
    assert out.deciding is not None
    assert "as practised it needs 1.37 GiB, but its quality was not measured" in (
        out.deciding.reason.en
    )
    assert "full fine-tuning" in found.sentence.en, "what it would cost is still shown"


def test_ties_with_the_recommended_setting() -> None:
    losses = {**GOOD, "r=16 q,k,v,o": 1.985, "r=32 q,k,v,o": 1.90}
    found = from_records(seeds=5, losses=losses)
    assert chosen(found) == "r=8 q,k,v,o"
    assert [tie.candidate.name for tie in found.ties] == ["r=16 q,k,v,o"]
    tie = found.ties[0]
    assert tie.quality.interval is not None
    assert tie.quality.interval[0] <= 0 <= tie.quality.interval[1]
    text = render_recommendation(found, "en")
    assert "Not told apart from r=8 q,k,v,o in quality: r=16 q,k,v,o" in text
    better = next(b for b in found.beside if b.candidate.name == "r=32 q,k,v,o")
    assert better.quality.shown
    assert (better.quality.mean or 0) < 0


def test_an_out_of_memory_cell_rules_out() -> None:
    def change(record: CellRecord) -> CellRecord:
        out = record.cell.label == "r=32 q,k,v,o"
        return fail(record) if out and record.cell.kind != "base" else record

    found = from_records(change=change)
    ran_out = of(found, "r=32 q,k,v,o")
    assert ran_out.status == RULED_OUT
    # On a host the limit is unknown; it needs more than the arms that did run.
    assert ran_out.candidate.memory_bytes == int(2.61 * GIB)
    assert "out of memory" in render_recommendation(found, "en")
    assert "メモリ不足" in render_recommendation(found, "ja")
    assert "r=32 q,k,v,o" not in [p.candidate.name for p in found.front.points]


def test_out_of_memory_on_an_accelerator_means_more_than_the_device_has() -> None:
    def change(record: CellRecord) -> CellRecord:
        record.environment["device"] = {"type": "cuda", "name": "X", "total_memory_bytes": 8 * GIB}
        return fail(record) if record.cell.label == "full" else record

    found = from_records(change=change)
    assert of(found, "full").candidate.memory_bytes == 8 * GIB
    assert of(found, "full").status == RULED_OUT
    assert found.decision.verification == UNDECIDED
    assert "full fine-tuning's training left no result (ran out of memory)" in found.sentence.en
    assert "held-out loss" in render_recommendation(found, "en"), "losses stand in for retention"
    larger = from_records(change=change, limits=Limits(max_memory_bytes=80 * GIB))
    assert of(larger, "full").status == UNDECIDED


def test_a_diverged_seed_is_not_left_out() -> None:
    def change(record: CellRecord) -> CellRecord:
        cell = record.cell
        hit = cell.label == "r=8 q,k,v,o" and cell.kind == "train" and cell.seed == 2
        return fail(record, "diverged") if hit else record

    found = from_records(seeds=5, change=change)
    assert of(found, "r=8 q,k,v,o").status == RULED_OUT
    assert chosen(found) == "r=16 q,k,v,o"
    assert "diverged" in render_recommendation(found, "en")


def test_several_sizes_are_answered_one_by_one() -> None:
    config = make_config(dataset_sizes=[500, 2000], seeds=4)

    def change(record: CellRecord) -> CellRecord:
        cell = record.cell
        if cell.dataset_size == 500 and cell.label == "r=8 q,k,v,o" and record.evaluation:
            worse = make_records(config, losses={"r=8 q,k,v,o": 2.2})
            other = next(r for r in worse if r.cell_id == record.cell_id)
            record.evaluation = other.evaluation
        return record

    records = make_records(config, losses=GOOD, noise=0.001, change=change)
    found = recommend(records)
    assert (found.data_size, chosen(found)) == (2000, "r=8 q,k,v,o")
    assert "at 2,000 texts" in found.sentence.en
    small = recommend(records, data_size=500)
    assert (small.data_size, chosen(small)) == (500, "r=16 q,k,v,o")
    assert [a.data_size for a in found.by_size] == [500, 2000]
    for language, words in (("en", "not the same at every data size"), ("ja", "データ量によって")):
        assert words in render_recommendation(found, language)
    with pytest.raises(ConfigError, match="data sizes here: 500, 2000"):
        recommend(records, data_size=700)


def test_quality_and_memory_come_from_the_same_precision() -> None:
    config = make_config(seeds=4, precision={"full": "amp-bf16", "lora": "bf16"})
    found = recommend(make_records(config, losses=GOOD))
    own = of(found, "r=8 q,k,v,o").candidate
    assert own.memory_reading == "as-practised"
    assert own.memory_bytes == own.memory_by_reading["as-practised"]
    assert "LoRA as practised" in render_recommendation(found, "en").replace("\n", " ")
    plain = of(from_records(), "r=8 q,k,v,o").candidate
    assert plain.memory_bytes == plain.memory_by_reading["controlled"]


def _without(*blocks: str) -> Change:
    """Records as an import may leave them: whole parts are not there."""

    def change(record: CellRecord) -> CellRecord | None:
        if "memory" in blocks and record.cell.kind == "memory":
            return None
        if "base" in blocks and record.cell.kind == "base":
            return None
        if "time" in blocks and record.training:
            del record.training["exclusive"]
        return record

    return change


def test_imported_records_without_memory_or_time() -> None:
    found = from_records(change=_without("memory", "time"))
    assert (found.decision.verification, chosen(found)) == (RECOMMENDED, "r=8 q,k,v,o")
    assert found.front.objectives == ("quality", "parameters")
    assert "trains the fewest parameters" in found.sentence.en
    limited = from_records(change=_without("memory"), limits=Limits(max_memory_bytes=2 * GIB))
    assert limited.decision.verification == UNDECIDED
    assert "peak memory was not measured, so the limit cannot be checked" in limited.sentence.en
    assert "ピークメモリが未測定" in limited.sentence.ja
    timed = from_records(change=_without("time"), limits=Limits(max_seconds=60))
    assert timed.decision.verification == UNDECIDED
    assert "training time was not measured" in timed.sentence.en


def test_no_brackets_where_no_cost_was_measured() -> None:
    def costless(record: CellRecord) -> CellRecord | None:
        if record.parameters:
            del record.parameters["trainable"]
        return _without("memory", "time")(record)

    guess = from_records(seeds=1, change=costless).sentence
    assert "Undecided at one seed" in guess.en
    assert "()" not in guess.en + guess.ja


def test_imported_records_that_state_neither_data_nor_size() -> None:
    def change(record: CellRecord) -> CellRecord | None:
        record.cell = replace(
            record.cell, dataset="not stated", dataset_size=0, batch_size=0, training_steps=0
        )
        if record.evaluation:
            del record.evaluation["documents"]
        record.environment = {"imported": "elsewhere"}
        return record

    found = from_records(change=change)
    assert chosen(found) == "r=8 q,k,v,o"
    assert "on this data" in found.best_sentence.en
    line = render_recommendation(found, "en").splitlines()[2]
    assert " 0 " not in line
    assert "error of the held-out texts unknown" in of(found, "r=8 q,k,v,o").retention.reason.en


def test_reserved_memory_stands_in_and_is_called_so() -> None:
    def change(record: CellRecord) -> CellRecord:
        if record.memory:
            record.memory["peak_reserved_bytes"] = record.memory.pop("peak_allocated_bytes")
        return record

    found = from_records(change=change)
    assert chosen(found) == "r=8 q,k,v,o"
    assert found.to_dict()["candidates"][0]["memory_kind"] == "reserved"
    assert "reserved" in render_recommendation(found, "en")


def test_without_a_base_loss_nothing_can_be_recommended() -> None:
    found = from_records(change=_without("base"))
    assert found.decision.verification == UNDECIDED
    assert "no base loss" in found.sentence.en


def test_where_full_gained_nothing_retention_has_no_meaning() -> None:
    found = from_records(losses={**GOOD, "full": 3.0})
    assert found.decision.verification == UNDECIDED
    assert of(found, "full").status == UNDECIDED


@pytest.mark.parametrize("kinds", [(), ("base",), ("memory",), ("base", "memory"), ("train",)])
def test_any_part_of_a_folder_gives_an_answer(kinds: tuple[str, ...]) -> None:
    found = from_records(change=lambda r: r if r.cell.kind in kinds else None)
    assert found.decision.verification == UNDECIDED
    json.dumps(found.to_dict(), allow_nan=False)
    for language in ("ja", "en"):
        assert render_recommendation(found, language).splitlines()[0]


def test_full_alone_says_nothing_about_lora() -> None:
    found = from_records(change=lambda r: r if r.cell.adapter is None else None)
    assert found.decision.verification == UNDECIDED
    assert "no LoRA setting was measured" in found.sentence.en
    assert "LoRAの測定がありません" in found.sentence.ja


# ---- front, pivot, best setting ------------------------------------------------------------------


def test_the_front_leaves_out_what_another_beats_and_says_who_is_apart() -> None:
    losses = {**GOOD, "r=16 q,k,v,o": 1.995, "r=32 q,k,v,o": 1.95}
    found = from_records(
        seeds=5, noise=0.001, losses=losses, change=_without("time"), peak_gib={"full": 2.0}
    )
    names = [p.candidate.name for p in found.front.points]
    assert names == ["r=4 q,v", "r=8 q,k,v,o", "r=32 q,k,v,o"]
    off = {o.candidate.name: o.dominated_by for o in found.front.off}
    assert off == {"r=16 q,k,v,o": "r=8 q,k,v,o", "full": "r=32 q,k,v,o"}
    assert all(not p.indistinguishable_from for p in found.front.points)
    assert all(p["distinguishable"] for p in found.to_dict()["pareto"])
    assert "Their quality can be told apart" in render_recommendation(found, "en")


def _grid(*adapters: Mapping[str, Any], **losses: float) -> Recommendation:
    config = make_config(seeds=4, lora_configurations=[dict(a) for a in adapters])
    return recommend(make_records(config, losses=losses, noise=0.001))


QV, QKVO = ["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"]


def test_the_pivot_shows_rank_targets_and_variants() -> None:
    found = _grid(
        {"r": 4, "target_modules": QV},
        {"r": 8, "target_modules": QV},
        {"r": 8, "target_modules": QKVO},
        {"r": 8, "target_modules": ["all-linear"]},
        {"r": 8, "target_modules": QKVO, "use_dora": True},
        {"r": 8, "alpha": 64, "target_modules": QKVO, "use_rslora": True},
    )
    pivot = found.pivot
    assert pivot.rows == ("r=4", "r=8", "DoRA r=8", "rsLoRA r=8 alpha=64")
    assert pivot.columns == ("q,v", "q,k,v,o", "all-linear")
    run = {(e.row, e.targets) for e in pivot.entries if e.status == "measured"}
    assert len(run) == 6
    assert pivot.at("r=4", "all-linear").status == "not_run"
    assert pivot.at("DoRA r=8", "q,k,v,o").judged is of(found, "DoRA r=8 q,k,v,o")
    assert "not run" in render_recommendation(found, "en")
    assert "未実行" in render_recommendation(found, "ja")
    assert not any("DoRA" in text.en for text in pivot.not_compared)


def test_what_was_not_compared_is_said() -> None:
    one = _grid({"r": 8, "target_modules": QV})
    lines = [text.en for text in one.pivot.not_compared]
    assert "ranks (only 8 was run)" in lines
    assert "target modules (only q,v was run)" in lines
    assert "DoRA and rsLoRA" in lines
    assert "Only one LoRA setting was run" in one.best_sentence.en
    mixed = _grid({"r": 4, "target_modules": QV}, {"r": 8, "target_modules": QKVO})
    assert any("target modules at one rank" in t.en for t in mixed.pivot.not_compared)
    assert "4 of 6 combinations" in mixed.pivot.not_compared[0].en


def test_the_order_in_which_target_modules_are_named_adds_no_column() -> None:
    found = _grid({"r": 4, "target_modules": QV}, {"r": 8, "target_modules": QV[::-1]})
    assert found.pivot.columns == ("q,v", "q,k,v,o", "all-linear")
    assert found.pivot.at("r=8", "q,v").judged is of(found, "r=8 v,q")


def test_the_best_setting_is_named_only_when_it_is_shown() -> None:
    clear = from_records(noise=0.001, losses={**GOOD, "r=32 q,k,v,o": 1.9})
    assert clear.best.verification == "SHOWN"
    assert clear.best_sentence.en.startswith(
        "The best LoRA setting on generated Japanese is r=32 q,k,v,o"
    )
    assert "better than each of the other 3" in clear.best_sentence.en
    assert clear.best_sentence.ja.startswith(
        "生成した日本語データで最も良いLoRA設定は r=32 q,k,v,o"
    )
    tied = from_records(noise=0.02)
    assert tied.best.verification == UNDECIDED
    assert tied.best_sentence.en.startswith("No single LoRA setting is best")
    assert "見分けられません" in tied.best_sentence.ja


# ---- what people and programs read ---------------------------------------------------------------

SCENES: dict[str, Callable[[], Recommendation]] = {
    "clear": from_records,
    "one seed": lambda: from_records(seeds=1),
    "full": lambda: from_records(losses=BAD),
    "none": lambda: from_records(limits=Limits(max_memory_bytes=GIB)),
    "nothing": lambda: recommend([]),
    "time": lambda: from_records(limits=Limits(max_seconds=50, cheapest="time")),
    "sizes": lambda: recommend(make_records(make_config(dataset_sizes=[500, 2000], seeds=2))),
}


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("language", ["ja", "en"])
def test_text_starts_with_the_answer_and_keeps_to_its_language(scene: str, language: str) -> None:
    found = SCENES[scene]()
    lines = render_recommendation(found, language).splitlines()
    assert lines[0] == (found.sentence.ja if language == "ja" else found.sentence.en)
    text = "\n".join(lines)
    assert "{" not in text
    assert "None" not in text
    assert "nan" not in text.split()
    if language == "en":
        assert not any("\u3040" <= letter <= "\u9fff" for letter in text)


def test_json_has_the_documented_shape() -> None:
    document = from_records().to_dict()
    json.dumps(document, allow_nan=False)
    assert document["schema"] == "lora-bench/recommendation/1"
    assert set(document) >= {
        "schema", "answer", "limits", "candidates", "pareto", "ties", "pivot", "best_lora",
        "by_size", "not_compared", "conditions", "confidence", "warnings",
    }  # fmt: skip
    answer = document["answer"]
    assert set(answer) >= {"verification", "configuration", "sentence", "cells"}
    assert set(answer["sentence"]) == {"ja", "en"}
    assert answer["configuration"] == "r=8 q,k,v,o"
    assert any(cell.startswith("train-r-8") for cell in answer["cells"])
    assert any(cell.startswith("memory-r-8") for cell in answer["cells"])
    entry = next(c for c in document["candidates"] if c["configuration"] == "r=8 q,k,v,o")
    assert entry["status"] == QUALIFIES
    assert entry["interval"][0] < entry["ci95"][0] < entry["retention"] < entry["ci95"][1]
    assert entry["limits"][0]["limit"] == "retention"
    assert document["confidence"]["corrected_for"] == 4
    assert {e["status"] for e in document["pivot"]} == {"measured", "not_run"}


def call(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["lora-bench", "recommend", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
    return int(end.value.code or 0), out.getvalue(), err.getvalue()


def _store(path: Path, seeds: int) -> str:
    config = make_config(seeds=seeds)
    store = Store(path)
    store.create()
    store.write_text("config.yaml", config.to_yaml())
    for record in make_records(config, losses=GOOD):
        store.write_record(record)
    return str(path)


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _store(tmp_path_factory.mktemp("decided"), 4)


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _store(tmp_path_factory.mktemp("undecided"), 1)


def test_the_command_prints_text_and_json(decided: str) -> None:
    limits = ["--retention", "90%", "--max-memory", "24GiB", "--max-minutes", "2"]
    code, text, errors = call(decided, *limits, "--lang", "en")
    assert (code, errors) == (0, "")
    assert "at least 90% of full fine-tuning's gain, at most 24.00 GiB, at most 2 min" in text
    document = json.loads(call(decided, "--json", "--cheapest", "parameters")[1])
    assert document["limits"]["cheapest"] == "parameters"
    assert document["answer"]["verification"] == RECOMMENDED
    assert call(decided, "--lang", "ja")[1].startswith("r=8 q,k,v,o を推奨")


def test_the_installed_command_reads_the_locale_and_loads_no_torch(decided: str) -> None:
    code = (
        "import sys\nfrom lora_efficiency_benchmark import cli\n"
        f"sys.argv = ['lora-bench', 'recommend', {decided!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "ja_JP.UTF-8", "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("r=8 q,k,v,o を推奨")


def test_strict_is_exit_3_unless_recommended(decided: str, undecided: str) -> None:
    assert call(decided, "--strict")[0] == 0
    code, text, _ = call(undecided, "--strict", "--json")
    assert code == 3
    assert json.loads(text)["answer"]["verification"] == UNDECIDED
    assert call(undecided)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--retention", "95"], "--retention 95: must be a share such as 0.95"),
        (["--retention", "much"], "--retention much"),
        (["--retention", "nan"], "--retention nan"),
        (["--max-memory", "24"], "--max-memory 24: give the size with its unit"),
        (["--max-memory", "RTX-4091"], "--max-memory RTX-4091: unknown GPU"),
        (["--max-minutes", "0"], "--max-minutes 0"),
        (["--data-size", "700"], "data size 700: was not run; data sizes here: 2000"),
        (["--data-size", "1.5"], "--data-size 1.5"),
        (["--cheapest", "disk"], "--cheapest disk: must be one of memory, time, parameters"),
        (["--lang", "fr"], "must be ja or en"),
    ],
)
def test_bad_values_are_one_line_and_exit_1(decided: str, arguments: list[str], words: str) -> None:
    code, text, errors = call(decided, *arguments)
    assert (code, text) == (1, "")
    assert len(errors.strip().splitlines()) == 1, errors
    assert words in errors


def test_bad_folders_are_one_line_and_exit_1(tmp_path: Path) -> None:
    for folder, words in (("/no/such/folder", "no such folder"), (str(tmp_path), "no records")):
        code, text, errors = call(folder)
        assert (code, text) == (1, "")
        assert len(errors.strip().splitlines()) == 1
        assert words in errors


@pytest.mark.parametrize(("name", "language"), [("README.md", "en"), ("README.ja.md", "ja")])
def test_the_readme_shows_what_the_command_prints(name: str, language: str) -> None:
    root = Path(__file__).parent.parent
    folder = str(root / "benchmarks/results/settings-japanese-2026-12-01")
    code, text, _ = call(folder, "--retention", "0.9", "--lang", language)
    assert code == 0
    readme = "".join((root / name).read_text(encoding="utf-8").split())
    found = text.splitlines()
    table = next(i for i, line in enumerate(found) if line.startswith(("rank ", "ランク ")))
    shown = [found[0], *found[table : found.index("", table)]]
    assert "".join("".join(shown).split()) in readme.replace("...", ""), "make the example again"


def test_the_command_names_the_other_model_of_a_run_across_models(tmp_path: Path) -> None:
    config = make_config(model_name="large", base_model_name="small", seeds=4)
    reference = config.reference
    assert reference is not None
    store = Store(tmp_path)
    store.create()
    store.write_text("config.yaml", config.to_yaml())
    for record in (*make_records(config, losses=GOOD), *make_records(reference)):
        store.write_record(record)
    document = json.loads(call(str(tmp_path), "--json")[1])
    assert document["conditions"]["base_model"] == "small"
    assert not [w for w in document["warnings"] if w["code"] == "settings_mixed"]
    assert "small も測定しています" in call(str(tmp_path), "--lang", "ja")[1]
    error = {"kind": "diverged", "message": "loss is nan"}
    for path in store.records_path.glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["cell"]["model_name"] == "small":
            path.write_text(json.dumps({**record, "status": "failed", "error": error}))
    assert "base_model" not in json.loads(call(str(tmp_path), "--json")[1])["conditions"]
