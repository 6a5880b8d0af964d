"""``lora-bench plan`` (row 7): the cells of a configuration, what they need, how long they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .configuration import Config, Preset, Settings, configuration
from .output import Json, Lang, choose_language, print_json, say

if TYPE_CHECKING:
    from ..plan import Cell


MANY_CELLS = 1000  # a longer plan is there at once; memory (seconds an arm) is for the asking


@dataclass(frozen=True)
class _Line:
    """One line of the plan: a cell, or the trials of one arm."""

    cell: Cell
    count: int
    seconds: float  # of all of them
    peak: int | None  # bytes, estimated


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(plan)


def plan(
    config: Config = None,
    preset: Preset = None,
    settings: Settings = None,
    estimates: Annotated[
        bool | None,
        typer.Option(
            "--estimates/--no-estimates",
            help="Estimate memory; without it the list is there at once, and torch is not needed. "
            f"Default: up to {MANY_CELLS:,} cells",
        ),
    ] = None,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """The cells of a configuration: forecast of their time, estimated memory; nothing runs.

    Default: the preset 'quick'. --json lists every cell with all of its settings.

    Example: lora-bench plan --preset fair --set seeds=5

    Example: lora-bench plan config.yaml --no-estimates
    """
    from ..config.claims import load_claims
    from ..forecast import forecast_seconds, reference_speed
    from ..search import remaining_cells, uncertain_trials

    language = choose_language(lang)
    asked = configuration(config, preset, settings)
    load_claims(asked.claims)
    cells = remaining_cells(asked, [])
    seconds = [forecast_seconds(cell) for cell in cells]
    if estimates is None:
        estimates = len(cells) <= MANY_CELLS
        if not estimates:
            say(
                language,
                f"{MANY_CELLS:,} セルを超えるため、メモリは推定していません。"
                "--estimates で推定します",
                f"more than {MANY_CELLS:,} cells: memory is not estimated; --estimates does it",
            )
    peaks = _estimated_peaks(cells, language) if estimates else [None] * len(cells)
    if as_json:
        rows = [
            {"id": cell.id, "label": cell.label, "processes": cell.processes, **cell.to_dict(),
             "forecast_seconds": value, "estimated_peak_bytes": peak}
            for cell, value, peak in zip(cells, seconds, peaks, strict=True)
        ]  # fmt: skip
        print_json({"cells": rows, "forecast_seconds": sum(seconds), "speed": reference_speed()})
        return
    several = len({cell.model_name for cell in cells}) > 1
    for line in _folded(cells, seconds, peaks):
        typer.echo(_text(line, several, language))
    _print_total(len(cells), uncertain_trials(asked, []), sum(seconds), language)


def _folded(
    cells: Sequence[Cell], seconds: Sequence[float], peaks: Sequence[int | None]
) -> list[_Line]:
    """A line a cell; the trials of an arm, whose rates the search decides on the way, are one."""
    lines: dict[str, _Line] = {}
    for cell, value, peak in zip(cells, seconds, peaks, strict=True):
        known = lines.get(cell.id) if cell.kind == "trial" else None
        count, sum_ = (known.count, known.seconds) if known else (0, 0.0)
        lines[cell.id] = _Line(cell, count + 1, sum_ + value, peak)
    return list(lines.values())


def _text(line: _Line, several: bool, language: str) -> str:
    from ..units import format_duration

    cell = line.cell
    name = f"{Path(cell.model_name).name:20} " if several else ""
    which = f"seed {cell.seed}"
    if cell.kind == "trial":
        which = f"{line.count} 回" if language == "ja" else f"{line.count} trials"
        if line.count == 1:  # after the search, which has three at least
            which = "共通の率" if language == "ja" else "shared rate"
    return (
        f"{cell.kind:7} {name}{cell.label:18} {cell.reading:12} {cell.precision:9} "
        f"n={cell.dataset_size:<6} {which:11}  {format_duration(line.seconds):>8}"
        f"  {_estimated(line.peak, language)}{_processes(cell, language)}".rstrip()
    )


def _processes(cell: Cell, language: str) -> str:
    if cell.processes == 1:
        return ""
    return f"{cell.processes} プロセス" if language == "ja" else f"{cell.processes} processes"


def _print_total(count: int, uncertain: int, seconds: float, language: str) -> None:
    from ..forecast import reference_speed
    from ..units import format_duration

    machine, total = reference_speed()["machine"], format_duration(seconds)
    say(
        language,
        f"{'最大 ' if uncertain else ''}{count} セル、合計 約 {total} "
        f"(予測。基準機: {machine}、SmolLM2-135M での実測から)",
        f"{'up to ' if uncertain else ''}{count} cells, about {total} in all "
        f"(forecast from a run of SmolLM2-135M on {machine})",
        err=False,
    )


def _estimated_peaks(cells: Sequence[Cell], language: str) -> list[int | None]:
    """Predicted peak of each cell in bytes; why there is none is said once."""
    from ..estimate.foresight import UNTRACEABLE, UNTRACEABLE_JA, plan_estimates

    found = plan_estimates(cells)
    failed = [estimate for estimate in found.values() if UNTRACEABLE in estimate]
    if failed:
        en, ja = (
            "; ".join(dict.fromkeys(estimate[key] for estimate in failed))
            for key in (UNTRACEABLE, UNTRACEABLE_JA)
        )
        say(language, f"メモリを推定できません: {ja}", f"memory is not estimated: {en}")
    return [found.get(cell.id, {}).get("peak_allocated_bytes") for cell in cells]


def _estimated(peak: int | None, language: str) -> str:
    from ..units import GIB, to_gib, to_mib

    if peak is None:
        return ""
    size = f"{to_mib(peak):.0f} MiB" if peak < GIB else f"{to_gib(peak):.2f} GiB"
    return f"{size:>9} {'推定' if language == 'ja' else 'estimated'}"
