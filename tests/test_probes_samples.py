"""Quality beyond one number: loss on everyday texts, and what the models write."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from factories import make_config, make_records
from lora_efficiency_benchmark.analysis import analyze
from lora_efficiency_benchmark.analysis.values import Analysis
from lora_efficiency_benchmark.cell import run_cell
from lora_efficiency_benchmark.config.benchmark_config import (
    DEFAULT_SAMPLES,
    LoRABenchmarkConfig,
    load_config,
)
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.errors import ConfigError
from lora_efficiency_benchmark.forecast import forecast_seconds
from lora_efficiency_benchmark.models.loading import create_lora_model, load_base_model
from lora_efficiency_benchmark.plan import PROBES_EDITION, Cell, expand
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.report import render_html, render_markdown
from lora_efficiency_benchmark.search import planned_ids
from lora_efficiency_benchmark.training.probes import LANGUAGES, evaluate_probes, load_probes
from lora_efficiency_benchmark.training.samples import MAX_NEW_TOKENS, generate_samples

ROOT = Path(__file__).parents[1]
PROBES = ROOT / "src" / "lora_efficiency_benchmark" / "presets" / "probes"
PROMPTS = ["技術解説: 音声", "The quick"]
HOSTILE = (
    "<script>alert(1)</script> | `code` **bold** [a](javascript:x) "
    "\x1b[31mred\x1b[0m \u202egnp.exe www.example.org https://example.org &amp; <img src=x>\n# head"
)


# ---- the texts ----------------------------------------------------------------------------------


def test_the_texts_are_those_of_their_edition() -> None:
    """Other texts give other losses: change the edition together with them."""
    digests = {
        path.stem: hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for path in sorted(PROBES.glob("*.txt"))
    }
    assert PROBES_EDITION == 1
    assert digests == {"english": "da10d472fb8c", "japanese": "d463b51f3a2a"}


def test_both_sets_are_short_distinct_everyday_passages() -> None:
    probes = load_probes()
    assert tuple(probes) == LANGUAGES
    for name, documents in probes.items():
        texts = [document.text for document in documents]
        assert len(set(texts)) == len(texts) == 24
        assert all("\n" not in text and text == text.strip() for text in texts)
        words = "model|neural|learning|GPU|モデル|学習|深層|ニューラル|人工知能|データ"
        assert not [text for text in texts if re.search(words, text)]
        japanese = [bool(re.search("[ぁ-ん]", text)) for text in texts]
        assert all(japanese) if name == "japanese" else not any(japanese)
        assert all(38 <= len(t) <= 60 or 190 <= len(t) <= 260 for t in texts)


# ---- configuration and cells --------------------------------------------------------------------


def test_on_by_default_and_off_in_the_quick_preset() -> None:
    config = make_config(probes=True, samples=[*DEFAULT_SAMPLES])
    default = LoRABenchmarkConfig(learning_rate=1e-3)
    assert (default.probes, default.samples) == (True, DEFAULT_SAMPLES)
    quick = load_config("quick")
    assert (quick.probes, quick.samples) == (False, [])
    asked = [(c.kind, c.seed) for c in expand(replace(config, seeds=2)) if c.probes]
    assert {kind for kind, _ in asked} == {"base", "train"}
    assert {seed for _, seed in asked} == {0, 1}
    written = {(c.kind, c.seed) for c in expand(replace(config, seeds=2)) if c.samples}
    assert written == {("base", 0), ("train", 0)}


def test_cells_without_them_keep_their_ids() -> None:
    off = expand(make_config())
    assert all({"probes", "samples"}.isdisjoint(cell.to_dict()) for cell in off)
    on = expand(make_config(probes=True, samples=PROMPTS))
    same = {cell.id for cell in off} & {cell.id for cell in on}
    assert same == {cell.id for cell in off if cell.kind == "memory"}
    for cell in on:
        restored = Cell.from_dict(json.loads(json.dumps(cell.to_dict())))
        assert (restored, restored.id) == (cell, cell.id)
    assert len({replace(on[0], samples=(prompt,)).id for prompt in PROMPTS}) == 2
    assert forecast_seconds(on[0]) > forecast_seconds(replace(on[0], samples=(), probes=0))


@pytest.mark.parametrize("name", ["quick-2026-11-24", "quick-batch4-2026-11-24"])
def test_a_folder_of_an_older_version_still_belongs_to_its_configuration(name: str) -> None:
    """Its configuration is complete and lacks the new fields: read as that version acted."""
    folder = ROOT / "benchmarks" / "results" / name
    config, records = load_config(folder / "config.yaml"), Store(folder).load_records()
    assert records
    assert {record.cell_id for record in records} == planned_ids(config, records)
    own = {"model_name": "m", "learning_rate": 1e-3}
    assert load_config(own).probes, "a configuration that leaves much out gets today's defaults"
    stored = load_config(own).to_dict()
    del stored["probes"], stored["samples"]
    assert not load_config(stored).probes
    assert load_config(stored, probes=True).probes


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"probes": "yes"}, "probes: must be true or false"),
        ({"samples": "one"}, "samples: must be a list of prompts"),
        ({"samples": [" "]}, "samples: must be a list of prompts"),
        ({"samples": [3]}, "samples: must be a list of prompts"),
        ({"samples": None}, "samples: must be a list of prompts"),
        ({"samples": ["a", "a"]}, "samples: must be distinct prompts"),
    ],
)
def test_wrong_settings_name_field_and_rule(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(make_config().to_dict(), **fields)


# ---- measuring ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(tiny_model_dir: Path) -> tuple[Any, Any]:
    model, tokenizer = load_base_model(str(tiny_model_dir))
    with torch.no_grad():  # an untrained model is nearly uniform: make its guesses differ
        for parameter in model.parameters():
            parameter.mul_(8)
    return model, tokenizer


def test_the_end_of_a_text_is_not_in_the_loss(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    found = evaluate_probes(model, tokenizer, 256, "fp32", 0)
    for name, documents in load_probes().items():
        block = found[name]
        assert set(block) == {"loss", "bits_per_byte", "tokens", "raw_bytes", "documents"}
        scored = [len(tokenizer(d.text)["input_ids"]) - 1 for d in documents]
        torn = [max(0, s - d["tokens"]) for s, d in zip(scored, block["documents"], strict=True)]
        assert all(d["tokens"] <= s for s, d in zip(scored, block["documents"], strict=True))
        assert max(torn) <= 3, "all but the character that the first token belongs to"
        assert block["tokens"] == sum(d["tokens"] for d in block["documents"])
        nats = sum(d["nats"] for d in block["documents"])
        assert block["loss"] == pytest.approx(nats / block["tokens"])
    assert found == evaluate_probes(model, tokenizer, 256, "fp32", 0)


def test_a_length_at_which_no_character_is_whole_leaves_a_set_out(loaded: tuple[Any, Any]) -> None:
    found = evaluate_probes(*loaded, 2, "fp32", 0)
    assert "japanese" not in found


def test_samples_are_greedy_and_leave_the_model_as_it_was(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    own = model.generation_config
    own.do_sample, own.temperature, own.repetition_penalty = True, 5.0, 3.0
    model.train()
    first = generate_samples(model, tokenizer, PROMPTS, 0)
    assert [sample["prompt"] for sample in first] == PROMPTS
    assert first == generate_samples(model, tokenizer, PROMPTS, 0)
    assert model.training
    assert model.config.use_cache is False
    assert model.generation_config is own
    assert own.do_sample
    ids = [int(i) for i in tokenizer(PROMPTS[1])["input_ids"]]
    start = len(ids)
    with torch.no_grad():
        model.eval()
        while len(ids) < start + MAX_NEW_TOKENS:  # the same by hand, without a cache
            following = int(model(torch.tensor([ids])).logits[0, -1].argmax())
            if following == tokenizer.eos_token_id:
                break
            ids.append(following)
    by_hand = tokenizer.decode(ids[start:], skip_special_tokens=True).rstrip("\ufffd")
    assert first[1]["text"] == by_hand


def test_an_adapter_writes_through_the_same_path(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = load_base_model(loaded[0].name_or_path)
    before = generate_samples(model, tokenizer, PROMPTS, 0)
    adapter = make_config().adapters[0]
    wrapped = create_lora_model(model, adapter)
    assert generate_samples(wrapped, tokenizer, PROMPTS, 0) == before, "B starts at zero"
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=2.0)
    after = generate_samples(wrapped, tokenizer, PROMPTS, 0)
    assert after != before
    with wrapped.disable_adapter():
        assert generate_samples(wrapped, tokenizer, PROMPTS, 0) == before


def tiny_cells(tiny_model_dir: Path, **fields: Any) -> list[Cell]:
    settings: dict[str, Any] = {
        "model_name": str(tiny_model_dir),
        "dataset_sizes": [12],
        "lora_configurations": [{"r": 2, "target_modules": ["q_proj", "v_proj"]}],
        "training_steps": 3,
        "eval_steps": 3,
        "max_length": 64,
        "batch_size": 2,
        "evaluation_size": 4,
        "precision": "fp32",
        "learning_rates": {"full": 3e-3, "lora": 3e-2},
        "probes": True,
        "samples": PROMPTS,
    }
    return [c for c in expand(make_config(**{**settings, **fields})) if c.kind != "memory"]


def test_base_and_train_cells_hold_both(tiny_model_dir: Path) -> None:
    cells = tiny_cells(tiny_model_dir)
    records = [CellRecord.from_dict(json.loads(json.dumps(run_cell(c).to_dict()))) for c in cells]
    assert [r.status for r in records] == ["ok"] * 3
    for record in records:
        assert record.probes is not None
        assert set(record.probes) == set(LANGUAGES)
        assert record.samples is not None
        assert [sample["prompt"] for sample in record.samples] == PROMPTS
        spent = record.seconds
        assert spent["probes"] > 0
        assert spent["samples"] > 0
        work = ("train", "evaluate", "save", "audit", "probes", "samples")
        rest = spent["wall"] - sum(spent.get(name, 0.0) for name in work)
        assert spent["fixed"] == pytest.approx(rest)
    found = analyze(records, load_claims("paper-r5"))
    assert [(f.label, f.language) for f in found.forgetting] == [
        ("full", "english"), ("full", "japanese"),
        ("r=2 q,v", "english"), ("r=2 q,v", "japanese"),
    ]  # fmt: skip
    base, full = records[0].probes, records[1].probes
    assert base is not None
    assert full is not None
    change = full["english"]["loss"] - base["english"]["loss"]
    assert change != 0
    assert found.forgetting[0].loss_change == pytest.approx(change)
    assert [s.prompt for s in found.samples] == PROMPTS
    assert [t.label for t in found.samples[0].texts] == ["base", "full", "r=2 q,v"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_model_that_cannot_write_costs_its_samples_only(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no generate here")

    monkeypatch.setattr("lora_efficiency_benchmark.cell.generate_samples", fail)
    heard: list[dict[str, Any]] = []
    record = run_cell(tiny_cells(tiny_model_dir)[1], heard.append)
    assert (record.status, record.samples) == ("ok", None)
    assert record.saved is not None
    known = {"load", "data", "audit", "train", "evaluate", "save"}
    assert {e["name"] for e in heard if e["event"] == "phase"} <= known, "names a watcher knows"


# ---- analysis and report ------------------------------------------------------------------------


def probed(record: CellRecord) -> CellRecord:
    """Probe and sample blocks such as a run would leave: training made English worse."""
    if record.cell.kind not in ("base", "train"):
        return record
    worse = 0.0 if record.cell.kind == "base" else 0.25 + 0.1 * record.cell.seed
    record.probes = {
        "english": {"loss": 4.0 + worse, "bits_per_byte": 1.3 + worse / 4, "documents": texts(10)},
        "japanese": {"loss": 3.0 - worse, "bits_per_byte": 2.6 - worse, "documents": texts(20)},
    }
    if record.cell.samples:
        record.samples = [{"prompt": p, "text": f"{record.cell.label}!"} for p in PROMPTS]
    return record


def texts(tokens: int) -> list[dict[str, Any]]:
    return [{"nats": 1.0, "tokens": tokens, "raw_bytes": 30}] * 24


def probed_analysis(change: Any = probed, **fields: Any) -> Analysis:
    config = make_config(probes=True, samples=PROMPTS, **fields)
    return analyze(make_records(config, change=change), load_claims("paper-r5"))


def test_changes_are_means_over_seeds_against_the_bare_model() -> None:
    found = probed_analysis(seeds=3)
    assert {entry.label for entry in found.forgetting} >= {"full", "r=8 q,k,v,o"}
    english = next(e for e in found.forgetting if (e.label, e.language) == ("full", "english"))
    assert english.loss_change == pytest.approx(0.35)
    assert [s["seed"] for s in english.per_seed] == [0, 1, 2]
    assert english.per_seed[2]["loss_change"] == pytest.approx(0.45)
    assert english.bits_per_byte_change == pytest.approx(0.35 / 4)
    assert all("forgetting" not in claim.metric for claim in found.claims), "no claim"


def test_other_texts_are_not_compared() -> None:
    def other(record: CellRecord) -> CellRecord:
        probed(record)
        if record.cell.kind == "train" and record.probes:
            record.probes["japanese"]["documents"] = texts(19)
        return record

    found = probed_analysis(other)
    assert {entry.language for entry in found.forgetting} == {"english"}
    page = render_markdown(found, "en")
    assert "| full | 2,000 | [+0.250]" in page
    assert "not measured" in page


def test_nothing_measured_changes_no_report() -> None:
    found = analyze(make_records(), load_claims("paper-r5"))
    assert (found.forgetting, found.samples) == ((), ())
    for language in ("ja", "en"):
        for page in (render_html(found, language), render_markdown(found, language)):
            assert "Forgetting" not in page
            assert "忘却" not in page
            assert "生成例" not in page
            assert 'id="samples"' not in page


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            ["Forgetting", "nothing is claimed", "Samples", "before training", "seed 1: +0.350"],
        ),
        ("ja", ["忘却", "何も主張せず", "生成例", "学習前", "シード1: +0.350"]),
    ],
)
def test_both_reports_show_both(language: str, words: list[str]) -> None:
    found = probed_analysis(seeds=2)
    html, markdown = render_html(found, language), render_markdown(found, language)
    for word in words:
        assert word in html
        assert word in markdown
    assert html.count('class="samples"') == 2 * len(PROMPTS), "the page holds both languages"
    for entry in found.forgetting:
        assert f"records/{entry.base_cell}.json" in html
        assert all(f"records/{seed['cell_id']}.json" in html for seed in entry.per_seed)


class Elements(HTMLParser):
    """Every element of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append(tag)


def test_what_a_model_wrote_is_never_markup() -> None:
    def hostile(record: CellRecord) -> CellRecord:
        probed(record)
        if record.samples:
            record.samples = [{"prompt": f"p {HOSTILE}", "text": HOSTILE}]
        return record

    found = probed_analysis(hostile)
    html, markdown = render_html(found, "en"), render_markdown(found, "en")
    elements = Elements()
    elements.feed(html)
    usual = Elements()
    usual.feed(render_html(probed_analysis(), "en"))
    assert elements.found.count("script") == usual.found.count("script"), "only the page's own"
    assert "img" not in elements.found
    assert "&lt;script&gt;" in html
    for page in (html, markdown):
        assert "\x1b" not in page
        assert "\u202e" not in page
    start = markdown.index("## Samples")
    section = markdown[start : markdown.index("\n## ", start + 1)]
    for danger in ("<script", "<img", "`code`", "**bold**", "[a](", "https://", "www.example"):
        assert danger not in section, danger
    rows = [row for row in section.splitlines() if row.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}, "two columns everywhere"
    assert "\n# head" not in section


def test_long_and_empty_continuations() -> None:
    def extreme(record: CellRecord) -> CellRecord:
        probed(record)
        if record.samples:
            empty = record.cell.kind == "base"
            record.samples = [{"prompt": "p", "text": " \n\t " if empty else "あ" * 5000}]
        return record

    found = probed_analysis(extreme)
    page = render_markdown(found, "en")
    assert "(it wrote nothing)" in page
    assert "あ" * 401 not in page
    assert "あ…" in page


def test_the_largest_size_of_every_arm_is_shown() -> None:
    found = probed_analysis(dataset_sizes=[1000, 5000])
    sizes = {text.label: text.dataset_size for text in found.samples[0].texts}
    assert sizes["base"] is None
    assert set(sizes.values()) == {None, 5000}
    assert next(iter(sizes)) == "base"
    assert list(sizes)[1] == "full"
