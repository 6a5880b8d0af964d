"""GPUs by name (row 1): how much memory a device reports, and its architecture."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..language import Statement
from ..units import GIB, parse_bytes
from .yaml_io import load_yaml_file

_PATH = Path(__file__).parents[1] / "presets" / "gpus.yaml"
_KINDS = ("reported", "reported-mib", "nominal")
_KEYS = {"total_bytes", "gib", "arch", "memory", "source", "aliases"}


@dataclass(frozen=True)
class Gpu:
    """One kind of device, or just an amount of memory."""

    name: str  # as listed, or the size as typed
    total_bytes: int  # what the device reports as its total memory; see ``memory``
    arch: str | None = None  # such as sm89 or gfx942; None where only a size was given
    memory: str = "given"  # reported, reported-mib, nominal (the marketing GiB) or given
    source: str = ""  # where the figure comes from

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return dict(vars(self))


@functools.cache
def load_gpus() -> dict[str, Gpu]:
    """All known devices by name. Raises ConfigError when the file is wrong."""
    return {name: _parse(name, entry) for name, entry in _entries().items()}


def parse_gpu(text: str) -> Gpu:
    """A size (``24GiB``) or a known name (``RTX-4090``, in any case and spacing).

    Raises ConfigError with the closest names.
    """
    found = _index().get(_key(text))
    if found is not None:
        return load_gpus()[found]
    if re.fullmatch(r"\s*[0-9.]+\s*", text):
        raise ConfigError(
            f"--gpu {text}: give the size with its unit, such as 24GiB, or a name",
            f"--gpu {text}: 24GiB のように単位を付けたサイズか、名前を指定してください",
        )
    try:
        total = parse_bytes(text)
    except ValueError:
        close = _suggest(text)
        raise ConfigError(
            f"--gpu {text}: {close.en}; or give a size such as 24GiB",
            f"--gpu {text}: {close.ja}。24GiB のようなサイズでも指定できます",
        ) from None
    if total <= 0:
        raise ConfigError(
            f"--gpu {text}: must be more than no memory, such as 24GiB",
            f"--gpu {text}: 24GiB のような、0より大きいサイズを指定してください",
        )
    return Gpu(name=text.strip(), total_bytes=total)


def _entries() -> dict[str, Any]:
    raw = load_yaml_file(_PATH)
    entries = raw.get("gpus") if isinstance(raw, Mapping) else None
    if not isinstance(entries, dict) or not entries:
        raise ConfigError(
            f"{_PATH}: needs a mapping under 'gpus'", f"{_PATH}: 'gpus' の下にマッピングが必要です"
        )
    return entries


def _parse(name: str, entry: Any) -> Gpu:
    where = f"{_PATH}: {name}"
    if not isinstance(entry, Mapping) or not set(entry) <= _KEYS:
        raise ConfigError(
            f"{where}: must be a mapping with keys among {sorted(_KEYS)}",
            f"{where}: {sorted(_KEYS)} をキーとするマッピングにしてください",
        )
    total = entry.get("total_bytes", entry.get("gib", 0) * GIB)
    if not isinstance(total, int) or total < GIB or ("gib" in entry) == ("total_bytes" in entry):
        raise ConfigError(
            f"{where}: needs either total_bytes or gib, a whole number",
            f"{where}: total_bytes か gib の一方に整数を指定してください",
        )
    if entry.get("memory") not in _KINDS or ("gib" in entry) != (entry["memory"] == "nominal"):
        raise ConfigError(
            f"{where}: memory must be one of {_KINDS}, and gib is nominal",
            f"{where}: memory には {_KINDS} のいずれかを指定してください。gib は nominal です",
        )
    if not all(isinstance(entry.get(key), str) for key in ("arch", "source")):
        raise ConfigError(
            f"{where}: arch and source must be texts",
            f"{where}: arch と source には文字列を指定してください",
        )
    return Gpu(name, total, entry["arch"], entry["memory"], entry["source"])


@functools.cache
def _index() -> dict[str, str]:
    """Simplified name or alias -> name. Two devices never share one."""
    index: dict[str, str] = {}
    for name, entry in _entries().items():
        for alias in (name, *entry.get("aliases", ())):
            if index.setdefault(_key(alias), name) != name:
                raise ConfigError(
                    f"{_PATH}: {alias} names two devices",
                    f"{_PATH}: {alias} が2つのデバイスの名前になっています",
                )
    return index


def _key(text: str) -> str:
    """Letters and digits only, without the vendor: ``NVIDIA GeForce RTX 4090`` -> ``rtx4090``."""
    words = re.sub(r"\b(nvidia|geforce|amd|radeon|instinct|tesla)\b", "", text.lower())
    return re.sub(r"[^a-z0-9]", "", words)


def _suggest(text: str) -> Statement:
    wanted, index = _key(text), _index()
    starting = [name for key, name in index.items() if wanted and key.startswith(wanted)]
    close = starting or [index[key] for key in difflib.get_close_matches(wanted, index, 3)]
    if close:
        names = list(dict.fromkeys(close))
        return Statement(
            f"unknown GPU; did you mean {' or '.join(names)}?",
            f"不明な GPU です。{' か '.join(names)} のことですか",
        )
    known = ", ".join(load_gpus())
    return Statement(f"unknown GPU; known: {known}", f"不明な GPU です。使える名前: {known}")
