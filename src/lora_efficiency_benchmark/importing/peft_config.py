"""A PEFT configuration as one of our LoRA configurations (row 4, no torch).

A record holds rank, alpha, targets, dropout, DoRA, rsLoRA and modules that are trained whole. A
configuration that sets anything else would be filed under the name of another one, so it is
refused, naming what it sets.
"""

from __future__ import annotations

import re
from typing import Any

from ..config.adapters import ALL_LINEAR, AdapterSettings, parse_adapter
from ..errors import ConfigError
from ..language import Statement
from .fields import Fields
from .files import clean, shown
from .refusal import NotImportable

CAUSAL = "CAUSAL_LM"
TYING = "ensure_weight_tying"  # of modules_to_save: tied embeddings stay one tensor
_READ = {
    "peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "target_modules", "use_dora",
    "use_rslora", "modules_to_save", "base_model_name_or_path",
}  # fmt: skip
_SAYS_NOTHING = {  # bookkeeping, storage layout, and defaults of features that are off
    "auto_mapping", "revision", "inference_mode", "peft_version", "fan_in_fan_out",
    "megatron_core", "qalora_group_size", "runtime_config",
}  # fmt: skip
_NEUTRAL = {"bias": "none", "init_lora_weights": True}
_OFF: tuple[Any, ...] = (None, False, "", [], {})
_MODULE = re.compile(r"[A-Za-z0-9_.\-]{1,100}")
_MAX_TARGETS = 256
_ORDER = ("q_proj", "k_proj", "v_proj", "o_proj")


def lora_settings(config: Fields) -> AdapterSettings:
    """The LoRA configuration. Raises NotImportable on another method, or on more than LoRA."""
    kind = config.need(config.text, "peft_type")
    if kind.upper() != "LORA":
        raise NotImportable(
            f"{kind} is neither full fine-tuning nor LoRA",
            f"{kind} はフルファインチューニングでもLoRAでもありません",
        )
    require_causal(config.text("task_type"))
    saved = config.values.get("modules_to_save")
    config.flag(TYING)  # only checked: it tells how to count what is saved
    read = _READ | _SAYS_NOTHING | ({TYING} if saved else set())
    for key, value in config.values.items():
        if key not in read and not _neutral(key, value):
            name, got = clean(key, 60), shown(value)
            raise NotImportable(
                f"LoRA with {name} = {got}, which a record cannot hold",
                f"{name} = {got} を使うLoRAで、記録の項目では表せません",
            )
    raw = {
        "r": config.need(lambda name: config.whole(name, 1), "r"),
        "alpha": config.need(config.number, "lora_alpha"),
        "dropout": config.need(config.number, "lora_dropout"),
        "target_modules": _targets(config),
        **({"modules_to_save": _modules(config, "modules_to_save")} if saved else {}),
        "use_dora": bool(config.flag("use_dora")),
        "use_rslora": bool(config.flag("use_rslora")),
    }
    try:
        return parse_adapter(raw, config.where or "adapter_config.json")
    except ConfigError as error:
        raise NotImportable(clean(error), clean(error.text("ja"))) from None


def require_causal(task: str | None) -> None:
    """Raises NotImportable for a task that is stated and is no causal language model."""
    if task is not None and task != CAUSAL:
        raise NotImportable(
            f"task {task}: the claims are about causal language models",
            f"タスクが {task} です。主張の対象は因果言語モデルです",
        )


def _neutral(key: str, value: Any) -> bool:
    if key in _NEUTRAL:
        return value is None or (type(value) is type(_NEUTRAL[key]) and value == _NEUTRAL[key])
    return any(type(value) is type(off) and value == off for off in _OFF)


def _targets(config: Fields) -> list[str]:
    """What is adapted, by module names or all of it."""
    value = config.values.get("target_modules")
    if value == ALL_LINEAR:
        return [ALL_LINEAR]
    if isinstance(value, str):
        raise NotImportable(
            f"target_modules is a pattern ({shown(value)}), which a record cannot hold",
            f"target_modules がパターン ({shown(value)}) で、記録の項目では表せません",
        )
    return _modules(config, "target_modules")


def _modules(config: Fields, field: str) -> list[str]:
    """Module names in one order: PEFT keeps them as a set and writes them in any."""
    value = config.values.get(field)
    names: list[Any] = value if isinstance(value, list) else []
    plain = all(isinstance(name, str) and _MODULE.fullmatch(name) for name in names)
    if not plain or not 0 < len(names) <= _MAX_TARGETS:
        raise config.wrong(field, Statement("a list of module names", "モジュール名のリスト"))
    first = [name for name in _ORDER if name in names]
    return first + sorted(set(names) - set(first))
