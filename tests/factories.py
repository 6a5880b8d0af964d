"""Synthetic records: a whole, plausible matrix without a model, a GPU or a second of training.

Cells come from ``plan.expand``, so ids, seeds and readings are the real ones; the figures are
close to what SmolLM2-135M gives on a small CPU machine.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lora_efficiency_benchmark.config.adapters import AdapterSettings
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig
from lora_efficiency_benchmark.plan import AS_PRACTISED, Cell, expand
from lora_efficiency_benchmark.records.results import FAILED, OK, CellRecord
from lora_efficiency_benchmark.units import GIB

FULL_PARAMETERS = 134_515_008
BASE_LOSS = 2.85
LOSSES = {"full": 1.97, "r=4 q,v": 2.24, "r=8 q,k,v,o": 2.13, "r=16 q,k,v,o": 2.06}
LOSSES |= {"r=32 q,k,v,o": 2.03, "r=16 all-linear": 1.99}
PEAK_GIB = {"full": 2.61, "r=4 q,v": 1.58, "r=8 q,k,v,o": 1.61, "r=16 q,k,v,o": 1.62}
PEAK_GIB |= {"r=32 q,k,v,o": 1.65, "r=16 all-linear": 1.70}
DOCUMENTS, DOCUMENT_TOKENS, DOCUMENT_BYTES = 200, 60, 107
EVALUATION_TOKENS = DOCUMENTS * DOCUMENT_TOKENS


def make_config(**fields: Any) -> LoRABenchmarkConfig:
    """A configuration like the quick benchmark's; ``fields`` replace what a test is about."""
    defaults: dict[str, Any] = {
        "dataset_sizes": [2000],
        "training_steps": 24,
        "eval_steps": 12,
        "learning_rates": {"full": 1e-4, "lora": 2e-3},
        "estimate_scale": False,
        "probes": False,
        "samples": [],
    }
    return LoRABenchmarkConfig(**{**defaults, **fields})


def tiny_run(model: Path, output: Path, **fields: Any) -> LoRABenchmarkConfig:
    """A real run of seconds: a model of two layers, ``fields`` instead of what is set here."""
    defaults: dict[str, Any] = {
        "model_name": str(model),
        "dataset_sizes": [24],
        "lora_configurations": [{"r": 2, "alpha": 4, "target_modules": ["q_proj", "v_proj"]}],
        "training_steps": 4,
        "eval_steps": 2,
        "output_dir": str(output),
        "max_length": 48,
        "batch_size": 2,
        "learning_rates": {"full": 3e-3, "lora": 1e-2},
        "evaluation_size": 6,
        "estimate_scale": False,  # half a minute of traces
    }
    return LoRABenchmarkConfig(**{**defaults, **fields})


def make_records(
    config: LoRABenchmarkConfig | None = None,
    *,
    seeds: int = 1,
    losses: Mapping[str, float] | None = None,
    base_loss: float = BASE_LOSS,
    peak_gib: Mapping[str, float] | None = None,
    noise: float = 0.004,
    change: Callable[[CellRecord], CellRecord | None] | None = None,
) -> list[CellRecord]:
    """One record for every cell of ``config`` (default: ``make_config(seeds=seeds)``).

    ``losses`` and ``peak_gib`` replace figures by arm label. Seed 0 has exactly those losses, later
    seeds scatter around them by ``noise`` nats. ``change`` sees every record and may alter it, or
    return None to leave it out.
    """
    config = config or make_config(seeds=seeds)
    table = {**LOSSES, "base": base_loss, **(losses or {})}
    peaks = {**PEAK_GIB, **(peak_gib or {})}
    records = [_record(cell, table, peaks, noise) for cell in expand(config)]
    kept = [change(record) for record in records] if change else records
    return [record for record in kept if record is not None]


def fail(record: CellRecord, kind: str = "out_of_memory", message: str = "") -> CellRecord:
    """The same cell, ended without a result."""
    record.status = FAILED
    record.error = {"kind": kind, "message": message or f"{kind} in a test"}
    record.memory = record.training = record.evaluation = record.saved = None
    return record


def environment(**fields: Any) -> dict[str, Any]:
    """An environment block; ``fields`` replace top-level entries."""
    packages = {"torch": "2.9.0", "transformers": "4.57.0", "peft": "0.18.0"}
    device = {"type": "cpu", "name": "Example CPU", "total_memory_bytes": 16 * GIB}
    return {
        "python": "3.11.9",
        "platform": "Linux",
        "packages": packages,
        "device": {**device, "cuda": None, "hip": None},
        "cpu_model": "Example CPU",
        "cores": 2,
        "threads": 2,
        "bf16_matmul": "native",
        "git": None,
        **fields,
    }


def lora_parameters(adapter: AdapterSettings) -> int:
    """Trainable parameters of an adapter on SmolLM2-135M: r * (inputs + outputs), 30 layers."""
    shapes = {"q_proj": 1152, "k_proj": 768, "v_proj": 768, "o_proj": 1152, "all-linear": 10176}
    return 30 * adapter.r * sum(shapes.get(name, 2112) for name in adapter.target_modules)


def evaluation(loss: float) -> dict[str, Any]:
    """An evaluation block whose documents add up to ``loss`` nats per token."""
    documents = []
    for i in range(DOCUMENTS):
        nats = loss * DOCUMENT_TOKENS * (1.1 if i % 2 else 0.9)
        row = {"nats": nats, "tokens": DOCUMENT_TOKENS, "raw_bytes": DOCUMENT_BYTES}
        documents.append(row)
    total, raw_bytes = loss * EVALUATION_TOKENS, DOCUMENTS * DOCUMENT_BYTES
    return {
        "loss": loss,
        "perplexity": math.exp(loss) if loss < 700 else math.inf,
        "bits_per_byte": total / math.log(2) / raw_bytes,
        "total_nats": total,
        "tokens": EVALUATION_TOKENS,
        "raw_bytes": raw_bytes,
        "documents": documents,
    }


def estimate(
    trainable: int, peak_gib: float, breakdown_gib: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """An estimate block; sizes are given in GiB."""
    return {
        "trainable_parameters": trainable,
        "total_parameters": 6_738_415_616,
        "peak_allocated_bytes": int(peak_gib * GIB),
        "peak_reserved_range_bytes": None,
        "context_bytes": 0,
        "peak_phase": "backward",
        "breakdown": {k: int(v * GIB) for k, v in (breakdown_gib or {}).items()},
        "options": {},
        "seconds": 1.0,
    }


def make_entry(
    full_gib: float = 100.0,
    lora_gib: float = 35.0,
    trainable: int = 33_554_432,
    **fields: Any,
) -> dict[str, Any]:
    """An entry of estimates.json: Llama-2-7B with the paper's adapter unless ``fields`` differ."""
    return {
        "comparison": "same-model",
        "model": "llama-2-7b",
        "base_model": "llama-2-7b",
        "reading": "controlled",
        "configuration": "r=32 q,k,v,o",
        "batch_size": 4,
        "seq_len": 512,
        "full": estimate(6_738_415_616, full_gib),
        "lora": estimate(trainable, lora_gib),
        "skipped": None,
        **fields,
    }


def _record(
    cell: Cell, losses: Mapping[str, float], peaks: Mapping[str, float], noise: float
) -> CellRecord:
    record = CellRecord(cell, OK, "2026-07-01T09:00:00+00:00", "2026-07-01T09:01:00+00:00")
    record.environment = environment()
    record.parameters = _parameters(cell)
    record.seconds = {"import": 5.0, "load": 2.0, "process": 70.0, "fixed": 8.0}
    label = cell.label
    if cell.kind == "memory":
        record.memory = _memory(cell, peaks.get(label, 1.7))
        return record
    loss = losses.get(label, 2.1)
    if cell.kind == "base":
        record.data = _data(cell)
    else:
        if cell.seed:
            loss += random.Random(f"{label}/{cell.dataset_size}/{cell.seed}").gauss(0.0, noise)
        record.training = _training(cell, losses["base"], loss)
        kind = "model" if cell.adapter is None else "adapter"
        trainable = record.parameters["trainable"]
        record.saved = {"bytes": 4 * trainable, "kind": kind, "dtype": "float32"}
    record.evaluation = evaluation(loss)
    return record


def _parameters(cell: Cell) -> dict[str, Any]:
    adapter = lora_parameters(cell.adapter) if cell.adapter else 0
    total = FULL_PARAMETERS + adapter
    return {
        "trainable": adapter or FULL_PARAMETERS,
        "total": total,
        "adapter": adapter,
        "trainable_bytes": 4 * (adapter or FULL_PARAMETERS),
        "model_size_bytes": 4 * total,
        "dtypes": {"float32": total},
    }


def _memory(cell: Cell, gib: float) -> dict[str, Any]:
    weights = 4 * FULL_PARAMETERS
    adapter = 4 * lora_parameters(cell.adapter) if cell.adapter else 0
    trained = adapter or weights
    peak = int(gib * GIB)
    if cell.reading == AS_PRACTISED:
        weights //= 2
        peak -= weights
    known = weights + adapter + 3 * trained
    activations = (peak - known) // 2
    breakdown = {
        "weights": weights,
        "adapter": adapter,
        "gradients": trained,
        "optimizer": 2 * trained,
        "activations": activations,
        "logits_and_loss": peak - known - activations,
        "temporaries": 0,
    }
    length = min(cell.max_length, 128)
    return {
        "peak_allocated_bytes": peak,
        "peak_reserved_bytes": None,
        "device_used_bytes": None,
        "process_peak_bytes": peak + GIB // 2,
        "source": "cpu-allocator",
        "peak_phase": "optimizer" if cell.adapter is None else "backward",
        "breakdown": breakdown,
        "end_of_step_allocated_bytes": weights + adapter + 2 * trained,
        "batch_size": cell.batch_size,
        "sequence_length": length,
        "tokens_per_step": cell.batch_size * length,
        "steps": cell.training_steps,
    }


def _training(cell: Cell, base_loss: float, loss: float) -> dict[str, Any]:
    step_seconds = 2.6 if cell.adapter is None else 1.6
    jitter = 1.0 + 0.01 * random.Random(f"time/{cell.label}/{cell.seed}").uniform(-1, 1)
    steps, seconds = cell.training_steps, step_seconds * cell.training_steps * jitter
    examples = steps * cell.batch_size
    curve = [
        {"step": i, "loss": loss + (base_loss - loss) * math.exp(-5 * i / steps)}
        for i in range(1, steps + 1)
    ]
    order = f"{cell.dataset_size}/{cell.seed}/{examples}"
    return {
        "steps": steps,
        "train_seconds": seconds,
        "step_seconds": [seconds / steps] * steps,
        "examples": examples,
        "tokens": examples * DOCUMENT_TOKENS,
        "padded_tokens": examples * DOCUMENT_TOKENS * 11 // 10,
        "tokens_per_second": examples * DOCUMENT_TOKENS / seconds,
        "epochs": examples / cell.dataset_size,
        "unique_tokens_seen": min(examples, cell.dataset_size) * DOCUMENT_TOKENS,
        "order_sha256": hashlib.sha256(order.encode()).hexdigest(),
        "loss_curve": curve,
        "evaluation_curve": [*curve[cell.eval_steps - 1 : -1 : cell.eval_steps], curve[-1]],
        "cpu_seconds": seconds * 1.95,
        "load_average": 1.8,
        "exclusive": True,
        "learning_rate": cell.learning_rate,
        "weights_moved": 0.999,
    }


def _data(cell: Cell) -> dict[str, Any]:
    statistics = {"documents": DOCUMENTS, "tokens": EVALUATION_TOKENS, "cut_documents": 0}
    train = {**statistics, "documents": cell.dataset_size}
    train["tokens"] = cell.dataset_size * DOCUMENT_TOKENS
    overlap = {"exact": 0, "near_duplicates": 0, "shared_groups": 0, "ngram13_share": 0.0}
    return {
        "name": cell.dataset,
        "train_documents": cell.dataset_size,
        "evaluation_documents": DOCUMENTS,
        "overlap": overlap,
        "train_statistics": train,
        "evaluation_statistics": statistics,
    }
