"""The claim at its own scale (row 4): estimates of models that nobody runs here.

Every configuration of the specification, on the models that the claim is about, as entries of
estimates.json. Each structure is traced once; its estimate stays in the user's cache until this
program or a library that decides the step changes.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.adapters import parse_adapter
from ..config.benchmark_config import SPEC_CONFIGURATIONS
from ..config.methods import Method, full
from ..errors import StoreError
from ..language import Statement
from ..measure.environment import package_versions
from ..models.cache import cache_root
from ..models.counting import specification_methods
from ..plan import AS_PRACTISED, CONTROLLED
from ..records.store import Store
from .foresight import UNTRACEABLE, untraceable
from .options import EstimateOptions
from .predict import estimate

BATCH_SIZE = 4
SHORT, LONG = 512, 2048  # tokens of a text; the long ones for the claim's own configuration only
LONG_RANK = 32
FULL_PRECISION = "amp-bf16"
LORA_PRECISION = {CONTROLLED: "amp-bf16", AS_PRACTISED: "bf16"}
COMPARISONS = (  # (comparison, model under LoRA, model fully fine-tuned)
    ("same-model", "llama-2-7b", "llama-2-7b"),
    ("cross-model", "opt-6.7b", "opt-1.3b"),
)
_DECIDING = ("torch", "transformers", "peft", "accelerate")
_PACKAGE = Path(__file__).parents[1]
ScaleHook = Callable[[dict[str, Any]], None]
Predict = Callable[[str, Method, str, int], dict[str, Any]]  # model, method, precision, length


@dataclass(frozen=True)
class Configuration:
    """One configuration of the specification on one model."""

    label: str  # the specification's, whatever the model calls its modules
    rank: int
    method: Method | None  # None where the model's layers cannot express it
    skipped: Statement | None = None


def scale_estimates(on_event: ScaleHook = lambda event: None) -> list[dict[str, Any]]:
    """Entries of estimates.json, their estimates from the cache where it holds them.

    ``on_event`` hears ``{"event": "scale"}`` before the first trace. Each estimate is kept as soon
    as it exists; one that failed is tried again next time.
    """
    path = cache_path()
    known = _read(path)
    announce = functools.cache(lambda: on_event({"event": "scale"}))

    def predict(model: str, method: Method, precision: str, seq_len: int) -> dict[str, Any]:
        key = f"{model} {method.text} {precision} {BATCH_SIZE}x{seq_len}"
        if key not in known:
            announce()
            known[key] = _predict(model, method, precision, seq_len)
            if UNTRACEABLE not in known[key]:
                _keep(path, known)
        return known[key]

    return [
        _entry(names, configuration, reading, seq_len, predict)
        for names in COMPARISONS
        for configuration in configurations(names[1])
        for seq_len in ((SHORT, LONG) if configuration.rank == LONG_RANK else (SHORT,))
        for reading in (CONTROLLED, AS_PRACTISED)
    ]


def configurations(model: str) -> Iterator[Configuration]:
    """The specification's configurations in the model's own module names, in their order."""
    found, left_out = specification_methods(model)
    reasons = {entry.label: entry.reason for entry in left_out}
    usable = iter(found[1:])  # the first is full fine-tuning
    for adapter in map(parse_adapter, SPEC_CONFIGURATIONS):
        reason = reasons.get(adapter.label)
        method = None if reason else next(usable)
        yield Configuration(adapter.label, adapter.r, method, reason)


def cache_path() -> Path:
    """Where the estimates of this program, presets included, and these libraries are kept."""
    versions = package_versions()
    digest = hashlib.sha256(repr([versions[name] for name in _DECIDING]).encode())
    for source in sorted((*_PACKAGE.rglob("*.py"), *_PACKAGE.rglob("*.yaml"))):
        digest.update(f"\n{source.relative_to(_PACKAGE).as_posix()}\n".encode())
        digest.update(source.read_bytes())
    return cache_root() / "estimates" / f"scale-{digest.hexdigest()[:16]}.json"


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The estimates of a cache file; none where it is absent, damaged or was edited."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["sha256"] == _sha256(stored["estimates"]):
            return dict(stored["estimates"])
    return {}


def _keep(path: Path, estimates: dict[str, dict[str, Any]]) -> None:
    """Write the estimates that did not fail."""
    kept = {key: value for key, value in estimates.items() if UNTRACEABLE not in value}
    with suppress(StoreError, OSError):  # an unwritable cache costs the time again, nothing else
        values = {"sha256": _sha256(kept), "estimates": kept}
        Store(path.parent).write_json(path.name, values)


def _sha256(estimates: Any) -> str:
    return hashlib.sha256(json.dumps(estimates, sort_keys=True).encode()).hexdigest()


def _entry(
    names: tuple[str, str, str],
    configuration: Configuration,
    reading: str,
    seq_len: int,
    predict: Predict,
) -> dict[str, Any]:
    comparison, model, base_model = names
    skipped = configuration.skipped
    method, precision = configuration.method, LORA_PRECISION[reading]
    return {
        "comparison": comparison,
        "model": model,
        "base_model": base_model,
        "reading": reading,
        "configuration": configuration.label,
        "batch_size": BATCH_SIZE,
        "seq_len": seq_len,
        "full": predict(base_model, full(), FULL_PRECISION, seq_len) if method else None,
        "lora": predict(model, method, precision, seq_len) if method else None,
        "skipped": None if skipped is None else skipped.en,
        "skipped_ja": None if skipped is None else skipped.ja,
    }


def _predict(model: str, method: Method, precision: str, seq_len: int) -> dict[str, Any]:
    options = EstimateOptions(
        batch_size=BATCH_SIZE, seq_len=seq_len, precision=precision, device="cuda"
    )
    try:
        return estimate(model, method, options).to_dict()
    except Exception as error:  # the libraries' own code runs here; the entry says what it said
        return untraceable(error)
