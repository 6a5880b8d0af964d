"""Tables for papers, spreadsheets and the Hub, and figures as files."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard

from command_line import call
from factories import fail, make_config, make_entry, make_records
from lora_efficiency_benchmark.analysis import analyze
from lora_efficiency_benchmark.analysis.values import Analysis
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.errors import ConfigError
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.report.figures import png
from lora_efficiency_benchmark.report.paper import configuration_hash, published
from lora_efficiency_benchmark.report.paper.csv_table import COLUMNS, cell, render_csv
from lora_efficiency_benchmark.report.paper.latex import escape, render_latex, spread
from lora_efficiency_benchmark.report.paper.model_card import render_card
from lora_efficiency_benchmark.report.texts import wording

ROOT = Path(__file__).parents[1]
LANGUAGES = ("ja", "en")
HOSTILE = "=cmd|' /C calc'!A0 \\input{/etc/passwd} %$&#_^~{} \n\\end{table}\n--- : [x] <b> 100^^5c"
ONE = {"r": 8, "target_modules": ["q_proj", "v_proj"]}
RUNS: dict[str, Callable[[], list[CellRecord]]] = {
    "three seeds": lambda: make_records(seeds=3),
    "one seed": make_records,
    "several sizes": lambda: make_records(make_config(dataset_sizes=[100, 200], seeds=2)),
    "only failures": lambda: make_records(change=fail),
    "only memory": lambda: [r for r in make_records() if r.cell.kind == "memory"],
    "one configuration": lambda: make_records(make_config(lora_configurations=[ONE])),
    "no record": lambda: [],
}


@functools.cache
def analysis_of(run: str) -> Analysis:
    return analyze(RUNS[run](), load_claims("paper-r5"))


@pytest.fixture(scope="module")
def usual() -> Analysis:
    return analysis_of("three seeds")


@pytest.fixture(scope="module")
def estimated() -> Analysis:
    return analyze(make_records(), load_claims("paper-r5"), [make_entry()])


@pytest.fixture(scope="module")
def hostile(usual: Analysis) -> Analysis:
    """Names of strangers in every place where one can stand."""
    arms = tuple(dataclasses.replace(arm, label=f"{HOSTILE}{arm.label}") for arm in usual.arms)
    claims = tuple(
        dataclasses.replace(
            claim,
            text=dict.fromkeys(LANGUAGES, HOSTILE),
            source=HOSTILE,
            per_configuration=tuple(
                dataclasses.replace(v, configuration=HOSTILE + v.configuration, reason=HOSTILE)
                for v in claim.per_configuration
            ),
        )
        for claim in usual.claims
    )
    return dataclasses.replace(
        usual,
        arms=arms,
        claims=claims,
        settings={**usual.settings, "model": HOSTILE, "dataset": HOSTILE},
        data={**(usual.data or {}), "name": HOSTILE},
        environment={**usual.environment, "device": {"type": "cpu", "name": HOSTILE}},
    )


# ---- latex ---------------------------------------------------------------------------------------

COMMANDS = {
    "begin", "end", "centering", "footnotesize", "caption", "label", "toprule", "midrule",
    "bottomrule", "multicolumn", "linewidth", "raggedright", "textbf", "pm", "div", "times",
    "cdot", "dots", "textbackslash", "textasciitilde", "textasciicircum", "textless",
    "textgreater", "textbar", "textquotedbl", "textasciigrave", "setlength", "tabcolsep",
    "LTcapwidth", "begingroup", "endgroup", "endfirsthead", "endhead", "endfoot",
}  # fmt: skip


def tex_tokens(text: str) -> Iterator[str]:
    """Commands, escaped characters and single characters; comments are left out."""
    for match in re.finditer(r"\\[A-Za-z]+|\\.|%[^\n]*|[\s\S]", text):
        if not match[0].startswith("%"):
            yield match[0]


def check_tex(text: str) -> None:
    """What would stop TeX: open groups and environments, strange commands, loose characters."""
    depth, math_open = 0, False
    for token in tex_tokens(text):
        if len(token) > 2 and token[0] == "\\":
            assert token[1:] in COMMANDS, token
        depth += {"{": 1, "}": -1}.get(token, 0)
        assert depth >= 0
        math_open ^= token == "$"
        assert token not in set("#^_~"), token
    assert depth == 0
    assert not math_open
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []


def tex_rows(text: str) -> list[tuple[int, int]]:
    """``(columns the tabular declares, cells of the row)`` of every row, spanning ones apart."""
    found = []
    table = r"\\begin\{(tabular|longtable)\}\{@\{\}(\w+)@\{\}\}(.*?)\\end\{\1\}"
    for _, shape, body in re.findall(table, text, re.S):
        for line in body.splitlines():
            if line.endswith(r" \\") and not line.startswith(r"\multicolumn"):
                found.append((len(shape), len(re.findall(r"(?<!\\)&", line)) + 1))
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("run", RUNS)
def test_latex_of_every_run_is_well_formed(run: str, language: str) -> None:
    text = render_latex(analysis_of(run), language)
    check_tex(text)
    rows = tex_rows(text)
    assert rows
    assert all(declared == cells for declared, cells in rows)


def test_latex_of_hostile_names_runs_no_command(hostile: Analysis) -> None:
    text = render_latex(hostile, "en")
    check_tex(text)
    assert (text.count(r"\end{table}"), text.count(r"\end{longtable}")) == (2, 1)
    assert r"\input" not in text
    assert r"\textbackslash{}input" in text
    assert all(declared == cells for declared, cells in tex_rows(text))


def test_a_table_longer_than_a_page_breaks(usual: Analysis) -> None:
    text = render_latex(usual, "en")
    assert "{longtable}" in text.splitlines()[0], "the package is named"
    assert (text.count(r"\begin{longtable}"), text.count(r"\begin{table}")) == (1, 2)
    short = render_latex(analysis_of("one configuration"), "en")
    assert "longtable" not in short
    assert short.count(r"\begin{table}") == 3


@pytest.mark.slow
@pytest.mark.parametrize(("language", "engine"), [("en", "pdflatex"), ("ja", "lualatex")])
@pytest.mark.parametrize("run", ["three seeds", "one configuration", "no record"])
def test_latex_is_typeset_within_its_page(
    run: str, language: str, engine: str, tmp_path: Path
) -> None:
    if shutil.which(engine) is None:
        pytest.skip(f"{engine} is not installed")
    table = render_latex(analysis_of(run), language)
    packages = table[table.index(r"\usepackage") : table.index("\n")]
    document = (
        f"\\documentclass{{article}}{packages}\n\\begin{{document}}\n{table}\\end{{document}}\n"
    )
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    command = [engine, "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    for _ in range(2):  # a longtable finds its widths in the second pass
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-800:]
    log = (tmp_path / "table.log").read_text(encoding="utf-8", errors="replace")
    assert "Missing character" not in log
    assert "Float too large" not in log
    wide = [float(found) for found in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert max(wide, default=0.0) < 10.0, "points; a fraction of a column"


def test_the_tex_check_sees_what_it_is_for() -> None:
    for bad in (r"\input{x}", "{", "}", "a_b", "50 $", r"\begin{table}", "# 1", "x^2"):
        with pytest.raises((AssertionError, IndexError)):
            check_tex(bad)


def test_latex_says_value_interval_seeds_verdict_and_conditions(usual: Analysis) -> None:
    text = render_latex(usual, "en")
    kept = next(c for c in usual.claims if c.id == "gain-retention").per_configuration[0]
    assert kept.ci95 is not None
    low, high = (f"{100 * end:.3g}\\%" for end in kept.ci95)
    row = rf"r=4 q,v & 2,000 & {100 * kept.value:.3g}\% & {{[}}{low}, {high}{{]}} & 3 & "
    assert row + kept.verification in text
    for condition in ("Example CPU", "torch 2.9.0", "24 steps", "seeds 0, 1, 2", "2026{-}07{-}01"):
        assert condition in text.split(r"\label")[0], condition
    assert configuration_hash(usual) in text
    assert r"\toprule" in text
    assert not re.search(r"[^\x00-\x7f]", text), "English compiles with pdflatex"
    assert "luatexja" not in text


def test_japanese_latex_names_the_engine(usual: Analysis) -> None:
    head = render_latex(usual, "ja").split("\\begin")[0]
    assert "lualatex" in head
    assert all(line.startswith("%") for line in head.strip().splitlines())


def test_the_hash_is_that_of_the_settings(usual: Analysis) -> None:
    again = analyze(list(reversed(RUNS["three seeds"]())), load_claims("paper-r5"))
    assert configuration_hash(again) == configuration_hash(usual)
    assert configuration_hash(analysis_of("one seed")) != configuration_hash(usual)


def test_escape_and_spread() -> None:
    assert escape("a_b & 50%\n--") == r"a\_b \& 50\% {-}{-}"
    assert spread([1.0, 2.0, 3.0], 2, wording("en")) == "2.00 ± 1.00"
    assert spread([1.25], 2, wording("en")) == "1.25"
    assert spread([], 2, wording("en")) == "not measured"


# ---- csv -----------------------------------------------------------------------------------------


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("run", RUNS)
def test_csv_holds_every_claim_on_every_configuration(run: str) -> None:
    analysis = analysis_of(run)
    text = render_csv(analysis, "en")
    found = [(c, v) for c in analysis.claims for v in c.per_configuration]
    rows = csv_rows(text)
    assert len(rows) == len(found)
    assert text.split("\r\n")[0] == ",".join(COLUMNS)
    assert "\n" not in text.replace("\r\n", "")
    for row, (claim, verdict) in zip(rows, found, strict=True):
        assert row["claim_id"] == claim.id
        assert row["configuration"] == verdict.configuration
        assert row["verification"] == verdict.verification
        assert row["value"] == ("" if verdict.value is None else str(verdict.value))
        low = "" if verdict.ci95 is None else str(verdict.ci95[0])
        assert (row["ci95_low"], row["num_seeds"]) == (low, str(verdict.num_seeds))
        assert row["records"].split() == list(verdict.cells)
        assert float(row["verified_at"]) == claim.verified_at


def test_csv_tells_estimates_from_measurements(estimated: Analysis) -> None:
    rows = csv_rows(render_csv(estimated, "en"))
    by_basis = {
        basis: [r for r in rows if r["basis"] == basis] for basis in ("MEASURED", "ESTIMATED")
    }
    assert len(by_basis["MEASURED"]) + len(by_basis["ESTIMATED"]) == len(rows)
    assert by_basis["ESTIMATED"]
    assert all(not row["device"] and not row["records"] for row in by_basis["ESTIMATED"])
    assert all(row["device"] == "Example CPU" for row in by_basis["MEASURED"])


def test_no_cell_of_a_csv_is_a_formula(hostile: Analysis) -> None:
    for row in csv_rows(render_csv(hostile, "en")):
        for value in row.values():
            if value[:1] in tuple("=+-@\t\r"):
                float(value)  # only our own numbers may begin with a sign
        assert row["configuration"].startswith("'=cmd")
        assert row["model"].startswith("'=cmd")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1"])
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe(text: str) -> None:
    written = cell(text)
    assert isinstance(written, str)
    assert written.startswith("'")


def test_a_character_that_is_none_before_a_formula_makes_it_text() -> None:
    assert cell("\u202e=1") == "?=1"


def test_numbers_stay_numbers() -> None:
    assert cell(-0.5) == -0.5
    assert cell(None) == ""
    assert cell(True) == "true"
    assert cell(float("nan")) == ""


# ---- model card ----------------------------------------------------------------------------------


def eval_results(text: str) -> list[EvalResult]:
    found = ModelCard(text).data.eval_results
    assert found is not None
    return list(found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_hub_reads_the_card(usual: Analysis, language: str) -> None:
    results = eval_results(render_card(usual, language, source="https://example.org/run"))
    assert {r.source_url for r in results} == {"https://example.org/run"}
    by_place = {(r.metric_config, r.metric_type): r for r in results}
    for arm in usual.arms:
        loss = by_place[arm.label, "loss"]
        assert loss.metric_value == pytest.approx(sum(arm.eval_losses) / 3)
        assert loss.metric_args == {"training_texts": 2000, "seeds": 3}
        trainable = by_place[arm.label, "trainable_parameters"]
        assert trainable.metric_value == arm.trainable_parameters
    assert ("full", "gain_retention") not in by_place
    assert "ci95" in by_place["r=4 q,v", "gain_retention"].metric_args
    assert ModelCard(render_card(usual, language)).data.model_name == usual.settings["model"]
    card = ModelCard(render_card(usual, language))
    again = ModelCard(str(card))
    assert card.data.eval_results == again.data.eval_results, "writing it again loses nothing"


def test_the_card_holds_measured_values_only(estimated: Analysis) -> None:
    text = render_card(estimated, "en")
    front, body = text.split("---\n")[1:3]
    values = {m["value"] for m in yaml.safe_load(front)["model-index"][0]["results"][0]["metrics"]}
    claims = estimated.estimated_claims
    assert claims
    for claim in claims:
        assert not values & {v.value for v in claim.per_configuration}
    assert "ESTIMATED, not measured: " in body
    assert "### What was not measured" in body
    for name in ("Example CPU", "24 steps", configuration_hash(estimated)):
        assert name in body


def test_the_card_of_one_configuration(usual: Analysis) -> None:
    text = render_card(usual, "en", "r=8 q,k,v,o")
    assert {r.metric_config for r in eval_results(text)} == {"r=8 q,k,v,o"}
    table = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert table
    assert all("| r=8 q,k,v,o |" in line for line in table)
    with pytest.raises(ConfigError, match=r"--configuration r=99: not in this folder; it has full"):
        render_card(usual, "en", "r=99")
    with pytest.raises(ConfigError, match="--source"):
        render_card(usual, "en", source="javascript:alert(1)")


@pytest.mark.parametrize("run", RUNS)
def test_a_card_of_every_run_parses(run: str) -> None:
    analysis = analysis_of(run)
    data = ModelCard(render_card(analysis, "en")).data
    measured = any(arm.eval_losses or arm.trainable_parameters for arm in analysis.arms)
    assert bool(data.eval_results) == measured


def test_the_card_of_hostile_names(hostile: Analysis) -> None:
    text = render_card(hostile, "en")
    results = eval_results(text)
    assert results[0].dataset_name.startswith("=cmd")
    body = ModelCard(text).text
    assert "<b>" not in body
    columns = [len(re.findall(r"(?<!\\)\|", line)) for line in body.splitlines() if line[:1] == "|"]
    assert set(columns) == {9}


# ---- figures as files ----------------------------------------------------------------------------


def png_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return int(width), int(height)


def test_every_figure_is_written_twice(usual: Analysis, tmp_path: Path) -> None:
    written = png.write_figures(usual, "en", tmp_path / "figures")
    names = {path.name for path in written.files}
    assert {"quality.svg", "quality.png", "memory.svg", "memory.png"} <= names
    assert written.without_glyphs == ()
    for path in written.files:
        if path.suffix == ".png":
            svg = path.with_suffix(".svg").read_text(encoding="utf-8")
            match = re.search(r'<svg[^>]*\swidth="(\d+)[^"]*"[^>]*\sheight="(\d+)', svg)
            assert match is not None
            assert png_size(path.read_bytes()) == (2 * int(match[1]), 2 * int(match[2]))


def test_a_png_is_on_white() -> None:
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
    white = '<rect width="9" height="9" fill="white"/>'
    assert png.to_png(f"{head}</svg>") == png.to_png(f"{head}{white}</svg>")
    black = '<rect width="9" height="9" fill="black"/>'
    assert png.to_png(f"{head}</svg>") != png.to_png(f"{head}{black}</svg>")


def test_japanese_figures_show_japanese(tmp_path: Path) -> None:
    if not png.draws_japanese():
        pytest.skip("no font with Japanese letters is installed")
    written = png.write_figures(analysis_of("one seed"), "ja", tmp_path)
    assert written.without_glyphs == ()
    assert (tmp_path / "quality.png").is_file()


def test_without_japanese_letters_there_is_no_picture_of_boxes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(png, "draws_japanese", lambda: False)
    written = png.write_figures(analysis_of("one seed"), "ja", tmp_path)
    assert "quality" in written.without_glyphs
    assert (tmp_path / "quality.svg").is_file()
    assert not (tmp_path / "quality.png").exists()
    assert png.write_figures(analysis_of("one seed"), "en", tmp_path).without_glyphs == ()


PROBE = """
import sys
from pathlib import Path
from lora_efficiency_benchmark.report import png
print(png.draws_japanese())
png.register_fonts(Path(sys.argv[1]))
print(png.draws_japanese())
"""


def test_a_machine_without_fonts_is_noticed_and_a_folder_of_fonts_helps(tmp_path: Path) -> None:
    """Boxes drawn for real: in a name space of its own, the folder of fonts is empty."""
    fonts = [p for p in Path("/usr/share/fonts").rglob("*CJK*Regular*") if "Sans" in p.name]
    if not fonts or not shutil.which("unshare"):
        pytest.skip("needs a Japanese font in /usr/share/fonts and the command unshare")
    shutil.copy(fonts[0], tmp_path)
    script = 'mount -t tmpfs none /usr/share/fonts && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable, "-c", PROBE]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
    if "False" not in done.stdout:
        pytest.skip(f"no name space of its own, or fonts elsewhere: {done.stderr[:80]}")
    assert done.stdout.split() == ["False", "True"]


def test_a_folder_without_fonts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no"):
        png.register_fonts(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        png.register_fonts(tmp_path / "nowhere")


# ---- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("stored"))
    store.create()
    store.write_text("config.yaml", make_config().to_yaml())
    for record in make_records():
        store.write_record(record)
    return store.path


@pytest.mark.parametrize("name", ["html", "md", "latex", "csv", "card"])
def test_the_command_writes_what_it_prints(
    name: str,
    stored: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    arguments = ["report", stored, "--format", name, "--lang", "en"]
    assert call(monkeypatch, *arguments) == 0
    printed = capfdbinary.readouterr().out
    path = tmp_path / "report"
    assert call(monkeypatch, *arguments, "-o", path) == 0
    assert path.read_bytes().rstrip() == printed.rstrip()
    assert (b"\r\n" in printed) == (name == "csv")


def test_the_command_writes_figures(
    stored: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures = tmp_path / "figures"
    assert call(monkeypatch, "report", stored, "--figures", figures, "--lang", "en") == 0
    printed = capsys.readouterr().out.splitlines()
    assert sorted(map(Path, printed)) == sorted(figures.iterdir())
    monkeypatch.setattr(png, "draws_japanese", lambda: False)
    assert call(monkeypatch, "report", stored, "--figures", figures, "--lang", "ja") == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert "fonts-noto-cjk" in errors[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "docx"], "must be one of html, md, latex, csv, card"),
        (["-o", "/no/such/folder/x.html"], "cannot be written"),
        (["-o", "."], "cannot be written"),
        (["--figures", "/dev/null/x"], "cannot be written"),
        (["--fonts", "."], "only with --figures"),
        (["--configuration", "full"], "only with --format card"),
        (["--format", "card", "--configuration", "r=1"], "not in this folder"),
        (["--format", "card", "--source", "ftp://x"], "must begin with https://"),
        (["--lang", "fr"], "must be ja or en"),
    ],
)
def test_bad_options_are_one_line_and_exit_1(
    arguments: list[str],
    words: str,
    stored: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, "report", stored, *arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]


def test_an_empty_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "report", tmp_path, "--format", "latex") == 1
    assert "holds no records" in capsys.readouterr().err


# ---- the documentation ---------------------------------------------------------------------------


def examples(page: str) -> list[list[str]]:
    """Command lines of an indented block that name the example folder."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = re.findall(r"^    (?:\$ )?(lora-bench .*?)(?:\s+#.*)?$", text, re.M)
    return [line.split()[1:] for line in lines if "benchmarks/results/" in line]


@pytest.mark.parametrize("page", ["docs/papers.md", "docs/ja/papers.md"])
def test_the_examples_of_the_page_work(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "/ja/" in page and not png.draws_japanese():
        pytest.skip("no font with Japanese letters is installed")
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    monkeypatch.chdir(tmp_path)
    commands = examples(page)
    assert len(commands) >= 4
    for arguments in commands:
        assert call(monkeypatch, *quoted(arguments)) == 0
    assert {"table.tex", "claims.csv", "card.md", "figures"} <= {p.name for p in tmp_path.iterdir()}


def quoted(arguments: list[str]) -> list[Any]:
    """The example's own quoting, as a shell reads it."""
    import shlex

    return shlex.split(" ".join(arguments))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/alice/secret/corpus.jsonl", "corpus.jsonl"),
        ("./corpus/", "corpus"),
        ("~/m", "m"),
        ("C:\\Users\\alice\\m", "m"),
        ("someone/data", "someone/data"),
        ("generated", "generated"),
        (None, ""),
    ],
)
def test_of_a_local_path_only_the_last_part_is_published(name: str | None, shown: str) -> None:
    assert published(name) == shown
