"""How far predicted memory is from measured memory. Prints one table and a summary.

    python benchmarks/estimator_accuracy.py published   # against published measurements on a GPU
    python benchmarks/estimator_accuracy.py here        # against real training on this CPU
    python benchmarks/estimator_accuracy.py device      # against real training on this GPU

``published``: benchmarks/published/*.json, figures with their source. The loop that was measured
sorts the batches of every twenty by length, longest first, and empties the cache every ten steps,
so the longest batch comes right after the shortest one of the twenty before and an emptied cache;
that is the history replayed here. The shortest length is not published: half the mean is taken.

``here``: every combination of architecture, method, precision, checkpointing and optimizer below is
trained for three steps, its peak read from the CPU allocator's own events (``MemoryTracker``), and
predicted with no access to the run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lora_efficiency_benchmark.config.methods import Method, parse_method
from lora_efficiency_benchmark.estimate.allocator import replay
from lora_efficiency_benchmark.estimate.history import history
from lora_efficiency_benchmark.estimate.options import EstimateOptions
from lora_efficiency_benchmark.estimate.predict import Predictor
from lora_efficiency_benchmark.estimate.real_step import measured_peak
from lora_efficiency_benchmark.units import GIB, MIB

PUBLISHED = Path(__file__).parent / "published"
Row = tuple[str, float, float]  # name, predicted, measured
# Its callback between the steps is not traced, and peft 0.21 trains a tensor a layer (ranknum) that
# the published run (0.19) left frozen, which keeps the layer's fp32 output alive until backward.
APART = ("adalora",)


def published() -> Iterator[Row]:
    """Peak reserved and end-of-step allocated, in bytes, of every published row."""
    for path in sorted(PUBLISHED.glob("*.json")):
        table = json.loads(path.read_text(encoding="utf-8"))
        for row in table["rows"]:
            predictor = Predictor(table["preset"], _method(row["peft_config"]), _options(table))
            longest, mean = table["longest"], table["mean_length"]
            batch = table["setup"]["batch"]
            remainder = longest % 16
            steps = [predictor.stream(batch, (mean // 2) // 16 * 16 + remainder - 16)]
            steps.append(predictor.stream(batch, longest))
            events = history(steps, predictor.workspaces(), empty_cache_every=1)
            reserved = replay(events).peak_reserved_bytes - 2 * MIB
            yield f"{row['name']} reserved", reserved, row["max_reserved_gib"] * GIB
            end = predictor.peak_of(predictor.stream(batch, mean)).end_of_step_bytes
            assert end is not None
            measured = row["mean_end_of_step_allocated_gib"] * GIB
            yield f"{row['name']} end of step", end, measured


def _options(table: dict[str, Any]) -> EstimateOptions:
    return EstimateOptions(precision="bf16", loop="plain", arch=table["arch"])


def _method(config: dict[str, Any] | None) -> Method:
    return parse_method("full") if config is None else Method("peft", peft_config=config)


ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"num_key_value_heads": 2, "intermediate_size": 512}),
    "gpt_neox": ("gpt_neox", {"intermediate_size": 1024}),
    "opt": ("opt", {"ffn_dim": 1024, "word_embed_proj_dim": 256}),
    "qwen3": ("qwen3", {"num_key_value_heads": 2, "intermediate_size": 512, "head_dim": 64}),
}
COMMON = {
    "hidden_size": 256, "num_hidden_layers": 7, "num_attention_heads": 4, "vocab_size": 8000,
    "max_position_embeddings": 512,
}  # fmt: skip
METHODS = ("full", "lora:r=8,targets=all-linear")
PRECISIONS = ("fp32", "bf16", "amp-bf16")
OPTIMIZERS = ("adamw_torch", "adafactor", "sgd", "adamw_torch_fused")


def trained(device: str) -> Iterator[Row]:
    """Peak allocated of real training, in bytes, for every combination."""
    optimizers = OPTIMIZERS if device == "cpu" else OPTIMIZERS[:1]
    with tempfile.TemporaryDirectory() as folder:
        for name in ARCHITECTURES:
            path = _save_config(name, Path(folder) / name)
            for method, precision, checkpointing, optimizer in itertools.product(
                METHODS, PRECISIONS, (False, True), optimizers
            ):
                options = EstimateOptions(
                    seq_len=96,
                    precision=precision,
                    gradient_checkpointing=checkpointing,
                    optimizer=optimizer,
                    device=device,
                )
                predicted = Predictor(path, parse_method(method), options).estimate()
                measured = measured_peak(path, parse_method(method), options)
                words = [name, method.partition(":")[0], precision, optimizer]
                label = " ".join([*words, "checkpointing"] if checkpointing else words)
                yield label, predicted.peak_allocated_bytes, measured


def _save_config(name: str, path: Path) -> str:
    from transformers import AutoConfig

    kind, special = ARCHITECTURES[name]
    AutoConfig.for_model(kind, **COMMON, **special).save_pretrained(path)
    return str(path)


def main() -> None:
    """Print every row, then mean and maximum error and the share of under-estimates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("against", choices=("published", "here", "device"))
    parser.add_argument("--json", type=Path, help="write the rows to a file as well")
    asked = parser.parse_args()
    device = {"here": "cpu", "device": "cuda"}.get(asked.against)
    rows: list[Row] = []
    for row in published() if device is None else trained(device):
        rows.append(row)
        name, predicted, measured = row
        print(
            f"{name:55} predicted {predicted / MIB:10.2f} MiB  measured {measured / MIB:10.2f} MiB"
            f"  {100 * (predicted / measured - 1):+.3f} %",
            flush=True,
        )
    for title, part in _groups(rows):
        print(f"{title}: {_summary(part)}")
    if asked.json:
        asked.json.write_text(json.dumps(_document(asked.against, rows), indent=1) + "\n")


def _groups(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    apart = [row for row in rows if row[0].startswith(APART)]
    groups = [
        (kind, [row for row in rows if row[0].endswith(kind) and row not in apart])
        for kind in ("reserved", "end of step")
    ]
    groups.append(("apart: callback inside the step, another peft version", apart))
    found = [(title, part) for title, part in groups if part]
    return found or [("peak allocated", rows)]


def _summary(rows: list[Row]) -> str:
    errors = [100 * (predicted / measured - 1) for _, predicted, measured in rows]
    under = sum(error < 0 for error in errors) / len(errors)
    sizes = [abs(error) for error in errors]
    return (
        f"{len(rows)} rows, mean error {statistics.mean(sizes):.3f} %, "
        f"maximum {max(sizes):.3f} %, under-estimates {100 * under:.0f} %"
    )


def _document(against: str, rows: list[Row]) -> dict[str, Any]:
    names = ("name", "predicted_bytes", "measured_bytes")
    return {
        "against": against,
        "torch": torch.__version__,
        "summary": {title: _summary(part) for title, part in _groups(rows)},
        "rows": [dict(zip(names, row, strict=True)) for row in rows],
    }


if __name__ == "__main__":
    main()
