"""The same step with values: what a prediction is compared with (row 4)."""

from __future__ import annotations

from typing import Any

from ..config.methods import Method
from ..measure.memory import MemoryTracker
from ..models import bf16_matmul
from ..models.loading import WEIGHT_DTYPES
from ..models.structure import apply_method
from ..training.trainer import TrainSettings, train
from .options import EstimateOptions


def measured_peak(folder: str, method: Method, options: EstimateOptions) -> int:
    """Peak allocated bytes of three real steps on ``options.device``, weights random.

    ``folder`` holds a configuration small enough to train here. The batch is the one that
    ``step.record_step`` traces: one text of ``seq_len`` tokens, the others one token shorter.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    bf16_matmul.prepare(options.device)
    config = AutoConfig.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=WEIGHT_DTYPES[options.precision])
    model.config.use_cache = False
    model.to(options.device)
    lengths = [options.seq_len - (i > 0) for i in range(options.batch_size)]
    examples = [
        {"input_ids": [5] * n, "labels": [5] * n, "attention_mask": [1] * n} for n in lengths
    ]
    settings = TrainSettings(
        steps=3,
        batch_size=options.batch_size,
        learning_rate=1e-4,
        precision=options.precision,
        seed=0,
        eval_steps=4,
        on_accelerator=options.device != "cpu",
        trainer_args={
            "optim": options.optimizer,
            "activation_checkpointing": options.gradient_checkpointing,
        },
    )
    trackers: list[MemoryTracker] = []

    def around(prepared: Any) -> MemoryTracker:
        trackers.append(MemoryTracker(prepared))
        return trackers[-1]

    train(apply_method(model, method), examples, settings, 0, around=around)
    return int(trackers[0].result()["peak_allocated_bytes"])
