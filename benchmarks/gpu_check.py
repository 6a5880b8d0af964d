"""The quick benchmark on a CUDA or ROCm device, and the same seed twice.

    make gpu-check

Works offline once the default model is in the cache. Writes ``benchmarks/results/<device>-<date>/``
(the run's folder) and ``gpu-check.json`` in it: peak allocated, reserved and device figures of
every arm, and whether the same cell, run twice, gave the same evaluation loss to the last bit.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lora_efficiency_benchmark import LoRAEfficiencyBenchmark
from lora_efficiency_benchmark.config.benchmark_config import load_config
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.plan import LORA, expand
from lora_efficiency_benchmark.report.terminal.progress import Progress

RESULTS = Path(__file__).parent / "results"
FIGURES = ("peak_allocated_bytes", "peak_reserved_bytes", "device_used_bytes", "peak_phase")


def main() -> int:
    """Exit code 1 where there is no device, or where the two runs differ."""
    with LocalLauncher() as launcher:  # a child asks: this process must not open the device
        device = launcher.preflight(load_config("quick"))["environment"]["device"]
    if device["type"] == "cpu":
        print("gpu-check: torch sees no CUDA or ROCm device; nothing was run", file=sys.stderr)
        return 1
    slug = re.sub(r"[^a-z0-9]+", "-", device["name"].lower()).strip("-")
    folder = RESULTS / f"{slug}-{datetime.now(UTC):%Y-%m-%d}"
    config = load_config("quick", output_dir=str(folder))
    benchmark = LoRAEfficiencyBenchmark(config)
    with Progress("en") as progress:
        analysis = benchmark.run(watch=progress, language="en")
    found: dict[str, Any] = {"device": device, "memory": {}, "same_seed_twice": same_twice(config)}
    for record in benchmark.store.load_records():
        if record.memory:
            name = f"{record.cell.label} {record.cell.reading}"
            found["memory"][name] = {key: record.memory[key] for key in FIGURES}
    benchmark.store.write_json("gpu-check.json", found)
    print(json.dumps(found, indent=1, ensure_ascii=False))
    print(analysis.joint.sentence["en"])
    return 0 if found["same_seed_twice"]["identical"] else 1


def same_twice(config: Any) -> dict[str, Any]:
    """One LoRA cell of five steps, run twice in two processes."""
    cell = next(c for c in expand(config) if c.kind == "train" and c.training_method == LORA)
    short = dataclasses.replace(cell, training_steps=5, eval_steps=5)
    losses = []
    for _ in range(2):
        with LocalLauncher() as launcher:
            record = launcher.run(short)
        losses.append(record.evaluation["loss"] if record.evaluation else None)
    return {"eval_loss": losses, "identical": losses[0] is not None and losses[0] == losses[1]}


if __name__ == "__main__":
    sys.exit(main())
