"""Fixed learning rates for a preset: validation loss of short trials, per arm.

    .venv/bin/python benchmarks/learning_rates.py [--config quick] [--output FILE]

Every arm gets three rates a factor of three apart, and more while its best sits at the edge.
Steps, batches and precision are the preset's; the data order is that of no run. Loss is taken on
validation texts, which share no topic and no sentence pattern with the training texts, nor with
the texts that the benchmark evaluates on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lora_efficiency_benchmark.cell import pad_token_id
from lora_efficiency_benchmark.config.adapters import AdapterSettings
from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig, load_config
from lora_efficiency_benchmark.dataset import JapaneseDatasetGenerator, tokenize
from lora_efficiency_benchmark.measure.environment import accelerator_in_use, describe_environment
from lora_efficiency_benchmark.models import bf16_matmul, loading
from lora_efficiency_benchmark.plan import SEARCH_SEED
from lora_efficiency_benchmark.training.evaluation import evaluate
from lora_efficiency_benchmark.training.trainer import TrainSettings, train

CENTRES = {"full": 1e-4, "lora": 2e-3}
FACTOR = 3.0
VALIDATION_SIZE = 48
DEVICE = "cuda" if accelerator_in_use() else "cpu"


def main() -> None:
    """Run all trials, print a table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="quick")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    config = load_config(options.config)
    rows: list[dict[str, Any]] = []
    for arm in (None, *config.adapters):
        for row in search(config, arm):
            rows.append(row)
            print(
                f"{row['arm']:18} {row['learning_rate']:8.1e}  loss {row['loss']:.4f}", flush=True
            )
            if options.output:
                result = {
                    "environment": describe_environment(bf16_matmul.prepare(DEVICE)),
                    "trials": rows,
                }
                options.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def search(config: LoRABenchmarkConfig, arm: AdapterSettings | None) -> Iterator[dict[str, Any]]:
    """Trials of one arm: its centre and both neighbours, then on while the edge is best."""
    centre = CENTRES["full" if arm is None else "lora"]
    losses: dict[float, float] = {}
    waiting = [centre / FACTOR, centre, centre * FACTOR]
    while waiting:
        row = trial(config, arm, waiting.pop(0))
        losses[row["learning_rate"]] = row["loss"]
        yield row
        if not waiting:
            best = min(losses, key=losses.__getitem__)
            if best == max(losses):
                waiting = [best * FACTOR]
            elif best == min(losses):
                waiting = [best / FACTOR]


def trial(
    config: LoRABenchmarkConfig, adapter: AdapterSettings | None, rate: float
) -> dict[str, Any]:
    """Train one arm at one rate; nats per token on the validation texts."""
    arm = "full" if adapter is None else "lora"
    precision = config.precision_of(arm)
    torch.manual_seed(0)
    model, tokenizer = loading.load_base_model(config.model_name, precision)
    if adapter is not None:
        model = loading.create_lora_model(model, adapter)
    model.to(DEVICE)
    generator = JapaneseDatasetGenerator()
    documents, held_out = generator.searched_documents(max(config.dataset_sizes), VALIDATION_SIZE)
    settings = TrainSettings(
        steps=config.training_steps,
        batch_size=config.batch_size,
        learning_rate=rate,
        precision=precision,
        seed=SEARCH_SEED,
        eval_steps=config.training_steps,
        on_accelerator=accelerator_in_use(),
        trainer_args=config.trainer_args,
    )
    pad = pad_token_id(tokenizer)
    train(model, tokenize(documents, tokenizer, config.max_length), settings, pad)
    validation = tokenize(held_out, tokenizer, config.max_length)
    loss = evaluate(model, validation, precision, pad)["loss"]
    return {
        "arm": "full" if adapter is None else adapter.label,
        "learning_rate": rate,
        "loss": loss,
        "steps": config.training_steps,
        "validation_texts": VALIDATION_SIZE,
        "precision": precision,
    }


if __name__ == "__main__":
    main()
