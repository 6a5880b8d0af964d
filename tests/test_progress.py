"""What a person sees while a run goes on."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from factories import environment, fail, make_config, make_records
from lora_efficiency_benchmark.language import Language, Statement
from lora_efficiency_benchmark.plan import expand
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.report.terminal.progress import Progress

FACTS = {"model": "Some-Model (dequantised)", "environment": environment()}


def shown(
    capsys: pytest.CaptureFixture[str], language: Language, records: list[CellRecord]
) -> list[str]:
    with Progress(language) as progress:
        progress.run_started(FACTS, [record.cell for record in records], kept=2)
        for record in records:
            progress.cell_started(record.cell)
            progress.event({"event": "phase", "name": "train"})
            progress.event({"event": "step", "step": 1, "total": 2, "loss": 2.5})
            progress.cell_ended(record)
    captured = capsys.readouterr()
    assert captured.out == "", "progress never goes to standard output"
    return captured.err.splitlines()


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_cell_leaves_one_line_that_fits(
    capsys: pytest.CaptureFixture[str], language: Language
) -> None:
    records = make_records()
    lines = shown(capsys, language, records)
    finished = [line for line in lines if line.startswith("✓")]
    assert len(finished) == len(records)
    assert all(cell_len(line) <= 100 for line in finished), max(finished, key=cell_len)
    assert "Some-Model (dequantised)" in lines[0]
    assert "2" in lines[1]


@pytest.mark.parametrize(("language", "line"), [("ja", "! 注意です"), ("en", "! a note")])
def test_notes_are_told_in_the_language_of_the_reader(
    capsys: pytest.CaptureFixture[str], language: Language, line: str
) -> None:
    facts = {**FACTS, "notes": [Statement("a note", "注意です")]}
    Progress(language).run_started(facts, [], kept=0)
    assert capsys.readouterr().err.splitlines() == [line]


def test_lines_carry_the_measured_values(capsys: pytest.CaptureFixture[str]) -> None:
    records = make_records()
    text = "\n".join(shown(capsys, "en", records))
    lora = next(r for r in records if r.cell.kind == "train" and r.cell.adapter)
    assert lora.evaluation is not None
    assert lora.parameters is not None
    assert f"loss {lora.evaluation['loss']:.3f}" in text
    assert f"{134_515_008 / lora.parameters['trainable']:.0f}x fewer" in text
    memory = next(r for r in records if r.memory)
    assert memory.memory is not None
    assert f"peak {memory.memory['peak_allocated_bytes'] / 2**30:.2f} GiB" in text


def test_a_failed_cell_says_why_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = make_records()
    fail(records[-1], "out_of_memory", "needs \x1b[31mmore\x07 memory")
    line = shown(capsys, "en", records)[-1]
    assert line.startswith("✗")
    assert "out_of_memory" in line
    assert "\x1b" not in line
    assert "\x07" not in line


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "3 cells running or waiting"), ("ja", "3 セルを実行中または順番待ち")],
)
def test_several_cells_at_once_are_counted(language: Language, words: str) -> None:
    records = make_records()
    cells = [record.cell for record in records]
    progress, alone = Progress(language), Progress(language)
    progress.run_started({**FACTS, "at_once": 2}, cells, kept=0)
    alone.run_started(FACTS, cells, kept=0)
    assert progress._all_left() == pytest.approx(alone._all_left() / 2)
    for cell in cells[:4]:
        progress.cell_started(cell)
    progress.cell_ended(records[1])
    line = str(progress._line())
    assert words in line
    assert cell_len(line) <= 100
    for record in (records[0], records[2]):
        progress.cell_ended(record)
    assert progress._name(cells[3]) in str(progress._line()), "one is left, and is named"


@pytest.mark.parametrize(("uncertain", "head"), [(0, "· 7 cells"), (1, "· up to 7 cells")])
def test_a_count_that_is_not_certain_is_called_so(
    capsys: pytest.CaptureFixture[str], uncertain: int, head: str
) -> None:
    cells = [record.cell for record in make_records()][:7]
    Progress("en").run_started({**FACTS, "uncertain_cells": uncertain}, cells, kept=0)
    assert head in capsys.readouterr().err


def test_time_that_a_cell_waited_for_its_node_is_not_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = make_records()
    progress = Progress("en")
    progress.run_started(FACTS, [record.cell for record in records], kept=0)
    records[0].seconds["wall"] = 63.0
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    progress.cell_started(records[0].cell)
    monkeypatch.setattr("time.monotonic", lambda: 5000.0)
    progress.cell_ended(records[0])
    assert capsys.readouterr().err.splitlines()[-1].endswith("1:03")


def test_the_living_line_tells_step_and_time_left() -> None:
    cells = expand(make_config())
    progress = Progress("en")
    progress.run_started(FACTS, cells, kept=0)
    train = next(cell for cell in cells if cell.kind == "train")
    progress.cell_started(train)
    progress.event({"event": "step", "step": 7, "total": 24, "loss": 2.125})
    line = str(progress._line())
    assert "step 7/24" in line
    assert "loss 2.125" in line
    assert "left" in line
    assert cell_len(line) <= 100
