"""Data, environment and settings as rows of name and value (row 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...analysis.values import Analysis, AnalysisWarning
from .. import formats
from ..texts import Wording
from . import Line, Table, line


def data_table(analysis: Analysis, say: Wording) -> Table:
    """Sizes of both sides, what they share, and what the tokenizer makes of them."""
    data = analysis.data or {}
    overlap = data.get("overlap") or {}
    train = data.get("train_statistics") or {}
    held_out = data.get("evaluation_statistics") or {}
    rows: list[tuple[str, str]] = [
        ("data.name", _name(data.get("name"), say)),
        ("data.train", _side(data.get("train_documents"), train, say)),
        ("data.evaluation", _side(data.get("evaluation_documents"), held_out, say)),
        ("data.exact", formats.count(overlap.get("exact"), say)),
        ("data.ngram", _small_percent(overlap.get("ngram13_share"), say)),
        ("data.near", formats.count(overlap.get("near_duplicates"), say)),
        ("data.groups", formats.count(overlap.get("shared_groups"), say)),
        ("data.density", _both(train, held_out, "tokens_per_character", say)),
        ("data.bytes", _both(train, held_out, "bytes_per_token", say)),
    ]
    body = tuple((line(say(key)), line(value)) for key, value in rows) if data else ()
    return Table(say("heading.data"), (say("column.item"), say("column.value")), body)


def fact_table(title: str, values: Mapping[str, Any], say: Wording) -> Table:
    """Any nested block, flattened to dotted names."""
    rows = tuple((line(name), line(value)) for name, value in flatten(values))
    return Table(title, (say("column.item"), say("column.value")), rows)


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """``{"a": {"b": 1}}`` -> ``[("a.b", "1")]``; entries without a value are left out."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flatten(value, f"{name}.")
        elif name.endswith("_bytes") and isinstance(value, int):
            rows.append((name, f"{value:,}"))
        elif isinstance(value, list | tuple):
            rows.append((name, ", ".join(map(str, value))))
        elif value is not None:
            rows.append((name, str(value)))
    return rows


def base_line(analysis: Analysis, say: Wording) -> str:
    """The model before any training, in one sentence; empty where it was not evaluated."""
    base = analysis.base
    if not base:
        return ""
    return say(
        "base",
        loss=formats.decimals(base.get("loss"), 3, say),
        perplexity=formats.decimals(base.get("perplexity"), 2, say),
        bits=formats.decimals(base.get("bits_per_byte"), 3, say),
    )


def across_note(analysis: Analysis, say: Wording) -> str:
    """What a comparison across models counts in, and where both models began; empty without one."""
    across = analysis.across
    if across is None:
        return ""
    names = {"model": formats.clean(across.model), "base": formats.clean(across.base_model)}
    before = say(
        "across.before",
        base_bits=formats.decimals((across.base or {}).get("bits_per_byte"), 3, say),
        bits=formats.decimals((analysis.base or {}).get("bits_per_byte"), 3, say),
        **names,
    )
    return say("across.note", **names) + ("" if say.language == "ja" else " ") + before


def across_line(analysis: Analysis, say: Wording) -> str:
    """The sentence on both models; empty where there is one."""
    return formats.clean(analysis.across.sentence[say.language]) if analysis.across else ""


def warning_text(warning: AnalysisWarning, say: Wording) -> tuple[str, str]:
    """Cause and next step in the reader's language."""
    cause = say.either(warning.cause, warning.cause_ja)
    return formats.clean(cause), formats.clean(say.either(warning.next_step, warning.next_step_ja))


def failure_table(analysis: Analysis, say: Wording) -> Table:
    """Cells that ended without a result, each with its reason."""
    rows = []
    for failure in analysis.failures:
        cell, kind = failure.get("cell_id", ""), failure.get("kind", "")
        status = failure.get("status", "")
        named = formats.clean(f"{say.known('status', status)}: {say.known('kind', kind)}")
        message = Line(formats.clean(failure.get("message", "")), quiet=True)
        reason = (Line(named), message, *_estimated_peak(analysis, cell, say))
        rows.append((line(cell, *([cell] if cell else [])), reason))
    columns = (say("column.cell"), say("column.reason"))
    return Table(say("heading.failures"), columns, tuple(rows))


def _estimated_peak(analysis: Analysis, cell_id: str, say: Wording) -> tuple[Line, ...]:
    """What a cell that ran out of memory would have needed, where that was estimated."""
    known = analysis.estimator.out_of_memory if analysis.estimator else ()
    sizes = (formats.size(c.estimated, say) for c in known if c.cell_id == cell_id)
    return tuple(Line(say("estimator.failure", size=size), quiet=True) for size in sizes)


def _name(name: Any, say: Wording) -> str:
    if isinstance(name, Mapping):
        name = name.get("path")
    return str(name) if name else say("not_measured")


def _side(documents: int | None, statistics: Mapping[str, Any], say: Wording) -> str:
    if documents is None:
        return say("not_measured")
    tokens = statistics.get("tokens")
    more = "" if tokens is None else f" · {say('data.tokens', n=f'{tokens:,}')}"
    return say("texts", n=f"{documents:,}") + more


def _both(train: Mapping[str, Any], held_out: Mapping[str, Any], key: str, say: Wording) -> str:
    values = [formats.decimals(side.get(key), 2, say) for side in (train, held_out)]
    return say("data.sides", train=values[0], evaluation=values[1])


def _small_percent(share: float | None, say: Wording) -> str:
    return say("not_measured") if share is None else f"{100 * share:.2f}%"
