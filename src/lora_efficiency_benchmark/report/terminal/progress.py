"""What a person sees while a benchmark runs (row 6): finished cells, the running one, time left.

Everything goes to standard error. On a terminal the last line lives; elsewhere only finished cells
are printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...forecast import Pace
from ...language import Language
from ...plan import Cell
from ...records.results import OK, CellRecord
from ...units import format_duration, to_gib

_TEXTS: dict[str, dict[str, str]] = {
    "memory": {"ja": "メモリ", "en": "memory"},
    "trial": {"ja": "学習率の探索", "en": "rate search"},
    "as-practised": {"ja": "慣用", "en": "as practised"},
    "loss": {"ja": "損失", "en": "loss"},
    "peak": {"ja": "ピーク", "en": "peak"},
    "tokens": {"ja": "トークン/秒", "en": "tok/s"},
    "step": {"ja": "ステップ", "en": "step"},
    "left": {
        "ja": "このセル残り {cell} · 全体残り {all}",
        "en": "this cell {cell} · all {all} left",
    },
    "several": {
        "ja": "{n} セルを実行中または順番待ち · 全体残り {all}",
        "en": "{n} cells running or waiting · all {all} left",
    },
    "fewer": {"ja": "パラメータ 1/{ratio:.0f}", "en": "{ratio:.0f}x fewer parameters"},
    "kept": {
        "ja": "測定済みの {count} セルはそのまま使います",
        "en": "{count} cells measured before are kept",
    },
    "texts": {
        "ja": "学習 {train:,} 文 / 評価 {held:,} 文",
        "en": "{train:,} texts / {held:,} held out",
    },
    "steps": {"ja": "{n} ステップ", "en": "{n} steps"},
    "cells": {"ja": "{n} セル、約 {time}", "en": "{n} cells, about {time}"},
    "cells_at_most": {
        "ja": "最大 {n} セル、約 {time}",
        "en": "up to {n} cells, about {time}",
    },
    "load": {"ja": "読み込み", "en": "loading"},
    "data": {"ja": "データ", "en": "data"},
    "audit": {"ja": "重複検査", "en": "overlap check"},
    "evaluate": {"ja": "評価", "en": "evaluating"},
    "train": {"ja": "学習", "en": "training"},
    "save": {"ja": "保存", "en": "saving"},
    "start": {"ja": "準備", "en": "starting"},
    "too_large": {
        "ja": "{name}: 必要なメモリは推定 {needed:.2f} GiB、上限は {limit:.2f} GiB。"
        "収まらない見込みですが、実行します",
        "en": "{name}: needs an estimated {needed:.2f} GiB, the limit is {limit:.2f} GiB; it will "
        "not fit, and is tried anyway",
    },
    "scale": {
        "ja": "主張の規模のメモリを推定しています(初回のみ、1分ほど)",
        "en": "estimating memory at the claim's own scale (once; about a minute)",
    },
}  # fmt: skip


class Progress:
    """Follows a run; ``with Progress(...) as progress: benchmark.run(watch=progress)``."""

    def __init__(self, language: Language) -> None:
        from rich.console import Console
        from rich.live import Live

        self._language = language
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._pace: Pace | None = None
        self._cell: Cell | None = None  # the one that began last
        self._running: dict[str, tuple[Cell, float]] = {}  # cells and when they began, by id
        self._at_once = 1  # cells that are timed side by side
        self._step: dict[str, Any] | None = None
        self._phase = "start"
        self._full_parameters: int | None = None
        self._several_models = False

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.get_renderable = self._line  # type: ignore[method-assign]
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def run_started(self, facts: dict[str, Any], cells: Sequence[Cell], kept: int) -> None:
        """The head line: what is measured, on what."""
        self._pace = Pace(cells)
        self._at_once = int(facts.get("at_once", 1))
        self._several_models = len({cell.model_name for cell in cells}) > 1
        if cells:
            cell = max(cells, key=lambda c: (c.kind == "train", c.dataset_size))
            parts = [
                str(facts["model"]),
                self._text("texts", train=cell.dataset_size, held=cell.evaluation_size),
                cell.precision if cell.kind == "train" else "",
                self._text("steps", n=cell.training_steps),
                str(facts["environment"]["device"]["name"])
                + (f" x {self._at_once}" if self._at_once > 1 else ""),
                self._text(
                    "cells_at_most" if facts.get("uncertain_cells") else "cells",
                    n=len(cells),
                    time=format_duration(self._all_left()),
                ),
            ]
            self._print(" · ".join(part for part in parts if part))
        for note in facts.get("notes", []):
            self._print(f"! {note.text(self._language)}")
        if kept:
            self._print(self._text("kept", count=kept))

    def cell_started(self, cell: Cell) -> None:
        """A cell begins."""
        self._cell, self._step, self._phase = cell, None, "start"
        self._running[cell.id] = (cell, time.monotonic())

    def event(self, event: dict[str, Any]) -> None:
        """A phase or a step of the running cell."""
        if event["event"] == "step":
            self._step = event
        elif event["event"] == "phase":
            self._phase = event["name"]
        elif event["event"] == "too_large":
            self._print(f"! {self._too_large(event)}")
        elif event["event"] == "scale":
            self._print(self._text("scale"))

    def cell_ended(self, record: CellRecord) -> None:
        """A cell has its record."""
        now = time.monotonic()
        _, began = self._running.pop(record.cell_id, (record.cell, now))
        seconds = record.seconds.get("wall", now - began)  # on a cluster it may have waited
        if self._pace is not None:
            self._pace.ended(record.cell, seconds)
        if record.parameters and record.cell.training_method and record.cell.adapter is None:
            self._full_parameters = record.parameters["trainable"]
        self._print(self._finished_line(record, seconds))

    # ---- lines ----------------------------------------------------------------------------------

    def _finished_line(self, record: CellRecord, seconds: float) -> str:
        name, facts = self._name(record.cell), []
        if record.status != OK:
            error = record.error or {}
            return f"✗ {_padded(name, 38)} {error.get('kind', '')}: {error.get('message', '')}"
        if record.memory:
            peak = to_gib(record.memory["peak_allocated_bytes"])
            facts.append(f"{self._text('peak')} {peak:.2f} GiB")
        scored = record.evaluation or record.validation
        if scored:
            facts.append(f"{self._text('loss')} {scored['loss']:.3f}")
        if record.training:
            facts.append(f"{record.training['tokens_per_second']:.0f} {self._text('tokens')}")
        if record.training and record.cell.adapter and self._full_parameters and record.parameters:
            ratio = self._full_parameters / record.parameters["trainable"]
            facts.append(self._text("fewer", ratio=ratio))
        return f"✓ {_padded(name, 38)} {_padded('   '.join(facts), 46)} {format_duration(seconds)}"

    def _line(self) -> Any:
        from rich.text import Text

        if not self._running or self._pace is None:
            return Text("")
        if len(self._running) > 1:
            left = format_duration(self._all_left())
            return Text(f"▸ {self._text('several', n=len(self._running), all=left)}", no_wrap=True)
        cell, began = next(iter(self._running.values()))
        elapsed = time.monotonic() - began
        whole = self._pace.seconds_of(cell)
        done, doing = min(0.99, elapsed / whole), self._text(self._phase)
        if self._step is not None:
            step, total = self._step["step"], self._step["total"]
            doing = f"{self._text('step')} {step}/{total}  {self._text('loss')} "
            doing += f"{self._step['loss']:.3f}"
        bar = "█" * round(done * 14) + "░" * (14 - round(done * 14))
        left = self._text(
            "left",
            cell=format_duration(whole - elapsed),
            all=format_duration(self._pace.seconds_left(cell, elapsed)),
        )
        return Text(f"▸ {self._name(cell)}  {doing}  {bar}  {left}", no_wrap=True)

    def _all_left(self) -> float:
        """Seconds until the last cell ends, as far as known."""
        assert self._pace is not None
        return self._pace.seconds_left() / self._at_once

    def _too_large(self, event: dict[str, Any]) -> str:
        name = self._name(self._cell) if self._cell else ""
        needed, limit = to_gib(event["least_needed_bytes"]), to_gib(event["limit_bytes"])
        return self._text("too_large", name=name, needed=needed, limit=limit)

    def _name(self, cell: Cell) -> str:
        parts = [Path(cell.model_name).name] if self._several_models else []
        parts += [self._text(cell.kind)] if cell.kind in ("memory", "trial") else []
        parts.append(cell.label)
        if cell.reading == "as-practised":
            parts.append(f"({self._text('as-practised')})")
        if cell.kind == "trial":
            parts.append(f"{cell.learning_rate:g}")
        if cell.kind == "train" and cell.seed:
            parts.append(f"seed {cell.seed}")
        return " ".join(parts)

    def _text(self, key: str, **values: Any) -> str:
        return _TEXTS[key][self._language].format(**values)

    def _print(self, line: str) -> None:
        self._console.print(_printable(line), soft_wrap=True)


def warn(line: str) -> None:
    """One line on standard error about a folder that is read while nothing runs."""
    print(f"! {_printable(line)}", file=sys.stderr)


def _printable(line: str) -> str:
    return "".join(c for c in line if c.isprintable())


def _padded(text: str, width: int) -> str:
    """``text`` with blanks up to ``width`` terminal cells; a Japanese character takes two."""
    from rich.cells import cell_len

    return text + " " * max(0, width - cell_len(text))
