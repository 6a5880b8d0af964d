"""The documentation against the program: both languages, links, commands, examples, settings.

Examples that need torch are run by ``make test-all`` only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from doc_pages import (
    DOCS,
    ROOT,
    Block,
    Page,
    all_pages,
    docs_pages,
    pairs,
    read_page,
    words_of,
)
from lora_efficiency_benchmark import cli
from lora_efficiency_benchmark.config.architectures import load_architectures
from lora_efficiency_benchmark.config.benchmark_config import (
    DEFAULT_MODEL,
    load_config,
    parse_override,
)
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.config.gpus import parse_gpu
from lora_efficiency_benchmark.config.methods import parse_method
from lora_efficiency_benchmark.config.yaml_io import parse_yaml, preset_names
from lora_efficiency_benchmark.errors import LoraBenchError
from lora_efficiency_benchmark.records.results import CellRecord, LoRAEfficiencyResult

COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
EXAMPLES = (  # pages whose examples are run here; others have tests of their own
    "verify-a-claim", "choose-a-configuration", "fit-my-gpu", "use-my-data", "run-on-rocm",
    "run-on-a-cluster",
)  # fmt: skip
NEEDS_TORCH = ("count", "estimate", "plan", "run")
RUN_FROM_README = ("count", "estimate")
PLACEHOLDERS = ("COMMAND", "コマンド", "--help")


def named(pages: list[Any]) -> list[Any]:
    """Pages, or pairs of pages, with their names for pytest."""
    return [
        pytest.param(page, id=(page[0] if isinstance(page, tuple) else page).name) for page in pages
    ]


# ---- two languages ------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", named(pairs()))
def test_a_page_is_the_same_in_both_languages(pair: tuple[Page, Page | None]) -> None:
    english, japanese = pair
    assert japanese is not None, f"{english.name} has no Japanese version"
    for page, other in ((english, japanese), (japanese, english)):
        resolved = {(page.path.parent / link).resolve() for link in page.links}
        assert other.path in resolved, f"{page.name} does not link {other.name}"
    levels = [[heading.split()[0] for heading in page.headings] for page in (english, japanese)]
    assert levels[0] == levels[1]
    assert _shell(english) == _shell(japanese)
    assert _files(english) == _files(japanese)


def _shell(page: Page) -> list[str]:
    """Every command of a page; its language option, which the other page has not, left out."""
    lines = [line for block in page.blocks for line in block.shell]
    bare = (line.replace("--lang ja", "").replace("--lang en", "") for line in lines)
    return [" ".join(line.split()) for line in bare]


def _files(page: Page) -> list[tuple[str, Any]]:
    """The files a page shows: YAML by content, without what is written for readers."""
    return [(block.name, _content(block)) for block in page.blocks if block.name]


def _content(block: Block) -> Any:
    if not block.name.endswith(".yaml"):
        return block.text
    values = parse_yaml(block.text)
    if isinstance(values, dict) and "claims" in values and isinstance(values["claims"], list):
        return [{k: v for k, v in claim.items() if k != "source"} for claim in values["claims"]]
    return values


def test_the_format_names_the_same_fields_in_both_languages() -> None:
    names = [_codes(folder / "result-format.md") for folder in (DOCS, DOCS / "ja")]
    assert names[0] == names[1]


def test_the_format_names_every_field_there_is() -> None:
    named = _codes(DOCS / "result-format.md")
    for kind in (CellRecord, LoRAEfficiencyResult):
        assert {field.name for field in dataclasses.fields(kind)} <= named


def _codes(path: Path) -> set[str]:
    """Identifiers in inline code."""
    return set(re.findall(r"`([a-z_][a-z0-9_.\[\]]*)`", read_page(path).prose))


@pytest.mark.parametrize("folder", [DOCS, DOCS / "ja"], ids=["en", "ja"])
def test_the_index_lists_every_page(folder: Path) -> None:
    index = read_page(folder / "README.md")
    linked = {(folder / link).resolve() for link in index.links}
    assert set(folder.glob("*.md")) - {index.path} <= linked


# ---- links and commands -------------------------------------------------------------------------


@pytest.mark.parametrize("page", named(all_pages()))
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links:
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link}"
        if anchor:
            assert anchor in read_page(target).anchors, f"{page.name}: {link}"


@pytest.mark.parametrize("page", named(all_pages()))
def test_commands_exist_with_their_options(page: Page) -> None:
    for command in page.commands:
        where = f"{page.name}: lora-bench {command}"
        for place, words in enumerate(words_of(command)):
            if words[0] in COMMANDS:
                _check_options(words, where)
            else:  # only what a pipe leads to, and a placeholder, may be no command of ours
                assert place > 0 or words[0] in PLACEHOLDERS, where


def _check_options(words: list[str], where: str) -> None:
    """Parse as the command line would, and look at values that can be known to be wrong."""
    command, given = COMMANDS[words[0]], words[1:]
    context = command.context_class(command, info_name=words[0])
    if given and given[-1] in _valued(command):  # ``estimate --gpu`` in a text names an option
        given = [*given, "NAME"]
    try:
        options, left, _ = command.make_parser(context).parse_args(args=given)
    except Exception as error:  # typer keeps its parser's errors to itself
        pytest.fail(f"{where}: {error}")
    assert not left, f"{where}: {left} is left over"
    for method in options.get("methods") or ():
        if not method.isupper() and not method.startswith("peft:"):
            parse_method(method)
    model = options.get("model")
    if words[0] in ("count", "estimate", "map") and _is_bare_name(model or "MODEL"):
        assert model in (*load_architectures(), DEFAULT_MODEL), where
    for setting in options.get("settings") or ():
        key, _ = parse_override(setting.replace("key=value", "seeds=1"))
        assert key in load_config("quick").to_dict(), where
    preset = options.get("preset")
    assert preset is None or preset == "NAME" or preset in preset_names("benchmarks"), where


def _valued(command: Any) -> set[str]:
    """Options of a command that take a value."""
    options = (p for p in command.params if p.param_type_name == "option" and not p.is_flag)
    return {name for option in options for name in option.opts}


def _is_bare_name(model: str) -> bool:
    """A name from ``lora-bench models``: no path, no Hub id and no placeholder."""
    return not (model.isupper() or "/" in model or model.endswith(".gguf"))


def test_the_check_sees_what_does_not_exist() -> None:
    for wrong in ("run --no-such-option", "count llama-2-8b full", "run --set rank=1", "plan a b"):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            _check_options(words_of(wrong)[0], wrong)
    with pytest.raises(LoraBenchError):
        _check_options(words_of("count llama-2-7b lora:q=1")[0], "")


@pytest.mark.parametrize("page", named(all_pages()))
def test_devices_that_are_named_are_known(page: Page) -> None:
    """A device after ``--gpu`` or ``--max-memory``, but for those shown with their refusal."""
    shown = " ".join(b.text for b in page.blocks if b.kind == "console")
    for command in page.commands:
        words = [word for part in words_of(command) for word in part]
        for option, value in pairwise(words):
            if option in ("--gpu", "--max-memory") and "NAME" not in value:
                refusals = (f"{option} {value}: {word}" for word in ("unknown", "不明な"))
                assert any(refusal in shown for refusal in refusals) or parse_gpu(value)


def test_the_torch_to_install_is_the_pinned_one() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    lines = [line for page in docs_pages() for block in page.blocks for line in block.shell]
    asked = {word for line in lines if " pip install " in line for word in shlex.split(line)}
    asked = {word for word in asked if word.startswith("torch")}
    assert asked
    assert asked <= set(pinned)


# ---- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", named([p for p in all_pages() if _files(p)]))
def test_files_that_are_shown_load(page: Page, tmp_path: Path) -> None:
    for block in page.blocks:
        if not block.name.endswith(".yaml"):
            continue
        path = tmp_path / block.name
        path.write_text(block.text, encoding="utf-8")
        if isinstance(parse_yaml(block.text).get("claims"), list):
            assert load_claims(str(path))
        else:
            assert load_config(path)


# ---- examples -----------------------------------------------------------------------------------


def examples() -> Iterator[Any]:
    """Every example as (page, command, what is shown), the ones that need torch marked slow."""
    for page in docs_pages():
        if page.path.stem in EXAMPLES:
            for block in page.blocks:
                if block.kind == "console":
                    yield from (_example(page, *example) for example in block.examples)
    for name in ("README.md", "README.ja.md"):
        page = read_page(ROOT / name)
        for block in page.blocks:
            for command, shown in block.examples:
                if command.split()[1] in RUN_FROM_README:
                    yield _example(page, command, shown)


def _example(page: Page, command: str, shown: str) -> Any:
    # An option that is refused before anything is loaded costs nothing.
    heavy = command.split()[1] in NEEDS_TORCH and "lora-bench: --" not in shown
    marks = [pytest.mark.slow] if heavy else []
    return pytest.param(page, command, shown, id=f"{page.name}: {command}", marks=marks)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("page", "command", "shown"), list(examples()))
def test_examples_print_what_is_shown(
    page: Page, command: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    japanese = page.path.parent.name == "ja" or ".ja." in page.path.name
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8" if japanese else "C.UTF-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    for block in page.blocks:
        if block.name:
            (tmp_path / block.name).write_text(block.text, encoding="utf-8")
    bare, _, asks_code = command.partition("; echo $?")
    code, printed = _call(words_of(bare.removeprefix("lora-bench "))[0], bare)
    expected = shown.splitlines()
    wanted = int(expected.pop()) if command != bare else 0
    assert (code, asks_code) == (wanted, ""), printed
    if "> /dev/null" in bare:
        assert not expected
        return
    place = 0
    for piece in _pieces(expected):
        found = _squeezed(printed).find(piece, place)
        assert found >= 0, f"{page.name} shows {piece!r}; printed was\n{printed}"
        place = found + len(piece)


def _pieces(lines: list[str]) -> list[str]:
    """What is shown between ``...`` lines, without white space: a page breaks lines elsewhere."""
    parts = "\n".join("\0" if line.strip() == "..." else line for line in lines).split("\0")
    return [piece for part in parts if (piece := _squeezed(part))]


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _call(words: list[str], command: str) -> tuple[int, str]:
    """Exit code and everything printed; a process of its own where torch or a script runs."""
    if command.startswith("python "):
        return _process([sys.executable, *command.split()[1:]])
    if words[0] in NEEDS_TORCH:
        return _process([sys.executable, "-m", "lora_efficiency_benchmark.cli", *words])
    printed, code = io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        before, sys.argv = sys.argv, ["lora-bench", *words]
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.argv = before
    return code, printed.getvalue()


def _process(arguments: list[str]) -> tuple[int, str]:
    done = subprocess.run(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
    )
    return done.returncode, done.stdout


def test_the_comparison_sees_a_difference() -> None:
    assert _pieces(["a b", "...", "c", "d"]) == ["ab", "cd"]
    assert _pieces(["..."]) == []
    block = Block("console", "", "$ lora-bench presets\nx\n$ lora-bench doctor; echo $?\n1\n")
    assert block.examples == [("lora-bench presets", "x"), ("lora-bench doctor; echo $?", "1")]
