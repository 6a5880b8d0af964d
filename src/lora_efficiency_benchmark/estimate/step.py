"""Run the real training step on fake tensors and write down what it allocates (row 4).

The model is the transformers class of the configuration, the adapter is peft's, the loop is the
engine of ``run`` (``trainer.train``) or a hand-written one, the optimizer is PyTorch's. Two
optimizer steps are run: optimizer state appears at the end of the first.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import torch

from ..errors import LoraBenchError, ModelError
from ..models.loading import WEIGHT_DTYPES
from ..models.precision import AUTOCAST_DTYPES
from ..models.structure import structure_of
from ..training import trainer
from ..training.trainer import TrainSettings, train
from .batches import Batches
from .optimizers import BlockwiseAdam8bit
from .options import EstimateOptions
from .patching import replace_parameters, replaced
from .quantized import prepare_quantized
from .recorder import Recorder
from .repetition import decoder_layers
from .stream import Stream
from .world import fake_world, to_fake

STEPS = 2
Adapt = Callable[[Any], Any]  # base model -> model to train


def record_step(
    config: Any,
    adapt: Adapt,
    options: EstimateOptions,
    period: int = 1,
    trust_remote_code: bool = False,
) -> Stream:
    """The allocations of two optimizer steps of ``adapt(model of config)``.

    Decoder layers are numbered in groups of ``period``. Raises ModelError where the architecture
    cannot be built or traced, with the reason.
    """
    attention = "eager" if options.attention == "eager" else "sdpa"
    structure = structure_of(config, trust_remote_code, attention=attention)
    structure.config.use_cache = options.loop == "plain" and getattr(config, "use_cache", True)
    batches = Batches(options)
    with fake_world(options), replaced(trainer, "pad_batch", batches.collate), _Quiet():
        try:
            model = _prepare(structure, adapt, options)
            layers = {layer: i // period for i, layer in enumerate(decoder_layers(model))}
            recorder = Recorder(model, layers)
            loop = _trainer_loop if options.loop == "trainer" else _plain_loop
            loop(model, recorder, batches)
        except LoraBenchError:
            raise
        except Exception as error:
            raise ModelError(
                f"{getattr(config, 'model_type', 'this model')}: its training step cannot be "
                f"traced without weights ({type(error).__name__}: {_first_line(error)})",
                f"{getattr(config, 'model_type', 'this model')}: 学習ステップを"
                f"重みなしで追跡できません ({type(error).__name__}: {_first_line(error)})",
            ) from error
    return recorder.stream()


def _prepare(structure: Any, adapt: Adapt, options: EstimateOptions) -> Any:
    model = to_fake(structure, WEIGHT_DTYPES[options.precision])
    if options.quantization != "none":
        prepare_quantized(model, options)
    model = adapt(model)
    replace_parameters(model, lambda _, __, parameter: _with_own_storage(parameter))
    if options.adapter_dtype != "auto":
        wanted = getattr(torch, options.adapter_dtype)
        replace_parameters(model, lambda _, __, p: _stored_as(wanted, p) if p.requires_grad else p)
    return model


def _with_own_storage(parameter: Any) -> Any:
    """The parameter, or one like it where PEFT copied it: a copied fake tensor's views claim
    another storage."""
    if parameter.untyped_storage() is parameter.detach().untyped_storage():
        return parameter
    return torch.nn.Parameter(torch.empty_like(parameter), parameter.requires_grad)


def _stored_as(dtype: torch.dtype, parameter: Any) -> Any:
    return torch.nn.Parameter(parameter.detach().to(dtype))


def _trainer_loop(model: Any, recorder: Recorder, batches: Batches) -> None:
    options = batches.options
    arguments: dict[str, Any] = {
        "optim": _TRAINER_NAMES.get(options.optimizer, options.optimizer),
        "max_grad_norm": options.max_grad_norm,
        "gradient_accumulation_steps": batches.passes,
    }
    if options.gradient_checkpointing:
        arguments["gradient_checkpointing"] = True
    precision = "amp-bf16" if options.precision == "amp-fp16" else options.precision  # same sizes
    settings = TrainSettings(
        steps=STEPS + 1,  # the last is not run: a step has the next batch loaded already
        batch_size=options.batch_size,
        learning_rate=1e-4,
        precision=precision,
        seed=0,
        eval_steps=STEPS + 2,
        on_accelerator=False,
        trainer_args=arguments,
    )
    with suppress(_Enough), _eight_bit(options.optimizer):
        train(model, batches.examples(), settings, 0, on_step=_stop, around=lambda _: recorder)


def _eight_bit(optimizer: str) -> AbstractContextManager[None]:
    """Hand the Trainer our sizes of an 8-bit optimizer, whose library needs a GPU to run."""
    if optimizer not in _TRAINER_NAMES:
        return nullcontext()
    paged = optimizer.startswith("paged")

    def choose(_: Any, model: Any) -> tuple[type, dict[str, Any]]:
        embeddings = [m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding)]
        return BlockwiseAdam8bit, {"lr": 1e-4, "paged": paged, "fp32_state": embeddings}

    return replaced(trainer.OrderedTrainer, "get_optimizer_cls_and_kwargs", staticmethod(choose))


class _Enough(Exception):
    """All steps that are needed have been seen."""


def _stop(step: int, total: int, loss: float) -> None:
    if step >= STEPS:
        raise _Enough


_TRAINER_NAMES = {"adamw_8bit": "adamw_bnb_8bit", "paged_adamw_8bit": "paged_adamw_8bit"}


def _plain_loop(model: Any, recorder: Recorder, batches: Batches) -> None:
    """A loop as people write it by hand: outputs live until the next forward pass replaces them."""
    options = batches.options
    if options.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        if hasattr(model, "enable_input_require_grads"):
            model.enable_input_require_grads()
    model.train()
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = _plain_optimizer(trainable, options)
    dtype = AUTOCAST_DTYPES.get(options.precision)
    examples = batches.examples()
    with recorder:
        for _ in range(STEPS):
            optimizer.zero_grad()
            for start in range(0, len(examples), options.batch_size):
                batch = batches.collate(examples[start : start + options.batch_size], 0)
                with torch.autocast("cpu", dtype=torch.bfloat16) if dtype else nullcontext():
                    outputs = model(**batch)
                    loss = outputs.loss / options.accumulation
                loss.backward()
            if options.max_grad_norm:
                torch.nn.utils.clip_grad_norm_(trainable, options.max_grad_norm)
            optimizer.step()


def _plain_optimizer(parameters: list[Any], options: EstimateOptions) -> Any:
    name = options.optimizer
    if name in ("adamw_8bit", "paged_adamw_8bit"):
        return BlockwiseAdam8bit(parameters, paged=name.startswith("paged"))
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=1e-4)
    if name == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(parameters, lr=1e-4, scale_parameter=False, relative_step=False)
    return torch.optim.AdamW(parameters, lr=1e-4, fused=name == "adamw_torch_fused" or None)


class _Quiet:
    """Warnings and log lines about a step that trains nothing are of no use to anybody."""

    def __enter__(self) -> None:
        self._catch = warnings.catch_warnings()
        self._catch.__enter__()
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)  # PyTorch logs what it then raises

    def __exit__(self, *details: Any) -> None:
        logging.disable(logging.NOTSET)
        self._catch.__exit__(*details)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
