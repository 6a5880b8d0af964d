"""Folders of ``transformers.Trainer`` with a trainer_state.json (row 4, no torch).

    run/                       the run: final state, where the Trainer saved one
      trainer_state.json       log_history, global_step, max_steps, train_batch_size, epoch, ...
      adapter_config.json      LoRA, with its base model
      config.json              the model of full fine-tuning
      checkpoint-500/...       the same files; of several checkpoints the last one counts

The state holds neither seed nor data, neither precision nor memory, and ``train_runtime`` includes
evaluation and saving. ``eval_loss`` is the mean over batches. A loss that was evaluated at step 0
(``eval_on_start``) is that of the model before training: LoRA starts as the identity.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config.adapters import AdapterSettings
from ..config.architectures import load_architectures
from ..language import Statement
from .fields import Fields, finite
from .files import name_within, read_json
from .peft_config import TYING, lora_settings, require_causal
from .refusal import NotImportable, Skipped
from .runs import NOT_STATED, UNKNOWN, Run, known
from .weights import ADAPTER, Weights, adapter_weights, fits, model_weights

FORMAT = "transformers trainer_state"
STATE, ADAPTER_CONFIG, CONFIG = "trainer_state.json", "adapter_config.json", "config.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,18})")
_UNSTATED = Statement(
    "trainer_state.json states neither data, seed nor precision: whether the runs share them, "
    "only you know",
    "trainer_state.json にはデータ、シード、精度の記載がありません。"
    "共通かどうかはご自身で確かめてください",
)
_CAUSAL_CLASSES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


@dataclass(frozen=True)
class TrainerRun:
    """A run, and what tells whether two of them are of one model."""

    run: Run
    weights: Weights | None  # None where there are none, or they cannot be counted


def is_trainer_state(values: Any) -> bool:
    """Whether the content looks like such a file."""
    return isinstance(values, dict) and {"log_history", "global_step"} <= values.keys()


def run_folder(state: Path, base: Path) -> Path:
    """The run a state belongs to: the folder above a checkpoint, unless that is no longer ours."""
    here = state.parent
    return here.parent if _CHECKPOINT.fullmatch(here.name) and here != base else here


def read_runs(
    states: Mapping[Path, dict[str, Any]], base: Path
) -> tuple[list[TrainerRun], list[Skipped]]:
    """One run a folder, from its last state; and the states that could not be used."""
    groups: dict[Path, list[Path]] = {}
    for path in states:
        groups.setdefault(run_folder(path, base), []).append(path)
    runs, skipped = [], []
    for folder in sorted(groups):
        by_age = sorted(groups[folder], key=lambda path: _age(path, states[path]), reverse=True)
        last, places = by_age[0], [by_age[0].parent, folder, *(path.parent for path in by_age)]
        name = name_within(last, base)
        try:
            runs.append(_read_run(states[last], list(dict.fromkeys(places)), name))
        except NotImportable as error:
            skipped.append(Skipped(name, error.reason))
    return runs, skipped


def _age(path: Path, values: Mapping[str, Any]) -> tuple[int, bool, str]:
    """Later states are larger; of equal ones, the one that is no checkpoint."""
    step = values.get("global_step")
    known_step = step if isinstance(step, int) else -1
    return known_step, _CHECKPOINT.fullmatch(path.parent.name) is None, str(path)


def _read_run(values: dict[str, Any], places: Sequence[Path], source: str) -> TrainerRun:
    """A run from its last state; ``places`` are where its other files may lie, best first."""
    state = Fields(values)
    adapter, model_name, config = _method(places)
    weights, problem = _weights(places, adapter, bool(config.flag(TYING)))
    parameters, counted = _parameters(weights, config if adapter is None else None)
    log = state.rows("log_history")
    steps = state.need(lambda name: state.whole(name, 1), "global_step")
    asked = state.whole("max_steps", -1)
    training, training_names = _training(state, log, steps)
    evaluation, error = _evaluation(log)
    rate = _highest_rate(log)
    run = Run(
        source=source,
        format=FORMAT,
        model_name=model_name or NOT_STATED,
        adapter=adapter,
        precision=NOT_STATED,
        dataset=NOT_STATED,
        dataset_size=UNKNOWN,
        seed=UNKNOWN,
        training_steps=asked if asked is not None and asked > 0 else steps,
        eval_steps=_every(state),
        max_length=UNKNOWN,
        batch_size=state.whole("train_batch_size") or UNKNOWN,
        learning_rate=rate,
        # With equal steps and batches, another number of epochs means other data.
        trainer_args=known({
            "epochs": state.number("epoch"),
            "evaluated_at_step": next((s for s, _ in reversed(_losses(log)) if s > 0), None),
        }),
        error=error,
        parameters=parameters,
        training=training,
        evaluation=evaluation,
        saved=_saved(weights, adapter),
        base_loss=next((finite(loss) for step, loss in _losses(log) if step == 0), None),
        figures={
            **counted,
            **training_names,
            "evaluation.loss": "log_history[].eval_loss, the last (mean over batches)",
            "evaluation.perplexity": "exp(eval_loss)",
            "saved.bytes": weights.source if weights else "",
        },
        facts=known({
            "learning_rate": None if rate is None else "the highest that was logged",
            "num_train_epochs": state.number("num_train_epochs"),
            "parameters_not_counted": problem,
        }),
    )  # fmt: skip
    return TrainerRun(run, weights)


def _method(places: Iterable[Path]) -> tuple[AdapterSettings | None, str | None, Fields]:
    """LoRA or full fine-tuning, the model's name, and the adapter's or model's configuration."""
    for place in places:
        if (found := _neighbour(place, ADAPTER_CONFIG)) is not None:
            return lora_settings(found), found.text("base_model_name_or_path"), found
    for place in places:
        if (found := _neighbour(place, CONFIG)) is not None:
            _require_trainable(found)
            return None, found.text("_name_or_path"), found
    raise NotImportable(
        f"neither {ADAPTER_CONFIG} (LoRA) nor {CONFIG} (full fine-tuning) lies beside it",
        f"{ADAPTER_CONFIG} (LoRA) も {CONFIG} (フル) も同じフォルダーにありません",
    )


def _neighbour(place: Path, name: str) -> Fields | None:
    path = place / name
    if not path.exists() and not path.is_symlink():
        return None
    try:
        values = read_json(path)
    except NotImportable as error:
        raise error.within(name) from None
    if not isinstance(values, dict):
        raise NotImportable(f"{name}: must be a mapping", f"{name}: マッピングではありません")
    return Fields(values, name)


def _require_trainable(config: Fields) -> None:
    """Raises NotImportable for another task, and for weights that cannot be trained as they are."""
    classes = config.values.get("architectures") or []
    names = [name for name in classes if isinstance(name, str)] if isinstance(classes, list) else []
    if names and not any(name.endswith(_CAUSAL_CLASSES) for name in names):
        require_causal(Fields({"name": names[0]}).text("name", 80))
    if config.values.get("quantization_config"):
        raise NotImportable(
            "config.json: quantised weights, which full fine-tuning does not train",
            "config.json: 量子化された重みで、フルファインチューニングの結果ではありません",
        )


def _weights(
    places: Iterable[Path], adapter: AdapterSettings | None, tied: bool
) -> tuple[Weights | None, str | None]:
    """The heads of the saved weights, and why there is nothing to count."""
    problem = "no safetensors file"
    for place in places:
        try:
            if adapter is None:
                found = model_weights(place)
            else:
                there = (place / ADAPTER).exists()
                whole = adapter.modules_to_save
                found = adapter_weights(place / ADAPTER, whole, tied) if there else None
        except NotImportable as error:
            problem = str(error)
            continue
        if found is not None:
            return found, None
    return None, problem


def _parameters(
    weights: Weights | None, config: Fields | None
) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Trainable parameters; of full fine-tuning that is all of them.

    ``config`` is that of full fine-tuning: a structure that is a preset's has its parameters.
    """
    if weights is not None and weights.parameters:
        block: dict[str, Any] = {"trainable": weights.parameters, "dtypes": dict(weights.dtypes)}
        if config is not None:
            block["total"] = weights.parameters
        names = dict.fromkeys(("parameters.trainable", "parameters.total"), weights.source)
        return block, names
    for name, architecture in load_architectures().items() if config is not None else ():
        assert config is not None
        own = {"model_type": architecture.model_type, **architecture.config}
        if all(_same(config.values.get(k), v) for k, v in own.items() if _decides_size(v)):
            text = f"config.json, which has the structure of the preset {name}"
            names = dict.fromkeys(("parameters.trainable", "parameters.total"), text)
            return {"trainable": architecture.parameters, "total": architecture.parameters}, names
    return None, {}


def _decides_size(value: Any) -> bool:
    return isinstance(value, int | str)


def _same(stated: Any, preset: Any) -> bool:
    return type(stated) is type(preset) and bool(stated == preset)


def _training(
    state: Fields, log: Sequence[Fields], steps: int
) -> tuple[dict[str, Any] | None, dict[str, str]]:
    ended = next((row for row in reversed(log) if "train_runtime" in row.values), Fields({}))
    points = [(row.whole("step"), finite(row.logged("loss"))) for row in log]
    block = {
        "steps": steps,
        "runtime_seconds": ended.number("train_runtime"),
        "tokens": state.whole("num_input_tokens_seen") or None,  # 0: it was not counted
        "epochs": state.number("epoch"),
        "loss_curve": [{"step": s, "loss": v} for s, v in points if v is not None],
        "evaluation_curve": [
            {"step": step, "loss": loss} for step, loss in _losses(log) if finite(loss) is not None
        ],
    }
    names = {
        "training.steps": "global_step",
        "training.runtime_seconds": "log_history[].train_runtime (evaluation and saving included)",
        "training.tokens": "num_input_tokens_seen (may count padding)",
        "training.epochs": "epoch",
        "training.loss_curve": "log_history[].loss",
        "training.evaluation_curve": "log_history[].eval_loss",
    }
    return known({k: v for k, v in block.items() if v != []}), names


def _losses(log: Sequence[Fields]) -> list[tuple[int, float]]:
    """Steps and held-out losses, in the order of the log."""
    rows = [row for row in log if row.values.get("eval_loss") is not None]
    return [(row.need(row.whole, "step"), row.need(row.logged, "eval_loss")) for row in rows]


def _evaluation(log: Sequence[Fields]) -> tuple[dict[str, Any] | None, dict[str, str] | None]:
    """The last held-out loss after training began; an error where it is not finite."""
    after = [(step, loss) for step, loss in _losses(log) if step > 0]
    if not after:
        return None, None
    step, loss = after[-1]
    if not math.isfinite(loss):
        return None, {"kind": "diverged", "message": f"eval_loss is {loss}"}
    return evaluation_block(loss, step), None


def evaluation_block(loss: float, step: int) -> dict[str, Any]:
    """The record's block for a held-out loss."""
    perplexity = math.exp(loss) if loss < 700 else None
    return known({"loss": loss, "perplexity": perplexity, "step": step})


def _highest_rate(log: Sequence[Fields]) -> float | None:
    rates = [finite(row.logged("learning_rate")) for row in log]
    return max((rate for rate in rates if rate is not None and rate > 0), default=None)


def _every(state: Fields) -> int:
    """Steps between evaluations; a share of the training is not a number of steps."""
    value = state.values.get("eval_steps")
    return (
        value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else UNKNOWN
    )


def _saved(weights: Weights | None, adapter: AdapterSettings | None) -> dict[str, Any] | None:
    if weights is None:
        return None
    kind = "model" if adapter is None else "adapter"
    return {"bytes": weights.file_bytes, "kind": kind, "dtype": weights.dtype}


def name_models(runs: Sequence[TrainerRun]) -> tuple[list[Run], list[Statement]]:
    """Full fine-tuning whose config.json names no model: that of the LoRA runs beside it.

    Only where those name a single one, and where the shapes of the weights, if both are there, do
    not speak against it.
    """
    stated = {entry.run.model_name for entry in runs} - {NOT_STATED}
    named: list[Run] = []
    notes: list[Statement] = [_UNSTATED] if len(runs) > 1 else []
    for entry in runs:
        run = entry.run
        if run.model_name != NOT_STATED or len(stated) != 1:
            named.append(run)
            continue
        name = next(iter(stated))
        others = [other for other in runs if other.run.adapter is not None and other.weights]
        strange = [o.run.source for o in others if entry.weights and not _one_model(entry, o)]
        if strange:
            text = f"{run.source}: its weights do not fit the adapter of {strange[0]}"
            ja = f"{run.source}: 重みの形が {strange[0]} のアダプターと合いません"
            notes.append(Statement(text, ja))
            named.append(run)
            continue
        notes.append(
            Statement(
                f"{run.source}: names no model; taken as {name}, as the runs beside it say",
                f"{run.source}: モデル名がないため、同じフォルダーの実行が示す {name} とみなします",
            )
        )
        facts = {**run.facts, "model_name": "from the runs beside it"}
        named.append(replace(run, model_name=name, facts=facts))
    return named, notes


def _one_model(full: TrainerRun, lora: TrainerRun) -> bool:
    if full.weights is None or lora.weights is None or full.run.adapter is not None:
        return True
    return fits(lora.weights, full.weights)
