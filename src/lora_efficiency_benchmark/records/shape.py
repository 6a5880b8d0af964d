"""Types of what a record holds (row 3): an edited file is refused, naming it and the field.

Everything after the store takes numbers to be numbers. A field that is absent or null was not
measured; a field that is not listed here is read by nobody, or shown as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..language import Statement
from ..plain_text import shown

_NUMBER, _WHOLE = "a number", "a whole number of at least 0"
_TEXT, _FLAG, _MAPPING, _LIST = "a text", "true or false", "a mapping", "a list"
_JAPANESE = {
    _NUMBER: "数", _WHOLE: "0以上の整数", _TEXT: "文字列", _FLAG: " true か false ",
    _MAPPING: "マッピング", _LIST: "リスト",
}  # fmt: skip
_LARGEST = 1 << 63
_ANY = "*"  # every name of a mapping

_CURVE = [{"step": _NUMBER, "loss": _NUMBER}]
_SCORES: dict[str, Any] = {
    "loss": _NUMBER, "perplexity": _NUMBER, "bits_per_byte": _NUMBER, "total_nats": _NUMBER,
    "tokens": _NUMBER, "raw_bytes": _NUMBER,
    "documents": [{"nats": _NUMBER, "tokens": _NUMBER, "raw_bytes": _NUMBER}],
}  # fmt: skip
_SHAPE: dict[str, Any] = {
    "started_at": _TEXT,
    "ended_at": _TEXT,
    "isolated": _FLAG,
    "error": {"kind": _TEXT, "message": _TEXT},
    "environment": {"packages": _MAPPING, "device": _MAPPING, "allocator": _MAPPING},
    "model": {"display_name": _TEXT, "weights": _TEXT},
    "parameters": {
        "trainable": _WHOLE, "total": _WHOLE, "adapter": _WHOLE, "trainable_bytes": _WHOLE,
        "model_size_bytes": _WHOLE, "dtypes": {_ANY: _WHOLE},
    },
    "data": {
        "overlap": {_ANY: _NUMBER}, "train_statistics": {_ANY: _NUMBER},
        "evaluation_statistics": {_ANY: _NUMBER}, "train_documents": _WHOLE,
        "evaluation_documents": _WHOLE, "figures": _MAPPING, "facts": _MAPPING, "edition": _WHOLE,
    },
    "memory": {
        "peak_allocated_bytes": _NUMBER, "peak_reserved_bytes": _NUMBER,
        "device_used_bytes": _NUMBER, "process_peak_bytes": _NUMBER,
        "end_of_step_allocated_bytes": _NUMBER, "source": _TEXT, "peak_phase": _TEXT,
        "breakdown": {_ANY: _NUMBER}, "batch_size": _NUMBER, "sequence_length": _NUMBER,
        "tokens_per_step": _NUMBER, "steps": _NUMBER, "scope": _TEXT,
        "ranks": [{"rank": _WHOLE, "peak_allocated_bytes": _NUMBER}],
    },
    "training": {
        "steps": _NUMBER, "train_seconds": _NUMBER, "step_seconds": [_NUMBER], "tokens": _NUMBER,
        "padded_tokens": _NUMBER, "trained_tokens": _NUMBER, "examples": _NUMBER,
        "tokens_per_second": _NUMBER, "epochs": _NUMBER, "unique_tokens_seen": _NUMBER,
        "order_sha256": _TEXT, "loss_curve": _CURVE, "evaluation_curve": _CURVE,
        "cpu_seconds": _NUMBER, "load_average": _NUMBER, "other_busy_cores": _NUMBER,
        "exclusive": _FLAG, "learning_rate": _NUMBER, "weights_moved": _NUMBER,
    },
    "evaluation": _SCORES,
    "validation": _SCORES,
    "saved": {"bytes": _NUMBER, "kind": _TEXT, "dtype": _TEXT},
    "probes": {_ANY: _SCORES},
    "samples": [{"prompt": _TEXT, "text": _TEXT}],
    "seconds": {_ANY: _NUMBER},
    "estimate": {
        "peak_allocated_bytes": _NUMBER, "least_needed_bytes": _NUMBER, "limit_bytes": _NUMBER,
        "fits": _FLAG, "untraceable": _TEXT, "untraceable_ja": _TEXT,
        "breakdown": {_ANY: _NUMBER},
    },
}  # fmt: skip
_NEEDED = ("started_at", "ended_at", "environment", "seconds")  # never null


def shape_problem(values: Mapping[str, Any]) -> Statement | None:
    """What is wrong with the blocks of a record, such as ``training.steps must be a number``."""
    null = next((name for name in _NEEDED if name in values and values[name] is None), None)
    if null:
        return Statement(f"{null} must not be null", f"{null} が null です")
    found = _problem(values, _SHAPE)
    model = values.get("model")
    if found is None and model and model.get("display_name") is None:
        return _missing("model.display_name")
    return found and Statement(*(text.removeprefix(".") for text in found))


def _problem(value: Any, rule: Any) -> Statement | None:
    """None where a value keeps its rule, else its place and the rule."""
    if isinstance(rule, dict):
        if not isinstance(value, Mapping):
            return _broken(_MAPPING, value)
        every = rule.get(_ANY)
        for key, item in value.items():
            inner = rule.get(key, every)
            if inner is not None and item is not None and (found := _problem(item, inner)):
                return _below(f".{shown(key)[1:-1]}", found)
        return None
    if isinstance(rule, list):
        if not isinstance(value, list):
            return _broken(_LIST, value)
        if isinstance(rule[0], dict) and _rows_of_numbers(value, rule[0]):
            return None
        found_in = ((i, _item_problem(item, rule[0])) for i, item in enumerate(value))
        return next((_below(f"[{i}]", found) for i, found in found_in if found), None)
    return None if _CHECKS[rule](value) else _broken(rule, value)


def _item_problem(item: Any, rule: Any) -> Statement | None:
    """As ``_problem``; a mapping in a list holds every field, none of them null."""
    found = _problem(item, rule)
    if found or not isinstance(rule, dict):
        return found
    missing = next((name for name in rule if item.get(name) is None), None)
    return _missing(f".{missing}") if missing else None


def _rows_of_numbers(rows: list[Any], rule: Mapping[str, Any]) -> bool:
    """Whether all of many rows hold nothing but numbers where a number is asked, by column."""
    if set(rule.values()) != {_NUMBER} or set(map(type, rows)) != {dict}:
        return False
    for name in rule:
        column = [row.get(name) for row in rows]
        kinds = set(map(type, column))
        if kinds != {float} and not (
            kinds == {int} and min(column) > -_LARGEST and max(column) < _LARGEST
        ):
            return False
    return True


def _below(place: str, found: Statement) -> Statement:
    return Statement(*(place + text for text in found))


def _missing(place: str) -> Statement:
    return Statement(f"{place} is missing", f"{place} がありません")


def _broken(rule: str, value: Any) -> Statement:
    return Statement(
        f" must be {rule}, got {shown(value)}",
        f" は{_JAPANESE[rule]}でなければなりません (現在の値: {shown(value)})",
    )


def _number(value: Any) -> bool:
    kind = type(value)
    return kind is float or (kind is int and -_LARGEST < value < _LARGEST)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    _NUMBER: _number,
    _WHOLE: lambda value: type(value) is int and 0 <= value < _LARGEST,
    _TEXT: lambda value: isinstance(value, str),
    _FLAG: lambda value: isinstance(value, bool),
    _MAPPING: lambda value: isinstance(value, Mapping),
}
