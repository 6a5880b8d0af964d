"""What cells will need, before they run (row 4): each cell's step as an estimate of its memory.

A cell's step is predicted on the batch its memory pass takes: the longest texts, cut at the cell's
length. Cells that share a structure share a trace. What cannot be predicted carries the reason:
``{"untraceable": "...", "untraceable_ja": "..."}``; nothing here stops a run.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..cell import load_cell_split
from ..config.benchmark_config import DEFAULT_MODEL
from ..config.methods import full, lora
from ..dataset import tokenize
from ..errors import LoraBenchError, both_lines
from ..measure.environment import accelerator_in_use, available_memory_bytes
from ..models.cache import default_model_facts, default_model_path
from ..models.structure import build_structure, load_model_structure
from ..plan import Cell
from .options import EstimateOptions
from .predict import estimate
from .workspaces import configured_workspace_bytes

UNTRACEABLE, UNTRACEABLE_JA = "untraceable", "untraceable_ja"
_OPTIMIZERS = {
    "adamw_torch": "adamw_torch",
    "adamw_torch_fused": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "adamw_bnb_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "sgd": "sgd",
}
_SETTINGS = {  # options of ``estimate`` that have another name in a configuration
    "seq_len": "max_length",
    "accumulation": "trainer_args.gradient_accumulation_steps",
}
_EXPRESSED = {"optim", "gradient_checkpointing", "gradient_accumulation_steps", "max_grad_norm"}
# Arguments of the Trainer that allocate nothing on the device.
_FREE = {
    "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "lr_scheduler_type",
    "lr_scheduler_kwargs", "warmup_ratio", "warmup_steps", "disable_tqdm", "remove_unused_columns",
    "skip_memory_metrics", "average_tokens_across_devices", "tf32",
}  # fmt: skip
_FREE_PREFIXES = ("logging_", "log_level", "dataloader_", "save_", "eval_")
_OPTION = re.compile(r"^--([a-z-]+) (\S+):")  # at the head of an error's line
_LONGEST = {UNTRACEABLE: "longest text", UNTRACEABLE_JA: "最も長いテキスト"}
_MOST = 300  # characters of a reason


@dataclass(frozen=True)
class Shape:
    """The batch that decides a cell's peak."""

    longest: int  # tokens
    padded: bool  # its texts have different lengths


def estimate_cells(
    cells: Sequence[Cell], shape_of: Callable[[Cell], Shape] | None = None
) -> dict[str, dict[str, Any]]:
    """Predicted memory of every cell that trains, by its id.

    ``shape_of`` tells a cell's batch (default: from its data). Each value has the keys of an
    ``Estimate``, and those of ``judged`` where the device's limit is known; or ``untraceable``
    and ``untraceable_ja``, the reason why there is none.
    """
    shape_of = shape_of or data_shapes()
    device, arch = device_of_run()
    limit = memory_limit(device)
    foreseen: dict[str, dict[str, Any]] = {}
    known: dict[Any, dict[str, Any]] = {}
    problem_of = functools.cache(_model_problem)
    for cell in (cell for cell in cells if cell.kind != "base"):
        try:
            problem = problem_of(cell.model_name, cell.trust_remote_code)
            if problem is not None:
                raise problem
            options = options_of(cell, shape_of(cell), device, arch)
        except Exception as error:  # a model, data or arguments that the cell itself will refuse
            foreseen[cell.id] = _reason(error, cell)
            continue
        key = (cell.model_name, cell.adapter, options, cell.trust_remote_code)
        if key not in known:
            known[key] = judged(_predict(cell, options), limit)
        foreseen[cell.id] = known[key]
    return foreseen


def plan_shape(cell: Cell) -> Shape:
    """The longest batch that a cell's settings allow, when its data are not read."""
    return Shape(cell.max_length, padded=True)


def data_shapes() -> Callable[[Cell], Shape]:
    """The longest batch of a cell's texts; data and tokenizer are read once."""
    tokenizer_of = functools.cache(load_tokenizer)
    known: dict[Any, list[int]] = {}

    def shape(cell: Cell) -> Shape:
        source = (cell.model_name, str(cell.dataset), cell.dataset_size, cell.evaluation_size)
        key = (*source, cell.max_length)
        if key not in known:
            tokenizer = tokenizer_of(cell.model_name, cell.trust_remote_code)
            documents = load_cell_split(cell, tokenizer).train
            examples = tokenize(documents, tokenizer, cell.max_length)
            known[key] = sorted(len(example["input_ids"]) for example in examples)
        batch = known[key][-cell.batch_size :]
        return Shape(batch[-1], padded=batch[0] != batch[-1])

    return shape


def _model_problem(model_name: str, trust_remote_code: bool) -> LoraBenchError | None:
    """Why a model cannot be built, asked once a model: the answer may take a network's time-out."""
    try:
        build_structure(model_name, trust_remote_code)
    except LoraBenchError as error:
        return error
    return None


def load_tokenizer(model_name: str, trust_remote_code: bool) -> Any:
    """The tokenizer of a model. Raises ModelError."""
    return load_model_structure(model_name, trust_remote_code)[1]


def options_of(cell: Cell, shape: Shape, device: str, arch: str | None) -> EstimateOptions:
    """A cell's step as options. Raises LoraBenchError where they cannot express it."""
    if cell.processes > 1:
        raise LoraBenchError(
            f"launcher.processes {cell.processes}: memory is predicted for one process only",
            f"launcher.processes {cell.processes}: メモリは1プロセスのときだけ予測できます",
        )
    arguments = {k: v for k, v in cell.trainer_args.items() if v is not None and v is not False}
    _refuse_unknown(arguments)
    optimizer = str(arguments.get("optim", "adamw_torch"))
    if optimizer not in _OPTIMIZERS:
        raise LoraBenchError(
            f"trainer_args.optim {optimizer}: its memory is not predicted",
            f"trainer_args.optim {optimizer}: メモリは予測の対象外です",
        )
    if optimizer == "sgd" and arguments.get("weight_decay"):
        raise LoraBenchError(
            "trainer_args.weight_decay: its memory under sgd is not predicted",
            "trainer_args.weight_decay: sgd でのメモリは予測の対象外です",
        )
    return EstimateOptions(
        batch_size=cell.batch_size,
        seq_len=shape.longest,
        precision=cell.precision,
        optimizer=_OPTIMIZERS[optimizer],
        gradient_checkpointing=bool(arguments.get("gradient_checkpointing")),
        padded=shape.padded,
        accumulation=int(arguments.get("gradient_accumulation_steps", 1)),
        max_grad_norm=_clipping(cell.trainer_args),
        device=device,
        arch=arch,
        workspace_bytes=configured_workspace_bytes(os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
        if device == "cuda"
        else None,
    )


def _clipping(arguments: dict[str, Any]) -> float:
    """What the Trainer clips gradients at; 0 where it does not clip."""
    return float(arguments.get("max_grad_norm", 1.0) or 0.0)


def _refuse_unknown(arguments: dict[str, Any]) -> None:
    """An argument nobody looked at may allocate: no figure rather than a wrong one."""
    for name in arguments:
        if name not in _EXPRESSED | _FREE and not name.startswith(_FREE_PREFIXES):
            raise LoraBenchError(
                f"trainer_args.{name}: its memory is not predicted",
                f"trainer_args.{name}: メモリは予測の対象外です",
            )


def _predict(cell: Cell, options: EstimateOptions) -> dict[str, Any]:
    method = full() if cell.adapter is None else lora(cell.adapter)
    try:
        return estimate(cell.model_name, method, options, cell.trust_remote_code).to_dict()
    except Exception as error:  # an architecture's own code runs here; a run must not end by it
        return _reason(error, cell)


def untraceable(error: Exception) -> dict[str, str]:
    """``untraceable`` and ``untraceable_ja``: what an error says, in one line of each language."""
    said = both_lines(error)
    return {UNTRACEABLE: said.en[:_MOST], UNTRACEABLE_JA: said.ja[:_MOST]}


def _reason(error: Exception, cell: Cell) -> dict[str, str]:
    """The same; an option by the name it has in a configuration."""
    named = {}
    for key, line in untraceable(error).items():
        setting = functools.partial(_setting, cell=cell, longest=_LONGEST[key])
        named[key] = _OPTION.sub(setting, line)[:_MOST]
    return named


def _setting(option: re.Match[str], cell: Cell, longest: str) -> str:
    name, value = option[1].replace("-", "_"), option[2]
    if name == "seq_len" and value != str(cell.max_length):
        value = f"{cell.max_length} ({longest}: {value})"
    return f"{_SETTINGS.get(name, name)} {value}:"


# ---- the device ---------------------------------------------------------------------------------


def device_of_run() -> tuple[str, str | None]:
    """The device cells run on, and its architecture: ``("cuda", "sm89")`` or ``("cpu", None)``."""
    import torch

    if not accelerator_in_use():
        return "cpu", None
    if torch.version.hip:
        return "cuda", str(torch.cuda.get_device_properties(0).gcnArchName).partition(":")[0]
    return "cuda", "sm{}{}".format(*torch.cuda.get_device_capability(0))


def memory_limit(device: str) -> int | None:
    """Bytes a cell can have: the accelerator's, or what the host and its container leave."""
    import torch

    if device != "cpu":
        return int(torch.cuda.get_device_properties(0).total_memory)
    return available_memory_bytes()


def judged(estimated: dict[str, Any], limit: int | None) -> dict[str, Any]:
    """The estimate with ``fits``, ``least_needed_bytes`` and ``limit_bytes``, where both are known.

    On an accelerator the least that the allocator may reserve counts, and the driver's context.
    """
    if limit is None or UNTRACEABLE in estimated:
        return estimated
    reserved = estimated["peak_reserved_range_bytes"]
    peak = reserved[0] if reserved else estimated["peak_allocated_bytes"]
    needed = peak + estimated["context_bytes"]
    sizes = {"least_needed_bytes": needed, "limit_bytes": limit}
    return {**estimated, "fits": needed <= limit, **sizes}


# ---- the plan -----------------------------------------------------------------------------------


def plan_estimates(cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """``estimate_cells`` without reading data. The default model is not fetched for it."""
    stand_in: dict[str, Cell] = {}
    for cell in cells:
        name = cell.model_name
        if name == DEFAULT_MODEL and not (default_model_path() / "source.json").is_file():
            name = str(default_model_facts()["architecture"])
        stand_in[cell.id] = cell if name == cell.model_name else replace(cell, model_name=name)
    found = estimate_cells(list(stand_in.values()), plan_shape)
    return {id_: found[cell.id] for id_, cell in stand_in.items() if cell.id in found}
