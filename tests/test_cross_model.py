"""Full fine-tuning of a smaller model against LoRA of a larger one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from factories import evaluation, make_config, make_records
from lora_efficiency_benchmark import LoRABenchmarkConfig, LoRAEfficiencyBenchmark
from lora_efficiency_benchmark.analysis import Analysis, analyze
from lora_efficiency_benchmark.claims import load_claims
from lora_efficiency_benchmark.config import load_config
from lora_efficiency_benchmark.language import Language
from lora_efficiency_benchmark.report.page import render_html
from lora_efficiency_benchmark.report.terminal import render_terminal
from lora_efficiency_benchmark.results import CellRecord
from lora_efficiency_benchmark.search import planned_ids, remaining_cells

CLAIMS = load_claims("paper-r5")
ARM = [{"r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"]}]
SMALL_PARAMETERS = 30_000_000


def two_models(**fields: Any) -> LoRABenchmarkConfig:
    values = {"model_name": "large", "base_model_name": "small", "lora_configurations": ARM}
    return make_config(**{**values, **fields})


def records_of(
    config: LoRABenchmarkConfig, small: dict[str, float], seeds: int
) -> list[CellRecord]:
    """A matrix of the larger model (full 1.97, LoRA 2.0, base 2.85) and of the smaller one."""
    own = make_records(config, losses={"r=4 q,v": 2.0}, noise=0.001)
    reference = config.reference
    assert reference is not None

    def shrink(record: CellRecord) -> CellRecord:
        assert record.parameters is not None
        record.parameters["trainable"] = SMALL_PARAMETERS
        return record

    base = {"base_loss": small["base"]}
    other = make_records(
        reference, losses={"full": small["full"]}, noise=0.001, change=shrink,
        peak_gib={"full": 0.8}, **base,
    )  # fmt: skip
    return [*own, *other]


def claim(found: Analysis, metric: str, comparison: str) -> Any:
    return next(
        c
        for c in found.claims
        if (c.metric, c.comparison, c.precision) == (metric, comparison, "controlled")
    )


def test_every_cell_of_both_models_is_planned() -> None:
    config = two_models(seeds=2)
    cells = remaining_cells(config, [])
    of = {name: [c for c in cells if c.model_name == name] for name in ("large", "small")}
    assert {c.label for c in of["small"]} == {"base", "full"}
    assert [c.kind for c in of["small"]] == ["base", "memory", "train", "train"]
    assert {c.label for c in of["large"]} == {"base", "full", "r=4 q,v"}
    assert planned_ids(config, []) == {c.id for c in cells}
    assert two_models(base_model_name="").reference is None


def test_a_search_gives_each_model_its_own_rates() -> None:
    config = two_models(learning_rates="search")
    trials = [c for c in remaining_cells(config, []) if c.kind == "trial"]
    assert {c.model_name for c in trials} == {"large", "small"}
    by_label = load_config(
        two_models(learning_rates={"full": 1e-4, "lora": 1e-3, "r=4 q,v": 5e-3}).to_dict()
    )
    reference = by_label.reference
    assert reference is not None
    assert reference.learning_rate_of("full", "full") == 1e-4


def test_ratios_are_those_of_the_two_models() -> None:
    config = two_models(seeds=4)
    found = analyze(records_of(config, {"base": 3.2, "full": 2.4}, 4), CLAIMS, base_model="small")
    arm = found.arms[1]
    reduction = claim(found, "parameter_reduction_ratio", "cross-model")
    assert reduction.mean == pytest.approx(SMALL_PARAMETERS / arm.trainable_parameters)
    assert (reduction.model, reduction.base_model, reduction.joint) == ("large", "small", False)
    kept = claim(found, "gain_retention", "cross-model")
    assert kept.mean == pytest.approx((3.2 - 2.0) / (3.2 - 2.4), rel=0.01)
    assert kept.verification == "VERIFIED"  # LoRA of the larger model ends up better
    same = claim(found, "gain_retention", "same-model")
    assert same.mean == pytest.approx((2.85 - 2.0) / (2.85 - 1.97), rel=0.01)
    memory = claim(found, "memory_reduction_ratio", "cross-model")
    assert memory.mean is not None
    assert memory.verification == "FAILED"  # 0.8 GiB against 1.58
    assert {row.model_name for row in found.rows} == {"large", "small"}
    assert "settings_mixed" not in {w.code for w in found.warnings}


def test_quality_counts_bytes_not_tokens() -> None:
    """The smaller model's tokenizer makes half as many tokens of the same bytes."""
    config = two_models(seeds=3)

    def recount(record: CellRecord) -> CellRecord:
        if record.cell.model_name == "small" and record.evaluation:
            block = record.evaluation
            for document in block["documents"]:
                document["tokens"] //= 2
            block["tokens"] //= 2
            block["loss"] *= 2
        return record

    plain = records_of(config, {"base": 3.2, "full": 2.4}, 3)
    found = analyze([recount(dataclasses.replace(r)) for r in plain], CLAIMS, base_model="small")
    kept = claim(found, "gain_retention", "cross-model")
    assert kept.mean == pytest.approx((3.2 - 2.0) / (3.2 - 2.4), rel=0.01)


@pytest.mark.parametrize(("more", "measured"), [(3, True), (40, False)])
def test_texts_cut_at_other_bytes_are_not_compared(more: int, measured: bool) -> None:
    """Three bytes may be a first token, which nothing predicts; forty are another text."""
    records = records_of(two_models(seeds=3), {"base": 3.2, "full": 2.4}, 3)
    for record in records:
        if record.cell.model_name == "small" and record.evaluation:
            block = evaluation(record.evaluation["loss"])
            before = block["raw_bytes"]
            block["documents"][0]["raw_bytes"] += more
            block["raw_bytes"] += more
            block["bits_per_byte"] *= before / block["raw_bytes"]
            record.evaluation = block
    kept = claim(analyze(records, CLAIMS, base_model="small"), "gain_retention", "cross-model")
    assert (kept.mean is not None) == measured
    if measured:
        assert "200 held-out texts" in kept.per_configuration[0].reason
    else:
        assert kept.verification == "NOT_MEASURED"
        assert "max_length" in kept.reason
        assert "max_length" in kept.reason_ja


def test_the_precision_is_the_one_that_was_run() -> None:
    config = two_models(seeds=3, precision={"full": "fp32", "lora": "bf16"})
    records = records_of(config, {"base": 3.2, "full": 2.4}, 3)
    found = analyze(records, CLAIMS, base_model="small").claims
    noisy = [c for c in found if c.metric in ("gain_retention", "time_ratio")]
    assert len(noisy) == 4
    assert {c.precision for c in noisy} == {"as-practised"}


def test_nobody_asked_for_the_other_model() -> None:
    records = records_of(two_models(seeds=3), {"base": 3.2, "full": 2.4}, 3)
    assert {c.comparison for c in analyze(records, CLAIMS).claims} == {"same-model"}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_terminal_tells_the_comparisons_apart(language: Language) -> None:
    records = records_of(two_models(seeds=3), {"base": 3.2, "full": 2.4}, 3)
    shown = render_terminal(analyze(records, CLAIMS, base_model="small"), language)
    assert "small" in shown
    assert "large" in shown


def test_one_model_has_no_claim_across_models() -> None:
    found = analyze(make_records(), CLAIMS)
    assert {c.comparison for c in found.claims} == {"same-model"}


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "full small / LoRA large"), ("ja", "small のフル / large のLoRA")],
)
def test_the_report_names_both_models(language: str, words: str) -> None:
    found = analyze(
        records_of(two_models(seeds=3), {"base": 3.2, "full": 2.4}, 3), CLAIMS, base_model="small"
    )
    assert words in render_html(found, language)


@pytest.mark.slow
@pytest.mark.usefixtures("close_log")
def test_a_run_measures_both_models(tiny_model_dir: Path, tmp_path: Path) -> None:
    import shutil

    small = tmp_path / "small"
    shutil.copytree(tiny_model_dir, small)
    config = LoRABenchmarkConfig(
        model_name=str(tiny_model_dir), base_model_name=str(small), dataset_sizes=[24],
        lora_configurations=ARM, training_steps=4, eval_steps=2, output_dir=str(tmp_path / "run"),
        max_length=48, batch_size=2, learning_rates={"full": 3e-3, "lora": 1e-2},
        evaluation_size=6, estimate_scale=False, probes=False, samples=[],
    )  # fmt: skip
    found = LoRAEfficiencyBenchmark(config).run()
    kept = claim(found, "gain_retention", "cross-model")
    same = claim(found, "gain_retention", "same-model")
    # The same weights under another name: both comparisons see the same runs.
    assert kept.mean == pytest.approx(same.mean)
    assert claim(found, "memory_reduction_ratio", "cross-model").mean == pytest.approx(
        claim(found, "memory_reduction_ratio", "same-model").mean
    )
