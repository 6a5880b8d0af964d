"""The direction of imports, and who may do what: an ``ast`` walk over the whole package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lora_efficiency_benchmark

PACKAGE = "lora_efficiency_benchmark"
ROOT = Path(lora_efficiency_benchmark.__file__).parent
ROW_NAMES = [
    "errors units language heavy_imports plain_text",
    "config presets",
    "plan forecast",
    "records search",
    "dataset models training ranks measure cell preflight inprocess estimate execution doctor "
    "starting importing",
    "analysis",
    "report",
    "benchmark cli folder measuring",
]
ROWS = {name: row for row, names in enumerate(ROW_NAMES) for name in names.split()}
HEAVY = {"torch", "transformers", "peft", "accelerate"}
PRINTERS = {"report.terminal", "report.terminal.progress"}
WRITE_CALLS = {"write_text", "write_bytes", "write_record", "mkdir", "rename", "replace", "touch"}


def module_name(path: Path) -> str:
    """``report/page/filters.py`` -> ``report.page.filters``; ``__init__`` -> its package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports(name: str) -> Iterator[str]:
    """Absolute names of everything a module imports, inside functions too."""
    is_package = MODULES[name].name == "__init__.py"
    here = [PACKAGE, *name.split(".")] if name else [PACKAGE]
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = node.level - (1 if is_package else 0)
            base = here[: len(here) - up] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def internal(name: str) -> set[str]:
    """Top-level names of our own modules that a module imports."""
    targets = {t.removeprefix(PACKAGE + ".") for t in imports(name) if t.startswith(PACKAGE + ".")}
    return {top for target in targets if (top := target.split(".")[0]) in ROWS}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Name of the function or method of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute):
                yield function.attr, node
            elif isinstance(function, ast.Name):
                yield function.id, node


ROOMS = [name for name in MODULES if name.split(".")[0] in ROWS]  # __init__ is a door, not a room


def test_the_walk_resolves_relative_imports() -> None:
    assert {"dataset", "errors", "plan", "models", "training"} <= internal("cell")
    assert internal("dataset.corpora") == {"dataset", "errors", "models"}
    assert internal("dataset") == {"dataset"}


def test_every_module_is_in_the_table() -> None:
    unknown = {name for name in MODULES if name and name.split(".")[0] not in ROWS}
    assert not unknown, f"give these modules a row in ROW_NAMES: {sorted(unknown)}"


@pytest.mark.parametrize("package", ["config", "records", "models", "training", "estimate"])
def test_a_package_lists_its_modules(package: str) -> None:
    """In the docstring of its door, and with a line in docs/architecture.md."""
    names = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    door = ast.get_docstring(TREES[package]) or ""
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert not {name for name in names if not re.search(rf"\b{name}\b", door)}
    assert not {name for name in names if f" {name}.py" not in page}


@pytest.mark.parametrize("name", ROOMS)
def test_no_import_points_to_a_later_row(name: str) -> None:
    row = ROWS[name.split(".")[0]]
    later = {target for target in internal(name) if ROWS[target] > row}
    assert not later, f"row {row} must not import {sorted(later)}"


@pytest.mark.parametrize("name", [n for n in ROOMS if n.split(".")[0] in ("analysis", "report")])
def test_analysis_and_report_read_records_only(name: str) -> None:
    assert not {target for target in internal(name) if ROWS[target] == 4}


@pytest.mark.parametrize("name", ROOMS)
def test_nothing_imports_the_faces(name: str) -> None:
    if name.split(".")[0] == "cli":  # the command line may call the Python class
        return
    assert not internal(name) & {"benchmark", "cli"}


@pytest.mark.parametrize("name", ROOMS)
def test_only_row_4_imports_torch(name: str) -> None:
    heavy = {target.split(".")[0] for target in imports(name)} & HEAVY
    if ROWS[name.split(".")[0]] != 4:
        assert not heavy, f"{name} imports {sorted(heavy)}"


def test_the_launching_parent_imports_no_torch() -> None:
    """Not even through the modules it imports: the parent stays small and starts fast."""
    code = f"import {PACKAGE}.execution.launcher, {PACKAGE}.execution.ray_launcher"
    assert not heavy_modules_after(code)


def test_ray_is_imported_when_a_cluster_is_joined_only() -> None:
    wanting = [name for name in ROOMS if "ray" in {t.split(".")[0] for t in imports(name)}]
    assert wanting == ["execution.ray_engine"]
    probe = f"import {PACKAGE}.cli, {PACKAGE}.benchmark, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert "ray" not in done.stdout.split()


def test_importing_the_package_imports_no_torch() -> None:
    assert not heavy_modules_after(f"import {PACKAGE}")


@pytest.mark.parametrize(
    "name",
    ["config", "records", "models", "models.hub", "models.cache", "training", "dataset", "doctor",
     "importing", "cli", "folder"],
)  # fmt: skip
def test_parts_that_read_only_import_no_torch(name: str) -> None:
    assert not heavy_modules_after(f"import {PACKAGE}.{name}")


def test_the_check_sees_torch_where_it_is() -> None:
    assert "torch" in heavy_modules_after(f"import {PACKAGE}.training.collate")


def heavy_modules_after(code: str) -> set[str]:
    """Heavy packages loaded in a fresh interpreter after running ``code``."""
    probe = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("name", [n for n in ROOMS if n != "records.store"])
def test_only_the_store_writes_records(name: str) -> None:
    """No other module builds a path into the folder of the records, or writes there."""
    paths = [
        node.lineno
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        if isinstance(node.right, ast.Constant) and str(node.right.value).startswith("records")
    ]
    assert not paths, f"{name} reaches into records/ at lines {paths}; ask Store"
    writes = [
        node.lineno
        for attribute, node in calls(TREES[name])
        if attribute in WRITE_CALLS and "records_path" in ast.unparse(node)
    ]
    assert not writes, f"{name} writes into records/ at lines {writes}"


@pytest.mark.parametrize("name", [n for n in ROOMS if n.split(".")[0] != "cli"])
def test_only_the_command_line_and_the_terminal_report_print(name: str) -> None:
    if name in PRINTERS:
        return
    prints = [node.lineno for called, node in calls(TREES[name]) if called in ("print", "echo")]
    assert not prints, f"{name} prints at lines {prints}"
    text = ast.unparse(TREES[name])
    assert "sys.stdout.write" not in text
    assert "sys.stderr.write" not in text
