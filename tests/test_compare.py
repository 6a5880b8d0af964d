"""Runs side by side: what differs is named, what may be compared is ruled, nothing is pooled."""

from __future__ import annotations

import copy
import itertools
import json
import math
import random
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import call
from factories import environment, fail, make_config, make_records
from lora_efficiency_benchmark.analysis.comparing import (
    SCHEMA,
    RunInput,
    RunsComparison,
    compare_runs,
)
from lora_efficiency_benchmark.analysis.comparing.quantities import (
    Reading,
    difference_of,
    interval_of,
)
from lora_efficiency_benchmark.analysis.comparing.values import (
    NO,
    STATED,
    YES,
    RunDifference,
    RunValue,
)
from lora_efficiency_benchmark.analysis.contrasts import PairedRatio
from lora_efficiency_benchmark.config.claims import Claim, load_claims
from lora_efficiency_benchmark.folder import read_folder
from lora_efficiency_benchmark.importing import import_results
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.report.terminal.comparing import render_comparison
from test_importing import FULL, R8, R16, peft_folder

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
QUICK, BATCH4 = RESULTS / "quick-2026-11-24", RESULTS / "quick-batch4-2026-11-24"
LANGUAGES = ("ja", "en")
ARM = "r=4 q,v"
Change = Callable[[CellRecord], CellRecord | None]


def claims() -> list[Claim]:
    return load_claims("paper-r5")


def run(name: str, change: Change | None = None, seeds: int = 3, **fields: Any) -> RunInput:
    records = make_records(make_config(seeds=seeds, **fields), change=change)
    return RunInput(name, records, claims())


def compared(change: Change | None, seeds: int = 3, **fields: Any) -> RunsComparison:
    return compare_runs([run("before", seeds=seeds), run("after", change, seeds, **fields)])


def permission(found: RunsComparison, quantity: str, place: int = 1) -> tuple[str, tuple[str, ...]]:
    entry = next(p for p in found.permissions if (p.quantity, p.run) == (quantity, place))
    return entry.comparable, entry.because


def difference(found: RunsComparison, name: str, label: str = ARM, place: int = 1) -> RunDifference:
    entry = next(c for c in found.configurations if c.configuration == label)
    quantity = next(q for q in entry.quantities if q.name == name)
    return next(d for d in quantity.differences if d.run == place)


def differing(found: RunsComparison) -> dict[str, tuple[Any, ...]]:
    return {fact.name: fact.values for fact in found.differences}


def all_differences(found: RunsComparison) -> list[RunDifference]:
    return [d for c in found.configurations for q in c.quantities for d in q.differences]


def with_environment(**fields: Any) -> Change:
    def change(record: CellRecord) -> CellRecord:
        record.environment = environment(**fields)
        return record

    return change


def with_loss(shift: Callable[[int], float], label: str = ARM) -> Change:
    """Adds ``shift(seed)`` nats per token to one arm, text by text."""

    def change(record: CellRecord) -> CellRecord:
        if record.cell.label == label and record.cell.kind == "train":
            assert record.evaluation is not None
            block = copy.deepcopy(record.evaluation)
            more = shift(record.cell.seed)
            for document in block["documents"]:
                document["nats"] += more * document["tokens"]
            block["loss"] += more
            block["bits_per_byte"] += more * block["tokens"] / math.log(2) / block["raw_bytes"]
            record.evaluation = block
        return record

    return change


# ---- the same, and what a difference takes -------------------------------------------------------


def test_a_run_against_itself_shows_no_difference() -> None:
    found = compared(None)
    assert found.differences == ()
    assert all(d.difference == 0 and not d.shown for d in all_differences(found))
    assert all(values.comparable != NO for values in all_differences(found))
    assert found.sentence["en"].startswith("The records name nothing that differs")
    for entry in found.configurations:
        assert "the same: " in entry.sentence["en"]
        assert "not shown" not in entry.sentence["en"]


def test_a_difference_beyond_its_interval_is_shown_with_its_sign() -> None:
    found = compared(with_loss(lambda seed: 0.1 + 0.001 * seed))
    loss = difference(found, "eval_loss")
    assert loss.shown
    assert loss.interval is not None
    assert loss.interval[0] > 0
    assert loss.difference == pytest.approx(0.101)
    kept = difference(found, "gain-retention")
    assert kept.shown
    assert kept.difference is not None
    assert kept.difference < 0
    other = difference(found, "eval_loss", "r=8 q,k,v,o")
    assert (other.difference, other.shown) == (0, False)
    back = compare_runs([run("after", with_loss(lambda seed: 0.1 + 0.001 * seed)), run("before")])
    assert difference(back, "eval_loss").difference == pytest.approx(-0.101)


def test_a_difference_inside_its_interval_is_not_claimed() -> None:
    found = compared(with_loss(lambda seed: (0.05, -0.04, 0.01)[seed]))
    loss = difference(found, "eval_loss")
    assert not loss.shown
    assert loss.interval is not None
    assert loss.interval[0] < 0 < loss.interval[1]
    entry = next(c for c in found.configurations if c.configuration == ARM)
    assert "not shown to differ: " in entry.sentence["en"]
    assert "差は示されていません" in entry.sentence["ja"]


def test_one_seed_shows_no_difference() -> None:
    found = compared(with_loss(lambda seed: 0.5), seeds=1)
    loss = difference(found, "eval_loss")
    assert loss.difference == pytest.approx(0.5)
    assert (loss.interval, loss.shown) == (None, False)
    assert loss.seeds_needed is not None
    assert "1 seed shows no difference" in render_comparison(found, "en")


def test_only_common_seeds_count() -> None:
    found = compare_runs([run("three", seeds=3), run("two", seeds=2)])
    assert difference(found, "eval_loss").num_seeds == 2
    assert differing(found)["seeds"] == ([0, 1, 2], [0, 1])


def test_intervals_are_corrected_for_the_number_of_configurations() -> None:
    found = compared(None)
    level = difference(found, "eval_loss").level
    assert level == pytest.approx(1 - 0.05 / len(found.configurations))


def test_intervals_are_corrected_for_the_number_of_runs_too() -> None:
    found = compare_runs([run("a"), run("b"), run("c", only("r=4 q,v"))])
    count = len(found.configurations) + 2  # "full" and one adapter are in the third run as well
    assert difference(found, "eval_loss").level == pytest.approx(1 - 0.05 / count)
    assert "of runs compared" in render_comparison(found, "en")


def test_the_interval_of_a_difference_of_ratios_covers_it() -> None:
    """Ratios of 0.8 and 0.9, four seeds: the interval holds 0.1 as often as it says."""
    draw = random.Random(0)
    held, repeats = 0, 600
    for _ in range(repeats):
        readings = []
        for theta in (0.8, 0.9):
            y = {seed: draw.gauss(0.5, 0.02) for seed in range(4)}
            x = {seed: theta * y[seed] + draw.gauss(0.0, 0.01) for seed in range(4)}
            readings.append(Reading(RunValue(theta, None, 4), PairedRatio(x, y)))
        mean = difference_of(*readings)
        assert mean is not None
        interval = interval_of(mean, 0.95)
        assert interval is not None
        held += interval[0] <= 0.1 <= interval[1]
    assert 0.92 <= held / repeats <= 0.98


def test_runs_of_another_data_order_are_no_pair() -> None:
    def change(record: CellRecord) -> CellRecord:
        if record.training and record.cell.seed == 1:
            record.training["order_sha256"] = "other"
        return record

    loss = difference(compared(change), "eval_loss")
    assert (loss.num_seeds, loss.comparable) == (2, STATED)
    assert "data_order" in loss.because
    assert "of 3 common seeds, 1 saw their texts in another order" in loss.reason


def test_an_order_that_no_seed_shares_gives_no_difference_and_says_why() -> None:
    def change(record: CellRecord) -> CellRecord:
        if record.training:
            record.training["order_sha256"] = f"other {record.cell.seed}"
        return record

    found = compared(change)
    loss = difference(found, "eval_loss")
    assert (loss.difference, loss.comparable, loss.because) == (None, NO, ("data_order",))
    assert "no seed saw its texts in the same order" in loss.reason
    assert loss.reason_ja
    entry = next(c for c in found.configurations if c.configuration == ARM)
    assert "order of the texts" in entry.sentence["en"]
    assert "テキストの順序" in entry.sentence["ja"]
    assert difference(found, "trainable_parameters").difference == 0


def test_runs_without_a_common_seed_say_so() -> None:
    found = compare_runs([run("a", seed_is(0)), run("b", seed_is(1))])
    assert difference(found, "eval_loss").reason == "the runs have no seed in common"
    assert "no seed in common" in render_comparison(found, "en")
    assert "共通のシードがない" in render_comparison(found, "ja")


def seed_is(seed: int) -> Change:
    return lambda r: r if r.cell.kind != "train" or r.cell.seed == seed else None


# ---- what may be compared ------------------------------------------------------------------------


def test_another_device_is_stated_and_time_is_compared_with_it() -> None:
    other = {"type": "cpu", "name": "Other CPU", "total_memory_bytes": 1, "cuda": None, "hip": None}
    found = compared(with_environment(device=other))
    assert differing(found)["device.name"] == ("Example CPU", "Other CPU")
    assert permission(found, "parameters") == (YES, ())
    for quantity in ("time", "quality", "memory"):
        state, because = permission(found, quantity)
        assert state == STATED
        assert "device.name" in because
    assert "device.name" in difference(found, "train_seconds").because


def test_another_kind_of_device_measures_other_memory() -> None:
    other = {"type": "cuda", "name": "GPU", "total_memory_bytes": 1, "cuda": "12", "hip": None}
    assert permission(compared(with_environment(device=other)), "memory")[0] == NO


def test_another_version_is_stated() -> None:
    packages = {"torch": "3.0.0", "transformers": "4.57.0", "peft": "0.18.0"}
    state, because = permission(compared(with_environment(packages=packages)), "time")
    assert state == STATED
    assert "packages.torch" in because


def test_another_allocator_forbids_memory_and_is_stated_for_time() -> None:
    first = run("before", with_environment(allocator={}))
    second = run("after", with_environment(allocator={"MALLOC_TRIM_THRESHOLD_": "0"}))
    found = compare_runs([first, second])
    assert permission(found, "memory") == (NO, ("allocator",))
    assert permission(found, "time") == (STATED, ("allocator",))
    assert permission(found, "quality") == (YES, ())
    assert difference(found, "peak_allocated_bytes").difference is None


def test_the_name_of_a_node_is_no_difference() -> None:
    first, second = (run(n, with_environment(node=n)) for n in ("node-1", "node-2"))
    assert not [name for name in differing(compare_runs([first, second])) if "node" in name]


def test_what_no_record_states_is_said() -> None:
    found = compared(None)
    assert "allocator" in found.not_stated
    assert permission(found, "memory") == (STATED, ("allocator",))


def without_texts(record: CellRecord) -> CellRecord:
    """An evaluation that does not say what it was made on, as imported ones are."""
    if record.evaluation:
        record.evaluation = {**record.evaluation, "documents": []}
    return record


def test_held_out_texts_that_one_run_does_not_state_are_not_taken_as_equal() -> None:
    found = compared(without_texts)
    assert differing(found)["held_out_texts"][1] is None
    for quantity in ("quality", "bits_per_byte"):
        entry = next(p for p in found.permissions if p.quantity == quantity)
        assert (entry.comparable, entry.because) == (NO, ("held_out_texts",))
        assert entry.unknown == ("held_out_texts",)
    assert permission(found, "memory")[0] != NO
    assert difference(found, "eval_loss").difference is None
    assert "held-out texts: not stated" in render_comparison(found, "en")
    assert "評価テキストは記録なし" in render_comparison(found, "ja")


def test_held_out_texts_that_no_run_states_are_named_beside_the_difference() -> None:
    found = compare_runs([run("a", without_texts), run("b", without_texts)])
    assert "held_out_texts" in found.not_stated
    state, because = permission(found, "quality")
    assert state == STATED
    assert "held_out_texts" in because


def test_training_texts_that_one_run_does_not_state_forbid_quality() -> None:
    def change(record: CellRecord) -> CellRecord:
        record.data = None
        return record

    assert permission(compared(change), "quality") == (NO, ("training_texts",))


@pytest.mark.parametrize(
    ("fields", "name", "barred"),
    [
        ({"batch_size": 2}, "batch_size", {"memory", "quality", "bits_per_byte", "time"}),
        ({"max_length": 64}, "max_length", {"memory", "quality", "bits_per_byte", "time"}),
        ({"training_steps": 36}, "training_steps", {"quality", "bits_per_byte", "time"}),
        ({"precision": "fp32"}, "precision.full", {"memory"}),
        ({"dataset": "other.jsonl"}, "dataset", {"quality", "bits_per_byte", "time"}),
        (
            {"trainer_args": {"weight_decay": 0.1}},
            "trainer_args",
            {"memory", "quality", "bits_per_byte", "time"},
        ),
    ],
)
def test_settings_forbid_what_they_change(
    fields: dict[str, Any], name: str, barred: set[str]
) -> None:
    found = compared(None, **fields)
    assert name in differing(found)
    assert {p.quantity for p in found.permissions if p.comparable == NO} == barred
    for quantity in barred:
        assert name in permission(found, quantity)[1]
    assert permission(found, "parameters") == (YES, ())


def test_the_same_file_in_another_place_is_the_same_data() -> None:
    def stated(record: CellRecord) -> CellRecord:
        if record.data is not None:
            record.data["train_statistics"]["utf8_bytes"] = 214_000
        return record

    found = compare_runs([run("a", stated), run("b", stated, dataset="/elsewhere/texts.jsonl")])
    assert "dataset" in differing(found)
    assert "dataset" not in permission(found, "quality")[1]
    assert permission(found, "quality")[0] != NO


def named(name: str, weights: str | None) -> Change:
    """A model of that name or path; its base cell states a fingerprint of the weights."""

    def change(record: CellRecord) -> CellRecord:
        record.model = {"display_name": name}
        if record.cell.kind == "base" and weights:
            record.model["weights"] = weights
        return record

    return change


def test_a_model_under_another_path_is_known_by_its_weights() -> None:
    found = compare_runs([run("a", named("./model", "f" * 32)), run("b", named("/m", "f" * 32))])
    assert differing(found) == {"model": ("./model", "/m")}
    assert permission(found, "parameters") == (YES, ())
    assert difference(found, "eval_loss").difference == 0


def test_other_weights_under_one_name_are_another_model() -> None:
    found = compare_runs([run("a", named("./model", "f" * 32)), run("b", named("./model", "0"))])
    assert permission(found, "quality") == (NO, ("weights",))
    assert permission(found, "bits_per_byte")[0] == STATED


@pytest.mark.parametrize("weights", [None, "f" * 32])
def test_without_fingerprints_the_path_decides_and_both_are_shown(weights: str | None) -> None:
    found = compare_runs([run("a", named("./model", weights)), run("b", named("/m", None))])
    assert differing(found) == {"model": ("./model", "/m")}
    assert permission(found, "parameters") == (NO, ("model",))
    same = compare_runs([run("a", named("./model", weights)), run("b", named("./model", None))])
    assert same.differences == ()
    assert permission(same, "parameters") == (YES, ())


def test_another_learning_rate_is_named_beside_the_difference() -> None:
    found = compared(None, learning_rates={"full": 1e-4, "lora": 1e-3})
    loss = difference(found, "eval_loss")
    assert loss.comparable == STATED
    assert "learning_rate" in loss.because


def test_other_work_beside_a_run_forbids_its_time() -> None:
    def change(record: CellRecord) -> CellRecord:
        if record.training:
            record.training["exclusive"] = False
        return record

    found = difference(compared(change), "train_seconds")
    assert found.comparable == NO
    assert found.because == ("exclusive",)


def another_model(record: CellRecord) -> CellRecord:
    """A model of another size and tokenizer, scored on the same texts."""
    record.model = {"display_name": "Other-1B"}
    assert record.parameters is not None
    if record.cell.adapter is None:
        record.parameters = {**record.parameters, "trainable": 10**9, "total": 10**9}
    if record.evaluation:
        for document in record.evaluation["documents"]:
            document["tokens"] -= 10
            document["raw_bytes"] -= 2
    return record


def test_across_models_only_bits_per_byte_is_compared() -> None:
    found = compared(another_model)
    states = {p.quantity: p.comparable for p in found.permissions}
    assert states == {
        "parameters": NO, "memory": NO, "quality": NO, "time": NO, "bits_per_byte": STATED,
    }  # fmt: skip
    assert {"model", "tokenizer"} <= set(permission(found, "bits_per_byte")[1])
    assert difference(found, "eval_loss").difference is None
    assert difference(found, "bits_per_byte").difference is not None


def test_other_held_out_texts_forbid_bits_per_byte_too() -> None:
    def change(record: CellRecord) -> CellRecord:
        if record.evaluation:
            for document in record.evaluation["documents"][:3]:
                document["raw_bytes"] += 500
        return record

    assert permission(compared(change), "bits_per_byte")[0] == NO
    assert "held_out_texts" in differing(compared(change))


# ---- arms, claims, more than two -----------------------------------------------------------------


def only(*labels: str) -> Change:
    return lambda record: record if record.cell.label in ("base", "full", *labels) else None


def test_arms_that_one_side_lacks_are_listed() -> None:
    found = compare_runs(
        [run("a", only("r=4 q,v", "r=8 q,k,v,o")), run("b", only("r=8 q,k,v,o", "r=16 q,k,v,o"))]
    )
    assert [c.configuration for c in found.configurations] == ["full", "r=8 q,k,v,o"]
    assert {(u.configuration, u.runs) for u in found.unshared} == {
        ("r=4 q,v", (True, False)), ("r=16 q,k,v,o", (False, True)),
    }  # fmt: skip
    text = render_comparison(found, "en")
    assert "only in A: r=4 q,v" in text
    assert "only in B: r=16 q,k,v,o" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_disjoint_arms_compare_nothing(language: str) -> None:
    no_full: Change = lambda r: r if r.cell.label == "r=4 q,v" else None  # noqa: E731
    found = compare_runs([run("a", no_full), run("b", dataset_sizes=[500])])
    assert found.configurations == ()
    assert {u.runs for u in found.unshared} == {(True, False), (False, True)}
    assert {"en": "No configuration", "ja": "両方にある構成がない"}[language] in render_comparison(
        found, language
    )


def test_each_run_keeps_its_own_verdict_and_thresholds() -> None:
    strict = [c for c in claims() if c.id != "memory-controlled"]
    strict += [
        Claim(**{**vars(c), "verified_at": 9.0, "partial_at": 8.0})
        for c in claims()
        if c.id == "memory-controlled"
    ]
    found = compare_runs([run("a"), RunInput("b", make_records(make_config(seeds=3)), strict)])
    assert "memory-controlled" in {f.name for f in found.differences if f.kind == "claims"}
    entry = next(c for c in found.configurations if c.configuration == ARM)
    memory = next(q for q in entry.quantities if q.name == "memory-controlled")
    assert [v.verification for v in memory.values] == ["PARTIAL", "FAILED"]
    assert "PARTIAL in A, FAILED in B" in entry.sentence["en"]


def test_three_runs_are_all_compared_with_the_first() -> None:
    found = compare_runs([run("a"), run("b"), run("c", with_loss(lambda seed: 0.2))])
    assert difference(found, "eval_loss", place=1).difference == 0
    assert difference(found, "eval_loss", place=2).difference == pytest.approx(0.2)
    assert "C against A" in next(
        c.sentence["en"] for c in found.configurations if c.configuration == ARM
    )


def test_no_figure_is_a_mean_over_runs() -> None:
    """Every value of a run stays what it is when another run stands beside it."""
    shifted = with_loss(lambda seed: 0.3)
    alone = compare_runs([run("a"), run("a")])
    beside = compare_runs([run("a"), run("b", shifted)])
    for first, second in zip(alone.configurations, beside.configurations, strict=True):
        for one, other in zip(first.quantities, second.quantities, strict=True):
            assert one.values[0] == other.values[0]


def test_an_arm_out_of_memory_gives_a_bound_and_no_difference() -> None:
    def change(record: CellRecord) -> CellRecord:
        return (
            fail(record) if (record.cell.kind, record.cell.label) == ("memory", "full") else record
        )

    found = compared(change)
    assert difference(found, "memory-controlled").difference is None
    assert difference(found, "peak_allocated_bytes", "full").difference is None


# ---- folders and the command ---------------------------------------------------------------------


def of_folders(*folders: Path) -> RunsComparison:
    return compare_runs([RunInput(str(folder), *read_folder(folder)) for folder in folders])


def test_the_two_committed_runs() -> None:
    """They differ in the batch size; the allocator setting that differed is in no record."""
    found = of_folders(QUICK, BATCH4)
    assert differing(found)["batch_size"] == (3, 4)
    assert "git.commit" in differing(found)
    assert found.not_stated == ("allocator",)
    assert permission(found, "parameters") == (YES, ())
    for quantity in ("memory", "quality", "bits_per_byte", "time"):
        assert permission(found, quantity) == (NO, ("batch_size",))
    entry = next(c for c in found.configurations if c.configuration == ARM)
    memory = next(q for q in entry.quantities if q.name == "memory-controlled")
    assert [v.verification for v in memory.values] == ["VERIFIED", "PARTIAL"]
    assert memory.differences[0].difference is None
    assert "VERIFIED in A, PARTIAL in B, under different conditions" in entry.sentence["en"]


def test_a_folder_against_itself() -> None:
    found = of_folders(QUICK, QUICK)
    assert found.differences == ()
    assert {d.difference for d in all_differences(found)} == {0}
    assert not any(d.shown for d in all_differences(found))


def test_imported_results(tmp_path: Path) -> None:
    for name, sources in {"one": (FULL, R8, R16), "two": (FULL, R8)}.items():
        import_results(peft_folder(tmp_path / f"source-{name}", *sources), tmp_path / name)
    found = of_folders(tmp_path / "one", tmp_path / "two")
    assert all(run.imported for run in found.runs)
    assert permission(found, "parameters") == (YES, ())
    assert [u.configuration for u in found.unshared if u.runs == (True, False)]
    mixed = of_folders(tmp_path / "one", QUICK)
    assert mixed.configurations == ()
    for language in LANGUAGES:
        assert "nan" not in render_comparison(mixed, language).lower()


def test_the_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "compare", QUICK, BATCH4, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == SCHEMA == "lora-bench/compare/1"
    assert set(document) == {
        "schema", "runs", "differences", "not_stated", "permissions", "configurations", "unshared",
        "sentence",
    }  # fmt: skip
    assert [run["name"] for run in document["runs"]] == [str(QUICK), str(BATCH4)]


def damaged(folder: Path) -> Path:
    store = Store(folder)
    store.create()
    store.write_record(make_records()[0])
    (folder / "records" / "zz.json").write_text("{", encoding="utf-8")
    return folder


def test_folders_that_cannot_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    cases: list[tuple[list[Path], str]] = [
        ([QUICK], "takes 2 to 9 folders, got 1"),
        ([QUICK, tmp_path / "nowhere"], "no such folder"),
        ([QUICK, tmp_path / "empty"], "holds no records"),
        ([QUICK, damaged(tmp_path / "damaged")], "zz.json: cannot be read"),
        ([QUICK] * 10, "takes 2 to 9 folders, got 10"),
    ]
    for folders, words in cases:
        assert call(monkeypatch, "compare", *folders) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        lines = captured.err.strip().splitlines()
        assert len(lines) == 1
        assert words in lines[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_strange_names_stay_text(language: str) -> None:
    strange = "<b>\x1b[31m\u202e=1\n"

    def change(record: CellRecord) -> CellRecord:
        record.environment = environment(packages={"torch": strange, strange: "1"})
        record.model = {"display_name": strange}
        return record

    text = render_comparison(compare_runs([run(strange), run("b", change)]), language)
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_lines_of_sentences_fit_a_terminal() -> None:
    from rich.cells import cell_len

    for language in LANGUAGES:
        for line in render_comparison(of_folders(QUICK, BATCH4), language).splitlines():
            assert cell_len(line) <= 140 or line.startswith(("A  /", "B  /")), line


@pytest.mark.parametrize("page", ["docs/compare.md", "docs/ja/compare.md"])
def test_the_examples_of_the_page_work(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command of the page runs, and the first prints the lines that the page shows."""
    monkeypatch.chdir(ROOT)
    text = (ROOT / page).read_text(encoding="utf-8")
    commands = re.findall(r"^    (\$ )?(lora-bench compare benchmarks/.*)$", text, re.M)
    assert commands
    for shown, command in commands:
        assert call(monkeypatch, *shlex.split(command)[1:]) == 0
        printed = capsys.readouterr().out
        if shown:
            rest = text.split(command, 1)[1].splitlines()[1:]
            block = list(itertools.takewhile(lambda line: not line or line[:4] == "    ", rest))
            lines = [line[4:] for line in block if line.strip() not in ("", "...")]
            assert len(lines) > 20
            assert not set(lines) - set(printed.splitlines())
