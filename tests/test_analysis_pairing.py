"""Which records are compared with which: environments, settings, seeds, labels, rows."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from typing import Any

import pytest

from factories import environment, fail, make_config, make_records
from lora_efficiency_benchmark.analysis import Analysis, analyze
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.plan import AS_PRACTISED
from lora_efficiency_benchmark.records.results import SKIPPED, CellRecord

CLAIMS = load_claims("paper-r5")


def judge(records: list[CellRecord]) -> Analysis:
    return analyze(records, CLAIMS)


def quality(analysis: Analysis) -> list[tuple[float | None, int]]:
    claim = next(c for c in analysis.claims if c.id == "gain-retention")
    return [(entry.value, entry.num_seeds) for entry in claim.per_configuration]


def varied(record: CellRecord) -> CellRecord:
    """A matrix with a bit of everything: failures, another environment, a NaN."""
    if record.cell.seed == 1 and record.cell.label == "r=8 q,k,v,o":
        return fail(record)
    if record.cell.seed == 2 and record.cell.label == "full":
        record.environment = environment(threads=4)
    if record.evaluation and record.cell.label == "r=32 q,k,v,o" and record.cell.seed == 1:
        record.evaluation["loss"] = math.nan
    return record


@pytest.mark.parametrize("shuffle", range(5))
def test_the_order_of_records_changes_nothing(shuffle: int) -> None:
    config = make_config(dataset_sizes=[1000, 2000], seeds=3)
    records = make_records(config, change=varied) + make_records(training_settings(), seeds=1)
    mixed = list(records)
    random.Random(shuffle).shuffle(mixed)
    assert judge(mixed).to_dict() == judge(records).to_dict()
    assert [r.cell_id for r in judge(mixed).rows] == [r.cell_id for r in judge(records).rows]


def training_settings() -> Any:
    return make_config(training_steps=48)


def test_environments_are_not_pooled() -> None:
    def elsewhere(record: CellRecord) -> CellRecord:
        if record.cell.seed > 1:
            record.environment = environment(packages={"torch": "2.12.0"})
        return record

    mixed = judge(make_records(seeds=4, change=elsewhere))
    assert {seeds for _, seeds in quality(mixed)} == {2}
    assert len(mixed.rows) == 10
    assert mixed.environment["packages"]["torch"] == "2.9.0"


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 8},
        {"packages": {"torch": "1"}},
        {"device": {"type": "cuda", "name": "GPU"}},
    ],
)
def test_what_makes_an_environment(change: dict[str, Any]) -> None:
    def elsewhere(record: CellRecord) -> CellRecord:
        if record.cell.kind == "train" and record.cell.adapter:
            record.environment = environment(**change)
        return record

    analysis = judge(make_records(seeds=2, change=elsewhere))
    assert "environments_differ" in [w.code for w in analysis.warnings]
    assert {seeds for _, seeds in quality(analysis)} <= {0}


def test_the_state_of_the_source_tree_is_no_environment() -> None:
    def edited(record: CellRecord) -> CellRecord:
        record.environment = environment(git={"commit": record.cell_id, "dirty": True})
        return record

    assert {seeds for _, seeds in quality(judge(make_records(seeds=2, change=edited)))} == {2}


def test_a_dead_worker_belongs_to_the_run() -> None:
    def died(record: CellRecord) -> CellRecord:
        if record.cell.label == "r=4 q,v" and record.cell.kind == "train":
            record.environment = {}
            return fail(record, "worker_died")
        return record

    analysis = judge(make_records(change=died))
    assert [f["kind"] for f in analysis.failures] == ["worker_died"]
    assert "environments_differ" not in [w.code for w in analysis.warnings]
    arm = next(a for a in analysis.arms if a.label == "r=4 q,v")
    assert arm.failures == ("train seed 0: worker_died worker_died in a test",)
    assert arm.failures_ja == ("シード0の学習: プロセスの異常終了 worker_died in a test",)
    assert arm.eval_losses == ()
    assert arm.memory_ratio["controlled"] > 1


def test_a_skipped_cell_is_listed() -> None:
    def skip(record: CellRecord) -> CellRecord:
        if record.cell.label == "full" and record.cell.kind == "train":
            record = fail(record, "time_limit", "no time left")
            record.status = SKIPPED
        return record

    analysis = judge(make_records(change=skip))
    assert analysis.failures[0]["status"] == SKIPPED
    assert quality(analysis)[0] == (None, 0)


def test_only_seeds_of_both_arms_are_paired() -> None:
    def lost(record: CellRecord) -> CellRecord | None:
        gone = record.cell.label == "full" and record.cell.seed == 1
        return None if gone and record.cell.kind == "train" else record

    analysis = judge(make_records(seeds=3, change=lost))
    assert {seeds for _, seeds in quality(analysis)} == {2}


def test_other_held_out_texts_are_no_pair() -> None:
    def other_texts(record: CellRecord) -> CellRecord:
        if record.evaluation and record.cell.label == "r=4 q,v":
            record.evaluation["documents"][0]["raw_bytes"] += 1
        return record

    analysis = judge(make_records(change=other_texts))
    assert quality(analysis)[0] == (None, 0)
    assert quality(analysis)[1][1] == 1
    assert "held-out texts" in next(w for w in analysis.warnings if w.code == "arms_differ").cause


def test_memory_of_another_batch_is_no_pair() -> None:
    def bigger(record: CellRecord) -> CellRecord:
        if record.memory and record.cell.label == "r=4 q,v":
            record.memory["batch_size"] = 8
        return record

    analysis = judge(make_records(change=bigger))
    memory = next(c for c in analysis.claims if c.id == "memory-controlled")
    assert memory.per_configuration[0].verification == "NOT_MEASURED"
    assert memory.per_configuration[1].verification == "PARTIAL"
    assert "arms_differ" in [w.code for w in analysis.warnings]


def test_one_setting_of_a_mixed_folder_is_judged() -> None:
    records = make_records(seeds=3) + make_records(training_settings())
    analysis = judge(records)
    assert analysis.settings["training_steps"] == 24
    assert {seeds for _, seeds in quality(analysis)} == {3}


def test_one_learning_rate_of_an_arm_is_judged() -> None:
    other = make_config(learning_rates={"full": 1e-4, "lora": 5e-4}, seeds=1)
    analysis = judge(make_records(seeds=2) + make_records(other))
    assert {seeds for _, seeds in quality(analysis)} == {2}
    assert {row.learning_rate for row in analysis.rows} == {1e-4, 2e-3}
    warning = next(w for w in analysis.warnings if w.code == "settings_mixed")
    assert "learning rate 0.0005" in warning.cause


def test_a_cell_that_was_repeated_counts_once() -> None:
    records = make_records(seeds=2)
    again = [fail(replace(r, started_at="2027-01-01T00:00:00+00:00")) for r in make_records()]
    assert judge(records + again).to_dict() == judge(records).to_dict()


def test_adapters_that_differ_in_alpha_stay_apart() -> None:
    modules = ["q_proj", "v_proj"]
    config = make_config(
        lora_configurations=[
            {"r": 4, "alpha": 8, "target_modules": modules},
            {"r": 4, "alpha": 32, "target_modules": modules},
        ]
    )
    claim = judge(make_records(config)).claims[0]
    names = [entry.configuration for entry in claim.per_configuration]
    assert names == ["r=4 q,v", "r=4 q,v alpha=32"]


def test_unequal_precision_is_labelled() -> None:
    config = make_config(precision={"full": "amp-bf16", "lora": "bf16"}, seeds=3)
    claims = {c.id: c for c in judge(make_records(config)).claims}
    assert claims["gain-retention"].precision == AS_PRACTISED
    assert claims["gain-retention"].mean is not None
    assert claims["memory-controlled"].precision == "controlled"
    assert judge(make_records(seeds=3)).claims[3].precision == "controlled"


# ---- rows and arms ------------------------------------------------------------------------------


def test_rows_are_the_specifications() -> None:
    rows = judge(make_records(seeds=2)).rows
    assert [row.training_method for row in rows] == (["full_finetuning"] + ["lora"] * 4) * 2
    assert [row.seed for row in rows] == [0] * 5 + [1] * 5
    full, lora = rows[0], rows[1]
    assert (full.parameter_reduction_ratio, full.lora_config) == (1.0, None)
    assert lora.parameter_reduction_ratio == pytest.approx(583.8325)
    assert lora.peak_memory_mb == pytest.approx(1.58 * 1024, abs=0.01)
    assert lora.peak_memory_as_practised_mb is not None
    assert lora.peak_memory_as_practised_mb < lora.peak_memory_mb
    assert full.peak_memory_as_practised_mb is None
    assert lora.performance_retention == pytest.approx(math.exp(1.97 - 2.24))
    assert lora.gain_retention == pytest.approx((2.85 - 2.24) / (2.85 - 1.97))
    assert full.gain_retention == full.performance_retention == 1.0
    assert lora.training_time_minutes == pytest.approx(1.6 * 24 / 60, rel=0.02)
    assert lora.lora_config == {
        "r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"], "dropout": 0.1,
    }  # fmt: skip


def test_rows_without_memory_or_full() -> None:
    rows = judge(make_records(change=lambda r: r if r.cell.label == "r=4 q,v" else None)).rows
    only_training = [r for r in make_records() if r.cell.kind == "train" and r.cell.adapter]
    assert len(rows) == 1
    for row in (*rows, *judge(only_training).rows):
        assert math.isnan(row.parameter_reduction_ratio)
        assert row.gain_retention is None
    assert math.isnan(judge(only_training).rows[0].peak_memory_mb)


def test_arms_hold_all_seeds() -> None:
    arms = judge(make_records(make_config(dataset_sizes=[1000, 2000], seeds=2))).arms
    assert [arm.label for arm in arms][:2] == ["full", "r=4 q,v"]
    assert [arm.dataset_size for arm in arms] == [1000] * 5 + [2000] * 5
    for arm in arms:
        assert len(arm.eval_losses) == len(arm.train_seconds) == len(arm.curves) == 2
        assert [curve["seed"] for curve in arm.curves] == [0, 1]
        assert arm.curves[0]["evaluation"]
    assert arms[0].memory_ratio == {"controlled": 1.0}
    assert arms[1].memory_ratio_bound == {}


# ---- the document -------------------------------------------------------------------------------


def test_the_document_has_the_promised_keys() -> None:
    document = judge(make_records(seeds=2)).to_dict()
    assert next(iter(document)) == "schema"
    claim = document["claims"][0]
    assert {
        "id", "metric", "comparison", "basis", "precision", "claimed", "mean", "verification",
        "per_configuration", "reason",
    } <= set(claim)  # fmt: skip
    entry = document["claims"][3]["per_configuration"][0]
    assert {"configuration", "value", "ci95", "num_seeds", "verification"} <= set(entry)
    assert isinstance(entry["ci95"], list)
    assert {"verification", "configurations", "sentence"} <= set(document["joint"])
    assert {"code", "cause", "next_step"} <= set(document["warnings"][0])
    assert "rows" not in document


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, 900.0])
def test_the_document_is_valid_json(loss: float) -> None:
    records = make_records(losses={"r=4 q,v": loss, "base": loss})
    text = json.dumps(judge(records).to_dict(), allow_nan=False)
    assert json.loads(text)["schema"] == "lora-bench/analysis/1"


def test_a_record_that_went_through_json_gives_the_same() -> None:
    records = make_records(seeds=2, losses={"r=4 q,v": math.nan})
    stored = [CellRecord.from_dict(json.loads(json.dumps(r.to_dict()))) for r in records]
    assert judge(stored).to_dict() == judge(records).to_dict()


def test_the_input_is_left_as_it_was() -> None:
    records = make_records(seeds=2)
    before = json.dumps([r.to_dict() for r in records])
    judge(records)
    assert json.dumps([r.to_dict() for r in records]) == before


@pytest.mark.parametrize("seed", range(20))
def test_no_partial_matrix_crashes(seed: int) -> None:
    rng = random.Random(seed)
    blocks = ("environment", "parameters", "data", "memory", "training", "evaluation", "saved")

    def damage(record: CellRecord) -> CellRecord | None:
        if rng.random() < 0.3:
            return None
        if rng.random() < 0.2:
            return fail(record, rng.choice(["out_of_memory", "diverged", "worker_died"]))
        for name in blocks:
            block = getattr(record, name)
            if block and rng.random() < 0.15:
                key = rng.choice(sorted(block))
                numeric = isinstance(block[key], int | float)
                block[key] = rng.choice([None, math.nan, 0, math.inf]) if numeric else None
            elif rng.random() < 0.05:
                setattr(record, name, {} if name == "environment" else None)
        return record

    config = make_config(dataset_sizes=[1000, 2000], seeds=2)
    document = judge(make_records(config, change=damage)).to_dict()
    json.dumps(document, allow_nan=False)
    assert all(claim["reason"] for claim in document["claims"])
