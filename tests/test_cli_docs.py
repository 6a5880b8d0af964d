"""The pages of commands: as the program says, with examples that it would take."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "make_cli_help.py"
JAPANESE = re.compile(r"[ぁ-んァ-ン一-龥]")


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_cli_help", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT_MODULE = load_script()
COMMANDS = SCRIPT_MODULE.commands()
PAGES: list[Path] = [SCRIPT_MODULE.ENGLISH, SCRIPT_MODULE.JAPANESE]


def test_both_pages_are_what_the_program_says_now() -> None:
    for path, text in SCRIPT_MODULE.pages().items():
        now = path.read_text(encoding="utf-8")
        assert now == text, f"{path.name} is stale; run: python docs/make_cli_help.py"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_explained_with_an_example(name: str) -> None:
    command = COMMANDS[name]
    assert SCRIPT_MODULE.examples_of(command), f"give 'Example: lora-bench {name} ...' in its help"
    assert JAPANESE.search(SCRIPT_MODULE.SUMMARIES.get(name, "")), f"SUMMARIES lacks {name}"
    shown = SCRIPT_MODULE.help_of(name)
    assert f"Usage: lora-bench {name}" in shown
    unexplained = [p.name for p in command.params if not getattr(p, "help", None)]
    assert not unexplained, f"{name}: no help for {unexplained}"


def shown_examples(page: Path) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_the_examples_are_taken(page: Path) -> None:
    examples = shown_examples(page)
    assert len(examples) >= len(COMMANDS)
    for example in examples:
        program, name, *arguments = shlex.split(example)
        assert program == "lora-bench"
        context = COMMANDS[name].make_context(name, list(arguments))  # raises on what is not there
        context.close()


def test_a_wrong_example_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option: --no-such"):
        COMMANDS["run"].make_context("run", ["--no-such"])
