"""What estimates.json holds (row 3): an edited file is refused, naming the entry and the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..language import Statement
from ..plan import AS_PRACTISED, CONTROLLED

ESTIMATES_SCHEMA = 1
_COUNT = Statement("a whole number of at least 1", "1以上の整数")
_WORDS = {
    "comparison": ("same-model", "cross-model"),
    "reading": (CONTROLLED, AS_PRACTISED),
}


def estimates_problem(values: Any) -> Statement | None:
    """What is wrong with the content of estimates.json, in a few words."""
    if not isinstance(values, Mapping) or not isinstance(values.get("entries"), list):
        return Statement("not a file of estimates", "推定値のファイルではありません")
    if values.get("schema") != ESTIMATES_SCHEMA:
        schema = values.get("schema")
        return Statement(
            f"schema {schema!r}, this program reads {ESTIMATES_SCHEMA}",
            f"schema が {schema!r} で、このプログラムが読むのは {ESTIMATES_SCHEMA} です",
        )
    found = ((i, _entry_problem(entry)) for i, entry in enumerate(values["entries"]))
    first = next(((i, problem) for i, problem in found if problem), None)
    return first and Statement(*(f"entries[{first[0]}]: {text}" for text in first[1]))


def _entry_problem(entry: Any) -> Statement | None:
    if not isinstance(entry, Mapping):
        return Statement("must be a mapping", "マッピングではありません")
    for name, allowed in _WORDS.items():
        if entry.get(name) not in allowed:
            words, words_ja = " or ".join(allowed), " か ".join(allowed)
            return _must_be(name, words, f" {words_ja} ", entry.get(name))
    for name in ("model", "base_model", "configuration"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            return _must_be(name, "a text", "文字列", entry.get(name))
    for name in ("batch_size", "seq_len"):
        if not _counts(entry.get(name), least=1):
            return _must_be(name, *_COUNT, entry.get(name))
    for name in ("skipped", "skipped_ja"):
        if entry.get(name) is not None and not isinstance(entry[name], str):
            return Statement(
                f"{name} must be null or the reason", f"{name} は null か理由でなければなりません"
            )
    problems = (_side_problem(entry, side) for side in ("full", "lora"))
    return next((problem for problem in problems if problem), None)


def _side_problem(entry: Mapping[str, Any], side: str) -> Statement | None:
    estimate = entry.get(side)
    if estimate is None:
        missing = Statement(
            f"{side} is missing, and no reason in skipped", f"{side} も skipped の理由もありません"
        )
        return None if entry.get("skipped") else missing
    if not isinstance(estimate, Mapping):
        return Statement(f"{side} must be an estimate", f"{side} が推定値ではありません")
    if "untraceable" in estimate:
        for name in ("untraceable", "untraceable_ja"):  # older files have no Japanese
            reason = estimate.get(name, estimate["untraceable"])
            if not isinstance(reason, str) or not reason:
                return _must_be(f"{side}.{name}", "the reason", "理由", reason)
        return None
    for name in ("trainable_parameters", "peak_allocated_bytes"):
        if not _counts(estimate.get(name), least=1):
            return _must_be(f"{side}.{name}", *_COUNT, estimate.get(name))
    parts = estimate.get("breakdown", {})
    if not isinstance(parts, Mapping):
        return Statement(
            f"{side}.breakdown must be a mapping", f"{side}.breakdown がマッピングではありません"
        )
    wrong = next((name for name, value in parts.items() if not _counts(value)), None)
    if wrong is None:
        return None
    place = f"{side}.breakdown.{wrong}"
    return Statement(f"{place} must be bytes", f"{place} はバイト数でなければなりません")


def _must_be(place: str, rule: str, rule_ja: str, value: Any) -> Statement:
    return Statement(
        f"{place} must be {rule}, got {value!r}",
        f"{place} は{rule_ja}でなければなりません (現在の値: {value!r})",
    )


def _counts(value: Any, least: int = 0) -> bool:
    """A number of things or bytes; no float, and nothing that a float could not hold."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 63
