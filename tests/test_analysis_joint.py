"""The joint verdict: does any single configuration meet all claims at once?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from factories import make_config, make_records
from lora_efficiency_benchmark.analysis import JointVerdict, analyze
from lora_efficiency_benchmark.analysis.joint import decide
from lora_efficiency_benchmark.claims import load_claims
from lora_efficiency_benchmark.results import CellRecord

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
    assert "3つの主張すべてを同時に満たす" in verdict.sentence["ja"]


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


def test_asking_for_any_configuration_needs_stronger_evidence() -> None:
    """Three seeds that verify quality at 95 % do not at 1 - 0.05/4."""
    # Retentions 0.97, 0.975, 0.98: +- 0.0124 at 95 %, and +- 0.0255 at 98.75 %.
    losses = {0: 2.0, 1: 1.995, 2: 1.99}

    def change(record: CellRecord) -> CellRecord:
        if record.cell.kind == "train" and record.evaluation:
            full = record.cell.adapter is None
            record.evaluation["loss"] = 1.97 if full else 2.97 - (2.97 - losses[record.cell.seed])
        return record

    records = make_records(seeds=3, base_loss=2.97, peak_gib=GOOD_MEMORY, change=change)
    analysis = analyze(records, CLAIMS)
    quality = next(c for c in analysis.claims if c.id == "gain-retention")
    assert quality.per_configuration[0].verification == "VERIFIED"
    entry = of(analysis.joint, "r=4 q,v")
    assert entry["claims"]["gain-retention"] == "UNDECIDED"
    assert entry["seeds_needed"] > 3
    assert analysis.joint.verification == "UNDECIDED"
    assert "corrected for 4 configurations" in analysis.joint.reason


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
