"""How long a large folder takes: N made-up records in a temporary folder, analysed and reported.

python benchmarks/report_scale.py --records 10000

The figures in the records are invented and valid; only time, memory and size mean anything here.
A process of its own reads the folder, so that making it does not count.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lora_efficiency_benchmark.analysis import analyze
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig
from lora_efficiency_benchmark.config.claims import load_claims
from lora_efficiency_benchmark.plan import AS_PRACTISED, Cell, expand
from lora_efficiency_benchmark.records.results import OK, CellRecord
from lora_efficiency_benchmark.records.store import Store
from lora_efficiency_benchmark.report.files import write_report
from lora_efficiency_benchmark.units import GIB, MIB, to_mib

PARAMETERS, BASE_LOSS, STEPS, TOKENS, BYTES = 134_515_008, 2.85, 50, 60, 107
TARGETS = (["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"], ["all-linear"])
RANKS = (2, 4, 8, 16, 32, 64)


def main() -> None:
    """Make the folder, measure in a fresh process, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000, help="about this many")
    parser.add_argument("--documents", type=int, default=200, help="held-out texts a record")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        measure(arguments.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        made = make_folder(Path(folder), arguments.records, arguments.documents)
        took = time.perf_counter() - started
        print(f"{made:,} records of {arguments.documents} held-out texts, made in {took:.1f} s")
        command = [sys.executable, __file__, "--measure", folder]
        subprocess.run(command, check=True)


def measure(folder: Path) -> None:
    """Load, analyse and report one folder; peak memory is that of this whole process."""
    store, claims = Store(folder), load_claims("paper-r5")
    started = time.perf_counter()
    records = store.load_records()
    loaded = time.perf_counter()
    analysis = analyze(records, claims)
    analysed = time.perf_counter()
    write_report(store, analysis, "en")
    reported = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    size = (folder / "report.html").stat().st_size
    print(
        f"load {loaded - started:.1f} s, analyze {analysed - loaded:.1f} s, "
        f"report {reported - analysed:.1f} s, together {reported - started:.1f} s; "
        f"peak memory {to_mib(peak):,.0f} MiB; report.html {size / MIB:.2f} MiB"
    )


def make_folder(folder: Path, count: int, documents: int) -> int:
    """About ``count`` records: more configurations, sizes and seeds as there is room for them."""
    configurations = min(len(RANKS) * len(TARGETS), max(2, count // 40))
    sizes = [500, 1000, 2000, 5000][: max(1, min(4, count // 100))]
    fixed = 2 + 2 * configurations
    seeds = max(1, round((count - fixed) / ((configurations + 1) * len(sizes))))
    config = LoRABenchmarkConfig(
        dataset_sizes=sizes,
        lora_configurations=[
            {"r": rank, "alpha": 2 * rank, "target_modules": list(targets)}
            for rank in RANKS
            for targets in TARGETS
        ][:configurations],
        seeds=seeds,
        training_steps=STEPS,
        eval_steps=STEPS // 2,
        learning_rates={"full": 1e-4, "lora": 2e-3},
        estimate_scale=False,
        probes=False,
        samples=[],
    )
    store = Store(folder)
    store.create()
    cells = expand(config)
    for cell in cells:
        store.write_record(record_of(cell, documents))
    return len(cells)


def record_of(cell: Cell, documents: int) -> CellRecord:
    """A whole record: its loss falls with rank and data size and scatters with the seed."""
    record = CellRecord(cell, OK, "2026-07-01T09:00:00+00:00", "2026-07-01T09:01:00+00:00")
    record.environment = {
        "python": "3.11", "packages": {"torch": "2"}, "threads": 2,
        "device": {"type": "cpu", "name": "made up", "total_memory_bytes": 16 * GIB},
    }  # fmt: skip
    rank = cell.adapter.r if cell.adapter else 0
    adapter = 55_000 * rank
    trainable = adapter or PARAMETERS
    record.parameters = {
        "trainable": trainable,
        "total": PARAMETERS + adapter,
        "adapter": adapter,
        "model_size_bytes": 4 * (PARAMETERS + adapter),
    }
    if cell.kind == "memory":
        record.memory = _memory(cell, trainable, adapter)
        return record
    draw = random.Random(cell.id)
    loss = BASE_LOSS
    if cell.kind == "train":
        gained = 0.75 + 0.05 * math.log(max(rank, 1)) if rank else 0.95
        loss -= gained * (0.8 + 0.03 * math.log(cell.dataset_size)) + draw.gauss(0, 0.01)
        record.training = _training(cell, loss, draw)
        record.saved = {"bytes": 4 * trainable, "kind": "adapter" if rank else "model"}
    record.evaluation = _evaluation(loss, documents)
    return record


def _evaluation(loss: float, documents: int) -> dict[str, Any]:
    rows = [
        {"nats": loss * TOKENS * (1.1 if i % 2 else 0.9), "tokens": TOKENS, "raw_bytes": BYTES}
        for i in range(documents)
    ]
    total = math.fsum(row["nats"] for row in rows)
    mean = total / (documents * TOKENS)
    return {
        "loss": mean,
        "perplexity": math.exp(mean),
        "bits_per_byte": total / math.log(2) / (documents * BYTES),
        "tokens": documents * TOKENS,
        "raw_bytes": documents * BYTES,
        "documents": rows,
    }


def _training(cell: Cell, loss: float, draw: random.Random) -> dict[str, Any]:
    steps, seconds = cell.training_steps, (1.6 if cell.adapter else 2.6) * draw.uniform(0.99, 1.01)
    curve = [
        {"step": i, "loss": loss + (BASE_LOSS - loss) * math.exp(-5 * i / steps)}
        for i in range(1, steps + 1)
    ]
    order = hashlib.sha256(f"{cell.dataset_size}/{cell.seed}".encode()).hexdigest()
    return {
        "steps": steps,
        "train_seconds": seconds * steps,
        "tokens": steps * cell.batch_size * TOKENS,
        "tokens_per_second": cell.batch_size * TOKENS / seconds,
        "order_sha256": order,
        "loss_curve": curve,
        "evaluation_curve": [curve[steps // 2 - 1], curve[-1]],
        "learning_rate": cell.learning_rate,
    }


def _memory(cell: Cell, trainable: int, adapter: int) -> dict[str, Any]:
    weights = (2 if cell.reading == AS_PRACTISED else 4) * PARAMETERS
    parts = {
        "weights": weights,
        "adapter": 4 * adapter,
        "gradients": 4 * trainable,
        "optimizer": 8 * trainable,
        "activations": GIB // 2,
        "logits_and_loss": GIB // 4,
        "temporaries": 0,
    }
    peak = sum(parts.values())
    return {
        "peak_allocated_bytes": peak,
        "process_peak_bytes": peak + GIB // 2,
        "source": "cpu-allocator",
        "peak_phase": "backward" if adapter else "optimizer",
        "breakdown": parts,
        "batch_size": cell.batch_size,
        "sequence_length": 128,
        "tokens_per_step": 128 * cell.batch_size,
    }


if __name__ == "__main__":
    main()
