"""Every warning of the closed list fires on its cause, and stays silent without it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest

from factories import environment, evaluation, fail, make_config, make_records
from lora_efficiency_benchmark.analysis import AnalysisWarning, analyze
from lora_efficiency_benchmark.analysis.warning_texts import WARNING_TEXTS, make_warning
from lora_efficiency_benchmark.analysis.warnings import CHECKS
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.language import Statement
from lora_efficiency_benchmark.records.results import CellRecord

CLAIMS = load_claims("paper-r5")
Change = Callable[[CellRecord], CellRecord | None]
QUIET_LORA = [{"r": 4, "target_modules": ["q_proj", "v_proj"]}]
JAPANESE = re.compile(r"[ぁ-んァ-ン一-龥]")


def warned(records: list[CellRecord]) -> dict[str, AnalysisWarning]:
    return {warning.code: warning for warning in analyze(records, CLAIMS).warnings}


def quiet_records(change: Change | None = None, **fields: Any) -> list[CellRecord]:
    """A matrix that gives no reason to warn: two sizes, whole epochs, flat curves, four seeds."""
    settings: dict[str, Any] = {
        "dataset_sizes": [48, 96], "training_steps": 24, "seeds": 4, "eval_steps": 20,
        "lora_configurations": QUIET_LORA,
    }  # fmt: skip

    def flat(record: CellRecord) -> CellRecord | None:
        if record.training and record.evaluation:
            loss = record.evaluation["loss"]
            record.training["evaluation_curve"] = [
                {"step": 20, "loss": loss + 0.02},
                {"step": 24, "loss": loss},
            ]
        return change(record) if change else record

    config = make_config(**{**settings, **fields})
    losses = {"full": 1.97, "r=4 q,v": 1.96}
    return make_records(config, losses=losses, noise=0.001, change=flat)


def training(label: str | None = None, **values: Any) -> Change:
    """Replace fields of the training block."""

    def change(record: CellRecord) -> CellRecord:
        if record.training and label in (None, record.cell.label):
            record.training.update(values)
        return record

    return change


def overlap(**values: Any) -> Change:
    def change(record: CellRecord) -> CellRecord:
        if record.data:
            record.data["overlap"].update(values)
        return record

    return change


def elsewhere(record: CellRecord) -> CellRecord:
    if record.cell.seed == 3 and record.cell.kind == "train":
        record.environment = environment(threads=8)
    return record


def failing(record: CellRecord) -> CellRecord:
    return fail(record, "diverged") if record.cell.seed == 3 else record


def emulated(record: CellRecord) -> CellRecord:
    record.environment = environment(bf16_matmul="emulated")
    return record


def in_process(record: CellRecord) -> CellRecord:
    record.isolated = record.cell.kind != "train"
    return record


def few_documents(record: CellRecord) -> CellRecord:
    if record.evaluation:
        record.evaluation["documents"] = record.evaluation["documents"][:49]
    return record


def scattered_documents(record: CellRecord) -> CellRecord:
    if record.evaluation and record.cell.adapter:
        for i, document in enumerate(record.evaluation["documents"]):
            document["nats"] += 20 if i % 2 else -20
    return record


def more_memory(record: CellRecord) -> CellRecord:
    if record.memory and record.cell.adapter:
        record.memory["peak_allocated_bytes"] *= 2
    return record


def slower(record: CellRecord) -> CellRecord:
    if record.training and record.cell.adapter:
        record.training["train_seconds"] *= 2
    return record


def did_not_learn(record: CellRecord) -> CellRecord:
    if record.training and record.cell.adapter:
        record.evaluation = evaluation(2.85 - 0.029)
    return record


def other_order(record: CellRecord) -> CellRecord:
    if record.training and record.cell.adapter:
        record.training["order_sha256"] = "0" * 64
    return record


def other_steps() -> list[CellRecord]:
    short = quiet_records(lambda r: r if r.cell.adapter is None else None)
    long = quiet_records(lambda r: r if r.cell.adapter is not None else None, training_steps=30)
    return short + long


def best_at_the_edge() -> list[CellRecord]:
    """Trials of one arm whose loss falls with the rate to the very last one."""
    records = quiet_records()
    model = next(r for r in records if r.cell.kind == "train")
    trials = []
    for rate, loss in ((1e-4, 2.2), (3e-4, 2.1), (9e-4, 2.0)):
        cell = dataclasses.replace(model.cell, kind="trial", learning_rate=rate)
        trials.append(dataclasses.replace(model, cell=cell, validation={"loss": loss}))
    return [*records, *trials]


FIRES: dict[str, Callable[[], list[CellRecord]]] = {
    "environments_differ": lambda: quiet_records(elsewhere),
    "settings_mixed": lambda: quiet_records() + quiet_records(training_steps=48, seeds=1),
    "arms_differ": lambda: quiet_records(other_order),
    "cells_failed": lambda: quiet_records(failing),
    "mean_hides_failures": lambda: make_records(),
    "too_few_seeds": lambda: quiet_records(seeds=1),
    "shared_learning_rate": lambda: quiet_records(learning_rates=None, learning_rate=1e-4),
    "best_rate_at_edge": best_at_the_edge,
    "arm_did_not_learn": lambda: quiet_records(did_not_learn),
    "weights_do_not_move": lambda: quiet_records(training("full", weights_moved=0.49)),
    "loss_still_falling": lambda: quiet_records(
        training(evaluation_curve=[{"step": 20, "loss": 2.01}, {"step": 24, "loss": 1.97}])
    ),
    "evaluation_set_small": lambda: quiet_records(few_documents),
    "overlap_between_sides": lambda: quiet_records(overlap(exact=1)),
    "data_size_not_tested": lambda: quiet_records(dataset_sizes=[96]),
    "lora_needs_more_memory": lambda: quiet_records(more_memory),
    "lora_slower": lambda: quiet_records(slower),
    "precision_differs": lambda: quiet_records(precision={"full": "amp-bf16", "lora": "bf16"}),
    "time_not_measured": lambda: quiet_records(training("full", exclusive=False)),
    "emulated_bf16": lambda: quiet_records(emulated),
    "not_isolated": lambda: quiet_records(in_process),
}


def test_the_list_is_closed() -> None:
    assert {*FIRES, "run_not_finished"} == set(CHECKS) == set(WARNING_TEXTS)


@pytest.mark.parametrize("left", [0, 1, 7, None])
def test_a_run_that_goes_on_is_told_from_the_plan(left: int | None) -> None:
    analysis = analyze(quiet_records(), CLAIMS, unfinished=left)
    assert analysis.unfinished == left
    found = [w for w in analysis.warnings if w.code == "run_not_finished"]
    assert len(found) == (1 if left else 0)
    for warning in found:
        assert f"{left} planned cell" in warning.cause
        assert f"{left}個" in warning.cause_ja


def test_nothing_to_warn_about() -> None:
    assert warned(quiet_records()) == {}
    assert warned([]) == {}


@pytest.mark.parametrize("code", sorted(FIRES))
def test_it_fires(code: str) -> None:
    warnings = warned(FIRES[code]())
    assert code in warnings
    warning = warnings[code]
    assert warning.cause.endswith(".")
    assert "{" not in warning.cause + warning.cause_ja
    assert JAPANESE.search(warning.cause_ja)
    assert JAPANESE.search(warning.next_step_ja)


@pytest.mark.parametrize(
    ("code", "records"),
    [
        ("evaluation_set_small", lambda: quiet_records(scattered_documents)),
        ("overlap_between_sides", lambda: quiet_records(overlap(near_duplicates=2))),
        ("overlap_between_sides", lambda: quiet_records(overlap(shared_groups=1))),
        ("overlap_between_sides", lambda: quiet_records(overlap(ngram13_share=0.11))),
        ("data_size_not_tested", lambda: quiet_records(dataset_sizes=[48, 97])),
        ("arms_differ", other_steps),
        ("arm_did_not_learn", lambda: make_records(losses={"full": 2.9})),
    ],
)
def test_other_ways_to_fire(code: str, records: Callable[[], list[CellRecord]]) -> None:
    assert code in warned(records())


@pytest.mark.parametrize(
    ("code", "records"),
    [
        ("weights_do_not_move", lambda: quiet_records(training(weights_moved=0.5))),
        ("weights_do_not_move", lambda: quiet_records(training(weights_moved=None))),
        ("overlap_between_sides", lambda: quiet_records(overlap(ngram13_share=0.1))),
        (
            "loss_still_falling",
            lambda: quiet_records(
                training(evaluation_curve=[{"step": 20, "loss": 1.9}, {"step": 24, "loss": 1.88}])
            ),
        ),
        ("loss_still_falling", lambda: quiet_records(training(evaluation_curve=[]))),
        ("emulated_bf16", lambda: quiet_records(emulated, precision="fp32")),
        ("mean_hides_failures", lambda: make_records(change=lambda r: None)),
    ],
)
def test_just_short_of_the_threshold(code: str, records: Callable[[], list[CellRecord]]) -> None:
    assert code not in warned(records())


def test_one_rate_each_is_fair() -> None:
    rates = warned(quiet_records(learning_rates=None, learning_rate=1e-4))
    assert "0.0001" in rates["shared_learning_rate"].cause
    assert "{full: ..., lora: ...}" in rates["shared_learning_rate"].next_step


def test_unequal_arms_are_not_compared() -> None:
    analysis = analyze(quiet_records(other_order), CLAIMS)
    quality = next(c for c in analysis.claims if c.id == "gain-retention")
    assert quality.verification == "NOT_MEASURED"
    warning = next(w for w in analysis.warnings if w.code == "arms_differ")
    assert "data order" in warning.cause


# ---- what a warning names, in Japanese ----------------------------------------------------------


def memory(label: str, **values: Any) -> Change:
    """Replace fields of the memory block of one arm."""

    def change(record: CellRecord) -> CellRecord:
        if record.memory and record.cell.label == label:
            record.memory.update(values)
        return record

    return change


def unknown_elsewhere(record: CellRecord) -> CellRecord:
    if record.cell.seed == 3 and record.cell.kind == "train":
        record.environment = {"python": "3"}
    return record


def no_environment(record: CellRecord) -> CellRecord:
    if record.cell.seed == 3 and record.cell.kind == "train":
        record.environment = {}
    return record


def other_texts(label: str) -> Change:
    def change(record: CellRecord) -> CellRecord:
        if record.evaluation and record.cell.label == label:
            record.evaluation["documents"][0]["tokens"] += 1
        return record

    return change


def ending_as(kind: str, cell_kind: str) -> Change:
    return lambda r: fail(r, kind) if (r.cell.kind, r.cell.seed) == (cell_kind, 0) else r


NAMED: list[tuple[str, Callable[[], list[CellRecord]], str, str]] = [
    (
        "environments_differ",
        lambda: quiet_records(elsewhere),
        "Example CPU (torch 2.9.0, transformers 4.57.0, 8 threads), 4 records.",
        "Example CPU(torch 2.9.0、transformers 4.57.0、スレッド数8)、記録4件",
    ),
    (
        "environments_differ",
        lambda: quiet_records(unknown_elsewhere),
        "None (versions unknown, None threads), 4 records.",
        "不明なデバイス(バージョン不明、スレッド数不明)、記録4件",
    ),
    (
        "environments_differ",
        lambda: quiet_records(no_environment),
        "unknown environment, 4 records.",
        "不明な環境、記録4件",
    ),
    (
        "settings_mixed",
        lambda: quiet_records() + quiet_records(learning_rates={"full": 1e-5, "lora": 2e-3}),
        "full at learning rate 0.0001, amp-bf16.",
        "フル(学習率0.0001、amp-bf16)",
    ),
    (
        "arms_differ",
        other_steps,
        "training_steps 24 (full) against 30.",
        "training_steps(フルは24、判定対象は30)",
    ),
    (
        "arms_differ",
        lambda: quiet_records(other_order, seeds=1),
        "r=4 q,v, 48 texts, seed 0: data order;",
        "r=4 q,v(学習テキスト48件) シード0: データ順、",
    ),
    (
        "arms_differ",
        lambda: quiet_records(training("r=4 q,v", tokens=5), seeds=1),
        "seed 0: tokens 5 against ",
        "シード0: トークン数(LoRAは5、フルは",
    ),
    (
        "arms_differ",
        lambda: quiet_records(training("full", steps=5), seeds=1),
        "seed 0: steps 24 against 5;",
        "シード0: ステップ数(LoRAは24、フルは5)、",
    ),
    (
        "arms_differ",
        lambda: quiet_records(other_texts("full"), seeds=1),
        "seed 0: held-out texts (full);",
        "シード0: 評価テキスト(フルと不一致)、",
    ),
    (
        "arms_differ",
        lambda: quiet_records(other_texts("base"), seeds=1),
        "seed 0: held-out texts (base);",
        "シード0: 評価テキスト(学習前のモデルと不一致)、",
    ),
    (
        "arms_differ",
        lambda: quiet_records(memory("full", batch_size=99)),
        "r=4 q,v, memory, batch_size ",
        "r=4 q,vのメモリ測定: バッチサイズ(LoRAは",
    ),
    (
        "arms_differ",
        lambda: quiet_records(memory("full", source="accelerator", sequence_length=7)),
        " against accelerator.",
        "フルはアクセラレータ)",
    ),
    (
        "cells_failed",
        lambda: quiet_records(ending_as("out_of_memory", "memory")),
        "memory full (out_of_memory); memory r=4 q,v (out_of_memory) ended",
        "フルのメモリ測定(メモリ不足)、r=4 q,vのメモリ測定(メモリ不足)",
    ),
    (
        "cells_failed",
        lambda: quiet_records(ending_as("time_limit", "base")),
        "base base (time_limit) ended",
        "学習前のモデルの評価(制限時間超過)",
    ),
    (
        "cells_failed",
        lambda: quiet_records(ending_as("ValueError", "train")),
        "train full (ValueError)",
        "フルの学習(失敗)",
    ),
    (
        "time_not_measured",
        lambda: quiet_records(training("full", exclusive=False), seeds=1),
        "full seed 0.",
        "フルのシード0",
    ),
    (
        "weights_do_not_move",
        lambda: quiet_records(training("full", weights_moved=0.49)),
        "full 49.0%.",
        "フル 49.0%",
    ),
    (
        "lora_needs_more_memory",
        lambda: quiet_records(more_memory),
        "r=4 q,v 0.83x (controlled)",
        "r=4 q,v 0.83倍(同一精度)",
    ),
    (
        "precision_differs",
        lambda: quiet_records(precision={"full": "amp-bf16", "lora": "bf16"}),
        "(full amp-bf16, LoRA bf16)",
        "(フルはamp-bf16、LoRAはbf16)",
    ),
    (
        "not_isolated",
        lambda: quiet_records(in_process),
        "train full; train r=4 q,v;",
        "フルの学習、r=4 q,vの学習",
    ),
]


@pytest.mark.parametrize(("code", "records", "en", "ja"), NAMED)
def test_what_is_named_has_its_japanese(
    code: str, records: Callable[[], list[CellRecord]], en: str, ja: str
) -> None:
    warning = warned(records())[code]
    assert en in warning.cause
    assert ja in warning.cause_ja


NAMES = re.compile(
    # of arms, precisions, settings, versions, verdicts and units
    r"r=\d+ [a-z,]+|LoRA|amp-bf16|bf16|fp32|training_steps|trainer_args|Example CPU|CPU|torch"
    r"|transformers|VERIFIED|PARTIAL|FAILED|nats|\d(e-\d+)?"
)


@pytest.mark.parametrize("records", [*FIRES.values(), *(case[1] for case in NAMED)])
def test_a_japanese_cause_holds_no_english_but_names(
    records: Callable[[], list[CellRecord]],
) -> None:
    causes = [warning.cause_ja for warning in warned(records()).values()]
    assert causes
    assert not [cause for cause in causes if re.search("[A-Za-z]{2}", NAMES.sub("", cause))]


def test_an_unknown_code_is_an_error() -> None:
    with pytest.raises(KeyError):
        make_warning("no_such_warning", Statement("x", "x"))


def test_warnings_are_plain_values() -> None:
    names = {f.name for f in dataclasses.fields(AnalysisWarning)}
    assert names == {"code", "cause", "next_step", "cause_ja", "next_step_ja"}
