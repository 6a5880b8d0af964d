"""How long a map takes: its traces, a table of ten thousand points, a redraw of its page.

python benchmarks/map_speed.py [MODEL]        # default smollm2-135m; llama-2-7b for the large one

The redraw needs Playwright and a Chromium (named in CHROMIUM, or found as 'chromium').
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lora_efficiency_benchmark.cli import map as cli_map
from lora_efficiency_benchmark.config.gpus import load_gpus, parse_gpu
from lora_efficiency_benchmark.config.methods import parse_method
from lora_efficiency_benchmark.estimate.map.flow import longest_length, map_model
from lora_efficiency_benchmark.estimate.map.grid import rows
from lora_efficiency_benchmark.estimate.map.values import ModelMap, Request
from lora_efficiency_benchmark.report.page.explorer import render_explorer

METHODS = ("full", "lora:r=16,targets=q_proj+v_proj")
POINTS = 10_000
MOVES = 60  # of a slider
CLAIMED = {"parameters": 200.0, "memory": 2.0}
MOVE = """(moves) => {
  const batches = explorer.model.batches, lengths = explorer.model.lengths, found = [];
  for (let n = 0; n < moves; n += 1) {
    const started = performance.now();
    explorer.set("batch", batches[n % batches.length]);
    explorer.set("length", lengths[(7 * n) % lengths.length]);
    explorer.update();
    document.body.getBoundingClientRect();  // layout is part of a redraw
    found.push(performance.now() - started);
  }
  return found;
}"""


def main() -> None:
    """Print seconds, milliseconds and bytes."""
    model = sys.argv[1] if len(sys.argv) > 1 else "smollm2-135m"
    request = Request(
        model, tuple(map(parse_method, METHODS)), ("bf16",), ("adamw_torch",), (False, True),
        (4, 8, 16, 32, 64, 128, 256), 64, longest_length(model, False, 8192),
    )  # fmt: skip
    found, traced = _timed(lambda: map_model(request))
    print(f"{model}: {len(found.entries)} combinations traced in {traced:.1f} s")
    text, written = _timed(lambda: cli_map.table_text(found, parse_gpu("RTX-4090")))
    print(f"table of {len(text.splitlines()) - 1:,} rows: {written:.2f} s")
    count, counted = _timed(lambda: _many_points(found))
    print(f"{count:,} points of both arms: {counted:.2f} s")
    page = render_explorer(found.to_dict(list(load_gpus().values())), "en", CLAIMED, "RTX-4090")
    print(f"page: {len(page.encode()):,} bytes")
    _print_redraw(page)


def _many_points(found: ModelMap) -> int:
    """Rows of both arms on a grid of at least POINTS batches, lengths, ranks and settings."""
    request = found.request
    settings = len(found.entries) // 2
    lengths = list(range(128, request.max_length + 1, 128))
    batches = list(range(1, request.max_batch + 1))
    while len(batches) * len(lengths) * len(request.ranks) * settings > 2 * POINTS:
        longer = batches if len(batches) >= len(lengths) else lengths
        del longer[1::2]
    return sum(1 for _ in rows(found, parse_gpu("RTX-4090"), batches, lengths))


def _print_redraw(page: str) -> None:
    program = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if program is None:
        print("redraw: not measured, no Chromium")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(page, encoding="utf-8")
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown = started.new_page(viewport={"width": 1280, "height": 900})
        shown.goto(path.as_uri())
        times: list[float] = shown.evaluate(MOVE, MOVES)
        started.close()
    print(
        f"redraw, {MOVES} moves of sliders: median {statistics.median(times):.1f} ms, "
        f"slowest {max(times):.1f} ms"
    )


def _timed(action: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return action(), time.perf_counter() - start


if __name__ == "__main__":
    main()
