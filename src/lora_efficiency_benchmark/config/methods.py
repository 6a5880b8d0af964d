"""What is trained (row 1): everything, a LoRA adapter, or any adapter that PEFT describes.

One text form for the command line: ``full``, ``lora:r=32,targets=q_proj+v_proj``, ``peft:PATH``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..language import Statement
from ..plain_text import one_line, shown
from ..units import MIB
from .adapters import ALL_LINEAR, AdapterSettings, digits, parse_adapter

EXAMPLE = "lora:r=8,targets=q_proj+v_proj"
_MAX_CONFIG_BYTES = 4 * MIB
_FORMS = Statement(
    f"write full, {EXAMPLE} or peft:FOLDER",
    f"full、{EXAMPLE}、peft:FOLDER のいずれかの形で書いてください",
)


_SIZES = ("r", "num_virtual_tokens")  # what tells two adapters of one PEFT kind apart


@dataclass(frozen=True)
class Method:
    """One way to fine-tune a model, fully resolved."""

    kind: str  # full, lora or peft
    adapter: AdapterSettings | None = None  # for lora
    peft_config: dict[str, Any] | None = field(default=None, hash=False)  # for peft: the JSON
    text: str = field(default="", compare=False)  # as typed

    @property
    def label(self) -> str:
        """Short name for tables: ``full``, ``r=8 q,v``, ``LOHA r=4 k_proj,v_proj``."""
        if self.adapter is not None:
            return self.adapter.label
        if self.peft_config is not None:
            targets = self.peft_config.get("target_modules") or ""
            named = targets if isinstance(targets, str) else ",".join(sorted(targets))
            sizes = [f"{key}={v}" for key in _SIZES if (v := self.peft_config.get(key)) is not None]
            return " ".join(part for part in (self.peft_config["peft_type"], *sizes, named) if part)
        return "full"

    def resolved(self) -> dict[str, Any]:
        """Every value that counts, defaults filled in, as plain data."""
        if self.adapter is not None:
            return {"kind": self.kind, **self.adapter.to_dict()}
        return {"kind": self.kind, **(self.peft_config or {})}


def full() -> Method:
    """Full fine-tuning."""
    return Method("full", text="full")


def lora(adapter: AdapterSettings) -> Method:
    """A LoRA adapter, with the text that ``parse_method`` reads it from."""
    flags = {"dora": adapter.use_dora, "rslora": adapter.use_rslora}
    parts = [
        f"r={adapter.r}",
        f"alpha={digits(adapter.alpha)}",
        f"targets={'+'.join(adapter.target_modules)}",
        f"dropout={digits(adapter.dropout)}",
        *(f"{name}=true" for name, on in flags.items() if on),
        *([f"save={'+'.join(adapter.modules_to_save)}"] if adapter.modules_to_save else []),
    ]
    return Method("lora", adapter, text="lora:" + ",".join(parts))


def parse_method(text: str) -> Method:
    """``full``, ``lora:key=value,...`` or ``peft:PATH``. ``alpha`` is 2r and dropout 0.1 if absent.

    Raises ConfigError naming the method, the key and what to write.
    """
    kind, _, rest = text.strip().partition(":")
    if kind == "full" and not rest:
        return Method("full", text=text)
    if kind == "lora":
        return Method("lora", _parse_lora(rest, text), text=text)
    if kind == "peft" and rest:
        return Method("peft", peft_config=load_peft_config(Path(rest).expanduser()), text=text)
    raise ConfigError(f"method {shown(text)}: {_FORMS.en}", f"method {shown(text)}: {_FORMS.ja}")


def load_peft_config(path: Path) -> dict[str, Any]:
    """The ``adapter_config.json`` at a path, or in that folder. Raises ConfigError."""
    file = path / "adapter_config.json" if path.is_dir() else path
    try:
        if file.exists() and not file.is_file():
            raise OSError("not a file")
        with file.open("rb") as opened:
            raw = json.loads(opened.read(_MAX_CONFIG_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read ({error.strerror or error}); give an adapter_config.json "
            "or the folder that holds it",
            f"{file}: 読めません ({error.strerror or error})。adapter_config.json か、"
            "それを含むフォルダーを指定してください",
        ) from None
    except (ValueError, RecursionError):
        raise ConfigError(
            f"{file}: is not JSON; give a PEFT adapter_config.json",
            f"{file}: JSON ではありません。PEFT の adapter_config.json を指定してください",
        ) from None
    if not isinstance(raw, dict) or not isinstance(raw.get("peft_type"), str):
        raise ConfigError(
            f"{file}: has no peft_type; give a PEFT adapter_config.json",
            f"{file}: peft_type がありません。PEFT の adapter_config.json を指定してください",
        )
    for key in ("target_modules", "modules_to_save"):
        names = raw.get(key) or []
        if not isinstance(names, str | list) or not all(isinstance(name, str) for name in names):
            raise ConfigError(
                f"{file}: {key}: must be module names, as text in a list",
                f"{file}: {key}: モジュール名を文字列のリストで指定してください",
            )
    return raw


def _parse_lora(rest: str, text: str) -> AdapterSettings:
    where = f"method {shown(text)}"
    raw: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, sign, value = (piece.strip() for piece in part.partition("="))
        if key not in _READERS:
            raise ConfigError(
                f"{where}: unknown key {shown(key)}; known keys: {', '.join(_READERS)}",
                f"{where}: 不明なキー {shown(key)} があります。使えるキー: {', '.join(_READERS)}",
            )
        name, read = _READERS[key]
        if not sign or name in raw:
            raise ConfigError(
                f"{where}: give {key} once, as {key}=value",
                f"{where}: {key} は {key}=値 の形で1回だけ指定してください",
            )
        try:
            raw[name] = read(value)
        except ValueError:
            raise ConfigError(
                f"{where}: {key}={one_line(value, 60)} cannot be read; such as {EXAMPLE}",
                f"{where}: {key}={one_line(value, 60)} を読めません。"
                f"{EXAMPLE} のように書いてください",
            ) from None
    for key, name in (("r", "r"), ("targets", "target_modules")):
        if name not in raw:
            raise ConfigError(
                f"{where}: {key} is missing; write it as in {EXAMPLE}{_all(key).en}",
                f"{where}: {key} がありません。{EXAMPLE}{_all(key).ja} のように書いてください",
            )
    return parse_adapter(raw, where)


def _all(key: str) -> Statement:
    if key != "targets":
        return Statement("", "")
    return Statement(f", or targets={ALL_LINEAR}", f" や targets={ALL_LINEAR}")


def _flag(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError(value)
    return value.lower() == "true"


_READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "r": ("r", int),
    "alpha": ("alpha", float),
    "targets": ("target_modules", lambda value: value.split("+")),
    "dropout": ("dropout", float),
    "dora": ("use_dora", _flag),
    "rslora": ("use_rslora", _flag),
    "save": ("modules_to_save", lambda value: value.split("+")),
}
