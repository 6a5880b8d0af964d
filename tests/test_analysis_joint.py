"""The joint verdict: does any single configuration meet all claims at once?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from factories import make_config, make_records
from lora_efficiency_benchmark.analysis import JointVerdict, analyze
from lora_efficiency_benchmark.analysis.claim_verdicts import JudgedClaim, judge_claim
from lora_efficiency_benchmark.analysis.contrasts import PairedRatio
from lora_efficiency_benchmark.analysis.joint import decide, judge_joint
from lora_efficiency_benchmark.analysis.metrics import Measurement
from lora_efficiency_benchmark.config.claims import Claim, load_claims
from lora_efficiency_benchmark.records.results import CellRecord

CLAIMS = load_claims("paper-r5")
GOOD_MEMORY = {"full": 3.2, "r=4 q,v": 1.6}
GOOD_LOSS = {"full": 1.97, "r=4 q,v": 1.96}


def joint(*args: Any, **fields: Any) -> JointVerdict:
    return analyze(make_records(*args, **fields), CLAIMS).joint


def of(verdict: JointVerdict, name: str) -> dict[str, Any]:
    return next(c for c in verdict.configurations if c["configuration"] == name)


def test_verified_when_one_configuration_meets_everything() -> None:
    verdict = joint(seeds=4, noise=0.001, peak_gib=GOOD_MEMORY, losses=GOOD_LOSS)
    assert verdict.verification == "VERIFIED"
    assert set(of(verdict, "r=4 q,v")["claims"].values()) == {"VERIFIED"}
    assert "r=4 q,v meets all three claims at once" in verdict.sentence["en"]
    assert "3つの主張すべてを同時に満たします" in verdict.sentence["ja"]


def test_different_configurations_do_not_add_up() -> None:
    """r=4 meets parameters and memory, r=32 meets quality: no single one meets all."""
    losses = {"full": 1.97, "r=4 q,v": 2.3, "r=32 q,k,v,o": 1.95}
    peaks = {"full": 3.2, "r=4 q,v": 1.6, "r=32 q,k,v,o": 2.4}
    verdict = joint(seeds=4, noise=0.001, peak_gib=peaks, losses=losses)
    assert verdict.verification in ("PARTIAL", "FAILED")
    assert "no single configuration meets all three claims" in verdict.sentence["en"]


def test_undecided_while_one_configuration_still_could() -> None:
    verdict = joint(seeds=1, peak_gib=GOOD_MEMORY, losses=GOOD_LOSS)
    assert verdict.verification == "UNDECIDED"
    entry = of(verdict, "r=4 q,v")
    assert entry["verification"] == "UNDECIDED"
    assert entry["seeds_needed"] is not None
    assert f"about {entry['seeds_needed']} seeds would decide" in verdict.sentence["en"]
    assert "r=4 q,v still could" in verdict.sentence["en"]


def test_a_deterministic_miss_decides_although_quality_is_open() -> None:
    verdict = joint(seeds=1)
    assert verdict.verification == "PARTIAL"
    assert of(verdict, "r=4 q,v")["claims"]["gain-retention"] == "UNDECIDED"
    assert "this is decided" in verdict.reason
    assert "FAILED may follow" in verdict.reason
    assert "missed by 4 of 4" in verdict.reason
    assert "no single configuration meets all three claims" in verdict.sentence["en"]
    assert "undecided" in verdict.sentence["en"]
    assert "判定保留" in verdict.sentence["ja"]


def test_partial_when_every_claim_is_decided() -> None:
    losses = {"full": 1.97, "r=4 q,v": 2.05}
    verdict = joint(seeds=4, noise=0.001, losses=losses)
    assert verdict.verification == "PARTIAL"
    assert "may follow" not in verdict.reason
    assert "r=4 q,v comes closest" in verdict.sentence["en"]


def test_failed_when_every_configuration_failed_something() -> None:
    verdict = joint(seeds=1, peak_gib={"full": 1.8})
    assert verdict.verification == "FAILED"
    assert {c["verification"] for c in verdict.configurations} == {"FAILED"}


@pytest.mark.parametrize("kinds", [(), ("base",)])
def test_not_measured_before_there_is_anything_to_judge(kinds: tuple[str, ...]) -> None:
    verdict = joint(change=lambda r: r if r.cell.kind in kinds else None)
    assert verdict.verification == "NOT_MEASURED"
    assert verdict.configurations == ()
    assert "not judged" in verdict.sentence["en"]


def test_not_measured_when_quality_is_missing_and_the_rest_is_met() -> None:
    def memory_only(record: CellRecord) -> CellRecord | None:
        good = record.cell.label in ("full", "r=4 q,v")
        return record if record.cell.kind == "memory" and good else None

    verdict = joint(peak_gib=GOOD_MEMORY, change=memory_only)
    assert verdict.verification == "NOT_MEASURED"
    assert "equal quality" in verdict.reason


def test_memory_alone_can_already_decide() -> None:
    verdict = joint(change=lambda r: r if r.cell.kind == "memory" else None)
    assert verdict.verification == "PARTIAL"
    assert of(verdict, "r=4 q,v")["claims"]["gain-retention"] == "NOT_MEASURED"


@pytest.mark.parametrize(
    ("verifications", "expected"),
    [
        ([], "NOT_MEASURED"),
        (["NOT_MEASURED"], "NOT_MEASURED"),
        (["FAILED", "VERIFIED", "UNDECIDED"], "VERIFIED"),
        (["FAILED", "UNDECIDED", "PARTIAL"], "UNDECIDED"),
        (["FAILED", "NOT_MEASURED"], "UNDECIDED"),
        (["FAILED", "PARTIAL"], "PARTIAL"),
        (["FAILED", "FAILED"], "FAILED"),
    ],
)
def test_the_rule(verifications: list[str], expected: str) -> None:
    assert decide(verifications) == expected


def judged(
    retentions: list[list[float]], params: list[float] | None = None, claims: list[Claim] = CLAIMS
) -> list[JudgedClaim]:
    """Joint claims on configurations with these retentions by seed; memory is met by all."""
    names = [f"c{i}" for i in range(len(retentions))]
    found = []
    for claim in claims:
        if claim.noisy:
            sizes = [dict(enumerate(values)) for values in retentions]
            ratios = [PairedRatio(x, dict.fromkeys(x, 1.0)) for x in sizes]
            parts = [
                Measurement(name, 1000, r.by_seed, r) for name, r in zip(names, ratios, strict=True)
            ]
        else:
            exact = params if params and claim.id == "parameter-reduction" else [claim.claimed]
            values = exact * (len(names) // len(exact))
            parts = [
                Measurement(name, values={0: v}) for name, v in zip(names, values, strict=True)
            ]
        found.append(judge_claim(claim, parts))
    return found


BORDERLINE = [0.97, 0.975, 0.98]  # +- 0.0124 at 95 %, +- 0.0256 at 98.75 %
GOOD, POOR = [1.2, 1.21, 1.22], [0.5, 0.51, 0.52]


def test_asking_for_any_configuration_needs_stronger_evidence() -> None:
    """Three seeds that verify quality at 95 % do not at 1 - 0.05/4."""
    claims = judged([BORDERLINE] * 4)
    assert claims[-2].verdict.per_configuration[0].verification == "VERIFIED"
    verdict = judge_joint(claims, "a model")
    entry = of(verdict, "c0")
    assert entry["claims"]["gain-retention"] == "UNDECIDED"
    assert entry["seeds_needed"] > 3
    assert verdict.verification == "UNDECIDED"
    assert "corrected for 4 configurations" in verdict.reason
    assert "4通り" in verdict.reason_ja
    assert judge_joint(judged([BORDERLINE]), "a model").verification == "VERIFIED"


def test_what_a_count_rules_out_is_no_further_try() -> None:
    claims = judged([BORDERLINE] * 4, params=[200.0, 100.0, 100.0, 20.0])
    assert judge_joint(claims, "a model").verification == "VERIFIED"
    # Ruled out by a noisy claim it was a try all the same.
    poor = judge_joint(judged([BORDERLINE, POOR, POOR, POOR]), "a model")
    assert poor.verification == "UNDECIDED"
    assert "corrected for 4 configurations" in poor.reason


def test_none_needs_no_correction_for_configurations() -> None:
    """All four at 95 % below the lower threshold: FAILED, whatever their number."""
    low = [0.77, 0.775, 0.78]
    assert judge_joint(judged([low]), "a model").verification == "FAILED"
    assert judge_joint(judged([low] * 4), "a model").verification == "FAILED"


def test_several_noisy_claims_correct_what_rules_out() -> None:
    """Either of two noisy claims may rule a configuration out by chance."""
    low = [0.77, 0.775, 0.78]  # upper end 0.7874 at 95 %, 0.8006 at 98.75 %
    both = [replace(c, joint=True) if c.id == "training-time" else c for c in CLAIMS]
    twice = [replace(c, id=f"{c.id}-{i}") for c in both for i in range(2) if c.noisy]
    assert judge_joint(judged([low], claims=CLAIMS), "a model").verification == "FAILED"
    verdict = judge_joint(judged([low], claims=[*CLAIMS[:3], *twice]), "a model")
    assert set(of(verdict, "c0")["claims"].values()) >= {"UNDECIDED"}
    assert verdict.verification == "PARTIAL"  # below 0.95 it stays


def test_below_the_upper_threshold_nothing_is_possible_any_more() -> None:
    """Whether quality is PARTIAL or FAILED is open; that it is not VERIFIED is decided."""
    crossing = [0.78, 0.80, 0.82]
    claims = judged([crossing, POOR])
    assert claims[-2].verdict.per_configuration[0].verification == "UNDECIDED"
    verdict = judge_joint(claims, "a model")
    assert of(verdict, "c0")["verification"] == "PARTIAL"
    assert verdict.verification == "PARTIAL"
    assert "missed by 2 of 2" in verdict.reason
    assert "FAILED may follow" in verdict.reason
    assert "still could" not in verdict.sentence["en"]


def test_the_joint_question_needs_no_seeds_to_tell_partial_from_failed() -> None:
    """On the lower threshold no number of seeds decides the claim, but few rule the rest out."""
    claims = judged([[0.6, 0.8, 1.0]])
    entry = claims[-2].verdict.per_configuration[0]
    assert (entry.verification, entry.seeds_needed) == ("UNDECIDED", None)
    assert of(judge_joint(claims, "a model"), "c0")["seeds_needed"] is not None


def test_every_data_size_is_a_try() -> None:
    claims = judged([BORDERLINE])
    quality = next(c for c in claims if c.claim.id == "gain-retention")
    more = [replace(quality.measurements[0], dataset_size=size) for size in (2000, 3000, 4000)]
    again = judge_claim(quality.claim, [*quality.measurements, *more])
    both = [again if c is quality else c for c in claims]
    verdict = judge_joint(both, "a model")
    assert "corrected for 4 configurations" in verdict.reason
    assert {c["dataset_size"] for c in verdict.configurations} == {1000, 2000, 3000, 4000}


def test_a_configuration_counts_at_one_data_size() -> None:
    config = make_config(dataset_sizes=[1000, 2000], seeds=4)

    def only_small(record: CellRecord) -> CellRecord:
        large = record.cell.kind == "train" and record.cell.dataset_size == 2000
        if large and record.cell.adapter and record.evaluation:
            record.evaluation["loss"] = 2.4
        return record

    verdict = joint(config, noise=0.0005, peak_gib=GOOD_MEMORY, losses=GOOD_LOSS, change=only_small)
    assert verdict.verification == "VERIFIED"
    assert "r=4 q,v at 1000 texts" in verdict.sentence["en"]
    assert "学習データ1000件" in verdict.sentence["ja"]


def test_claims_outside_the_joint_verdict_do_not_count() -> None:
    claims = [replace(c, joint=c.id == "memory-as-practised") for c in CLAIMS]
    assert analyze(make_records(), claims).joint.verification == "VERIFIED"
    none = analyze(make_records(), [replace(c, joint=False) for c in CLAIMS]).joint
    assert none.verification == "NOT_MEASURED"


def test_the_sentence_names_claim_and_model() -> None:
    verdict = joint()
    assert verdict.sentence["en"].startswith("R-5 on smollm2-135m-instruct: ")
    assert verdict.sentence["ja"].startswith("R-5(smollm2-135m-instruct): ")
    other = analyze(make_records(), [replace(c, source="a paper") for c in CLAIMS]).joint
    assert other.sentence["en"].startswith("The claims on ")
    assert other.sentence["ja"].startswith("主張(")


@pytest.mark.parametrize("seeds", [1, 3])
def test_one_line_without_markup(seeds: int) -> None:
    for text in joint(seeds=seeds).sentence.values():
        assert "\n" not in text
        assert "{" not in text
