"""Seconds per token for forecasts, from the records of a finished `quick` run.

    .venv/bin/python benchmarks/reference_speed.py DIR > \
        src/lora_efficiency_benchmark/presets/reference_speed.yaml

Forecasts count every step and evaluation at full length, so the figures here are per token of
``batch_size x max_length`` too.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from lora_efficiency_benchmark.config.yaml_io import dump_yaml
from lora_efficiency_benchmark.records.results import CellRecord
from lora_efficiency_benchmark.records.store import Store, ok_records


def main() -> None:
    """Print the YAML file."""
    records = ok_records(Store(sys.argv[1]).load_records())
    speed: dict[str, object] = {}
    for kind in ("train", "memory"):
        for arm in ("full", "lora"):
            chosen = [
                r for r in records
                if r.cell.kind == kind and (r.cell.adapter is None) == (arm == "full")
            ]  # fmt: skip
            speed[f"{kind}_{arm}_seconds_per_token"] = per_token(chosen)
    evaluated = [r for r in records if r.cell.kind == "base"]
    speed["evaluate_seconds_per_token"] = statistics.median(
        r.seconds["evaluate"] / (r.cell.evaluation_size * r.cell.max_length) for r in evaluated
    )
    environment = records[0].environment
    head = {
        "machine": f"{environment['cpu_model']}, {environment['threads']} threads",
        "model": records[0].cell.model_name,
        "date": records[0].started_at[:10],
        "fixed_seconds": statistics.median(r.seconds["fixed"] for r in records),
    }
    print("# Seconds on one named machine, for forecasts until a run has its own figures.")
    print("# Made by benchmarks/reference_speed.py from the records of a `quick` run.")
    print(dump_yaml({**head, **speed}), end="")


def per_token(records: Sequence[CellRecord]) -> float:
    """Median seconds of the training phase per token of batch x length."""
    return statistics.median(
        r.seconds["train"] / (r.cell.training_steps * r.cell.batch_size * r.cell.max_length)
        for r in records
    )


if __name__ == "__main__":
    main()
