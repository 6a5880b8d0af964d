"""A first configuration for a model and a device (row 4): the settings that fit, by the estimator.

Nothing is measured: every size here is a prediction, and the file that is written says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..config.adapters import ALL_LINEAR, AdapterSettings, parse_adapter
from ..config.architectures import architecture_of
from ..config.benchmark_config import DEFAULT_MODEL, GENERATED
from ..config.gpus import parse_gpu
from ..config.methods import full, lora
from ..dataset import load_corpus, split_documents, tokenize
from ..errors import ConfigError, DataError, LoraBenchError
from ..estimate.fitting import needed_bytes
from ..estimate.foresight import device_of_run, load_tokenizer, memory_limit
from ..estimate.options import EstimateOptions
from ..estimate.predict import estimate
from ..measure.environment import cpu_model, describe_device
from ..models.cache import default_model_facts, default_model_path
from ..models.counting import specification_methods
from ..models.structure import build_structure, preset_for
from ..plan import FULL, LORA
from ..units import MIB, to_gib

SHARE = 0.95
"""Of the device's memory: the rest stays free for a display, other programs, and the difference
between a prediction and the device."""
HOST_BYTES = 1280 * MIB
"""What a process on a CPU takes beside the tensors: the process peaks of the memory cells of
benchmarks/results/quick-2026-11-24 lie 0.7 to 1.2 GiB above their allocated peaks."""
_LENGTHS = {"cuda": 512, "cpu": 128}  # tokens, where the texts do not say
_LONGEST = {"cuda": 1024, "cpu": 256}
_SHORTEST = 64
_BATCHES = (4, 2, 1)
_SIZES = (2000, 1000, 500, 200, 100, 50, 20, 10, 5)  # training texts to try
_RANKS = (4, 16)  # of the specification's configurations, one a choice of modules
_TEXTS_LOOKED_AT = 500
_COVERED = 0.9  # share of the texts that should not be cut

Needed = Callable[["Step", str], int]  # (step, FULL or LORA) -> bytes the device must have


@dataclass(frozen=True)
class Target:
    """The device that a configuration is for."""

    name: str
    total_bytes: int  # of the device; on a CPU what is free now
    device: str  # cuda (ROCm too) or cpu
    arch: str | None = None  # such as sm89 or gfx942

    @property
    def limit_bytes(self) -> int:
        """What a step may need."""
        return int(SHARE * self.total_bytes)

    @property
    def precision(self) -> str:
        """Mixed precision: bf16, or fp16 on NVIDIA devices that have no bf16 (before sm80)."""
        number = (self.arch or "").removeprefix("sm")
        old = (self.arch or "").startswith("sm") and number.isdigit() and int(number) < 80
        return "amp-fp16" if old else "amp-bf16"


@dataclass(frozen=True)
class Step:
    """Settings of a training step that decide its memory."""

    batch_size: int
    max_length: int
    precision: str
    lora_precision: str
    checkpointing: bool = False  # activations recomputed in the backward pass
    optimizer: str = "adamw_torch"

    @property
    def trainer_args(self) -> dict[str, Any]:
        """What of it goes to transformers.TrainingArguments."""
        recomputed = {"gradient_checkpointing": True} if self.checkpointing else {}
        return recomputed | ({} if self.optimizer == "adamw_torch" else {"optim": self.optimizer})


@dataclass(frozen=True)
class Data:
    """What is trained and evaluated on."""

    source: str  # generated, a path or a Hub id
    train: int
    evaluation: int
    validation: int
    documents: int | None = None  # found; None for generated texts
    max_length: int | None = None  # tokens that nearly all texts have room in, where known


@dataclass(frozen=True)
class Fit:
    """The step that fits, and what it is predicted to need."""

    step: Step
    full_fits: bool
    full_bytes: int
    lora_bytes: int  # of the largest adapter
    wished_length: int | None = None  # tokens that did not fit, where the step has fewer


@dataclass(frozen=True)
class Start:
    """Everything that a first configuration says."""

    model_name: str
    target: Target
    data: Data
    adapters: tuple[AdapterSettings, ...]
    fit: Fit
    training_steps: int
    eval_steps: int
    trust_remote_code: bool = False


def find_start(
    model: str, gpu: str | None, dataset: str | None, trust_remote_code: bool = False
) -> Start:
    """Settings for a model, on the device of this machine or on ``gpu`` (a name or a size).

    Raises ConfigError, ModelError or DataError; ConfigError as well where not even LoRA fits.
    """
    target = find_target(gpu)
    name, stand_in = model_names(model)
    structure = build_structure(stand_in, trust_remote_code)
    adapters = choose_adapters(stand_in, trust_remote_code)
    data = choose_data(dataset, name, target, trust_remote_code)
    positions = getattr(structure.config, "max_position_embeddings", None)
    length = data.max_length or _LENGTHS[target.device]
    length = min(length, positions) if isinstance(positions, int) else length

    @functools.cache
    def needed(step: Step, arm: str) -> int:
        return _needed(stand_in, adapters[-1], step, arm, target, trust_remote_code)

    fit = choose_fit(target, length, needed)
    steps, every = (200, 50) if target.device == "cuda" else (40, 10)
    return Start(name, target, data, adapters, fit, steps, every, trust_remote_code)


def find_target(gpu: str | None) -> Target:
    """The device meant: ``gpu`` by name or size, ``cpu``, or the one that a run here would use."""
    if gpu is not None and gpu.lower() != "cpu":
        known = parse_gpu(gpu)
        return Target(known.name, known.total_bytes, "cuda", known.arch)
    device, arch = ("cpu", None) if gpu is not None else device_of_run()
    limit = memory_limit(device)
    if limit is None:
        raise ConfigError(
            "the memory of this machine is unknown; give --gpu and a size: 24GiB",
            "このマシンのメモリ量が分かりません。--gpu に 24GiB のようなサイズを指定してください",
        )
    name = cpu_model() if device == "cpu" else str(describe_device()["name"])
    return Target(name, limit, device, arch)


def model_names(model: str) -> tuple[str, str]:
    """``(name for the configuration, name to estimate by)``.

    A preset knows a structure without a network, and its Hub id is where the weights are.
    """
    if model == DEFAULT_MODEL:
        here = (default_model_path() / "source.json").is_file()
        return model, model if here else str(default_model_facts()["architecture"])
    preset = preset_for(model)
    if preset is not None:
        return preset.hub_id, preset.name
    known = architecture_of(model)
    return model, model if known is None else known.name


def choose_adapters(model: str, trust_remote_code: bool = False) -> tuple[AdapterSettings, ...]:
    """LoRA on few modules, on attention, and on every linear layer, as this model names them."""
    methods, _ = specification_methods(model, trust_remote_code)
    known = [method.adapter for method in methods if method.adapter is not None]
    chosen = [adapter for adapter in known if adapter.r in _RANKS]
    architecture = architecture_of(model)
    if not chosen and architecture is not None and architecture.own_targets:
        chosen = [parse_adapter({"r": 8, "target_modules": list(architecture.own_targets)})]
    everywhere = parse_adapter({"r": 16, "target_modules": [ALL_LINEAR]})
    return (*chosen, everywhere)


def choose_data(
    dataset: str | None, model: str, target: Target, trust_remote_code: bool = False
) -> Data:
    """As much of the texts as there is, held-out sides first. Raises DataError."""
    if dataset is None or dataset == GENERATED:
        return Data(GENERATED, _SIZES[0], 200 if target.device == "cuda" else 128, 48)
    try:
        tokenizer = load_tokenizer(model, trust_remote_code)
    except LoraBenchError:  # weights and tokenizer are not here: only chats need it now
        tokenizer = None
    documents = load_corpus(dataset, tokenizer=tokenizer)
    count = len(documents)
    held_out, validation = min(200, max(4, count // 10)), min(48, max(2, count // 20))
    length = _common_length(documents[:_TEXTS_LOOKED_AT], tokenizer, _LONGEST[target.device])
    failure: DataError | None = None
    for size in (size for size in _SIZES if size <= count):
        try:
            split_documents(
                documents, dataset, train_size=size, evaluation_size=held_out, seed=0,
                validation_size=validation,
            )  # fmt: skip
        except DataError as error:
            failure = error
            continue
        return Data(dataset, size, held_out, validation, count, length)
    raise failure or DataError(
        f"dataset {dataset}: {count} texts are too few; add text",
        f"データ {dataset}: {count} テキストでは足りません。テキストを増やしてください",
    )


def _common_length(documents: Any, tokenizer: Any, longest: int) -> int | None:
    """Tokens that nine texts in ten have room in, in steps of 32; None without a tokenizer."""
    if tokenizer is None:
        return None
    lengths: list[int] = sorted(e["text_tokens"] for e in tokenize(documents, tokenizer, longest))
    wanted = lengths[min(len(lengths) - 1, int(_COVERED * len(lengths)))] + 1  # its end of text
    return min(longest, max(_SHORTEST, -(-wanted // 32) * 32))


# ---- what fits ----------------------------------------------------------------------------------


def choose_fit(target: Target, length: int, needed: Needed) -> Fit:
    """The largest step, least altered, that both arms fit in; else the one that LoRA fits in.

    First smaller batches, then recomputed activations, then an optimizer with a smaller state,
    then shorter texts. Raises ConfigError where not even LoRA on a bf16 base fits.
    """
    limit = target.limit_bytes
    plain = Step(_BATCHES[0], length, target.precision, target.precision)
    steps = list(_attempts(plain))
    both = _first(steps, lambda s: needed(s, FULL) <= limit and needed(s, LORA) <= limit)
    if both is not None:
        return _fit(both, True, length, needed)
    for lora_precision in (target.precision, "bf16"):
        steps = list(_attempts(replace(plain, lora_precision=lora_precision)))
        lone = _first(steps, lambda s: needed(s, LORA) <= limit)
        if lone is not None:
            return _fit(lone, False, length, needed)
    raise ConfigError(
        f"{target.name}: has {to_gib(target.total_bytes):.1f} GiB; not even LoRA fits, which needs "
        f"an estimated {to_gib(needed(steps[-1], LORA)):.1f} GiB with one text of "
        f"{steps[-1].max_length} tokens; take a smaller model or a larger device (--gpu)",
        f"{target.name}: {to_gib(target.total_bytes):.1f} GiB です。LoRA でも収まりません。"
        f"{steps[-1].max_length} トークンのテキスト1つで、"
        f"推定 {to_gib(needed(steps[-1], LORA)):.1f} GiB が必要です。"
        "小さいモデルか大きいデバイス (--gpu) を選んでください",
    )


def _fit(step: Step, full_fits: bool, length: int, needed: Needed) -> Fit:
    """What a step needs, and the wished length where it was cut."""
    wished = length if step.max_length < length else None
    return Fit(step, full_fits, needed(step, FULL), needed(step, LORA), wished)


def _attempts(plain: Step) -> Iterator[Step]:
    """From the step as wished to the smallest one."""
    recomputed = replace(plain, checkpointing=True)
    frugal = replace(recomputed, optimizer="adafactor")
    kinds = [plain, recomputed, frugal]
    if plain.max_length > _SHORTEST:
        kinds.append(replace(frugal, max_length=max(_SHORTEST, plain.max_length // 4)))
    for kind in kinds:
        yield from (replace(kind, batch_size=batch) for batch in _BATCHES)


def _first(steps: Sequence[Step], fits: Callable[[Step], bool]) -> Step | None:
    """The first step that fits; where the smallest does not, the ones between are not asked."""
    if fits(steps[0]):
        return steps[0]
    return next(filter(fits, steps[1:])) if fits(steps[-1]) else None


def _needed(
    model: str,
    adapter: AdapterSettings,
    step: Step,
    arm: str,
    target: Target,
    trust_remote_code: bool,
) -> int:
    """Bytes that the device must have for one step, predicted."""
    options = EstimateOptions(
        batch_size=step.batch_size,
        seq_len=step.max_length,
        precision=step.precision if arm == FULL else step.lora_precision,
        optimizer=step.optimizer,
        gradient_checkpointing=step.checkpointing,
        device=target.device,
        arch=target.arch,
    )
    method = full() if arm == FULL else lora(adapter)
    found = needed_bytes(estimate(model, method, options, trust_remote_code))
    return found + (HOST_BYTES if target.device == "cpu" else 0)
