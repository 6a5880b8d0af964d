"""Verdicts on single claims: by value, by interval, by the specification's mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scipy import stats

from factories import environment, fail, make_config, make_records
from lora_efficiency_benchmark.analysis import Analysis, ClaimVerdict, analyze
from lora_efficiency_benchmark.analysis.contrasts import Moments, PairedRatio
from lora_efficiency_benchmark.analysis.metrics import Measurement
from lora_efficiency_benchmark.analysis.verdicts import (
    judge_configuration,
    judge_interval,
    judge_value,
)
from lora_efficiency_benchmark.config.claims import Claim, load_claims
from lora_efficiency_benchmark.plan import AS_PRACTISED
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.units import GIB

CLAIMS = load_claims("paper-r5")
BY_ID = {claim.id: claim for claim in CLAIMS}
QUALITY = BY_ID["gain-retention"]
PARAMETERS = BY_ID["parameter-reduction"]
MEMORY = BY_ID["memory-controlled"]


def run(*args: Any, **fields: Any) -> dict[str, ClaimVerdict]:
    """Claim id -> verdict on synthetic records."""
    return by_id(analyze(make_records(*args, **fields), CLAIMS))


def by_id(analysis: Analysis) -> dict[str, ClaimVerdict]:
    return {claim.id: claim for claim in analysis.claims}


def statuses(verdict: ClaimVerdict) -> list[str]:
    return [entry.verification for entry in verdict.per_configuration]


# ---- deterministic metrics ----------------------------------------------------------------------


def test_the_mean_rule_and_what_it_hides() -> None:
    verdict = run()["parameter-reduction"]
    values = [entry.value for entry in verdict.per_configuration]
    assert values == pytest.approx([583.83, 145.96, 72.98, 36.49], abs=0.01)
    assert verdict.mean == pytest.approx(209.81, abs=0.01)
    assert verdict.verification == "VERIFIED"
    assert statuses(verdict) == ["VERIFIED", "PARTIAL", "PARTIAL", "FAILED"]
    assert "3 of 4 miss the claimed 200x and 3 the threshold 150x" in verdict.reason
    assert "4件中3件が主張の200倍に未達" in verdict.reason_ja


@pytest.mark.parametrize(
    ("claim", "value", "expected"),
    [
        (PARAMETERS, 150.0, "VERIFIED"),
        (PARAMETERS, 149.99, "PARTIAL"),
        (PARAMETERS, 50.0, "PARTIAL"),
        (PARAMETERS, 49.99, "FAILED"),
        (MEMORY, 1.75, "VERIFIED"),
        (MEMORY, 1.7499, "PARTIAL"),
        (MEMORY, 1.25, "PARTIAL"),
        (MEMORY, 1.2499, "FAILED"),
    ],
)
def test_values_on_both_sides_of_each_threshold(claim: Claim, value: float, expected: str) -> None:
    assert judge_value(claim, value) == expected


@pytest.mark.parametrize(
    ("value", "bound", "expected"),
    [
        (1.8, "lower", "VERIFIED"),
        (1.5, "lower", "UNDECIDED"),
        (1.0, "lower", "UNDECIDED"),
        (1.8, "upper", "UNDECIDED"),
        (1.5, "upper", "UNDECIDED"),
        (1.0, "upper", "FAILED"),
    ],
)
def test_a_bound_decides_only_what_lies_beyond_it(value: float, bound: str, expected: str) -> None:
    assert judge_value(MEMORY, value, bound) == expected


def test_deterministic_metrics_have_no_interval_and_ignore_sizes_and_seeds() -> None:
    verdicts = run(make_config(dataset_sizes=[1000, 2000], seeds=3))
    for name in ("parameter-reduction", "memory-controlled", "memory-as-practised"):
        entries = verdicts[name].per_configuration
        assert len(entries) == 4
        assert {(e.ci95, e.num_seeds, e.dataset_size) for e in entries} == {(None, 1, None)}


def test_both_memory_readings() -> None:
    verdicts = run(peak_gib={"full": 3.0, "r=4 q,v": 1.5})
    controlled = verdicts["memory-controlled"].per_configuration[0]
    practised = verdicts["memory-as-practised"].per_configuration[0]
    assert controlled.value == pytest.approx(2.0)
    assert practised.value is not None
    assert practised.value > 2.0
    assert verdicts["memory-as-practised"].precision == AS_PRACTISED


def test_a_run_in_bf16_is_its_own_as_practised_reading() -> None:
    verdicts = run(make_config(precision="bf16"))
    assert verdicts["memory-as-practised"].mean == verdicts["memory-controlled"].mean


# ---- noisy metrics ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (None, "UNDECIDED"),
        ((0.95, 0.99), "VERIFIED"),
        ((0.9499, 0.99), "UNDECIDED"),
        ((0.80, 0.9499), "PARTIAL"),
        ((0.80, 0.95), "UNDECIDED"),
        ((0.7999, 0.90), "UNDECIDED"),
        ((0.70, 0.7999), "FAILED"),
        ((0.70, 0.80), "UNDECIDED"),
        ((0.50, 1.10), "UNDECIDED"),
    ],
)
def test_intervals_on_both_sides_of_each_threshold(
    interval: tuple[float, float] | None, expected: str
) -> None:
    assert judge_interval(QUALITY, interval) == expected


def test_one_seed_is_undecided_and_says_how_many_would_decide() -> None:
    verdict = run(seeds=1)["gain-retention"]
    assert set(statuses(verdict)) == {"UNDECIDED"}
    assert verdict.verification == "UNDECIDED"
    first = verdict.per_configuration[0]
    assert (first.ci95, first.num_seeds, first.seeds_needed) == (None, 1, 3)
    assert first.value == pytest.approx((2.85 - 2.24) / (2.85 - 1.97))
    assert "about 3 seeds" in first.reason
    assert "3シード" in first.reason_ja


def test_three_seeds_against_scipy() -> None:
    """The value is the ratio of the means; at both ends its contrast is just compatible with 0."""
    records = make_records(seeds=3, noise=0.01)
    verdict = by_id(analyze(records, CLAIMS))["gain-retention"]
    loss = {
        (r.cell.label, r.cell.seed): (r.evaluation or {})["loss"]
        for r in records
        if r.cell.kind == "train"
    }
    for entry in verdict.per_configuration:
        x = [2.85 - loss[entry.configuration, seed] for seed in range(3)]
        y = [2.85 - loss["full", seed] for seed in range(3)]
        assert entry.num_seeds == 3
        assert entry.value == pytest.approx(sum(x) / sum(y))
        assert entry.ci95 is not None
        assert entry.ci95[0] < entry.value < entry.ci95[1]
        for end in entry.ci95:
            contrast = [a - end * b for a, b in zip(x, y, strict=True)]
            # The documents of these records all scatter alike, and the contrast hardly does.
            assert stats.ttest_1samp(contrast, 0.0).pvalue == pytest.approx(0.05, abs=0.002)


def test_documents_count_where_the_records_have_them() -> None:
    def uneven(record: CellRecord) -> CellRecord:
        """LoRA keeps more on some texts than on others, and as much in all."""
        if record.cell.kind == "train" and record.cell.adapter and record.evaluation:
            for i, document in enumerate(record.evaluation["documents"]):
                document["nats"] += 12.0 * (-1) ** (i // 2)
        return record

    def bare(record: CellRecord) -> CellRecord:
        if record.evaluation:
            record.evaluation["documents"] = []
        return record

    losses = {"full": 1.97, "r=4 q,v": 2.0}
    arguments: dict[str, Any] = {"seeds": 4, "noise": 0.002, "losses": losses}
    even, wide, none = (
        run(**arguments, change=change)["gain-retention"].per_configuration[0]
        for change in (None, uneven, bare)
    )
    assert even.verification == none.verification == "VERIFIED"
    assert (
        "at most 5% of full fine-tuning's gain is lost (4 seeds, 200 held-out texts)" in even.reason
    )
    assert "5%以内(4シード、評価テキスト200件)" in even.reason_ja
    assert "error of the held-out texts unknown" in none.reason
    assert "評価テキストの誤差は不明" in none.reason_ja
    assert wide.value == pytest.approx(even.value)
    assert (wide.verification, wide.seeds_needed) == ("UNDECIDED", None)
    assert "more seeds alone would not decide, the error of 200 held-out texts" in wide.reason
    assert f"texts is too large; about {wide.texts_needed}" in wide.reason
    assert "評価テキスト200件の誤差が大きく、判定には約" in wide.reason_ja


def test_documents_that_do_not_add_up_to_the_loss_are_not_used() -> None:
    def other_loss(record: CellRecord) -> CellRecord:
        if record.evaluation and record.cell.label == "r=4 q,v":
            record.evaluation["loss"] -= 0.1
        return record

    entries = run(seeds=3, change=other_loss)["gain-retention"].per_configuration
    assert "texts unknown" in entries[0].reason
    assert "texts unknown" not in entries[1].reason


@pytest.mark.parametrize(
    ("retention", "en", "ja"),
    [
        (1.0, "at most 5% of", "5%以内"),
        (0.88, "more than 5%, at most 20% of", "5%超20%以内"),
        (0.70, "more than 20% of", "20%超"),
    ],
)
def test_a_decided_quality_verdict_names_its_margin(retention: float, en: str, ja: str) -> None:
    ratio = PairedRatio({0: retention, 1: retention + 0.001}, {0: 1.0, 1: 1.0})
    entry = judge_configuration(QUALITY, Measurement("r=4 q,v", 2000, {}, ratio))
    assert en in entry.reason
    assert ja in entry.reason_ja
    assert "%" not in judge_configuration(
        replace(QUALITY, verified_at=1.1), Measurement("r=4 q,v", 2000, {}, ratio)
    ).reason.replace("95%", "")


def test_three_quiet_seeds_decide() -> None:
    losses = {"full": 1.97, "r=4 q,v": 2.24, "r=8 q,k,v,o": 2.05, "r=16 q,k,v,o": 1.97}
    verdict = run(seeds=3, noise=0.002, losses=losses)["gain-retention"]
    assert statuses(verdict)[:3] == ["FAILED", "PARTIAL", "VERIFIED"]
    assert all(entry.seeds_needed is None for entry in verdict.per_configuration)


def test_retention_is_never_clipped() -> None:
    verdict = run(seeds=3, noise=0.001, losses={"r=4 q,v": 1.90, "r=8 q,k,v,o": 3.0})
    better, worse = verdict["gain-retention"].per_configuration[:2]
    assert better.value is not None
    assert worse.value is not None
    assert better.value > 1.0
    assert worse.value < 0.0


def test_noisy_seeds_ask_for_more_than_there_are() -> None:
    verdict = run(seeds=3, noise=0.03, losses={"r=32 q,k,v,o": 2.0})["gain-retention"]
    for entry in verdict.per_configuration:
        if entry.verification == "UNDECIDED" and entry.seeds_needed is not None:
            assert entry.seeds_needed > 3


@pytest.mark.parametrize("value", [0.95, 0.80, 0.9501])
def test_on_a_threshold_no_number_of_seeds_is_promised(value: float) -> None:
    ratio = PairedRatio({0: value}, {0: 1.0}, planned=Moments(xx=0.02**2))
    entry = judge_configuration(QUALITY, Measurement("r=4 q,v", 2000, ratio=ratio))
    assert entry.verification == "UNDECIDED"
    assert entry.seeds_needed is None
    reason = "more than 100 seeds" if value == 0.9501 else "sits on a threshold"
    assert reason in entry.reason
    assert entry.reason_ja


def test_a_noisy_value_without_its_noise_is_undecided() -> None:
    entry = judge_configuration(QUALITY, Measurement("r=4 q,v", 2000, {0: 1.0, 1: 1.0}))
    assert (entry.verification, entry.value, entry.ci95) == ("UNDECIDED", 1.0, None)


def test_quality_is_judged_at_each_data_size() -> None:
    verdict = run(make_config(dataset_sizes=[1000, 2000], seeds=2))["gain-retention"]
    places = [(e.configuration, e.dataset_size) for e in verdict.per_configuration]
    assert len(places) == len(set(places)) == 8


def test_time_needs_a_free_machine() -> None:
    def busy(record: CellRecord) -> CellRecord:
        if record.training and record.cell.label == "r=4 q,v":
            record.training["exclusive"] = False
        return record

    verdict = run(seeds=3, change=busy)["training-time"]
    assert statuses(verdict) == ["NOT_MEASURED", "VERIFIED", "VERIFIED", "VERIFIED"]
    assert verdict.per_configuration[0].value is None
    assert run(seeds=1)["training-time"].verification == "UNDECIDED"


def test_time_on_both_sides() -> None:
    def slow(record: CellRecord) -> CellRecord:
        factor = {"r=4 q,v": 2.5, "r=8 q,k,v,o": 1.8}.get(record.cell.label)
        if record.training and factor:
            record.training["train_seconds"] *= factor
        return record

    assert statuses(run(seeds=3, change=slow)["training-time"])[:3] == [
        "FAILED",
        "PARTIAL",
        "VERIFIED",
    ]


# ---- not measured -------------------------------------------------------------------------------


def test_full_without_a_gain_leaves_retention_unmeasured() -> None:
    verdict = run(seeds=2, losses={"full": 2.9})["gain-retention"]
    assert set(statuses(verdict)) == {"NOT_MEASURED"}
    assert verdict.verification == "NOT_MEASURED"
    assert "gained nothing" in verdict.reason


def test_a_doubtful_gain_of_full_leaves_retention_undecided() -> None:
    """LoRA gains a lot, full fine-tuning 0.01 nats with a deviation of 0.03: no ratio to judge."""
    verdict = run(seeds=3, noise=0.03, losses={"full": 2.84})["gain-retention"]
    assert set(statuses(verdict)) == {"UNDECIDED"}
    assert verdict.verification == "UNDECIDED"
    for entry in verdict.per_configuration:
        assert entry.ci95 is None
        assert "full fine-tuning's own gain is not clearly above zero" in entry.reason
        assert "改善が0を上回るか不確か" in entry.reason_ja


def test_a_seed_without_a_gain_stays_in() -> None:
    """Leaving it out would keep only the runs in which full fine-tuning did well."""

    def unlucky(record: CellRecord) -> CellRecord:
        if record.cell.label == "full" and record.cell.seed == 1 and record.evaluation:
            record.evaluation["loss"] = 2.86
        return record

    entry = run(seeds=3, noise=0.0, change=unlucky)["gain-retention"].per_configuration[0]
    assert entry.num_seeds == 3
    assert entry.value == pytest.approx(3 * (2.85 - 2.24) / (2 * (2.85 - 1.97) - 0.01))
    assert entry.verification == "UNDECIDED"


def test_a_nan_loss_is_not_measured() -> None:
    verdict = run(losses={"r=4 q,v": float("nan")})["gain-retention"]
    assert statuses(verdict)[0] == "NOT_MEASURED"
    assert "1 not measured" in verdict.reason


def test_two_models_are_not_compared_yet() -> None:
    claim = replace(PARAMETERS, comparison="cross-model")
    verdict = analyze(make_records(), [claim]).claims[0]
    assert (verdict.verification, verdict.per_configuration) == ("NOT_MEASURED", ())
    assert verdict.reason
    assert verdict.reason_ja


@pytest.mark.parametrize("kinds", [(), ("base",), ("memory",), ("train",), ("base", "memory")])
def test_any_part_of_a_matrix_will_do(kinds: tuple[str, ...]) -> None:
    verdicts = run(change=lambda r: r if r.cell.kind in kinds else None)
    measured = {"parameter-reduction"} if set(kinds) & {"memory", "train"} else set()
    measured |= {"memory-controlled", "memory-as-practised"} if "memory" in kinds else set()
    measured |= {"training-time"} if "train" in kinds else set()
    found = {name for name, v in verdicts.items() if v.verification != "NOT_MEASURED"}
    assert found == measured
    assert all(verdict.reason and verdict.reason_ja for verdict in verdicts.values())


def test_missing_full_fine_tuning() -> None:
    analysis = analyze(make_records(change=lambda r: None if r.cell.label == "full" else r), CLAIMS)
    verdicts = by_id(analysis)
    assert verdicts["parameter-reduction"].mean == pytest.approx(209.81, abs=0.01)  # from base
    assert verdicts["memory-controlled"].verification == "NOT_MEASURED"
    assert verdicts["gain-retention"].verification == "NOT_MEASURED"


# ---- out of memory ------------------------------------------------------------------------------


def out_of_memory(label: str, **device: Any) -> Any:
    def change(record: CellRecord) -> CellRecord:
        record.environment = environment(
            device={"type": "cuda", "name": "GPU", "total_memory_bytes": 4 * GIB, **device}
        )
        if record.cell.label == label and record.cell.kind == "memory":
            return fail(record)
        return record

    return change


def test_full_out_of_memory_is_a_lower_bound() -> None:
    analysis = analyze(make_records(change=out_of_memory("full")), CLAIMS)
    verdict = by_id(analysis)["memory-controlled"]
    first = verdict.per_configuration[0]
    assert first.value == pytest.approx(4 / 1.58)
    assert (first.bound, first.verification) == ("lower", "VERIFIED")
    assert "more than 4.00 GiB" in first.reason
    assert "ran out of memory" in verdict.reason
    arm = next(a for a in analysis.arms if a.label == "r=4 q,v")
    assert arm.memory_ratio["controlled"] == pytest.approx(4 / 1.58)
    assert arm.memory_ratio_bound["controlled"] == "lower"
    full = next(a for a in analysis.arms if a.label == "full")
    assert "out_of_memory" in full.failures[0]
    assert analysis.failures[0]["kind"] == "out_of_memory"


def test_lora_out_of_memory_is_an_upper_bound() -> None:
    entry = run(change=out_of_memory("r=4 q,v"))["memory-controlled"].per_configuration[0]
    assert entry.value == pytest.approx(2.61 / 4)
    assert (entry.bound, entry.verification) == ("upper", "FAILED")


def test_the_host_sets_no_known_limit() -> None:
    verdicts = run(change=out_of_memory("full", type="cpu"))
    entry = verdicts["memory-controlled"].per_configuration[0]
    assert (entry.value, entry.bound, entry.verification) == (1.0, "lower", "UNDECIDED")
    assert "miss" not in verdicts["memory-controlled"].reason  # a lower bound shows no such thing


def test_another_failure_is_no_bound() -> None:
    def change(record: CellRecord) -> CellRecord:
        return fail(record, "time_limit") if record.cell.kind == "memory" else record

    assert run(change=change)["memory-controlled"].verification == "NOT_MEASURED"
