"""Two workers of a Ray cluster against one, on the same equal cells: parallel efficiency.

    .venv/bin/python benchmarks/ray_efficiency.py [--cells 8] [--steps 400] [--rounds 2]

A worker is a Ray node of one core on this machine; each cell computes with one thread, in a process
of its own, as in a run. The machine needs two cores that are free. What is timed begins when the
first cell is handed over and ends with the last record: processes, imports, loading, training and
evaluation count; starting the cluster, joining it and the check of its nodes do not. Both sides run
the same cells (one arm of a small random model, as many seeds as cells), the order alternates.

    efficiency = seconds of one worker / (2 x seconds of two workers)

At least 0.85 is the goal.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig
from lora_efficiency_benchmark.execution.ray_launcher import RayLauncher
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.records.results import OK

GOAL = 0.85


def main() -> None:
    """Print one line a round, then the median."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--steps", type=int, default=400, help="optimizer steps of a cell")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", HF_HUB_OFFLINE="1")
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder))
        config = configuration(Path(folder), options.cells, options.steps)
        cells = [c for c in expand(config) if c.kind == "train" and c.adapter is None]
        found = [round_of(config, cells, number) for number in range(options.rounds)]
    print(f"parallel efficiency, median of {len(found)}: {statistics.median(found):.3f} "
          f"(goal {GOAL})")  # fmt: skip


def round_of(config: LoRABenchmarkConfig, cells: list[Cell], number: int) -> float:
    """Efficiency of one pair of clusters."""
    order = (1, 2) if number % 2 == 0 else (2, 1)
    took = {workers: seconds_with(workers, config, cells) for workers in order}
    efficiency = took[1] / (2 * took[2])
    print(f"round {number}: {len(cells)} cells, one worker {took[1]:.1f} s, two {took[2]:.1f} s, "
          f"efficiency {efficiency:.3f}", flush=True)  # fmt: skip
    return efficiency


def seconds_with(workers: int, config: LoRABenchmarkConfig, cells: list[Cell]) -> float:
    """Wall time of all cells on a fresh cluster of that many nodes."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(workers):
            cluster.add_node(num_cpus=1)
        with RayLauncher(cluster.address) as launch:
            assert launch.preflight(config)["at_once"] == workers
            started = time.perf_counter()
            records = list(launch.run_each(cells, lambda cell: None, lambda cell: None, ignore))
            took = time.perf_counter() - started
    finally:
        cluster.shutdown()
    failed = [record.error for record in records if record.status != OK]
    if failed or len(records) != len(cells):
        raise SystemExit(f"{len(failed)} cells failed, the first: {failed[:1]}")
    quiet = sum(bool((record.training or {}).get("exclusive")) for record in records)
    seconds = [(record.training or {})["train_seconds"] for record in records]
    print(f"  {workers} at once: {took:.1f} s; training {statistics.mean(seconds):.1f} s a cell, "
          f"{quiet} of {len(records)} had their core to themselves", flush=True)  # fmt: skip
    return took


def ignore(event: dict[str, Any]) -> None:
    """Nobody watches."""


def configuration(model: Path, cells: int, steps: int) -> LoRABenchmarkConfig:
    """One seed for each cell, one arm that is used."""
    return LoRABenchmarkConfig(
        model_name=str(model),
        dataset_sizes=[200],
        lora_configurations=[{"r": 2, "target_modules": ["q_proj", "v_proj"]}],
        training_steps=steps,
        eval_steps=steps,
        max_length=64,
        batch_size=4,
        learning_rates={"full": 1e-3, "lora": 1e-2},
        seeds=cells,
        evaluation_size=40,
        precision="fp32",
        probes=False,
        samples=[],
    )


def make_model(folder: Path) -> None:
    """A Llama of four layers of width 128 with random weights; a token is a byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate(["<end>", *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<end>", pad_token="<end>"
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=128, intermediate_size=256, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=256,
        tie_word_embeddings=True, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
