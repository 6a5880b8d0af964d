"""The READMEs show what the records under benchmarks/results say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from lora_efficiency_benchmark.folder import analyze_folder

ROOT = Path(__file__).parents[1]
FAIR = sorted((ROOT / "benchmarks" / "results").glob("fair-*"))


def readme_table(folder: Path, language: str) -> str:
    path = ROOT / "benchmarks" / "readme_table.py"
    spec = importlib.util.spec_from_file_location("readme_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.table(folder, language))


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_the_memory_figure_is_of_the_table_above_it(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    (figure,) = re.findall(r"\((benchmarks/results/[^)]*memory\.svg)\)", text)
    assert ROOT / figure in {folder / "figures" / "memory.svg" for folder in FAIR}


def test_there_is_a_fair_result() -> None:
    assert FAIR


@pytest.mark.parametrize(("name", "language"), [("README.md", "en"), ("README.ja.md", "ja")])
@pytest.mark.parametrize("folder", FAIR, ids=lambda folder: folder.name)
def test_tables_and_verdicts_are_those_of_the_records(
    folder: Path, name: str, language: str
) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert readme_table(folder, language) in text
    sentence = analyze_folder(folder).joint.sentence[language]
    assert sentence in " ".join(text.replace("\n> ", " ").split()) or sentence in text


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("README.md", r"(\d+) cells, \d+ minutes"), ("README.ja.md", r"(\d+)セル、")],
)
def test_the_cells_are_those_of_the_folders(name: str, pattern: str) -> None:
    stated = re.findall(pattern, (ROOT / name).read_text(encoding="utf-8"))
    counted = [len(list((folder / "records").glob("*.json"))) for folder in FAIR]
    assert sorted(map(int, stated)) == sorted(counted)
