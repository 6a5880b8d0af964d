"""The report page in a browser: both languages, the filter, live figures, and nothing asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import NARROW, WIDE, browser, opened
from factories import fail, make_config, make_records
from lora_efficiency_benchmark.analysis import analyze
from lora_efficiency_benchmark.analysis.values import Analysis
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.report import render_html

HOSTILE = "</script><script>window.hurt=1</script><img src=x onerror='window.hurt=1'>{{7*7}}"
WAIT = 120_000  # milliseconds; machines that are busy elsewhere are slow


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    records = make_records(make_config(dataset_sizes=[500, 2000], seeds=2))
    return analyze(records, load_claims("paper-r5"))


@pytest.fixture(scope="module")
def page_file(analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(analysis, tmp_path_factory.mktemp("page"))


def written(analysis: Analysis, folder: Path, language: str = "ja") -> Path:
    path = folder / "report.html"
    path.write_text(render_html(analysis, language), encoding="utf-8")
    return path


def enlivened(page: Any, name: str) -> Any:
    """The live SVG of a figure, once it was scrolled to."""
    figure = page.locator(f"#figure-{name}")
    figure.scroll_into_view_if_needed(timeout=WAIT)
    page.wait_for_selector(f"#figure-{name}[data-live=true]", timeout=WAIT)
    return figure.locator(".drawing svg").first


def test_the_page_opens_without_errors_or_requests(started: Any, page_file: Path) -> None:
    with opened(started, page_file) as o:
        assert o.page.locator("h1").inner_text()
        assert o.page.evaluate("document.documentElement.lang") == "ja"
        assert o.errors == []
        assert o.requests == []
        o.page.evaluate("location.hash = 'constructor'")  # no language of ours
        o.page.wait_for_timeout(100)
        assert o.page.locator("h1").inner_text()


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_axe_finds_nothing(
    started: Any, page_file: Path, size: tuple[int, int], dark: bool
) -> None:
    with opened(started, page_file, size=size, dark=dark) as o:
        enlivened(o.page, "memory")
        o.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert o.axe() == []
        assert o.overflow() == 0
        assert (o.errors, o.requests) == ([], [])


@pytest.mark.slow
def test_both_languages_switch_and_are_remembered(
    started: Any, page_file: Path, analysis: Analysis
) -> None:
    with opened(started, page_file) as o:
        o.page.click("button[data-language=en]")
        assert o.page.evaluate("document.documentElement.lang") == "en"
        assert o.page.locator("h1").inner_text() == analysis.joint.sentence["en"]
        assert analysis.joint.sentence["en"] in o.page.title()
        assert o.page.get_by_text("What was claimed, what was found").count() == 1
        assert o.page.get_by_text("主張と測定値").count() == 0
        o.page.reload()
        assert o.page.locator("h1").inner_text() == analysis.joint.sentence["en"]
        o.page.click("button[data-language=ja]")
        assert o.page.locator("h1").inner_text() == analysis.joint.sentence["ja"]
        assert o.page.url.endswith("#ja")
        assert o.errors == []


@pytest.mark.slow
def test_the_filter_acts_on_tables_and_figures(started: Any, page_file: Path) -> None:
    with opened(started, page_file) as o:
        memory = enlivened(o.page, "memory")
        assert "r=4 q,v" in memory.text_content()
        o.page.uncheck("[data-group=rank] input[value='4']")
        o.page.uncheck("[data-group=sizes] input[value='500']")
        o.page.wait_for_function(
            "!document.querySelector('#figure-memory svg').textContent.includes('r=4 q,v')",
            timeout=WAIT,
        )
        assert "r=8 q,k,v,o" in memory.text_content()
        rows = o.page.locator("#quality tr[data-size]")
        hidden = rows.evaluate_all("found => found.filter(row => row.hidden).length")
        assert hidden == 5 + 1, "every arm at 500 texts, and r=4 at 2,000"
        assert "4" in o.page.locator(".filter output").inner_text()
        o.page.click("button[data-language=en]")
        assert not o.page.is_checked("[data-group=rank] input[value='4']"), "kept on switching"
        o.page.click(".filter button[type=reset]")
        assert o.page.locator("tr[data-label][hidden]").count() == 0
        assert (o.errors, o.requests) == ([], [])


@pytest.mark.slow
def test_a_live_figure_says_exact_values(started: Any, page_file: Path) -> None:
    with opened(started, page_file) as o:
        enlivened(o.page, "memory")
        bar = o.page.locator("#figure-memory .drawing .mark-rect path").first
        bar.evaluate("bar => bar.scrollIntoView({block: 'center'})")
        bar.hover(force=True, timeout=WAIT)
        assert "513.1 MiB" in o.page.locator("#tip").inner_text(timeout=WAIT)
        assert o.errors == []


@pytest.mark.slow
def test_without_scripts_everything_is_there_to_read(
    started: Any, page_file: Path, analysis: Analysis
) -> None:
    with opened(started, page_file, script=False) as o:
        text = o.page.locator("body").inner_text()
        assert analysis.joint.sentence["ja"] in text
        assert o.page.locator("figure .drawing > svg").count() == 5
        assert not o.page.locator(".filter").is_visible()
        assert not o.page.locator(".languages").is_visible()
        assert o.overflow() == 0


@pytest.mark.slow
def test_a_run_that_has_only_begun_is_readable(started: Any, tmp_path: Path) -> None:
    for name, records in (
        ("none", []),
        ("failed", make_records(change=fail)),
        ("base", [r for r in make_records() if r.cell.kind == "base"]),
    ):
        folder = tmp_path / name
        folder.mkdir()
        path = written(analyze(records, load_claims("paper-r5")), folder, "en")
        with opened(started, path, size=NARROW) as o:
            assert "There is no result yet" in o.page.locator("header").inner_text()
            assert (o.overflow(), o.errors, o.axe()) == (0, [], [])


@pytest.mark.slow
def test_hostile_names_stay_text(started: Any, tmp_path: Path) -> None:
    def change(record: CellRecord) -> CellRecord:
        cell = dataclasses.replace(record.cell, model_name=HOSTILE, dataset=HOSTILE)
        return dataclasses.replace(record, cell=cell)

    found = analyze(make_records(change=change), load_claims("paper-r5"))
    arms = tuple(dataclasses.replace(arm, label=f"{arm.label} {HOSTILE}") for arm in found.arms)
    path = written(dataclasses.replace(found, arms=arms), tmp_path, "en")
    with opened(started, path) as o:
        for name in ("quality", "memory", "time", "curves"):
            enlivened(o.page, name)
        o.page.click("button[data-language=ja]")
        assert o.page.evaluate("window.hurt") is None
        assert o.page.locator("img").count() == 0
        assert HOSTILE in o.page.locator("#quality").text_content()
        assert (o.errors, o.requests) == ([], [])


A4 = (703, 990)  # CSS pixels inside the page's margins


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_printed_pages_are_white_whole_and_unfolded(
    started: Any, page_file: Path, dark: bool
) -> None:
    with opened(started, page_file, size=A4, dark=dark) as o:
        folded = "document.querySelectorAll('details:not([open])').length"
        before = o.page.evaluate(folded)
        assert before > 3
        printed = o.page.pdf(prefer_css_page_size=True)
        assert printed.startswith(b"%PDF")
        assert o.page.evaluate(folded) == before, "folded again on the screen"
        o.page.emulate_media(media="print")
        o.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert o.page.evaluate(folded) == 0
        assert o.page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
        assert o.page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        for hidden in (".filter", ".languages", ".contents", "#tip"):
            assert not o.page.locator(hidden).first.is_visible(), hidden
        assert o.overflow() == 0
        wide = o.page.evaluate(
            "[...document.querySelectorAll('table, .drawing svg')]"
            ".filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
            ".map(e => e.outerHTML.slice(0, 99))"
        )
        assert wide == [], "nothing is cut off at the edge of the paper"
        assert (o.errors, o.requests) == ([], [])


@pytest.mark.slow
def test_a_small_telephone_shows_japanese_whole(started: Any, page_file: Path) -> None:
    with opened(started, page_file, size=(360, 740), locale="ja-JP") as o:
        o.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert o.overflow() == 0
        narrow = o.page.evaluate(
            "[...document.querySelectorAll('thead th')].filter(th => th.offsetWidth < 60)"
            ".map(th => th.textContent)"
        )
        assert narrow == [], "a heading that stands upright, letter by letter"
        cut = o.page.evaluate(
            "[...document.querySelectorAll('.card *, h1, h2, h3, p, li')]"
            ".filter(e => e.scrollWidth > e.clientWidth + 1"
            " && getComputedStyle(e).overflowX === 'visible'"
            " && e.clientWidth > 0 && !e.closest('.scroll') && !e.closest('.hidden'))"
            ".map(e => e.outerHTML.slice(0, 99))"
        )
        assert cut == []


@pytest.mark.slow
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_page_of_two_models(started: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    config = make_config(model_name="large", base_model_name="small", seeds=2)
    reference = config.reference
    assert reference is not None
    records = [*make_records(config), *make_records(reference, base_loss=3.2)]
    found = analyze(records, load_claims("paper-r5"), base_model="small")
    with opened(started, written(found, tmp_path), size=size) as o:
        assert found.across is not None
        assert found.across.sentence["ja"] in o.page.locator("header").inner_text()
        assert "small" in enlivened(o.page, "memory").text_content()
        assert "small" in enlivened(o.page, "across").text_content()
        o.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert o.axe() == []
        assert (o.overflow(), o.errors, o.requests) == (0, [], [])
