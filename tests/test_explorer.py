"""The explorer page: it computes what Python computes, loads nothing, and reads well."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from browser import NARROW, WIDE, browser, opened
from lora_efficiency_benchmark.config.gpus import Gpu
from lora_efficiency_benchmark.config.methods import parse_method
from lora_efficiency_benchmark.estimate.map.flow import map_model
from lora_efficiency_benchmark.estimate.map.values import (
    ModelMap,
    Request,
    Setting,
    workspace_bytes,
)
from lora_efficiency_benchmark.estimate.predict import Predictor
from lora_efficiency_benchmark.report.page.explorer import render_explorer
from lora_efficiency_benchmark.report.texts.explorer import EXPLORER_TEXTS
from lora_efficiency_benchmark.units import GIB
from map_cases import FIRST, made_map

CLAIMED = {"parameters": 200.0, "memory": 2.0}
GPUS = [Gpu("RTX-4090", 24 * GIB, "sm89", "nominal"), Gpu("H200", 140 * GIB, "sm90", "nominal")]
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202e{model}"
TEMPLATES = files("lora_efficiency_benchmark.report") / "page" / "templates"
MOST_BYTES = 2 * 1024**2


def page(found: ModelMap, language: str = "en", gpu: str | None = "RTX-4090") -> str:
    return render_explorer(found.to_dict(GPUS), language, CLAIMED, gpu)


def embedded(html: str, name: str) -> Any:
    """What a reader of the page's JSON gets."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', html, re.S)
    assert found is not None
    return json.loads(found[1])


# ---- the file -----------------------------------------------------------------------------------


def test_the_page_holds_the_map() -> None:
    found = made_map()
    data = embedded(page(found), "map")
    assert data["basis"] == "ESTIMATED"
    assert set(data["entries"]) == {
        "0|amp-bf16|adamw_torch|0", "1|amp-bf16|adamw_torch|0", "0|bf16|adamw_torch|0",
    }  # fmt: skip
    assert data["start"]["gpu"] == "RTX-4090"
    assert (data["start"]["batch"], data["start"]["length"], data["start"]["rank"]) == (4, 512, 16)
    assert data["largest_error"] == found.largest_error()[0] == 1e-6
    assert data["claimed"] == CLAIMED


def test_a_hostile_name_stays_text() -> None:
    html = page(made_map(HOSTILE))
    assert "<img" not in html
    assert html.count("</script>") == 3
    assert embedded(html, "map")["model"] == HOSTILE.replace("\u202e", "?")
    assert "<b>cannot</b>" not in html


def test_what_is_left_out_has_its_reason_in_both_languages() -> None:
    found = made_map()
    checkpointed = replace(found.left_out[0], setting=Setting("bf16", "adamw_torch", True))
    (entry,) = embedded(page(replace(found, left_out=(checkpointed,))), "map")["left_out"]
    assert entry["setting"] == "bf16, adamw_torch, gradient checkpointing"
    assert entry["setting_ja"] == "bf16, adamw_torch, 勾配チェックポイント"
    assert (entry["reason"], entry["reason_ja"]) == tuple(checkpointed.reason)
    assert entry["reason_ja"] == "追跡できません"


def test_the_page_may_load_nothing() -> None:
    html = page(made_map())
    assert "default-src 'none'" in unescape(html)
    assert not re.search(r"https?:|//[a-z]", re.sub(r"// .*", "", html))
    assert len(html.encode()) < MOST_BYTES


@pytest.mark.parametrize("language", ["ja", "en"])
def test_both_languages_are_in_the_page(language: str) -> None:
    html = page(made_map(), language)
    assert f'<html lang="{language}">' in html
    assert EXPLORER_TEXTS["lead"][language] in html
    assert embedded(html, "texts") == EXPLORER_TEXTS


def test_every_text_has_two_languages_with_the_same_places() -> None:
    for key, text in EXPLORER_TEXTS.items():
        assert set(text) == {"ja", "en"}, key
        places = [set(re.findall(r"\{(\w+)\}", text[language])) for language in ("ja", "en")]
        assert places[0] == places[1], key
        assert not re.search(r"[!！]", text["ja"] + text["en"]), key


def test_every_text_is_used_and_every_used_text_exists() -> None:
    html = (TEMPLATES / "explorer.html.j2").read_text(encoding="utf-8")
    script = (TEMPLATES / "explorer_page.js").read_text(encoding="utf-8")
    used = set(re.findall(r"""say\(\s*["']([\w.]+)["']""", html + script))
    used |= set(re.findall(r'data-(?:say|label)="(\w+)"', html))
    for names in re.findall(r"for name in \((.*?)\)", html):
        used |= set(re.findall(r"'(\w+)'", names))
    assert used <= set(EXPLORER_TEXTS)
    words = set(re.findall(r'"(\w+)"', script)) | used
    unused = {key for key in EXPLORER_TEXTS if key not in words and "." not in key}
    assert not unused


# ---- in a browser -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "made.html"
    path.write_text(page(made_map(HOSTILE)), encoding="utf-8")
    return path


PEAKS = """([points, state]) => points.map(([b, s, r]) => {
  const asked = {...explorer.state, ...state, batch: b, length: s, rank: r};
  const parts = [false, true].map((adapted) => explorer.model.describe(asked, adapted).parts);
  return [explorer.model.allocated(asked, false), explorer.model.allocated(asked, true), ...parts];
})"""


@pytest.mark.slow
def test_the_page_computes_what_python_computes(chrome: Any, made: Path) -> None:
    found = made_map(HOSTILE)
    points = [(1, 128, 4), (2, 128, 16), (3, 1280, 8), (32, 4096, 4)]
    with opened(chrome, made) as o:
        peaks = o.page.evaluate(PEAKS, [points, {}])
        ratios = o.page.evaluate(
            "() => [128, 512, 2048, 1e6].map((n) => explorer.model.reservedRatio("
            "explorer.model.arm(explorer.state, true).entry, n))"
        )
        fits = o.page.evaluate(
            "() => [1, 8, 18, 19, 32].map((b) => explorer.model.fits(explorer.state, true, b, 512))"
        )
    extra = workspace_bytes(GPUS[0])
    full, adapted = found.entries[0, FIRST], found.entries[1, FIRST]
    for point, (most, few, most_parts, few_parts) in zip(points, peaks, strict=True):
        assert most == full.peaks([(*point[:2], 1)])[0] + extra == sum(most_parts)
        assert few == adapted.peaks([point])[0] + extra == sum(few_parts)
        assert sum(few_parts) - few_parts[-1] == sum(adapted.breakdown(point).values())
    for tokens, ratio in zip((128, 512, 2048, 10**6), ratios, strict=True):
        assert tuple(ratio) == pytest.approx(adapted.reserved_ratio(tokens))
    batches = (1, 8, 18, 19, 32)
    allocated = [int(adapted.peaks([(b, 512, 16)])[0]) + extra for b in batches]
    pairs = zip(batches, allocated, strict=True)
    assert fits == [adapted.fit(n, b * 512, GPUS[0].total_bytes) for b, n in pairs]


@pytest.mark.slow
def test_the_page_says_what_an_exact_trace_says(chrome: Any, tmp_path: Path) -> None:
    request = Request(
        "smollm2-135m", (parse_method("full"), parse_method("lora:r=8,targets=q_proj+v_proj")),
        ("bf16",), ("adamw_torch",), (False,), (4, 8, 64), 16, 2048,
    )  # fmt: skip
    path = tmp_path / "page.html"
    path.write_text(page(map_model(request), gpu=None), encoding="utf-8")
    points = [(1, 256, 4), (3, 1280, 64), (16, 512, 8)]
    with opened(chrome, path) as o:
        peaks = o.page.evaluate(PEAKS, [points, {}])
    for arm, asked in enumerate(request.methods):
        predictor = Predictor(request.model, asked, request.options(request.settings()[0]))
        for (batch, length, rank), found in zip(points, peaks, strict=True):
            exact = predictor.peak_of(predictor.stream(batch, length, rank if arm else 1))
            assert found[arm] == exact.allocated_bytes
            assert found[2 + arm] == list(exact.breakdown.values())


@pytest.mark.slow
@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_nothing_to_complain_about(
    chrome: Any, made: Path, language: str, dark: bool, size: tuple[int, int]
) -> None:
    with opened(chrome, made, size=size, dark=dark) as o:
        o.page.click(f"[data-language={language}]")
        assert o.axe() == []
        assert o.overflow() == 0
        assert (o.errors, o.requests) == ([], [])
        assert o.page.evaluate("document.documentElement.lang") == language
        assert o.page.locator("h1").inner_text().startswith("</script><img")


@pytest.mark.slow
def test_sliders_move_bars_plane_and_words_together(chrome: Any, made: Path) -> None:
    with opened(chrome, made) as o:

        def shown() -> tuple[str, str, str]:
            words = o.page.inner_text("#memory-ratio .number")
            return (
                words,
                o.page.inner_text("#parts"),
                o.page.evaluate("document.getElementById('plane').toDataURL()"),
            )

        before = shown()
        o.page.focus("#batch")
        o.page.keyboard.press("End")
        after = shown()
        assert all(one != other for one, other in zip(before, after, strict=True))
        assert "32 texts" in o.page.inner_text("#controls")
        o.page.locator("#status", has_text="Batch 32").wait_for(state="attached")
        o.page.wait_for_url(re.compile(r"[#&]b=32&"))


@pytest.mark.slow
def test_the_address_brings_a_view_back(chrome: Any, made: Path) -> None:
    with opened(chrome, made) as o:
        o.page.goto(
            f"{made.as_uri()}#b=8&s=1024&r=4&g=H200&l=ja&pf=bf16&o=nonsense&zz=1&m=%E0%A4%A"
        )
        o.page.reload()
        state = o.page.evaluate("explorer.state")
        assert (state["batch"], state["length"], state["rank"], state["gpu"]) == (
            8,
            1024,
            4,
            "H200",
        )
        assert (state["language"], state["precision_full"]) == ("ja", "bf16")
        assert (state["optimizer"], state["method"]) == ("adamw_torch", 1)
        assert "慣用の設定" in o.page.inner_text("#facts")
        assert o.errors == []


@pytest.mark.slow
def test_a_combination_that_is_missing_is_said(chrome: Any, made: Path) -> None:
    with opened(chrome, made) as o:
        o.page.select_option("#precision_lora", label="bf16")
        assert o.page.is_visible("#missing")
        assert not o.page.is_visible("#found")
        assert "cannot</b> be traced" in o.page.inner_text("#left-out")
        o.page.click("[data-language=ja]")
        assert "追跡できません" in o.page.inner_text("#left-out")


@pytest.mark.slow
def test_crossings_are_where_the_formula_has_them(chrome: Any, made: Path) -> None:
    """By hand: 2x at rank 16 until 16 GiB + 1.128 MB a token = 2 (4 GiB + 16 MB + 1 MB a token)."""
    extra = workspace_bytes(GPUS[0])
    tokens = (2 * 4 * GIB - 2 * 16_000_016 - extra) / (2 * 1_000_000 - 1_128_000)
    longest = int(tokens / 4 // 128 * 128)
    with opened(chrome, made) as o:
        facts = o.page.inner_text("#facts")
    assert f"128–{longest:,}" in facts or longest >= 4096
    assert f"batches: 1–{int(tokens // 512)} " in facts
