"""Full fine-tuning of a smaller model against LoRA of a larger one."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from factories import DOCUMENT_BYTES, DOCUMENT_TOKENS, evaluation, make_config, make_records
from lora_efficiency_benchmark import LoRABenchmarkConfig, LoRAEfficiencyBenchmark
from lora_efficiency_benchmark.analysis import Analysis, analyze
from lora_efficiency_benchmark.analysis.cross_model import short_names
from lora_efficiency_benchmark.analysis.recommend import recommend
from lora_efficiency_benchmark.analysis.wording import phrase
from lora_efficiency_benchmark.config.benchmark_config import load_config
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.language import Language
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.report import (
    render_figures,
    render_html,
    render_markdown,
    render_terminal,
)
from lora_efficiency_benchmark.report.figures.across import across_spec
from lora_efficiency_benchmark.report.figures.curves import curves_spec
from lora_efficiency_benchmark.report.figures.quality import quality_spec
from lora_efficiency_benchmark.report.figures.sizes import sizes_spec
from lora_efficiency_benchmark.report.page.overview import claim_cards
from lora_efficiency_benchmark.report.paper.csv_table import render_csv
from lora_efficiency_benchmark.report.paper.latex import render_latex
from lora_efficiency_benchmark.report.paper.model_card import render_card
from lora_efficiency_benchmark.report.tables.arm_tables import (
    across_table,
    breakdown_table,
    memory_table,
    quality_table,
    time_table,
)
from lora_efficiency_benchmark.report.tables.estimates import estimator_table
from lora_efficiency_benchmark.report.terminal.recommendation import render_recommendation
from lora_efficiency_benchmark.report.texts import wording
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


# ---- what reports show of the other model --------------------------------------------------------

TWO_ARMS = [
    *ARM,
    {"r": 16, "alpha": 32, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
]


@functools.cache
def both_models() -> Analysis:
    """Two LoRA arms, two data sizes; the smaller model makes half as many tokens of the texts."""
    config = two_models(seeds=2, dataset_sizes=[500, 2000], lora_configurations=TWO_ARMS)
    return analyze(
        [recounted(r) for r in records_of(config, {"base": 3.2, "full": 2.4}, 2)],
        CLAIMS,
        base_model="small",
    )


def recounted(record: CellRecord) -> CellRecord:
    """Half the tokens at twice the loss: the same nats, so the same bits per byte."""
    if record.cell.model_name != "small" or not record.evaluation:
        return record
    block = record.evaluation
    for document in block["documents"]:
        document["tokens"] //= 2
    block["tokens"] //= 2
    block["loss"] *= 2
    for point in (record.training or {}).get("evaluation_curve", ()):
        point["loss"] *= 2
    return record


def bits(loss: float) -> float:
    return loss * DOCUMENT_TOKENS / math.log(2) / DOCUMENT_BYTES


def rows_of(spec: Any) -> list[dict[str, Any]]:
    """The data of every layer and panel of a specification."""
    if isinstance(spec, list):
        return [row for part in spec for row in rows_of(part)]
    if not isinstance(spec, dict):
        return []
    own = spec.get("data", {}).get("values", [])
    return [*own, *(row for value in spec.values() for row in rows_of(value) if value is not own)]


def names_in(table: Any) -> list[str]:
    return [row[0][0].text for row in table.rows]


def test_the_reference_arm_is_full_fine_tuning_of_the_other_model() -> None:
    found = both_models()
    assert [(a.model, a.label, a.dataset_size) for a in found.reference_arms] == [
        ("small", "full", 500),
        ("small", "full", 2000),
    ]
    assert {a.model for a in found.arms} == {"large"}
    assert found.across is not None
    lora = [a for a in found.across.arms if a.adapter is not None]
    assert {a.model for a in lora} == {"large"}
    for arm in lora:
        kept = (3.2 - 2.0) / (3.2 - 2.4) if arm.label == "r=4 q,v" else None
        assert arm.performance_retention is None
        assert kept is None or arm.gain_retention == pytest.approx(kept, rel=0.01)
        assert arm.memory_ratio["controlled"] < 1
    json.dumps(found.to_dict())
    assert found.to_dict()["across"]["base_model"] == "small"


def test_one_model_has_no_reference_arm() -> None:
    found = analyze(make_records(), CLAIMS)
    assert found.across is None
    assert found.reference_arms == ()
    assert {arm.model for arm in found.arms} == {""}
    assert across_spec(found, wording("en")) is None
    assert not across_table(found, wording("en")).rows
    assert "across" not in render_latex(found, "en")
    assert 'id="across"' not in render_html(found, "en")


@pytest.mark.parametrize(("language", "other"), [("en", "full · small"), ("ja", "フル · small")])
def test_every_table_of_arms_names_the_other_model(language: str, other: str) -> None:
    found, say = both_models(), wording(language)
    own = other.replace("small", "large")
    for table, times in (
        (quality_table(found, say), 2),
        (time_table(found, say), 2),
        (memory_table(found, say), 1),
        (breakdown_table(found, say), 2),
    ):
        names = names_in(table)
        assert names.count(other) == names.count(own) == times, table.title
        for row, keys in zip(table.rows, table.keys, strict=True):
            if row[0][0].text == other:
                assert "label" not in keys, "no filter of LoRA arms hides it"
    assert names_in(across_table(found, say)).count(other) == 2
    assert own not in names_in(across_table(found, say))


def test_the_other_model_has_no_ratio_to_this_one() -> None:
    found, say = both_models(), wording("en")
    quality = next(r for r in quality_table(found, say).rows if r[0][0].text == "full · small")
    assert [cell[0].text for cell in quality[5:7]] == ["reference across models", "not comparable"]
    time = next(r for r in time_table(found, say).rows if r[0][0].text == "full · small")
    assert time[3][0].text == time[6][0].text == "reference across models"
    memory = next(r for r in memory_table(found, say).rows if r[0][0].text == "full · small")
    assert memory[1][0].text == "30,000,000"
    assert memory[3][0].text == "reference across models"
    assert memory[4][0].text == "819.2 MiB"


def test_the_table_across_models_has_the_ratios_of_the_claims() -> None:
    found, say = both_models(), wording("en")
    rows = {(r[0][0].text, r[1][0].text): r for r in across_table(found, say).rows}
    row = rows["r=4 q,v", "2,000"]
    assert row[3][0].text == "130x"
    assert [line.text for line in row[4]] == ["1.58 GiB", "0.51x"]
    assert row[8][0].text == f"{found.across.arms[-2].bits_per_byte:.3f}"  # type: ignore[union-attr]
    assert row[9][0].text == "150%"
    assert rows["full · small", "500"][9][0].text == "reference"


def test_losses_per_token_of_two_models_share_no_axis() -> None:
    found, say = both_models(), wording("en")
    curves = curves_spec(found, say)
    assert curves is not None
    rows = rows_of(curves)
    assert rows
    assert not [row for row in rows if "small" in row["panel"]]
    assert max(loss for row in rows for loss in row["loss"]) < 4.8, "2 x 2.4: the other's units"
    sizes = sizes_spec(found, say)
    assert sizes is not None
    assert not [row for row in rows_of(sizes) if "small" in row["arm"]]


def test_curves_of_both_models_are_drawn_in_bits_per_byte() -> None:
    spec = across_spec(both_models(), wording("en"))
    assert spec is not None
    at = {(r["arm"], r["size"], r["step"]): r["bits"] for r in rows_of(spec)}
    assert at["full · small", 500, 0] == pytest.approx(bits(3.2), abs=1e-3)
    left = math.exp(-5)  # of the way down, in synthetic curves
    assert at["full · small", 500, 24] == pytest.approx(bits(2.4 + 0.8 * left), abs=2e-3)
    assert at["r=4 q,v", 2000, 0] == pytest.approx(bits(2.85), abs=1e-3)
    assert at["r=4 q,v", 2000, 24] == pytest.approx(bits(2.0 + 0.85 * left), abs=2e-3)
    assert {arm for arm, _, _ in at} == {"full · small", "r=4 q,v", "r=16 q,k,v,o"}


def test_shares_of_two_gains_stand_in_panels_of_their_own() -> None:
    spec = quality_spec(both_models(), wording("en"))
    assert spec is not None
    titles = [panel["title"] for panel in spec["vconcat"]]
    assert titles == [
        "large with itself · 500 training texts",
        "large with itself · 2,000 training texts",
        "full small / LoRA large · 500 training texts",
        "full small / LoRA large · 2,000 training texts",
    ]
    for panel, title in zip(spec["vconcat"], titles, strict=True):
        names = {row["tip"][0] for row in rows_of(panel) if "tip" in row}
        across = title.startswith("full small")
        assert ("full · small" in names) == across
        assert ("full · large" in names) != across


@pytest.mark.parametrize("language", ["en", "ja"])
def test_figures_name_the_other_model_in_text(language: str) -> None:
    figures = render_figures(both_models(), language)
    assert set(figures) == {
        "quality.svg", "memory.svg", "curves.svg", "time.svg", "sizes.svg", "across.svg",
    }  # fmt: skip
    for name in ("quality", "memory", "time", "across"):
        assert "· small" in figures[f"{name}.svg"], name
    assert "small" not in figures["curves.svg"]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_format_says_which_two_models_met(language: Language) -> None:
    found = both_models()
    assert found.across is not None
    sentence = found.across.sentence[language]
    assert "small" in sentence
    assert "large" in sentence
    page = render_html(found, language)
    head = page[page.index("<body>") : page.index('id="claims"')]
    assert sentence in head, "on the first screen"
    assert '<section id="across">' in page
    for card in claim_cards(found, wording(language)):
        assert bool(card.models) == (not card.joint and "small" in card.condition)
    assert sentence in " ".join(render_terminal(found, language, 400).splitlines())
    markdown, card = render_markdown(found, language), render_card(found, language)
    for text in (markdown, card):
        assert sentence.split("(")[0].strip() in text
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert len(rows) == len(set(rows)), "no claim stands there twice under one name"
    latex = render_latex(found, language)
    assert latex.count(r"\caption{") == 4
    assert r"\label{tab:lora-across}" in latex
    assert latex.count(r"$\cdot$ small") >= 4


def test_the_csv_names_both_models() -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(both_models(), "en"), newline="")))
    pairs = {(r["comparison"], r["model"], r["base_model"]) for r in rows}
    assert pairs == {("same-model", "large", "large"), ("cross-model", "large", "small")}


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_terminal_of_two_models_fits(language: Language, width: int) -> None:
    from rich.cells import cell_len

    *lines, _ = render_terminal(both_models(), language, width).splitlines()
    assert max(map(cell_len, lines)) <= width


def test_the_estimates_of_both_models_are_told_apart() -> None:
    def estimated(record: CellRecord) -> CellRecord:
        if record.memory:
            record.estimate = {"peak_allocated_bytes": record.memory["peak_allocated_bytes"]}
        return record

    records = records_of(two_models(seeds=1), {"base": 3.2, "full": 2.4}, 1)
    found = analyze([estimated(r) for r in records], CLAIMS, base_model="small")
    names = names_in(estimator_table(found, wording("en")))
    assert sorted(set(names)) == ["full · large", "full · small", "r=4 q,v"]
    alone = analyze([estimated(r) for r in make_records()], CLAIMS)
    assert "full" in names_in(estimator_table(alone, wording("en")))


def test_hostile_model_names_stay_text() -> None:
    hostile = "</script><b>\\input{x}|`&%$#\x1b[31m"

    def renamed(record: CellRecord) -> CellRecord:
        if record.cell.model_name != "small":
            return record
        return dataclasses.replace(
            record, cell=dataclasses.replace(record.cell, model_name=hostile)
        )

    records = records_of(two_models(seeds=2), {"base": 3.2, "full": 2.4}, 2)
    found = analyze([renamed(r) for r in records], CLAIMS, base_model=hostile)
    assert found.reference_arms
    page = render_html(found, "en")
    body = page[page.index("<body>") : page.index('id="arms"')]
    assert "</script><b>" not in body
    assert "<b>" not in render_markdown(found, "en")
    assert r"\input" not in render_latex(found, "en")
    assert "\x1b" not in render_terminal(found, "en") + page + render_markdown(found, "en")


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (("org/large", "org/small"), ("large", "small")),
        (("/home/a/run/model", "/home/b/run/model"), ("a/run/model", "b/run/model")),
        (("C:\\models\\a", "C:\\models\\b"), ("a", "b")),
        (("same", "same"), ("same", "same")),
        (("", "small"), ("", "small")),
        (("model", "org/model"), ("model", "org/model")),
    ],
)
def test_short_names_still_differ(names: tuple[str, str], short: tuple[str, str]) -> None:
    assert short_names(*names) == short


def test_what_grew_is_not_called_reduced() -> None:
    assert phrase(0.5, "memory_reduction_ratio").en == "memory up 2.00x"
    assert phrase(0.5, "memory_reduction_ratio").ja == "メモリ増加2.00倍"
    assert phrase(1.65, "memory_reduction_ratio").en == "memory down 1.65x"
    assert phrase(0.5, "memory_reduction_ratio", "upper").en == "memory down under 0.50x"
    assert phrase(0.5, "gain_retention").en == "gain kept 50%"


def test_a_smaller_model_without_results_is_still_named() -> None:
    records = records_of(two_models(seeds=2), {"base": 3.2, "full": 2.4}, 2)
    only_memory = [r for r in records if r.cell.model_name != "small" or r.cell.kind == "memory"]
    found = analyze(only_memory, CLAIMS, base_model="small")
    assert found.across is not None
    for language in ("en", "ja"):
        for text in (render_html(found, language), render_markdown(found, language)):
            assert "small" in text
        render_latex(found, language)
        render_card(found, language)
    assert "full · small" in names_in(memory_table(found, wording("en")))


@pytest.mark.parametrize(("language", "words"), [("en", "was measured too"), ("ja", "も測定して")])
def test_a_recommendation_names_the_other_model_and_leaves_it_out(
    language: Language, words: str
) -> None:
    records = records_of(two_models(seeds=4), {"base": 3.2, "full": 2.1}, 4)
    found = recommend(records, base_model="small")
    assert found.conditions["base_model"] == "small"
    assert not [w for w in found.warnings if w.code == "settings_mixed"]
    assert words in " ".join(render_recommendation(found, language).split())
    alone = recommend([r for r in records if r.cell.model_name == "large"])
    assert alone.decision == found.decision
    assert "base_model" not in alone.conditions
    assert words not in " ".join(render_recommendation(alone, language).split())


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


@pytest.mark.slow
@pytest.mark.usefixtures("close_log")
def test_two_real_models_with_two_tokenizers(
    tiny_model_dir: Path, smaller_model_dir: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    nouns = ("dog", "fox", "bird", "cat", "fish", "horse", "mouse", "bear")
    places = ("in the garden", "on the roof", "by the river", "under a tree")
    texts = [f"The {noun} number {i} sleeps {place}." for i, (noun, place) in enumerate(
        (noun, place) for noun in nouns for place in places
    )]  # fmt: skip
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    config = LoRABenchmarkConfig(
        model_name=str(tiny_model_dir), base_model_name=str(smaller_model_dir),
        dataset=str(corpus), dataset_sizes=[20], evaluation_size=6, lora_configurations=ARM,
        training_steps=4, eval_steps=2, output_dir=str(tmp_path / "run"), max_length=128,
        batch_size=2, learning_rates={"full": 1e-2, "lora": 1e-2}, estimate_scale=False,
        probes=False, samples=[],
    )  # fmt: skip
    found = LoRAEfficiencyBenchmark(config).run()
    assert found.across is not None
    (reference,) = found.reference_arms
    own = next(arm for arm in found.arms if arm.adapter is None)
    assert 0 < reference.trainable_parameters < own.trainable_parameters
    assert reference.memory["controlled"]["peak_allocated_bytes"] > 0
    assert (
        reference.memory["controlled"]["sequence_length"]
        > (own.memory["controlled"]["sequence_length"])
    ), "bytes alone make more tokens of the same texts"
    for arm in (reference, *(a for a in found.across.arms if a.adapter is not None)):
        last = arm.curves[0]["evaluation"][-1]["bits_per_byte"]
        assert last == pytest.approx(arm.bits_per_byte)
    kept = claim(found, "gain_retention", "cross-model")
    base = (found.across.base or {})["bits_per_byte"]
    lora = found.arms[1].bits_per_byte
    assert lora is not None
    assert reference.bits_per_byte is not None
    if kept.mean is not None:  # NOT_MEASURED where four steps gained nothing
        assert kept.mean == pytest.approx((base - lora) / (base - reference.bits_per_byte))
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert found.across.base_model in page
    assert '<section id="across">' in page
