"""Which modules of a model an adapter means (row 4): checked by name, before PEFT sees them.

PEFT itself is silent about a target that matches nothing beside one that does, takes every module
whose name merely ends like one to be saved, and unties embeddings unless told not to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..config.adapters import ALL_LINEAR, AdapterSettings
from ..errors import ConfigError, TargetModulesError

_TIED_NAMES = ("embed_tokens", "lm_head")  # tied embeddings have such a name, or PEFT 0.21 is blind


def check_adapter(model: Any, adapter: AdapterSettings) -> tuple[list[str], bool]:
    """``(modules to train whole, by full name; whether tied embeddings are among them)``.

    PEFT trains a copy of such a module. Of tied embeddings it makes one copy, used at both ends,
    only when told to; and it knows them by name, so that under another name (GPT-2's ``wte``) the
    tie is lost when the saved adapter is loaded. Raises TargetModulesError when a name matches
    nothing, ConfigError where a tie would be lost or a module is also adapted.
    """
    check_targets(model, adapter.target_modules)
    saved = _modules_to_save(model, adapter)
    if not saved:
        return [], False
    names = {id(module): name for name, module in model.named_modules()}
    ends = [end for end in embedding_ends(model) if end is not None]
    tied = len(ends) == 2 and ends[0].weight is ends[1].weight
    tied_names = [names[id(end)] for end in ends] if tied else []
    if not set(tied_names) & set(saved):
        return saved, False
    if tied_names[0].rsplit(".", 1)[-1] not in _TIED_NAMES:
        raise lost_tie(model)
    return list(dict.fromkeys([*saved, *tied_names])), True


def embedding_ends(model: Any) -> tuple[Any, Any]:
    """Input embeddings and output layer; None where the model has no such thing."""
    return model.get_input_embeddings(), model.get_output_embeddings()


def lost_tie(model: Any) -> ConfigError:
    """What to raise where training would untie the embeddings."""
    return ConfigError(
        f"modules_to_save: input embeddings and output layer of {type(model).__name__} share one "
        "tensor, and PEFT cannot train them without untying them; leave them out",
        f"modules_to_save: {type(model).__name__} の入力埋め込みと出力層は1つのテンソルを"
        "共有していて、PEFT では共有したまま学習できません。どちらも外してください",
    )


def _modules_to_save(model: Any, adapter: AdapterSettings) -> list[str]:
    """Full names of the modules that are trained whole: PEFT takes any name with this ending."""
    if not adapter.modules_to_save:
        return []
    layers = {n: m for n, m in model.named_modules() if n and _owns_weights(m)}
    asked = adapter.modules_to_save
    _require_saved(model, [n for n in asked if not any(_matches(layer, n) for layer in layers)])
    chosen = [layer for layer in layers if any(_matches(layer, name) for name in asked)]
    adapted = adapted_layers(model, adapter.target_modules)
    twice = [layer for layer in chosen if layer in adapted]
    if twice:
        raise ConfigError(
            f"modules_to_save: {twice[0]} is a target module too; a module is adapted or trained "
            "whole, not both",
            f"modules_to_save: {twice[0]} は対象モジュールでもあります。"
            "モジュールはアダプターを付けるか、全体を学習するかの一方だけにしてください",
        )
    return chosen


def check_saved(model: Any, asked: Iterable[str]) -> None:
    """Every name must end the name of a module with weights: PEFT's own rule, but not its silence.

    Raises TargetModulesError.
    """
    modules = model.named_modules(remove_duplicate=False)
    names = [n for n, module in modules if next(module.parameters(), None) is not None]
    _require_saved(model, [name for name in asked if not any(n.endswith(name) for n in names)])


def _require_saved(model: Any, missing: list[str]) -> None:
    if missing:
        layers = [n for n, module in model.named_modules() if n and _owns_weights(module)]
        known = ", ".join(dict.fromkeys(name.rsplit(".", 1)[-1] for name in layers))
        raise TargetModulesError(
            f"modules_to_save: {', '.join(missing)} match{'es' if len(missing) == 1 else ''} "
            f"nothing with weights of its own in {type(model).__name__}; it has: {known}",
            f"modules_to_save: {', '.join(missing)} に当たる、自分の重みを持つモジュールが"
            f" {type(model).__name__} にありません。あるもの: {known}",
        )


def adapted_layers(model: Any, targets: Iterable[str]) -> set[str]:
    """Full names of the layers that get an adapter; all-linear leaves out the output layer."""
    targets = list(targets)
    if targets != [ALL_LINEAR]:
        return {n for n, _ in model.named_modules() if any(_matches(n, t) for t in targets)}
    last = model.get_output_embeddings()
    return {n for n, m in model.named_modules() if _is_linear(m) and m is not last}


def check_targets(model: Any, targets: Iterable[str], any_module: bool = False) -> None:
    """Every named target must match a layer with a weight matrix, which is what LoRA adapts.

    ``any_module`` also allows what other methods adapt, such as norms. PEFT itself is silent about
    a target that matches nothing beside one that does. Raises TargetModulesError.
    """
    targets = list(targets)
    if targets == [ALL_LINEAR]:
        return
    names = [n for n, module in model.named_modules() if any_module or _has_weight_matrix(module)]
    missing = [t for t in targets if not any(_matches(n, t) for n in names)]
    if missing:
        raise TargetModulesError(
            f"target_modules: {', '.join(missing)} match{'es' if len(missing) == 1 else ''} nothing"
            f" in {type(model).__name__}; its linear layers: {', '.join(linear_layers(model))}",
            f"target_modules: {', '.join(missing)} に当たるモジュールが"
            f" {type(model).__name__} にありません。線形層: {', '.join(linear_layers(model))}",
        )


def has_conv1d(model: Any, targets: Any) -> bool:
    """True where a target is a ``Conv1D`` (GPT-2), which stores its weight transposed.

    ``targets`` is a list of names; anything else (a pattern, all-linear, None) means every layer.
    """
    names = targets if isinstance(targets, list | tuple) and ALL_LINEAR not in targets else None
    layers = (n for n, module in model.named_modules() if type(module).__name__ == "Conv1D")
    return any(names is None or any(_matches(n, t) for t in names) for n in layers)


def _matches(module_name: str, target: str) -> bool:
    return module_name == target or module_name.endswith("." + target)


def _has_weight_matrix(module: Any) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.dim() >= 2


def linear_layers(model: Any) -> list[str]:
    """Distinct last names of the linear layers, in model order."""
    found = (n.rsplit(".", 1)[-1] for n, m in model.named_modules() if _is_linear(m))
    return list(dict.fromkeys(found))


def _is_linear(module: Any) -> bool:
    return type(module).__name__ in ("Linear", "Conv1D", "Linear4bit", "Linear8bitLt")


def _owns_weights(module: Any) -> bool:
    return next(iter(module.parameters(recurse=False)), None) is not None
