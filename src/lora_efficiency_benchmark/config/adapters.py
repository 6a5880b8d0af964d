"""Adapter settings (row 1): one LoRA configuration, checked once, specification's defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import ConfigError
from ..language import Statement
from ..plain_text import is_plain, shown

ALL_LINEAR = "all-linear"
MAX_RANK = 2**31 - 1
MAX_ALPHA = 1e15  # beyond it a whole number and the nearest float part ways
DEFAULT_DROPOUT = 0.1  # the specification's default
_KEYS = {"r", "alpha", "target_modules", "dropout", "use_dora", "use_rslora", "modules_to_save"}
_TARGETS_RULE = Statement(
    f"name at least one module, or {ALL_LINEAR}",
    f"モジュールを1つ以上指定するか、{ALL_LINEAR} としてください",
)
_SAVED_RULE = Statement(
    "name at least one module, or leave it out",
    "モジュールを1つ以上指定するか、項目を省いてください",
)
_SHORT = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "o"}


@dataclass(frozen=True)
class AdapterSettings:
    """One LoRA configuration, fully resolved."""

    r: int  # rank, >= 1
    alpha: float  # scaling numerator; the update is alpha / r * B A x
    target_modules: tuple[str, ...]  # module name suffixes, or ("all-linear",) as PEFT means it
    dropout: float = DEFAULT_DROPOUT  # probability in [0, 1)
    use_dora: bool = False
    use_rslora: bool = False
    modules_to_save: tuple[str, ...] = ()  # trained whole, beside the adapter, and saved with it

    @property
    def label(self) -> str:
        """Short name for tables, such as ``r=8 q,k,v,o`` or ``r=8 q,v + embed_tokens``.

        Alpha and dropout are named where they are not the default, so that two different
        configurations never share a label.
        """
        targets = ",".join(_SHORT.get(name, name) for name in self.target_modules)
        targets += f" + {','.join(self.modules_to_save)}" if self.modules_to_save else ""
        kind = ("DoRA " if self.use_dora else "") + ("rsLoRA " if self.use_rslora else "")
        alpha = "" if self.alpha == 2 * self.r else f" alpha={digits(self.alpha)}"
        dropout = "" if self.dropout == DEFAULT_DROPOUT else f" dropout={digits(self.dropout)}"
        return f"{kind}r={self.r} {targets}{alpha}{dropout}"

    def to_dict(self) -> dict[str, Any]:
        """The specification's dictionary form; flags and ``modules_to_save`` only when set."""
        values = asdict(self)
        values["target_modules"] = (
            ALL_LINEAR if self.target_modules == (ALL_LINEAR,) else list(self.target_modules)
        )
        values["modules_to_save"] = list(self.modules_to_save)
        return {k: v for k, v in values.items() if v is not False and v != []}


def digits(value: float) -> str:
    """A number in the fewest digits that read back as the same one."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def parse_adapter(raw: object, where: str = "lora_configurations[0]") -> AdapterSettings:
    """Check one LoRA configuration. ``alpha`` defaults to 2r, ``dropout`` to 0.1.

    Raises ConfigError naming field, rule and value got.
    """
    if isinstance(raw, AdapterSettings):
        return raw
    if not isinstance(raw, Mapping):
        example = "{r: 8, alpha: 16}"
        raise ConfigError(
            f"{where}: must be a mapping such as {example}, got {shown(raw)}",
            f"{where}: {example} のようなマッピングを指定してください (現在の値: {shown(raw)})",
        )
    unknown = sorted(set(map(str, raw)) - _KEYS)
    if unknown:
        raise ConfigError(
            f"{where}: unknown key {shown(unknown[0])}; known keys: {sorted(_KEYS)}",
            f"{where}: 不明なキー {shown(unknown[0])} があります。使えるキー: {sorted(_KEYS)}",
        )
    r = raw.get("r")
    if isinstance(r, bool) or not isinstance(r, int) or not 1 <= r <= MAX_RANK:
        raise ConfigError(
            f"{where}.r: rank must be a whole number of at least 1, got {shown(r)}",
            f"{where}.r: ランクには1以上の整数を指定してください (現在の値: {shown(r)})",
        )
    alpha = _number(raw.get("alpha", 2 * r), f"{where}.alpha", 0.0, MAX_ALPHA)
    targets = _modules(raw.get("target_modules"), f"{where}.target_modules", _TARGETS_RULE)
    saved = _saved(raw.get("modules_to_save"), f"{where}.modules_to_save")
    twice = sorted(set(targets) & set(saved))
    if twice:
        raise ConfigError(
            f"{where}.modules_to_save: {twice[0]} is a target module too; a module is adapted or "
            "trained whole, not both",
            f"{where}.modules_to_save: {twice[0]} は対象モジュールでもあります。"
            "モジュールはアダプターを付けるか、全体を学習するかの一方だけにしてください",
        )
    return AdapterSettings(
        r=r,
        alpha=int(alpha) if alpha == int(alpha) else alpha,  # 16.0 is 16: one cell, one id
        target_modules=targets,
        dropout=_number(raw.get("dropout", DEFAULT_DROPOUT), f"{where}.dropout", 0.0, 1.0, True),
        use_dora=_flag(raw.get("use_dora", False), f"{where}.use_dora"),
        use_rslora=_flag(raw.get("use_rslora", False), f"{where}.use_rslora"),
        modules_to_save=saved,
    )


def _number(
    value: object, where: str, low: float, high: float = math.inf, low_included: bool = False
) -> float:
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    if not ok or value == math.inf or not (low < value < high or (low_included and value == low)):  # type: ignore[operator]
        rule = f"at least {low}" if low_included else f"above {low}"
        rule_ja = f"{low}以上の" if low_included else f"{low}より大きい"
        upper = "" if high == math.inf else f" and below {high}"
        upper_ja = "" if high == math.inf else f"、{high}未満の"
        raise ConfigError(
            f"{where}: must be a number {rule}{upper}, got {shown(value)}",
            f"{where}: {rule_ja}{upper_ja}数を指定してください (現在の値: {shown(value)})",
        )
    return value  # type: ignore[return-value]


def _saved(value: object, where: str) -> tuple[str, ...]:
    none = value is None or value == []
    return () if none else _modules(value, where, _SAVED_RULE)


def _modules(value: object, where: str, rule: Statement) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise ConfigError(
            f"{where}: {rule.en}; got {shown(value)}",
            f"{where}: {rule.ja} (現在の値: {shown(value)})",
        )
    if not all(isinstance(name, str) and _module(name) for name in names):
        raise ConfigError(
            f"{where}: must be module names, got {shown(value)}",
            f"{where}: モジュール名を指定してください (現在の値: {shown(value)})",
        )
    if len(set(names)) != len(names):
        raise ConfigError(
            f"{where}: a module is named twice: {shown(value)}",
            f"{where}: 同じモジュールが2回あります。1回にしてください: {shown(value)}",
        )
    return tuple(names)


def _module(name: str) -> bool:
    """A name that labels, tables and the text form ``targets=a+b,...`` can hold."""
    return bool(name) and is_plain(name) and not set(name) & set(" ,+")


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(
            f"{where}: must be true or false, got {shown(value)}",
            f"{where}: true か false を指定してください (現在の値: {shown(value)})",
        )
    return value
