"""One training run on ``transformers.Trainer`` (row 4). Knows no files and no claims.

All arms go through this one function, so they differ in the model handed in and the learning rate,
and in nothing else: data order, batches, length, steps and optimizer come from the same settings.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from .. import ranks
from ..dataset.tokens import IGNORED
from ..errors import ConfigError, DivergedCell, LoraBenchError
from ..measure.timing import StepTimer
from ..models.precision import trainer_flags
from ..plan import Cell
from .collate import pad_batch

StepHook = Callable[[int, int, float], None]  # (step, total steps, loss in nats)
_EVENTS = "TENSORBOARD_LOGGING_DIR"
BEFORE_TRAINING = "before any training; look at the weights, the data and the precision"


@dataclass(frozen=True)
class TrainSettings:
    """What every arm shares, and its learning rate."""

    steps: int  # optimizer steps
    batch_size: int  # texts per forward pass, of all processes together
    learning_rate: float
    precision: str
    seed: int
    eval_steps: int
    on_accelerator: bool
    trainer_args: dict[str, Any] = field(default_factory=dict)
    report_to: str | None = None  # a service, or none; None leaves it to ``trainer_args``
    report_folder: str | None = None  # where TensorBoard's events go
    run_name: str | None = None  # what the service calls the run
    processes: int = 1  # that share each batch

    @property
    def own_batch_size(self) -> int:
        """Texts per forward pass of one process."""
        return self.batch_size // self.processes


def settings_of(cell: Cell, on_accelerator: bool) -> TrainSettings:
    """The settings of a cell that trains."""
    assert cell.learning_rate is not None
    return TrainSettings(
        steps=cell.training_steps,
        batch_size=cell.batch_size,
        learning_rate=cell.learning_rate,
        precision=cell.precision,
        seed=cell.seed,
        eval_steps=cell.eval_steps,
        on_accelerator=on_accelerator,
        trainer_args=cell.trainer_args,
        processes=cell.processes,
    )


def training_arguments(settings: TrainSettings, output_dir: str) -> TrainingArguments:
    """The Trainer's arguments. Raises ConfigError when ``trainer_args`` does not fit."""
    defaults: dict[str, Any] = {
        "optim": "adamw_torch",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
        "log_level": "error",
    }
    owned = {
        "output_dir": output_dir,
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.own_batch_size,
        "learning_rate": settings.learning_rate,
        "seed": settings.seed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "use_cpu": not settings.on_accelerator,
        **trainer_flags(settings.precision),
        **_reporting(settings),
    }
    if settings.processes > 1:  # a mean over the tokens of all ranks, as one process takes it
        owned["average_tokens_across_devices"] = True
    try:
        arguments = TrainingArguments(**{**defaults, **settings.trainer_args, **owned})
    except (TypeError, ValueError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"trainer_args: TrainingArguments refuses them ({first})",
            f"trainer_args: TrainingArguments が受け付けません ({first})",
        ) from None
    if arguments.n_gpu > 1 and settings.processes == 1:  # the Trainer would multiply the batch
        raise ConfigError(
            f"{arguments.n_gpu} devices are visible; one is used: set CUDA_VISIBLE_DEVICES=0, or "
            f"use them with launcher.processes={arguments.n_gpu}",
            f"{arguments.n_gpu} 個のデバイスが見えますが、使うのは1個です。"
            f"CUDA_VISIBLE_DEVICES=0 を設定するか、launcher.processes={arguments.n_gpu} ですべてを"
            "使ってください",
        )
    return arguments


def data_order(count: int, wanted: int, seed: int) -> list[int]:
    """``wanted`` indices below ``count``: a fresh shuffle an epoch, the same for every arm."""
    order: list[int] = []
    epoch = 0
    while len(order) < wanted:
        indices = list(range(count))
        random.Random(f"{seed}/{epoch}").shuffle(indices)
        order += indices
        epoch += 1
    return order[:wanted]


def train(
    model: Any,
    examples: Sequence[dict[str, Any]],
    settings: TrainSettings,
    pad_token_id: int,
    *,
    on_step: StepHook = lambda step, total, loss: None,
    evaluate: Callable[[], float] | None = None,
    around: Callable[[Any], AbstractContextManager[Any]] = nullcontext,
) -> dict[str, Any]:
    """Fine-tune ``model`` in place; returns the record's ``training`` block.

    ``examples`` are tokenised texts; ``evaluate`` returns held-out nats per token and is called
    every ``eval_steps`` steps, outside the timed part. ``around(model)`` wraps the training phase
    (the memory tracker). Raises DivergedCell when the loss stops being finite.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(settings, folder)
        per_step = settings.batch_size * arguments.gradient_accumulation_steps
        order = data_order(len(examples), settings.steps * per_step, settings.seed)
        timer = StepTimer(settings.on_accelerator)
        watch = _Watch(timer, settings, on_step, evaluate)
        with _followed(settings):
            trainer = OrderedTrainer(
                model=model,
                args=arguments,
                train_dataset=[examples[i] for i in order],
                data_collator=lambda rows: pad_batch(rows, pad_token_id),
            )
            _check_ranks(trainer, settings)
            ranks.seed_noise(settings.seed)
            trainer.remove_callback(PrinterCallback)  # progress is ours, on_step
            # First in line: the clock stops before anybody else is told that a step has ended.
            trainer.callback_handler.callbacks.insert(0, watch)
            with around(model):
                trainer.train()
    return {
        **timer.summary(ranks.gather(timer.cpu_seconds)),
        **_data_facts(examples, order, settings.own_batch_size),
        "tokens_per_second": _tokens(examples, order) / timer.train_seconds,
        "loss_curve": watch.losses,
        "evaluation_curve": watch.evaluations,
        "learning_rate": settings.learning_rate,
        "report_to": list(arguments.report_to),
    }


def _check_ranks(trainer: Any, settings: TrainSettings) -> None:
    """Whether a step of several ranks is that of one. Raises LoraBenchError."""
    if trainer.args.world_size != settings.processes:
        raise LoraBenchError(
            f"launcher.processes: {settings.processes} were asked for, "
            f"{trainer.args.world_size} take part",
            f"launcher.processes: {settings.processes} プロセスを指定しましたが、"
            f"参加しているのは {trainer.args.world_size} です",
        )
    if settings.processes > 1 and not trainer.model_accepts_loss_kwargs:
        raise LoraBenchError(
            "launcher.processes: this model takes the mean of its loss by itself, so that several "
            "processes would not train on the same loss as one; use one process",
            "launcher.processes: このモデルは自分で損失の平均を取るため、"
            "複数プロセスでは1プロセスと同じ損失で学習できません。1プロセスにしてください",
        )


class OrderedTrainer(Trainer):
    """A Trainer that takes the texts in the order given."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)


class _Watch(TrainerCallback):
    """Times each optimizer step, passes its loss on, evaluates between steps."""

    def __init__(
        self,
        timer: StepTimer,
        settings: TrainSettings,
        on_step: StepHook,
        evaluate: Callable[[], float] | None,
    ) -> None:
        self.timer, self.settings = timer, settings
        self.on_step, self.evaluate = on_step, evaluate
        self.losses: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.timer.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.timer.stop()
        step = state.global_step
        due = step % self.settings.eval_steps == 0 and step < self.settings.steps
        if due and self.evaluate is not None:
            self.evaluations.append({"step": step, "loss": self.evaluate()})

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        loss = float(logs["loss"])
        self.losses.append({"step": state.global_step, "loss": loss})
        if not math.isfinite(loss):
            raise DivergedCell(self._why(loss, state.global_step))
        self.on_step(state.global_step, self.settings.steps, loss)

    def _why(self, loss: float, step: int) -> str:
        """The loss of the first step is that of the weights as they came: no rate is to blame."""
        if step <= 1:
            return f"loss is {loss} {BEFORE_TRAINING}"
        rate = self.settings.learning_rate
        return (
            f"loss became {loss} at step {step} (learning rate {rate:g}); lower the rate of this "
            "arm"
        )


def _reporting(settings: TrainSettings) -> dict[str, Any]:
    asked = {"report_to": settings.report_to, "run_name": settings.run_name}
    return {name: value for name, value in asked.items() if value is not None}


@contextmanager
def _followed(settings: TrainSettings) -> Iterator[None]:
    """What services need around a training that they follow.

    TensorBoard's callback reads its folder from the environment when it is made. A cell's process
    ends without exit handlers, in which wandb would send its last lines.
    """
    before = os.environ.get(_EVENTS)
    if settings.report_folder is not None:
        os.environ[_EVENTS] = settings.report_folder
    try:
        yield
    finally:
        if settings.report_folder is not None:
            os.environ.pop(_EVENTS)
            os.environ.update({} if before is None else {_EVENTS: before})
        if settings.report_to == "wandb" and "wandb" in sys.modules:
            sys.modules["wandb"].finish()


def _batches(order: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _tokens(examples: Sequence[dict[str, Any]], order: Sequence[int]) -> int:
    return sum(len(examples[i]["input_ids"]) for i in order)


def _data_facts(
    examples: Sequence[dict[str, Any]], order: Sequence[int], batch_size: int
) -> dict[str, Any]:
    lengths = [len(example["input_ids"]) for example in examples]
    padded = sum(max(lengths[i] for i in b) * len(b) for b in _batches(order, batch_size))
    trained = (sum(label != IGNORED for label in examples[i]["labels"]) for i in order)
    return {
        "examples": len(order),
        "tokens": _tokens(examples, order),
        "padded_tokens": padded,
        "trained_tokens": sum(trained),
        "epochs": len(order) / len(examples),
        "unique_tokens_seen": sum(lengths[i] for i in set(order)),
        "order_sha256": hashlib.sha256(",".join(map(str, order)).encode()).hexdigest(),
    }
