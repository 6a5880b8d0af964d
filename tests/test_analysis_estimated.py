"""Claims at their own scale on synthetic estimates, and the estimator's error on a run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from factories import estimate, fail, make_config, make_entry, make_records
from lora_efficiency_benchmark.analysis import analyze, specification_dictionary
from lora_efficiency_benchmark.analysis.values import Analysis, EstimatedClaim
from lora_efficiency_benchmark.benchmark import LoRAEfficiencyBenchmark
from lora_efficiency_benchmark.cli import app
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.folder import analyze_folder
from lora_efficiency_benchmark.measuring import Measurement, Unwatched
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.report.live import LiveReport
from lora_efficiency_benchmark.units import GIB

CLAIMS = load_claims("paper-r5")
OUT_PROJ = "OPT names it out_proj"
CROSS: dict[str, Any] = {"comparison": "cross-model", "model": "opt-6.7b", "base_model": "opt-1.3b"}


def judge(*entries: dict[str, Any], records: list[CellRecord] | None = None) -> Analysis:
    return analyze(records if records is not None else make_records(), CLAIMS, entries)


def only(analysis: Analysis, claim: str) -> EstimatedClaim:
    (found,) = (c for c in analysis.estimated_claims if c.id == claim)
    return found


# ---- claims at their own scale ------------------------------------------------------------------


def test_same_model_ratios_are_judged_by_the_claims_thresholds() -> None:
    analysis = judge(make_entry(full_gib=100.0, lora_gib=35.0))
    count, memory = only(analysis, "parameter-reduction"), only(analysis, "memory-controlled")
    assert count.mean == pytest.approx(6_738_415_616 / 33_554_432)  # 200.8
    assert count.batch_size is None
    assert (count.basis, count.verification, count.joint) == ("ESTIMATED", "VERIFIED", False)
    assert (memory.verified_at, memory.partial_at, memory.claimed) == (1.75, 1.25, 2.0)
    (found,) = memory.per_configuration
    assert found.value == pytest.approx(100 / 35)
    assert (found.ci95, found.num_seeds, found.cells) == (None, 0, ())
    assert (found.configuration, found.verification) == ("r=32 q,k,v,o", "VERIFIED")
    assert "llama-2-7b" in memory.reason
    assert "4 x 512 = 2,048 tokens a step" in memory.reason
    for text in (memory.reason, memory.reason_ja):
        assert "ESTIMATED" in text
    assert {c.id for c in analysis.estimated_claims} == {"parameter-reduction", "memory-controlled"}


def test_every_length_and_reading_is_judged_by_itself() -> None:
    entries = [
        make_entry(seq_len=length, reading=reading, lora_gib=lora)
        for length, lora in ((4096, 60.0), (512, 35.0))
        for reading in ("controlled", "as-practised")
    ]
    claims = judge(*entries).estimated_claims
    shown = [(c.id, c.seq_len, c.verification) for c in claims]
    assert shown == [
        ("parameter-reduction", None, "VERIFIED"),
        ("memory-controlled", 512, "VERIFIED"),
        ("memory-controlled", 4096, "PARTIAL"),
        ("memory-as-practised", 512, "VERIFIED"),
        ("memory-as-practised", 4096, "PARTIAL"),
    ]


def test_the_mean_over_configurations_says_what_it_hides() -> None:
    few = make_entry(configuration="r=4 q,v", lora_gib=30.0, trainable=2_097_152)
    verdict = only(judge(make_entry(lora_gib=80.0), few), "memory-controlled")
    assert verdict.mean == pytest.approx((100 / 80 + 100 / 30) / 2)
    assert verdict.verification == "VERIFIED"
    assert "1 of 2 miss the claimed 2x" in verdict.reason


def test_a_skipped_configuration_is_named_with_its_reason() -> None:
    kept = make_entry(configuration="r=4 q,v", **CROSS)
    skipped = make_entry(**CROSS, skipped=OUT_PROJ, full=None, lora=None)
    verdict = only(judge(kept, skipped), "memory-controlled")
    first, second = verdict.per_configuration
    assert first.value is not None
    assert (second.value, second.verification, second.reason) == (None, "NOT_MEASURED", OUT_PROJ)
    assert f"not estimated: r=32 q,k,v,o ({OUT_PROJ})" in verdict.reason
    assert OUT_PROJ in verdict.reason_ja, "an older file has no Japanese"


def test_reasons_are_told_in_japanese_where_the_file_has_them() -> None:
    kept = make_entry(configuration="r=4 q,v", **CROSS)
    skipped = make_entry(**CROSS, skipped=OUT_PROJ, full=None, lora=None, skipped_ja="別の名前")
    failed = make_entry(
        **CROSS, configuration="r=8 q,v", lora={"untraceable": "no", "untraceable_ja": "不明"}
    )
    verdict = only(judge(kept, skipped, failed), "memory-controlled")
    reasons = [found.reason_ja for found in verdict.per_configuration]
    assert reasons == ["", "別の名前", "lora: ステップの追跡不可(不明)"]
    assert "lora: the step could not be traced (no)" in verdict.reason


def test_nothing_but_skipped_configurations_gives_no_value() -> None:
    verdict = only(judge(make_entry(**CROSS, skipped=OUT_PROJ)), "parameter-reduction")
    assert (verdict.mean, verdict.verification) == (None, "NOT_MEASURED")
    assert OUT_PROJ in verdict.reason


def test_a_step_that_cannot_be_traced_says_so() -> None:
    entry = make_entry(lora={"untraceable": "an operator without a shape"})
    verdict = only(judge(entry), "memory-controlled")
    assert verdict.mean is None
    assert "lora: the step could not be traced (an operator without a shape)" in verdict.reason


def cross(
    full_gib: float, weights_gib: float, states_gib: float, lora_gib: float
) -> dict[str, Any]:
    states = {"weights": states_gib / 4, "gradients": states_gib / 4, "optimizer": states_gib / 2}
    return make_entry(
        **CROSS,
        reading="as-practised",
        full=estimate(1_315_758_080, full_gib, states),
        lora=estimate(8_388_608, lora_gib, {"weights": weights_gib}),
    )


def test_arithmetic_is_named_where_frozen_weights_exceed_the_other_sides_states() -> None:
    verdict = only(judge(cross(12.0, 12.4, 10.0, 15.0)), "memory-as-practised")
    assert verdict.verification == "FAILED"
    assert "frozen bf16 weights of opt-6.7b alone take 12.4 GiB" in verdict.arithmetic
    assert "states of full fine-tuning of opt-1.3b (10.0 GiB)" in verdict.arithmetic
    assert verdict.arithmetic in verdict.reason
    assert verdict.arithmetic_ja in verdict.reason_ja
    assert "12.4 GiB" in verdict.arithmetic_ja


def test_arithmetic_caps_the_ratio_where_the_weights_leave_too_little_room() -> None:
    verdict = only(judge(cross(20.0, 12.4, 19.0, 15.0)), "memory-as-practised")
    assert "so no adapter could exceed 1.61x (threshold 1.75x)" in verdict.arithmetic


@pytest.mark.parametrize("entry", [cross(40.0, 12.4, 19.0, 15.0), cross(40.0, 12.4, 19.0, 30.0)])
def test_arithmetic_is_silent_where_it_decides_nothing(entry: dict[str, Any]) -> None:
    assert only(judge(entry), "memory-as-practised").arithmetic == ""


def test_a_claims_file_that_names_the_comparison_is_followed() -> None:
    across = dataclasses.replace(CLAIMS[1], id="across", comparison="cross-model")
    entries = [make_entry(), make_entry(**CROSS)]
    found = analyze([], [CLAIMS[1], across], entries).estimated_claims
    shown = [(c.id, c.comparison) for c in found]
    assert shown == [("memory-controlled", "same-model"), ("across", "cross-model")]


# ---- kept apart from what was measured ----------------------------------------------------------


def test_estimates_change_nothing_that_was_measured() -> None:
    with_them, without = judge(make_entry(), make_entry(**CROSS)), judge()
    assert with_them.claims == without.claims
    assert with_them.joint == without.joint
    assert with_them.rows == without.rows
    assert with_them.warnings == without.warnings
    told, usual = specification_dictionary(with_them), specification_dictionary(without)
    for key in ("parameter_reduction", "memory_reduction", "performance_retention", "joint"):
        assert told[key] == usual[key]


def test_the_document_lists_measured_claims_first() -> None:
    document = judge(make_entry()).to_dict()
    bases = [claim["basis"] for claim in document["claims"]]
    assert bases == ["MEASURED"] * len(CLAIMS) + ["ESTIMATED"] * 2
    assert "estimated_claims" not in document
    estimated = document["claims"][-1]
    assert set(document["claims"][0]) <= set(estimated)
    assert (estimated["model"], estimated["batch_size"], estimated["seq_len"]) == (
        "llama-2-7b", 4, 512,
    )  # fmt: skip
    json.dumps(document, allow_nan=False)


def test_without_estimates_the_document_is_as_before() -> None:
    document = analyze(make_records(), CLAIMS).to_dict()
    assert {claim["basis"] for claim in document["claims"]} == {"MEASURED"}
    assert document["estimator"] is None


def test_a_folder_is_judged_with_its_estimates(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    for record in make_records(change=estimated):
        store.write_record(record)
    store.write_json("estimates.json", {"schema": 1, "entries": [make_entry()]})
    config = make_config(output_dir=str(store.path))
    for analysis in (analyze_folder(store.path), LoRAEfficiencyBenchmark(config).analyze()):
        assert [c.id for c in analysis.estimated_claims] == [
            "parameter-reduction",
            "memory-controlled",
        ]
        assert analysis.estimator is not None


@pytest.fixture
def broken(tmp_path: Path) -> Store:
    """A finished folder whose estimates.json somebody edited."""
    store = Store(tmp_path / "run")
    for record in make_records():
        store.write_record(record)
    entry = make_entry(lora={"trainable_parameters": 9, "peak_allocated_bytes": -1})
    store.write_json("estimates.json", {"schema": 1, "entries": [make_entry(), entry]})
    return store


def is_told(line: str, store: Store) -> bool:
    """The file, what is wrong with it, and what to do."""
    words = (
        "estimates left out",
        "entries[1]: lora.peak_allocated_bytes",
        "got -1",
        "move it away",
    )
    return all(word in line for word in (str(store.path / "estimates.json"), *words))


@pytest.mark.usefixtures("close_log")
def test_a_run_ends_well_without_estimates_it_cannot_read(broken: Store) -> None:
    analysis = LoRAEfficiencyBenchmark(make_config(output_dir=str(broken.path))).finish()
    assert analysis.estimated_claims == ()
    assert analysis.claims == analyze(make_records(), CLAIMS).claims
    for name in ("results.csv", "analysis.json", "report.html", "report.md"):
        assert (broken.path / name).is_file(), name
    log = (broken.path / "lora_benchmark.log").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in log if "WARNING" in line]
    assert is_told(line, broken)


@pytest.mark.parametrize("command", [("analyze", "--json"), ("report", "--format", "md")])
def test_a_folder_is_judged_without_estimates_it_cannot_read(
    broken: Store, command: tuple[str, ...]
) -> None:
    done = CliRunner().invoke(app, [command[0], str(broken.path), *command[1:]])
    assert done.exit_code == 0, done.output
    (line,) = done.stderr.splitlines()
    assert is_told(line, broken)
    assert "estimates.json" not in done.stdout


def test_a_file_that_cannot_be_written_is_no_end_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, close_log: None
) -> None:
    benchmark = LoRAEfficiencyBenchmark(make_config(output_dir=str(tmp_path / "run")))
    benchmark.store.create()
    (benchmark.store.path / "estimates.json").mkdir()
    monkeypatch.setattr(LocalLauncher, "estimate_scale", lambda *_: [make_entry()])
    live = LiveReport(lambda: None)
    parts = (benchmark.config, benchmark.store, Unwatched(), live, benchmark.logger)
    Measurement(*parts).estimate_scale(LocalLauncher("fork"))
    assert benchmark.analyze().estimated_claims == ()
    log = (benchmark.store.path / "lora_benchmark.log").read_text(encoding="utf-8")
    assert "estimates.json: cannot be written" in log


# ---- the estimator's error on this run ----------------------------------------------------------


def estimated(record: CellRecord) -> CellRecord:
    """Full 1 % too low, every LoRA arm 0.5 % too high."""
    if record.memory:
        factor = 0.99 if record.cell.label == "full" else 1.005
        peak = record.memory["peak_allocated_bytes"]
        record.estimate = {"peak_allocated_bytes": round(peak * factor), "seconds": 1.0}
    return record


def test_the_error_is_that_of_the_memory_cells() -> None:
    records = make_records(change=estimated)
    known = analyze(records, CLAIMS).estimator
    assert known is not None
    count = sum(r.memory is not None for r in records)
    assert len(known.cells) == count
    assert known.max_absolute == pytest.approx(0.01, rel=1e-3)
    assert known.mean_absolute == pytest.approx((0.01 + 0.005 * (count - 1)) / count, rel=1e-3)
    assert known.under_share == pytest.approx(1 / count)
    full = next(cell for cell in known.cells if cell.label == "full")
    assert full.error == pytest.approx(-0.01, rel=1e-3)
    assert full.measured == pytest.approx(2.61 * GIB, rel=1e-6)
    document = analyze(records, CLAIMS).to_dict()["estimator"]
    assert set(document["cells"][0]) == {
        "cell_id", "label", "reading", "estimated", "measured", "error", "model",
    }  # fmt: skip


def test_other_quantities_are_not_compared_with_the_estimate() -> None:
    def resident(record: CellRecord) -> CellRecord:
        if estimated(record).memory:
            record.memory = {**(record.memory or {}), "source": "process"}
        return record

    known = analyze(make_records(change=resident), CLAIMS).estimator
    assert known is not None
    assert (known.cells, known.mean_absolute, known.under_share) == ((), None, None)


def test_running_out_of_memory_is_told_beside_the_estimate() -> None:
    def starved(record: CellRecord) -> CellRecord:
        estimated(record)
        if record.memory and record.cell.label == "full":
            return fail(record)
        if record.memory and record.cell.label == "r=4 q,v":
            return fail(record, "worker_died")
        return record

    known = analyze(make_records(change=starved), CLAIMS).estimator
    assert known is not None
    (full,) = known.out_of_memory
    assert (full.label, full.measured, full.error) == ("full", None, None)
    assert full.estimated > 2 * GIB
    assert "r=4 q,v" not in {cell.label for cell in known.cells}


@pytest.mark.parametrize(
    ("japanese", "shown"),
    [
        ({}, "unknown operator"),
        ({"untraceable_ja": None}, "unknown operator"),
        ({"untraceable_ja": "未知の演算"}, "未知の演算"),
    ],
)
def test_a_cell_that_could_not_be_traced_is_listed(
    japanese: dict[str, str | None], shown: str
) -> None:
    def untraceable(record: CellRecord) -> CellRecord:
        if record.memory and record.cell.label == "full":
            record.estimate = {"untraceable": "unknown operator", **japanese}
        return record

    known = analyze(make_records(change=untraceable), CLAIMS).estimator
    assert known is not None
    assert known.cells == ()
    assert known.untraceable[0]["reason"] == "unknown operator"
    assert known.untraceable[0]["reason_ja"] == shown
