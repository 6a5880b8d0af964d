"""From a configuration to the cells that answer it (row 2). Pure: no files, no torch.

Four kinds of cell, each run alone in its own process:

    base     the model before any training, evaluated on the held-out texts
    memory   three training steps on the longest batch, for peak memory; its state is thrown away
    trial    a short run at one learning rate, scored on validation texts; see ``search``
    train    the timed run: fine-tune, evaluate, save
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from .config.adapters import AdapterSettings
from .config.benchmark_config import LoRABenchmarkConfig
from .config.launching import DEEPSPEED, FSDP2, MAX_PROCESSES, STRATEGIES, strategy_of
from .plain_text import shown

FULL = "full_finetuning"
LORA = "lora"
CONTROLLED = "controlled"
AS_PRACTISED = "as-practised"
MEMORY_STEPS = 3
PROBES_EDITION = 1  # of the texts in presets/probes: other texts are other cells
SEARCH_SEED = 1_000_003  # data order of the trials, which is that of no run
_COUNTS = (
    "dataset_size", "evaluation_size", "seed", "training_steps", "eval_steps", "max_length",
    "batch_size", "validation_size", "probes", "processes",
)  # fmt: skip
_SLUG_LENGTH = 60  # the id is a file name, and a label may list any number of modules


@dataclass(frozen=True)
class Cell:
    """One point of the grid, with everything needed to run it."""

    kind: str  # base | memory | trial | train
    model_name: str
    training_method: str | None  # FULL | LORA; None for base
    adapter: AdapterSettings | None
    reading: str  # CONTROLLED | AS_PRACTISED
    precision: str
    dataset: Any  # as in the configuration
    dataset_size: int  # training texts
    evaluation_size: int  # held-out texts
    seed: int
    training_steps: int
    eval_steps: int
    max_length: int
    batch_size: int
    learning_rate: float | None
    trainer_args: dict[str, Any]
    trust_remote_code: bool = False
    validation_size: int = 0  # texts kept for the search of learning rates
    probes: int = 0  # edition of the probe texts that are evaluated, 0 for none
    samples: tuple[str, ...] = ()  # prompts to continue
    allow_pickle: bool = False  # weights may come from pytorch_model.bin
    processes: int = 1  # that train together, each on a share of the batch
    accelerate: dict[str, Any] | None = None  # settings of accelerate; None for plain DDP

    @property
    def strategy(self) -> str:
        """How processes share the model: ``ddp``, ``fsdp2`` or ``deepspeed``; empty for one."""
        return strategy_of(self.processes, self.accelerate)

    @property
    def sharded(self) -> bool:
        """True where accelerate places and divides the model, so that nobody else may move it."""
        return self.strategy in (FSDP2, DEEPSPEED)

    @property
    def label(self) -> str:
        """Arm name for tables: ``base``, ``full`` or the adapter's label."""
        if self.adapter is not None:
            return self.adapter.label
        return "base" if self.training_method is None else "full"

    @cached_property
    def id(self) -> str:
        """Readable, content-hashed name: the same settings give the same id on any machine.

        Made once a cell: a plan of ten thousand asks for it again and again.
        """
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        slug = re.sub(r"[^A-Za-z0-9]+", "-", self.label)[:_SLUG_LENGTH].strip("-").lower()
        return f"{self.kind}-{slug}-n{self.dataset_size}-s{self.seed}-{digest}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``from_dict`` restores it."""
        values = asdict(self)
        values["adapter"] = self.adapter.to_dict() if self.adapter else None
        if self.processes == 1:  # a cell without what came later has the id it always had
            del values["processes"]
        for name in ("validation_size", "probes", "samples", "allow_pickle", "accelerate"):
            if not values[name]:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Cell:
        """Inverse of ``to_dict``. Raises ValueError or ConfigError on settings that no cell has."""
        from .config.adapters import parse_adapter

        adapter = values.get("adapter")
        restored = {
            "adapter": parse_adapter(adapter) if adapter else None,
            "samples": tuple(values.get("samples") or ()),
        }
        cell = cls(**{**values, **restored})
        problem = _cell_problem(cell)
        if problem:
            raise ValueError(problem)
        return cell


def _cell_problem(cell: Cell) -> str | None:
    """What is wrong with settings that were read; imported ones say 0 for what is not known."""
    words = {
        "kind": ("base", "memory", "trial", "train"),
        "training_method": (None, FULL, LORA),
        "reading": (CONTROLLED, AS_PRACTISED),
    }
    for name, allowed in words.items():
        if getattr(cell, name) not in allowed:
            return f"cell.{name} is {shown(getattr(cell, name))}"
    types: dict[str, type] = {
        **dict.fromkeys(("model_name", "precision"), str),
        **dict.fromkeys(_COUNTS, int),
        **dict.fromkeys(("trust_remote_code", "allow_pickle"), bool),
        "trainer_args": dict,
    }
    for name, kind in types.items():
        value: Any = getattr(cell, name)
        bounded = kind is not int or (isinstance(value, int) and 0 <= value < 1 << 63)
        if not bounded or type(value) is not kind:
            return f"cell.{name} is {shown(value)}"
    if not _can_launch(cell):
        return f"cell.processes is {cell.processes}, with accelerate {shown(cell.accelerate)}"
    rate = cell.learning_rate
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float)):
        return f"cell.learning_rate is {shown(rate)}"
    if not all(isinstance(prompt, str) for prompt in cell.samples):
        return "cell.samples are no texts"
    if (cell.training_method == LORA) != (cell.adapter is not None):
        return "cell.adapter does not go with cell.training_method"
    return None


def _can_launch(cell: Cell) -> bool:
    if not 1 <= cell.processes <= MAX_PROCESSES:
        return False
    if cell.accelerate is None:
        return True
    known = isinstance(cell.accelerate, dict) and cell.processes > 1
    return known and str(cell.accelerate.get("distributed_type")) in STRATEGIES


def expand(config: LoRABenchmarkConfig, rates: Mapping[str, float] | None = None) -> list[Cell]:
    """All cells of a configuration, in the order they run.

    Base first, then both memory readings, then training: sizes ascending, and within a size every
    seed runs all arms, so that an interrupted matrix holds whole comparisons.

    Where learning rates are searched, ``rates`` are the ones found, by label. Without them the
    trials of the search are listed too, all with the rates expected before anything is known;
    what comes after it at a shared rate is for ``search`` to say.
    """
    cells = [_cell(config, "base", None, max(config.dataset_sizes), 0, CONTROLLED)]
    cells += _memory_cells(config)
    arms, search = arms_of(config), config.searched
    if search and rates is None:
        cells += [
            trial_cell(config, arm, search.centres["lora" if arm else "full"])
            for _ in range(search.trials)
            for arm in arms
        ]
    reading = AS_PRACTISED if config.as_practised else CONTROLLED
    for size in sorted(config.dataset_sizes):
        for seed in range(config.seeds):
            for arm in arms:
                cell = _cell(config, "train", arm, size, seed, reading)
                cells.append(replace(cell, learning_rate=rates[cell.label]) if rates else cell)
    return cells


def arms_of(config: LoRABenchmarkConfig) -> list[AdapterSettings | None]:
    """Full fine-tuning (None), then every LoRA configuration."""
    return [None, *config.adapters]


def trial_cell(config: LoRABenchmarkConfig, arm: AdapterSettings | None, rate: float) -> Cell:
    """One trial of the search for an arm's learning rate."""
    assert config.searched is not None
    steps = config.searched.steps
    reading = AS_PRACTISED if config.as_practised else CONTROLLED
    cell = _cell(config, "trial", arm, max(config.dataset_sizes), SEARCH_SEED, reading)
    return replace(cell, training_steps=steps, eval_steps=steps, learning_rate=rate)


def practised_lora_precision(config: LoRABenchmarkConfig) -> str:
    """LoRA as people run it: the configured precision if it differs, else a frozen bf16 base."""
    return config.precision_of("lora") if config.as_practised else "bf16"


def _memory_cells(config: LoRABenchmarkConfig) -> list[Cell]:
    size = max(config.dataset_sizes)
    cells = [_cell(config, "memory", arm, size, 0, CONTROLLED) for arm in arms_of(config)]
    if practised_lora_precision(config) != config.precision_of("full"):
        cells += [_cell(config, "memory", arm, size, 0, AS_PRACTISED) for arm in config.adapters]
    return cells


def _cell(
    config: LoRABenchmarkConfig,
    kind: str,
    adapter: AdapterSettings | None,
    size: int,
    seed: int,
    reading: str,
) -> Cell:
    arm = "full" if adapter is None else "lora"
    precision = config.precision_of("full")
    if reading == AS_PRACTISED and adapter is not None:
        precision = practised_lora_precision(config)
    base = kind == "base"
    scored = kind in ("base", "train")  # cells that end with a model to look at
    return Cell(
        kind=kind,
        model_name=config.model_name,
        training_method=None if base else (FULL if adapter is None else LORA),
        adapter=adapter,
        reading=reading,
        precision=precision,
        dataset=config.dataset,
        dataset_size=size,
        evaluation_size=config.evaluation_size,
        seed=seed,
        training_steps=MEMORY_STEPS if kind == "memory" else config.training_steps,
        eval_steps=config.eval_steps,
        max_length=config.max_length,
        batch_size=config.batch_size,
        learning_rate=None
        if base
        else config.learning_rate_of(arm, adapter.label if adapter else "full"),
        trainer_args={} if base else dict(config.trainer_args),
        trust_remote_code=config.trust_remote_code,
        validation_size=config.searched.validation_size if config.searched else 0,
        probes=PROBES_EDITION if config.probes and scored else 0,
        samples=tuple(config.samples) if scored and seed == 0 else (),
        allow_pickle=config.allow_pickle,
        processes=1 if base else config.processes,  # nothing is trained in a base cell
        accelerate=None if base else config.accelerate,
    )
