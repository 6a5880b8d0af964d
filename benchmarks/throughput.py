"""Training throughput inside a cell against a bare PyTorch loop doing the same steps.

    .venv/bin/python benchmarks/throughput.py [--steps 6] [--rounds 4]

Both do the same model, batches, optimizer, clipping and schedule, in one process with a worker's
memory settings. A round is one pair, the order alternates (the second of a pair finds warmer
memory), and a first pair is thrown away. The figure is the median over rounds of tokens per second
of the cell over those of the loop. At least 0.95 is the goal.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
from typing import Any

import torch

from lora_efficiency_benchmark.cell import pad_token_id
from lora_efficiency_benchmark.config.adapters import parse_adapter
from lora_efficiency_benchmark.config.benchmark_config import load_config
from lora_efficiency_benchmark.dataset import JapaneseDatasetGenerator, tokenize
from lora_efficiency_benchmark.execution.launcher import KEEP_MEMORY
from lora_efficiency_benchmark.models import loading
from lora_efficiency_benchmark.models.precision import autocast
from lora_efficiency_benchmark.training.collate import pad_batch
from lora_efficiency_benchmark.training.trainer import TrainSettings, data_order, train

LORA = {"r": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}


def main() -> None:
    """Print one line a round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    if any(name not in os.environ for name in KEEP_MEMORY):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**KEEP_MEMORY, **os.environ})
    measure_cell("full", 2)
    measure_loop("full", 2)
    for arm in ("full", "lora"):
        ratios = [measure_pair(arm, options.steps, number) for number in range(options.rounds)]
        print(f"{arm}: cell / bare loop, median of {len(ratios)}: {statistics.median(ratios):.3f}")


def measure_pair(arm: str, steps: int, number: int) -> float:
    """Tokens per second of the cell's training over those of the loop, in turns."""
    sides = [measure_cell, measure_loop]
    order = sides if number % 2 == 0 else sides[::-1]
    speeds = {side.__name__: side(arm, steps) for side in order}
    ratio = speeds["measure_cell"] / speeds["measure_loop"]
    print(
        f"{arm} round {number}: cell {speeds['measure_cell']:.0f} tok/s, "
        f"loop {speeds['measure_loop']:.0f} tok/s, ratio {ratio:.3f}",
        flush=True,
    )
    return ratio


def measure_cell(arm: str, steps: int) -> float:
    """Tokens per second of ``training.trainer.train`` (the Trainer), as records report it."""
    gc.collect()
    model, examples, pad = prepare(arm)
    settings = TrainSettings(
        steps=steps, batch_size=4, learning_rate=1e-4, precision="amp-bf16", seed=0,
        eval_steps=steps, on_accelerator=False,
    )  # fmt: skip
    block = train(model, examples, settings, pad)
    return steady(block["step_seconds"], examples, steps)


def measure_loop(arm: str, steps: int) -> float:
    """The same steps with nothing around them."""
    gc.collect()
    model, examples, pad = prepare(arm)
    order = data_order(len(examples), steps * 4, 0)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    model.train()
    seconds = []
    for step in range(steps):
        batch = pad_batch([examples[i] for i in order[4 * step : 4 * step + 4]], pad)
        start = time.perf_counter()
        with autocast("amp-bf16", "cpu"):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    return steady(seconds, examples, steps)


def steady(seconds: list[float], examples: list[dict[str, Any]], steps: int) -> float:
    """Tokens per second without the first step, which sets kernels up in both."""
    order = data_order(len(examples), steps * 4, 0)[4:]
    return sum(len(examples[i]["input_ids"]) for i in order) / sum(seconds[1:])


def prepare(arm: str) -> tuple[Any, list[dict[str, Any]], int]:
    """A fresh model, 400 tokenised texts, the padding token."""
    config = load_config("quick")
    torch.manual_seed(0)
    model, tokenizer = loading.load_base_model(config.model_name, "amp-bf16")
    if arm == "lora":
        model = loading.create_lora_model(model, parse_adapter(LORA))
    documents = JapaneseDatasetGenerator().training_documents(400)
    return model, tokenize(documents, tokenizer, config.max_length), pad_token_id(tokenizer)


if __name__ == "__main__":
    main()
