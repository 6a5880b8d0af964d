"""What is written comes back as it was: configurations, cells, records, methods, claims.

Cases are drawn by hypothesis, the same ones on every machine.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lora_efficiency_benchmark.config.adapters import ALL_LINEAR, AdapterSettings, parse_adapter
from lora_efficiency_benchmark.config.benchmark_config import (
    LoRABenchmarkConfig,
    load_config,
    parse_override,
)
from lora_efficiency_benchmark.config.checks import PRECISIONS
from lora_efficiency_benchmark.config.claims import METRICS, Claim, load_claims
from lora_efficiency_benchmark.config.methods import full, lora, parse_method
from lora_efficiency_benchmark.config.yaml_io import dump_yaml, parse_yaml
from lora_efficiency_benchmark.plain_text import is_plain, one_line
from lora_efficiency_benchmark.plan import AS_PRACTISED, CONTROLLED, FULL, LORA, Cell, expand
from lora_efficiency_benchmark.records.results import FAILED, OK, SKIPPED, CellRecord
from lora_efficiency_benchmark.records.store import Store

RESULTS = Path(__file__).parent.parent / "benchmarks/results"

F = TypeVar("F", bound=Callable[..., None])


def cases(count: int) -> Callable[[F], F]:
    """The same ``count`` cases everywhere, without a time limit on a busy machine."""
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None,
        suppress_health_check=checks,
    )  # fmt: skip


# ---- what is drawn ------------------------------------------------------------------------------

_PLAIN = st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters=",+")
modules = st.text(_PLAIN, min_size=1, max_size=12) | st.sampled_from(
    ["q_proj", "v_proj", "c_attn", "W_pack", "layers.0.self_attn.q_proj", "1e5", "null", "～"]
)
texts = st.text(st.characters(codec="utf-8"), max_size=30)
words = st.text(_PLAIN, min_size=1, max_size=20)
rates = st.floats(1e-12, 1e3)
whole = st.integers(1, 10**6)
numbers = st.floats(allow_nan=False) | st.integers(-(10**15), 10**15)
leaves = st.none() | st.booleans() | numbers | texts
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
    lambda key: key not in ("non_finite", "gradient_accumulation_steps")
)
plain = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def adapters(draw: st.DrawFn) -> AdapterSettings:
    """Any LoRA configuration, with its defaults left out now and then."""
    named = draw(st.lists(modules, min_size=1, max_size=4, unique=True))
    rest = [name for name in draw(st.lists(modules, max_size=2, unique=True)) if name not in named]
    raw: dict[str, Any] = {
        "r": draw(st.integers(1, 4096)),
        "target_modules": draw(st.just(named) | st.just(ALL_LINEAR)),
    }
    if draw(st.booleans()):
        raw["alpha"] = draw(st.integers(1, 10**9) | st.floats(1e-6, 1e9))
    if draw(st.booleans()):
        raw["dropout"] = draw(st.floats(0, 1, exclude_max=True))
    for flag in ("use_dora", "use_rslora"):
        if draw(st.booleans()):
            raw[flag] = True
    if rest:
        raw["modules_to_save"] = rest
    return parse_adapter(raw)


@st.composite
def trainer_args(draw: st.DrawFn) -> dict[str, Any]:
    values = draw(st.dictionaries(keys, plain, max_size=3))
    free = {k: v for k, v in values.items() if k.isidentifier() and k not in ("seed", "bf16")}
    if draw(st.booleans()):
        free["gradient_accumulation_steps"] = draw(st.integers(1, 64))
    return {**free, "max_grad_norm": draw(st.floats(0, allow_nan=False))}


@st.composite
def configurations(draw: st.DrawFn) -> LoRABenchmarkConfig:
    """Any configuration that the checks let through."""
    chosen = draw(st.lists(adapters(), min_size=1, max_size=3, unique=True))
    arms = [adapter.label for adapter in chosen]
    by_label = {label: draw(rates) for label in arms}
    ways = draw(st.sampled_from(["arm", "label", "shared", "search"]))
    named: dict[str, dict[str, Any]] = {
        "arm": {"learning_rates": {"full": draw(rates), "lora": draw(rates)}},
        "label": {"learning_rates": {"full": draw(rates), **by_label}},
        "shared": {"learning_rate": draw(rates)},
        "search": {
            "learning_rates": "search",
            "search": draw(st.sampled_from([{}, {"trials": 7, "factor": 2.5}, {"steps": None}])),
        },
    }
    precision = draw(
        st.sampled_from(PRECISIONS)
        | st.fixed_dictionaries(dict.fromkeys(("full", "lora"), st.sampled_from(PRECISIONS)))
    )
    data = draw(words | st.fixed_dictionaries({"path": words, "text_field": words}))
    return LoRABenchmarkConfig(
        model_name=draw(words),
        base_model_name=draw(words),
        dataset_sizes=draw(st.lists(whole, min_size=1, max_size=3, unique=True)),
        lora_configurations=[adapter.to_dict() for adapter in chosen],
        training_steps=draw(whole),
        eval_steps=draw(whole),
        output_dir=draw(words),
        max_length=draw(st.integers(2, 10**6)),
        batch_size=draw(whole),
        **named[ways],
        seeds=draw(st.integers(1, 1000)),
        precision=precision,
        dataset=data,
        evaluation_size=draw(whole),
        trainer_args=draw(trainer_args()),
        claims=draw(words),
        launcher=draw(st.sampled_from([{}, {"isolation": "spawn"}])),
        time_limit_minutes=draw(st.none() | st.floats(1e-3, 1e6)),
        trust_remote_code=draw(st.booleans()),
        allow_pickle=draw(st.booleans()),
        estimate_scale=draw(st.booleans()),
        probes=draw(st.booleans()),
        samples=draw(st.lists(texts.filter(str.strip), max_size=2, unique=True)),
    )


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    """Any cell that the plan or the import can make."""
    kind = draw(st.sampled_from(["base", "memory", "trial", "train"]))
    method = None if kind == "base" else draw(st.sampled_from([FULL, LORA]))
    counts = {
        name: draw(st.integers(0, 2**40))
        for name in (
            "dataset_size", "evaluation_size", "seed", "training_steps", "eval_steps",
            "max_length", "batch_size", "validation_size", "probes",
        )
    }  # fmt: skip
    return Cell(
        kind=kind,
        model_name=draw(texts),
        training_method=method,
        adapter=draw(adapters()) if method == LORA else None,
        reading=draw(st.sampled_from([CONTROLLED, AS_PRACTISED])),
        precision=draw(st.sampled_from(PRECISIONS)),
        dataset=draw(words | st.fixed_dictionaries({"path": words})),
        learning_rate=draw(st.none() | rates),
        trainer_args=draw(trainer_args()),
        trust_remote_code=draw(st.booleans()),
        samples=tuple(draw(st.lists(texts, max_size=2))),
        allow_pickle=draw(st.booleans()),
        **counts,
    )


losses = st.floats()  # NaN and infinities included: that is how training ends, too
curves = st.lists(st.fixed_dictionaries({"step": whole, "loss": losses}), max_size=3)
scores = st.fixed_dictionaries({
    "loss": losses, "perplexity": losses, "tokens": whole,
    "documents": st.lists(
        st.fixed_dictionaries({"nats": losses, "tokens": whole, "raw_bytes": whole}), max_size=2
    ),
})  # fmt: skip


@st.composite
def records(draw: st.DrawFn) -> CellRecord:
    status = draw(st.sampled_from([OK, FAILED, SKIPPED]))
    training = {"loss_curve": draw(curves), "train_seconds": draw(losses), "exclusive": True}
    return CellRecord(
        cell=draw(cells()),
        status=status,
        started_at=draw(texts),
        ended_at=draw(texts),
        isolated=draw(st.booleans()),
        error=None if status == OK else {"kind": draw(texts), "message": draw(texts)},
        environment={"packages": draw(st.dictionaries(keys, texts, max_size=2)), "note": "x"},
        model=draw(st.none() | st.fixed_dictionaries({"display_name": texts})),
        parameters=draw(st.none() | st.fixed_dictionaries({"total": whole, "trainable": whole})),
        data=draw(st.none() | st.fixed_dictionaries({"name": plain, "train_documents": whole})),
        memory=draw(st.none() | st.fixed_dictionaries({"breakdown": st.just({"weights": 1})})),
        training=draw(st.none() | st.just(training)),
        evaluation=draw(st.none() | scores),
        validation=draw(st.none() | scores),
        probes=draw(st.none() | st.dictionaries(keys, scores, max_size=2)),
        samples=draw(st.none() | st.just([{"prompt": draw(texts), "text": draw(texts)}])),
        seconds=draw(st.dictionaries(keys, losses, max_size=2)),
    )


def shuffled(values: Any) -> Any:
    """The same plain data, the keys of every mapping in the opposite order."""
    if isinstance(values, dict):
        return {key: shuffled(values[key]) for key in reversed(list(values))}
    return [shuffled(item) for item in values] if isinstance(values, list) else values


def in_order(values: Any) -> str:
    return json.dumps(values, sort_keys=True, allow_nan=False)


# ---- the round trips ----------------------------------------------------------------------------


@cases(30)
@given(configurations())
def test_configuration_to_yaml_and_back(config: LoRABenchmarkConfig) -> None:
    back = load_config(parse_yaml(config.to_yaml()))
    assert back == config
    assert back.adapters == config.adapters
    assert back.to_yaml() == config.to_yaml()


@cases(5)
@given(configurations())
def test_a_configuration_read_again_asks_for_the_same_cells(config: LoRABenchmarkConfig) -> None:
    config = dataclasses.replace(config, seeds=2)
    back = load_config(parse_yaml(config.to_yaml()))
    assert [cell.id for cell in expand(back)] == [cell.id for cell in expand(config)]


@cases(50)
@given(adapters())
def test_adapter_to_mapping_and_back(adapter: AdapterSettings) -> None:
    assert parse_adapter(json.loads(json.dumps(adapter.to_dict()))) == adapter


@cases(50)
@given(adapters(), adapters())
def test_labels_tell_configurations_apart(one: AdapterSettings, two: AdapterSettings) -> None:
    """A learning rate is given by label: two that differ in a digit may not share one."""
    near = dataclasses.replace(one, alpha=one.alpha + 0.5 if one.alpha < 1e9 else one.alpha / 2)
    for other in (two, near):
        assert (one == other) == (one.label == other.label)


@cases(50)
@given(adapters())
def test_method_to_text_and_back(adapter: AdapterSettings) -> None:
    method = lora(adapter)
    assert parse_method(method.text) == method
    assert parse_method(f"  {method.text} ") == method


def test_full_is_text_too() -> None:
    assert parse_method(full().text) == full()


@cases(50)
@given(cells())
def test_cell_to_json_and_back_under_one_id(cell: Cell) -> None:
    values = json.loads(json.dumps(cell.to_dict()))
    for form in (values, shuffled(values)):
        back = Cell.from_dict(form)
        assert back == cell
        assert back.id == cell.id
    assert set(cell.id) <= set("abcdefghijklmnopqrstuvwxyz0123456789-"), "a file name everywhere"
    assert len(cell.id) < 150


@cases(30)
@given(records())
def test_record_to_json_and_back(record: CellRecord) -> None:
    text = json.dumps(record.to_dict(), allow_nan=False, ensure_ascii=False)
    for values in (json.loads(text), shuffled(json.loads(text))):
        back = CellRecord.from_dict(values)
        assert back.cell == record.cell
        # As text, because NaN is not equal to itself; keys come back in the order of the file.
        assert in_order(back.to_dict()) == in_order(json.loads(text))


@cases(20)
@given(records(), st.data())
def test_records_of_an_older_program_are_read(record: CellRecord, data: st.DataObject) -> None:
    """Fields that did not exist then are absent; what a later program adds is left out."""
    values = json.loads(json.dumps(record.to_dict()))
    later = [
        field.name for field in dataclasses.fields(CellRecord)
        if field.name not in ("cell", "status", "started_at", "ended_at")
    ]  # fmt: skip
    for name in data.draw(st.lists(st.sampled_from(later), unique=True)):
        del values[name]
    values["a_field_to_come"] = {"x": 1}
    assert CellRecord.from_dict(values).cell_id == record.cell_id


@pytest.mark.parametrize("folder", sorted(p.name for p in RESULTS.iterdir() if p.is_dir()))
def test_stored_results_keep_their_ids(folder: str) -> None:
    """Records of real runs of earlier versions: read, and found under the id they were written."""
    found = Store(RESULTS / folder).load_records()
    assert found
    for record in found:
        path = RESULTS / folder / "records" / f"{record.cell_id}.json"
        assert json.loads(path.read_text(encoding="utf-8"))["cell_id"] == record.cell_id


@cases(60)
@given(words.filter(lambda word: "=" not in word), plain)
def test_override_to_text_and_back(key: str, value: Any) -> None:
    assert parse_override(f"{key}={dump_yaml(value)}") == (key, value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("claims")


@cases(30)
@given(
    st.lists(
        st.builds(
            Claim,
            id=words,
            metric=st.sampled_from(METRICS),
            claimed=st.floats(0, 1e300) | st.integers(0, 10**9),
            verified_at=st.floats(10, 1e300),
            partial_at=st.floats(-1e300, 10),
            text=st.fixed_dictionaries(dict.fromkeys(("ja", "en"), texts.filter(bool))),
            source=words,
            comparison=st.sampled_from(["same-model", "cross-model"]),
            precision=st.sampled_from(["controlled", "as-practised"]),
            joint=st.booleans(),
        ),
        min_size=1,
        max_size=2,
        unique_by=lambda claim: claim.id,
    )
)
def test_claims_to_yaml_and_back(folder: Path, claims: list[Claim]) -> None:
    path = folder / "claims.yaml"
    text = dump_yaml({"claims": [dataclasses.asdict(claim) for claim in claims]})
    path.write_text(text, encoding="utf-8", newline="")
    assert load_claims(str(path)) == claims


@cases(60)
@given(st.text(max_size=40))
def test_one_line_is_harmless_and_changes_nothing_twice(text: str) -> None:
    line = one_line(text)
    assert is_plain(line)
    assert line.encode().decode() == line
    assert one_line(line) == line
    assert len(one_line(text, 10)) <= 10


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_figures_survive_a_folder(value: float, tmp_path: Path) -> None:
    from factories import make_records

    record = make_records()[-1]
    assert record.evaluation is not None
    record.evaluation["loss"] = value
    store = Store(tmp_path)
    store.write_record(record)
    (back,) = store.load_records()
    assert back.evaluation is not None
    assert str(back.evaluation["loss"]) == str(value)
