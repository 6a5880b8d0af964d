"""The specification's procedure done literally, against ours: wall time, and where it differs.

    .venv/bin/python benchmarks/against_spec_script.py [--config quick] [--output FILE]

Literally means: one process for all arms; every text padded to ``max_length``; model, tokenizer and
tokenised data loaded anew for every arm; the Trainer evaluates, padded too. Both sides train on the
same texts per step, with the same length limit, precision, steps, rates and held-out texts, and
evaluate at the same steps. Ours is the training cells of the benchmark, each in its own process,
with the check before the run; the memory pass, which the specification has not, is left out. Our
workers keep freed memory (execution/launcher.py), a plain script does not: that saving is in
`train` and `evaluate`, beside the padding.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lora_efficiency_benchmark.config.benchmark_config import LoRABenchmarkConfig, load_config
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.plan import expand

PARTS = ("imports", "load", "data", "train", "evaluate", "rest", "total")


def main() -> None:
    """Run both sides, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="quick")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--literal", help=argparse.SUPPRESS)  # the child: run the literal side
    options = parser.parse_args()
    config = load_config(options.config)
    if options.literal:
        Path(options.literal).write_text(json.dumps(run_literally(config)), encoding="utf-8")
        return
    literal, ours = in_a_process(options.config), run_ours(config)
    print(f"{'seconds':10} {'literally':>10} {'ours':>10} {'saved':>8}")
    for part in PARTS:
        saved = literal[part] - ours[part]
        print(f"{part:10} {literal[part]:10.1f} {ours[part]:10.1f} {saved:8.1f}")
    print(f"tokens in training steps, padding included: {literal['padded']:,} / {ours['padded']:,}")
    print(f"wall time, literally / ours: {literal['total'] / ours['total']:.2f}")
    if options.output:
        result = {"config": options.config, "literally": literal, "ours": ours}
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def in_a_process(config: str) -> dict[str, float]:
    """The literal side, started as a user would start a script; imports and start included."""
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        start = time.perf_counter()
        command = [sys.executable, __file__, "--config", config, "--literal", answer.name]
        subprocess.run(command, check=True)
        total = time.perf_counter() - start
        found: dict[str, float] = json.loads(Path(answer.name).read_text(encoding="utf-8"))
    found["total"] = total
    found["rest"] = total - sum(found[part] for part in PARTS[:-2])
    return found


def run_ours(config: LoRABenchmarkConfig) -> dict[str, float]:
    """The same arms as training cells, from starting the worker to the last record."""
    start = time.perf_counter()
    found: dict[str, float] = dict.fromkeys((*PARTS, "padded"), 0.0)
    with LocalLauncher() as launcher:
        launcher.preflight(config)
        found["imports"] = time.perf_counter() - start
        for cell in expand(config):
            if cell.kind == "train":
                record = launcher.run(cell)
                assert record.training is not None, record.error
                for part in ("load", "data", "train", "evaluate"):
                    found[part] += record.seconds[part]
                found["padded"] += record.training["padded_tokens"]
    found["total"] = time.perf_counter() - start
    found["rest"] = found["total"] - sum(found[part] for part in PARTS[:-2])
    return found


def run_literally(config: LoRABenchmarkConfig) -> dict[str, float]:
    """One process, everything padded, everything reloaded."""
    found: dict[str, float] = dict.fromkeys((*PARTS, "padded"), 0.0)
    clock = _Clock(found)
    with clock("imports"):
        import peft  # noqa: F401
        import transformers

        from lora_efficiency_benchmark.dataset import load_split
        from lora_efficiency_benchmark.models import loading
        from lora_efficiency_benchmark.training.trainer import OrderedTrainer, data_order
    for adapter in (None, *config.adapters):
        with clock("load"):
            transformers.set_seed(0)
            model, tokenizer = loading.load_base_model(config.model_name, "fp32")
            tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
            if adapter is not None:
                model = loading.create_lora_model(model, adapter)
        with clock("data"):
            split = load_split(
                config.dataset, train_size=max(config.dataset_sizes),
                evaluation_size=config.evaluation_size, seed=0, tokenizer=tokenizer,
            )  # fmt: skip
            examples = _padded([d.text for d in split.train], tokenizer, config.max_length)
            held_out = _padded([d.text for d in split.evaluation], tokenizer, config.max_length)
            order = data_order(len(examples), config.training_steps * config.batch_size, 0)
        arm, label = ("full", "full") if adapter is None else ("lora", adapter.label)
        with tempfile.TemporaryDirectory() as folder:
            trainer = OrderedTrainer(
                model=model,
                args=transformers.TrainingArguments(
                    output_dir=folder,
                    max_steps=config.training_steps,
                    per_device_train_batch_size=config.batch_size,
                    per_device_eval_batch_size=8,
                    learning_rate=config.learning_rate_of(arm, label),
                    optim="adamw_torch",
                    bf16=config.precision_of(arm) == "amp-bf16",
                    eval_strategy="steps",
                    eval_steps=config.eval_steps,
                    save_strategy="no",
                    report_to="none",
                    use_cpu=True,
                    dataloader_pin_memory=False,
                    disable_tqdm=True,
                ),
                train_dataset=[examples[i] for i in order],
                eval_dataset=held_out,
                callbacks=[timed_evaluation(found)],
            )
            before = found["evaluate"]
            with clock("train"):
                trainer.train()
            found["train"] -= found["evaluate"] - before
        found["padded"] += config.training_steps * config.batch_size * config.max_length
    return found


def _padded(texts: list[str], tokenizer: Any, length: int) -> list[dict[str, Any]]:
    """Every text cut or padded to ``length``; padding takes no part in the loss."""
    batch = tokenizer(texts, truncation=True, padding="max_length", max_length=length)
    rows = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    return [
        {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": [i if m else -100 for i, m in zip(ids, mask, strict=True)],
        }
        for ids, mask in rows
    ]


class _Clock:
    """``with clock("load"): ...`` adds seconds to a table."""

    def __init__(self, table: dict[str, float]) -> None:
        self._table = table

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._table[part] += time.perf_counter() - start


def timed_evaluation(table: dict[str, float]) -> Any:
    """A callback that adds the seconds the Trainer reports for each evaluation."""
    import transformers

    class TimedEvaluation(transformers.TrainerCallback):  # type: ignore[misc]
        def on_evaluate(self, *_: Any, metrics: Any = None, **__: Any) -> None:
            table["evaluate"] += metrics["eval_runtime"]

    return TimedEvaluation()


if __name__ == "__main__":
    main()
