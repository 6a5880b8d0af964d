"""Reports from synthetic records: both languages, all formats, complete and broken runs."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.cells import cell_len

from factories import fail, make_config, make_entry, make_records
from lora_efficiency_benchmark.analysis import analyze
from lora_efficiency_benchmark.analysis.values import Analysis
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.errors import ConfigError
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.report import (
    render_figures,
    render_html,
    render_markdown,
    render_terminal,
)
from lora_efficiency_benchmark.report.figures.curves import curves_spec
from lora_efficiency_benchmark.report.figures.memory import memory_spec
from lora_efficiency_benchmark.report.figures.sizes import sizes_spec
from lora_efficiency_benchmark.report.page import figure_library
from lora_efficiency_benchmark.report.page.filters import filter_groups
from lora_efficiency_benchmark.report.page.overview import claim_cards
from lora_efficiency_benchmark.report.paper.latex import render_latex
from lora_efficiency_benchmark.report.paper.model_card import render_card
from lora_efficiency_benchmark.report.tables.arm_tables import (
    breakdown_table,
    memory_table,
    quality_table,
)
from lora_efficiency_benchmark.report.tables.curves import curves_table, sizes_table
from lora_efficiency_benchmark.report.texts import wording

LANGUAGES = ("ja", "en")
HOSTILE = "<script>alert('x')</script> \"q\" | `code` [a](https://evil.example) \x1b[31m\u202e"


def analysis_of(records: list[CellRecord]) -> Analysis:
    return analyze(records, load_claims("paper-r5"))


@pytest.fixture(scope="module")
def usual() -> Analysis:
    return analysis_of(make_records(seeds=3))


def test_memory_of_several_processes_is_said_to_be_of_one() -> None:
    words = {
        "en": "(per rank, the largest of 2 processes)",
        "ja": "(1プロセスあたり、2プロセス中の最大)",
    }
    runs = {n: make_config(launcher={"processes": n} if n > 1 else {}) for n in (1, 2)}
    for count, config in runs.items():
        analysis = analysis_of(make_records(config))
        for language, said in words.items():
            say = wording(language)
            texts = {
                "markdown": render_markdown(analysis, language),
                "LaTeX": render_latex(analysis, language),
                "card": render_card(analysis, language),
                "axis": json.dumps(memory_spec(analysis, say), ensure_ascii=False),
            }
            assert [name for name in texts if said in texts[name]] == [*texts][: 4 * (count - 1)]
            tables = memory_table(analysis, say), breakdown_table(analysis, say)
            told = [name for table in tables for name in table.columns if said in name]
            assert len(told) == 4 * (count - 1), "both readings, the process, the peak"


def out_of_memory_full(record: CellRecord) -> CellRecord:
    return fail(record) if record.cell.label == "full" else record


def only_full(record: CellRecord) -> CellRecord | None:
    return record if record.cell.label in ("base", "full") else None


def without_breakdown(record: CellRecord) -> CellRecord:
    if record.memory:
        record.memory = {**record.memory, "breakdown": None, "peak_phase": None}
    return record


def diverged(record: CellRecord) -> CellRecord:
    if record.training:
        record.training["loss_curve"][3]["loss"] = math.nan
    return record


PARTIAL_RUNS: dict[str, Callable[[], list[CellRecord]]] = {
    "no record": lambda: [],
    "only failures": lambda: make_records(change=fail),
    "only the base": lambda: [r for r in make_records() if r.cell.kind == "base"],
    "only memory": lambda: [r for r in make_records() if r.cell.kind == "memory"],
    "one arm": lambda: make_records(change=only_full),
    "full out of memory": lambda: make_records(change=out_of_memory_full),
    "no breakdown": lambda: make_records(change=without_breakdown),
    "a loss that is no number": lambda: make_records(change=diverged),
    "nothing gained": lambda: make_records(losses={"full": 2.85}),
    "several sizes": lambda: make_records(make_config(dataset_sizes=[100, 200], seeds=2)),
}


@functools.cache
def partial(run: str) -> Analysis:
    return analysis_of(PARTIAL_RUNS[run]())


class Page(HTMLParser):
    """Open elements, all text outside scripts, scripts, and the values of all attributes."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "script":
            self.scripts.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += data
        else:
            self.text.append(data)

    def links(self) -> list[str]:
        return [value for tag, name, value in self.attributes if (tag, name) == ("a", "href")]


# ---- every run renders ---------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("run", PARTIAL_RUNS)
def test_every_run_renders_in_all_formats(run: str, language: str) -> None:
    analysis = partial(run)
    sentence = analysis.joint.sentence[language]
    page = Page(render_html(analysis, language))
    assert page.open == []
    assert sentence in "".join(page.text)
    assert "nan" not in re.findall(r"[a-z]+", "".join(page.text).lower())
    assert render_markdown(analysis, language).startswith("# ")
    assert render_terminal(analysis, language).splitlines()[-1] == sentence
    for svg in render_figures(analysis, language).values():
        ElementTree.fromstring(svg)


def test_an_unknown_language_is_refused(usual: Analysis) -> None:
    for render in (render_html, render_markdown, render_terminal, render_figures):
        with pytest.raises(ConfigError, match="language"):
            render(usual, "fr")  # type: ignore[operator]


# ---- html ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_html_stands_alone(usual: Analysis, language: str) -> None:
    html = render_html(usual, language)
    page = Page(html)
    own = html.replace(figure_library(), "")  # the library names the name spaces of SVG
    assert "http:" not in own
    assert "https:" not in own
    assert not [tag for tag, name, _ in page.attributes if name in ("src", "style")]
    assert html.startswith("<!doctype html>")
    assert f'<html lang="{language}">' in html
    assert len(html.encode()) < 3 * 2**20


def test_html_allows_only_its_own_scripts_and_style(usual: Analysis) -> None:
    html = render_html(usual, "en")
    policy = next(value for _, name, value in Page(html).attributes
                  if name == "content" and "script-src" in value)  # fmt: skip
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    run = [text for text in Page(html).scripts if not text.startswith(("{", "["))]
    assert len(run) == 2, "the page's own and the library"
    for text in [*run, html.split("<style>")[1].split("</style>")[0]]:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_html_holds_both_languages_and_every_figure_twice(usual: Analysis) -> None:
    html = render_html(usual, "ja")
    for language in LANGUAGES:
        assert usual.joint.sentence[language] in html
    specs = [json.loads(text) for text in Page(html).scripts if text.startswith("{")]
    assert len(specs) == 2 * len(render_figures(usual, "ja"))
    assert all(spec["params"] for spec in specs)


def test_html_links_every_record_that_a_claim_rests_on(usual: Analysis) -> None:
    links = {link for link in Page(render_html(usual, "en")).links() if link[0] != "#"}
    assert links
    assert all(re.fullmatch(r"records/[\w.-]+\.json", link) for link in links)
    for arm in usual.arms:
        for cell in arm.cells:
            assert f"records/{cell}.json" in links


def test_html_leads_with_the_joint_verdict(usual: Analysis) -> None:
    html = render_html(usual, "ja")
    body = html[html.index("<body>") : html.index("<template")]
    assert body.index(usual.joint.sentence["ja"]) < body.index('class="card"')
    assert body.index('class="card"') < body.index("<table")
    order = re.findall(r'<section id="([\w-]+)"', body)
    assert order == [
        "claims", "figures", "quality", "memory", "time", "curves", "limits", "failures", "method",
    ]  # fmt: skip


def test_every_configuration_has_a_mark_in_every_card(usual: Analysis) -> None:
    for card, claim in zip(claim_cards(usual, wording("en")), usual.claims, strict=True):
        assert [row.name for row in card.rows] == [v.configuration for v in claim.per_configuration]
        for row, found in zip(card.rows, claim.per_configuration, strict=True):
            assert [mark.verdict for mark in row.marks] == [found.verification]
            assert 0 <= row.marks[0].at <= 100
            reaches = found.value is not None and found.value >= claim.claimed
            assert (row.marks[0].at >= card.claimed_at) == reaches
            assert row.cells


def test_the_filter_offers_what_differs(usual: Analysis) -> None:
    groups = {group.key: group for group in filter_groups(usual, wording("en"))}
    assert [value for value, _ in groups["rank"].options] == ["4", "8", "16", "32"]
    assert [value for value, _ in groups["targets"].options] == ["q,v", "q,k,v,o"]
    assert set(groups) == {"rank", "targets"}, "one method and one size leave no choice"
    assert "sizes" in {
        group.key for group in filter_groups(partial("several sizes"), wording("ja"))
    }


def test_a_run_that_goes_on_says_what_is_left(usual: Analysis) -> None:
    page = render_html(dataclasses.replace(usual, unfinished=3), "en")
    assert "3 cells to go" in page
    assert "cells to go" not in render_html(usual, "en")


@functools.cache
def hostile_analysis() -> Analysis:
    def change(record: CellRecord) -> CellRecord:
        cell = dataclasses.replace(record.cell, model_name=HOSTILE, dataset=HOSTILE)
        record = dataclasses.replace(record, cell=cell)
        if record.cell.label == "r=8 q,k,v,o" and record.cell.kind == "train":
            return fail(record, message=HOSTILE)
        record.environment["cpu_model"] = HOSTILE
        return record

    analysis = analysis_of(make_records(change=change))
    arms = tuple(dataclasses.replace(arm, label=f"{arm.label} {HOSTILE}") for arm in analysis.arms)
    return dataclasses.replace(analysis, arms=arms)


def test_hostile_names_stay_text_in_html(usual: Analysis) -> None:
    html = render_html(hostile_analysis(), "en")
    page = Page(html)
    own = html.replace(figure_library(), "")
    assert "<script>alert" not in own
    assert "\x1b" not in own
    assert "\u202e" not in own
    assert "<script>alert('x')</script>" in "".join(page.text)
    assert all(link.startswith(("records/", "#")) for link in page.links())
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert len(page.scripts) == len(Page(render_html(usual, "en")).scripts)
    for text in page.scripts:
        if text.startswith(("{", "[")):
            json.loads(text)


def test_hostile_names_keep_svg_well_formed() -> None:
    for svg in render_figures(hostile_analysis(), "ja").values():
        assert not [e for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("script")]


# ---- markdown ------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_markdown_tables_are_whole(language: str) -> None:
    markdown = render_markdown(hostile_analysis(), language)
    assert "<script" not in markdown
    assert not re.findall(r"(?<!\\)\]\((?!records/|figures/)", markdown)
    columns = 0
    for row in markdown.splitlines():
        if not row.startswith("|"):
            columns = 0
            continue
        bars = len(re.findall(r"(?<!\\)\|", row))
        assert columns in (0, bars)
        columns = bars


def test_markdown_refers_to_the_figures_that_exist(usual: Analysis) -> None:
    for analysis in (usual, analysis_of([])):
        named = set(re.findall(r"\]\(figures/([^)]+)\)", render_markdown(analysis, "en")))
        assert named == set(render_figures(analysis, "en"))


# ---- what is shown is the analysis ---------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_come_from_the_analysis(language: str) -> None:
    records = make_records(losses={"r=4 q,v": 2.123}, peak_gib={"r=4 q,v": 1.234})
    analysis = analysis_of(records)
    for text in (render_html(analysis, language), render_markdown(analysis, language)):
        assert "2.123" in text
        assert "1.23 GiB" in text
        assert "230,400" in text
        assert "2.12" in text  # 2.61 / 1.234, the memory ratio
    assert "2.12" in render_terminal(analysis, language)


def test_every_warning_and_failure_is_shown() -> None:
    analysis = analysis_of(make_records(change=out_of_memory_full))
    page = "".join(Page(render_html(analysis, "ja")).text)
    assert analysis.warnings
    for warning in analysis.warnings:
        assert warning.cause_ja in page
        assert warning.next_step_ja in page
    for failure in analysis.failures:
        assert failure["cell_id"] in page
        assert failure["message"] in page


def test_what_was_not_measured_is_said_in_words() -> None:
    analysis = analysis_of(make_records(losses={"full": 2.85}))  # full gained nothing
    page = "".join(Page(render_html(analysis, "en")).text)
    assert "not measured" in page
    assert "NOT_MEASURED" in page
    assert "not measured" in render_terminal(analysis, "en")


def test_an_estimate_is_never_shown_as_a_measurement(usual: Analysis) -> None:
    claims = tuple(dataclasses.replace(claim, basis="ESTIMATED") for claim in usual.claims)
    estimated = dataclasses.replace(usual, claims=claims, arms=(), matched=())
    assert "584x (ESTIMATED)" in render_terminal(estimated, "en")
    html = render_html(estimated, "ja")
    assert "584倍 (推定)" in html
    assert [link for link in Page(html).links() if link[0] != "#"] == []


# ---- figures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_figures_name_every_arm_in_text(usual: Analysis, language: str) -> None:
    figures = render_figures(usual, language)
    assert set(figures) == {"quality.svg", "memory.svg", "curves.svg", "time.svg"}
    for svg in figures.values():
        texts = [e for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("}text")]
        words = " ".join("".join(e.itertext()) for e in texts)
        assert all(arm.label in words for arm in usual.arms if arm.label != "full")
        assert all("Noto Sans CJK JP" in e.attrib["font-family"] for e in texts)


def test_memory_figure_writes_the_ratio_on_each_bar(usual: Analysis) -> None:
    svg = render_figures(usual, "en")["memory.svg"]
    for arm in usual.arms:
        for ratio in arm.memory_ratio.values() if arm.label != "full" else ():
            assert f"{ratio:.2f}x" in svg


def test_the_pareto_front_is_drawn_through_what_nothing_smaller_equals(usual: Analysis) -> None:
    svg = render_figures(usual, "en")["quality.svg"]
    path = re.search(r'mark-line[^>]*><path d="([^"]*)"', svg)
    assert path is not None
    best, front = -math.inf, 0
    for arm in sorted(usual.arms, key=lambda arm: arm.trainable_parameters):
        if arm.gain_retention is not None and arm.gain_retention > best:
            best, front = arm.gain_retention, front + 1
    assert front > 1
    assert path[1].count(",") == 2 * front - 1, "steps: across, then up"


def test_many_seeds_become_a_mean_and_a_range() -> None:
    found = analysis_of(make_records(seeds=13))
    loss = quality_table(found, wording("en")).rows[0][2]
    assert loss[0].text.startswith("mean ")
    assert len(loss[0].cells) == 13
    assert loss[1].text.endswith("13 seeds")
    spec = curves_spec(found, wording("en"))
    assert spec is not None
    rows = [row for row in spec["data"]["values"] if row["what"] == "training"]
    assert {row["seed"] for row in rows} == {"all"}
    own = [row for row in rows if row["who"] == "own"]
    for row in own:
        points = list(zip(row["low"], row["loss"], row["high"], strict=True))
        assert all(low <= loss <= high for low, loss, high in points)
        assert any(low < high for low, _, high in points)


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    found = analysis_of(make_records(make_config(training_steps=500, eval_steps=250)))
    spec = curves_spec(found, wording("en"))
    assert spec is not None
    rows = [r for r in spec["data"]["values"] if r["who"] == "own" and r["what"] == "training"]
    assert len(rows) == len(found.arms)
    assert all(30 < len(row["step"]) <= 41 and row["step"][-1] == 500 for row in rows)


def test_data_sizes_have_a_figure_only_where_there_are_several(usual: Analysis) -> None:
    assert "sizes.svg" not in render_figures(usual, "en")
    spec = sizes_spec(partial("several sizes"), wording("en"))
    assert spec is not None
    rows = spec["vconcat"][0]["layer"][1]["data"]["values"]
    assert {row["texts"] for row in rows} == {100, 200}
    assert len(rows) == len(partial("several sizes").arms)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_figure_says_where_its_numbers_are_and_they_are_there(language: str) -> None:
    """The text in place of a figure names a table: that table is in the same section."""
    below = {"en": "below it", "ja": "図の下の"}[language]
    for analysis in (partial("several sizes"), at_scale()):
        html = render_html(analysis, language)
        body = html[html.index("<body>") : html.index("<template")]
        sections = body.split("<section ")[1:]
        found = 0
        for section in sections:
            for figure in re.findall(r'<figure id="figure-(\w+)">', section):
                rest = section.split(f'<figure id="figure-{figure}">')[1]
                alt = re.search(r'role="img" aria-label="([^"]*)"', rest)
                assert alt is not None, figure
                assert below in alt[1], figure
                assert "<table" in rest, figure
                found += 1
        assert found == len(render_figures(analysis, language))


def test_the_tables_under_curves_and_sizes_hold_what_is_drawn() -> None:
    found = partial("several sizes")
    say = wording("en")
    curves = curves_table(found, say)
    assert len(curves.rows) == len(found.arms)
    for row, arm in zip(curves.rows, found.arms, strict=True):
        first, last = (
            sum(curve["loss"][end]["loss"] for curve in arm.curves) / len(arm.curves)
            for end in (0, -1)
        )
        assert row[2][0].text == f"step 1: {first:.3f}"
        assert row[3][0].text == f"step 24: {last:.3f}"
        assert [line.text.split(":")[0] for line in row[4]] == ["step 12", "step 24"]
        held_out = [curve["evaluation"][-1]["loss"] for curve in arm.curves]
        assert row[4][-1].text.endswith(f"{sum(held_out) / len(held_out):.3f}")
    sizes = sizes_table(found, say)
    assert sizes.columns[1:] == ("100 training texts", "200 training texts")
    at = {(arm.label, arm.dataset_size): arm for arm in found.arms}
    for row, label in zip(sizes.rows, dict.fromkeys(a.label for a in found.arms), strict=True):
        for cell, size in zip(row[1:], (100, 200), strict=True):
            arm = at[label, size]
            mean = sum(arm.eval_losses) / len(arm.eval_losses)
            assert cell[0].text == f"{mean:.3f}"
            assert f"{100 * (arm.gain_retention or 0):.3g}%" in cell[1].text


def test_many_evaluations_are_thinned_in_the_table_too() -> None:
    found = analysis_of(make_records(make_config(training_steps=500, eval_steps=10)))
    for row in curves_table(found, wording("en")).rows:
        assert len(row[4]) <= 12
        assert row[4][0].text.startswith("step 10:")
        assert row[4][-1].text.startswith("step 500:")


def test_a_figure_without_data_is_left_out_with_a_reason() -> None:
    nothing = analysis_of([])
    assert render_figures(nothing, "en") == {}
    assert "Left out: no arm has a measured memory peak." in render_html(nothing, "en")


# ---- terminal ------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("run", PARTIAL_RUNS)
@pytest.mark.parametrize("width", [60, 80, 100])
def test_terminal_fits_the_width(run: str, language: str, width: int) -> None:
    text = render_terminal(partial(run), language, width)
    *lines, _ = text.splitlines()  # the last line is the sentence, whole
    assert max(map(cell_len, lines)) <= width


def test_terminal_is_plain_text() -> None:
    analysis = hostile_analysis()
    changed: Any = {"en": f"R-5 on {HOSTILE}", "ja": f"R-5 {HOSTILE}"}
    joint = dataclasses.replace(analysis.joint, sentence=changed)
    text = render_terminal(dataclasses.replace(analysis, joint=joint), "en")
    assert all(c.isprintable() or c == "\n" for c in text)


def test_terminal_says_what_the_mean_hides(usual: Analysis) -> None:
    text = " ".join(render_terminal(usual, "en").split())
    hidden = [claim.reason for claim in usual.claims if claim.reason]
    assert hidden
    assert all(reason in text for reason in hidden)


# ---- estimates ----------------------------------------------------------------------------------

SKIPPED = "OPT names it out_proj"


def with_estimate(record: CellRecord) -> CellRecord:
    if record.memory:
        peak = record.memory["peak_allocated_bytes"]
        record.estimate = {"peak_allocated_bytes": round(peak * 0.9986)}
        if record.cell.label == "r=4 q,v":
            return fail(record)
    return record


@functools.cache
def at_scale() -> Analysis:
    cross: dict[str, Any] = {
        "comparison": "cross-model",
        "model": "opt-6.7b",
        "base_model": "opt-1.3b",
    }
    entries = [
        make_entry(),
        make_entry(seq_len=4096, lora_gib=50.0),
        make_entry(reading="as-practised", lora_gib=30.0),
        make_entry(**cross, configuration="r=4 q,v", full_gib=20.0),
        make_entry(**cross, skipped=SKIPPED, full=None, lora=None),
    ]
    claims = load_claims("paper-r5")
    return analyze(make_records(change=with_estimate), claims, entries)


@pytest.mark.parametrize("language", LANGUAGES)
def test_estimates_are_marked_wherever_they_are_shown(language: str) -> None:
    analysis = at_scale()
    heading = {"en": "At the claim's own scale, ESTIMATED", "ja": "主張の規模での推定(ESTIMATED)"}
    word = {"en": "ESTIMATED", "ja": "推定"}[language]
    page = Page(render_html(analysis, language))
    assert page.open == []
    markdown = render_markdown(analysis, language)
    for text in ("".join(page.text), markdown):
        assert heading[language] in text
        assert f"({word})" in text
        assert "ESTIMATED: VERIFIED" in text or "推定(ESTIMATED): 支持 (VERIFIED)" in text
        assert "llama-2-7b" in text
        assert "200.8" in text
        assert "0.2%" in text  # errors of 0.14 %, rounded up
    assert SKIPPED in "".join(page.text)
    section = render_html(analysis, language).split('<section id="estimates">')[1]
    table = section.split("<table")[1].split("</table>")[0]
    assert "<a " not in table, "an estimate at scale links to no record"
    verdicts = re.findall(r'class="verdict [a-z_]+">([^<]*)<', table)
    assert verdicts
    assert all("ESTIMATED: " in verdict or "推定(ESTIMATED): " in verdict for verdict in verdicts)


def test_a_cell_out_of_memory_shows_its_estimate() -> None:
    page = "".join(Page(render_html(at_scale(), "en")).text)
    assert "estimated peak (ESTIMATED): 1." in page
    assert "out of memory" in page.split("Estimates (ESTIMATED) and measurements")[1]


def test_terminal_estimates_are_short() -> None:
    lines = render_terminal(at_scale(), "en", 1000).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("At the claim's own scale"))
    assert lines[start:-1] == [
        "At the claim's own scale, ESTIMATED (this run: estimates within 0.2% of measurement):",
        "  llama-2-7b, r=32 q,k,v,o: 200.8x; memory (controlled) 2.86x at 4x512 tokens, "
        "2.00x at 4x4096 tokens; memory (as practised) 3.33x at 4x512 tokens",
        "  full opt-1.3b / LoRA opt-6.7b, r=4 q,v: 200.8x; memory (controlled) 0.57x at "
        "4x512 tokens",
    ]
    assert lines[-1] == at_scale().joint.sentence["en"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [60, 80, 100])
def test_terminal_estimates_fit_the_width(language: str, width: int) -> None:
    *lines, _ = render_terminal(at_scale(), language, width).splitlines()
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_without_estimates_does_not_mention_them(usual: Analysis, language: str) -> None:
    page = "".join(Page(render_html(usual, language)).text)
    for text in (page, render_markdown(usual, language), render_terminal(usual, language)):
        assert "ESTIMATED" not in text
        assert "推定" not in text


def test_estimates_of_cells_alone_are_shown_too() -> None:
    analysis = analysis_of(make_records(change=with_estimate))
    assert "Memory, ESTIMATED: This run: estimates within 0.2%" in render_terminal(analysis, "en")
    for text in (render_html(analysis, "en"), render_markdown(analysis, "en")):
        assert "Estimates (ESTIMATED) and measurements of this run" in text
        assert "own scale" not in text


def test_estimates_with_nothing_to_compare_say_so() -> None:
    analysis = analyze(make_records(), load_claims("paper-r5"), [make_entry()])
    assert "this run: no measurement to compare with" in render_terminal(analysis, "en")
    assert "no memory cell to compare the estimates with" in render_markdown(analysis, "en")


def test_hostile_estimates_stay_text() -> None:
    entry = make_entry(model=HOSTILE, configuration=HOSTILE, lora={"untraceable": HOSTILE})
    analysis = analyze([], load_claims("paper-r5"), [entry, make_entry(skipped=HOSTILE)])
    assert "<script>alert" not in render_html(analysis, "en").replace(figure_library(), "")
    assert "<script" not in render_markdown(analysis, "en")
    text = render_terminal(analysis, "en")
    assert all(c.isprintable() or c == "\n" for c in text)
