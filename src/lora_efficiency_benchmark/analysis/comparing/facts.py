"""What two runs may differ in, read from their records (row 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...records.results import CellRecord
from ..metrics import FIRST_TOKEN_BYTES
from ..pairing import Comparison, number
from ..selection import Selection
from ..values import Analysis
from .values import DifferingFact

ENVIRONMENT, SETTINGS, CLAIMS = "environment", "settings", "claims"
NEEDED = (
    "device.name", "allocator", "model", "batch_size", "max_length", "training_steps", "dataset",
    "training_texts", "held_out_texts", "precision.full", "precision.lora",
)  # fmt: skip
"""What a comparison rests on: where no run states it, that is said."""

_NOT_STATED = (None, "", "not stated", 0)


@dataclass(frozen=True)
class Side:
    """One run: its records, paired, and what was made of them."""

    name: str
    selection: Selection
    comparison: Comparison
    analysis: Analysis
    unfinished: int | None = None  # planned cells without a record, where the plan is known

    @property
    def scored(self) -> CellRecord | None:
        """A record that was evaluated, the untrained model's first."""
        arms = (*self.comparison.full, *self.comparison.lora)
        trained = [r for arm in arms for r in arm.train.values()]
        records = [self.comparison.base, *trained]
        return next((r for r in records if r is not None and r.evaluation), None)


def facts_of(side: Side) -> dict[tuple[str, str], Any]:
    """``(kind, name) -> value`` of everything a run states about how it was made."""
    found: dict[tuple[str, str], Any] = {}
    for name, value in _flat(side.selection.environment):
        found[ENVIRONMENT, name] = value
    found[ENVIRONMENT, "allocator"] = _allocator(side.selection.environment)
    settings = side.analysis.settings
    for name in ("model", "dataset", "evaluation_size", "training_steps", "batch_size",
                 "max_length", "trainer_args"):  # fmt: skip
        found[SETTINGS, name] = settings.get(name)
    found[SETTINGS, "processes"] = settings.get("processes", 1)
    found[SETTINGS, "accelerate"] = settings.get("accelerate")
    for name in ("full", "lora"):
        found[SETTINGS, f"precision.{name}"] = (settings.get("precision") or {}).get(name)
    found[SETTINGS, "seeds"] = list(settings.get("seeds") or []) or None
    found[SETTINGS, "weights"] = weights_of(side)
    found[SETTINGS, "model_parameters"] = side.comparison.full_trainable
    found[SETTINGS, "training_texts"] = _size(side.analysis.data, "train_statistics")
    found[SETTINGS, "held_out_texts"] = _held_out(side.scored)
    for claim in side.analysis.claims:
        bars = {"verified_at": claim.verified_at, "partial_at": claim.partial_at}
        found[CLAIMS, claim.id] = {"metric": claim.metric, "claimed": claim.claimed, **bars}
    return {place: None if _absent(value) else value for place, value in found.items()}


def differing_facts(sides: Sequence[Side]) -> tuple[DifferingFact, ...]:
    """Everything that is not the same in all runs, environment first.

    Weights are compared where every run states them: records of older versions do not, and then
    the name or path of the model speaks for them.
    """
    facts = [facts_of(side) for side in sides]
    places = list(dict.fromkeys(place for each in facts for place in each))
    places.sort(key=lambda place: (ENVIRONMENT, SETTINGS, CLAIMS).index(place[0]))
    rows = [(place, tuple(each.get(place) for each in facts)) for place in places]
    return tuple(
        DifferingFact(kind, name, values)
        for (kind, name), values in rows
        if any(value != values[0] for value in values[1:])
        if name != "held_out_texts" or not all(same_texts(sides[0], s) for s in sides[1:])
        if name != "weights" or None not in values
    )


def one_sided(a: Side, b: Side) -> tuple[str, ...]:
    """Names of what one of two runs states and the other does not: whether it differs is unknown.

    Weights apart, which only newer records state.
    """
    first, second = facts_of(a), facts_of(b)
    return tuple(
        name
        for kind, name in {**first, **second}
        if name != "weights"
        if (first.get((kind, name)) is None) != (second.get((kind, name)) is None)
    )


def not_stated(sides: Sequence[Side]) -> tuple[str, ...]:
    """Of what a comparison needs, the names that no run states."""
    facts = [facts_of(side) for side in sides]
    known = {name for each in facts for (_, name), value in each.items() if value is not None}
    return tuple(name for name in NEEDED if name not in known)


def same_texts(a: Side, b: Side) -> bool | None:
    """Whether the same held-out texts were scored, whatever the tokenizer.

    By the bytes of every text; two tokenizers may differ in the first token, which nothing
    predicts. None where a run does not say, which is not the same as equal.
    """
    first, second = (_documents(side.scored) for side in (a, b))
    if first is None or second is None:
        return None
    pairs = list(zip(first, second, strict=False))
    near = (abs(m["raw_bytes"] - n["raw_bytes"]) <= FIRST_TOKEN_BYTES for m, n in pairs)
    return len(first) == len(second) and all(near)


def other_tokens(a: Side, b: Side) -> bool:
    """Whether the same texts were cut into other tokens: a loss per token then has two meanings."""
    first, second = (_documents(side.scored) for side in (a, b))
    return same_texts(a, b) is True and first != second


def weights_of(side: Side) -> str | None:
    """Fingerprint of the untrained model's weights; None where no record states one."""
    base = side.comparison.base
    found = (base.model or {}).get("weights") if base is not None else None
    return found if isinstance(found, str) else None


def same_weights(a: Side, b: Side) -> bool:
    """Whether both runs state the same weights, wherever the model lay and whatever its name."""
    first, second = weights_of(a), weights_of(b)
    return first is not None and first == second


def same_data(a: Side, b: Side) -> bool:
    """Whether both runs state the same training and held-out texts, wherever the file lay.

    By the bytes of all training texts, and tokens and bytes of every held-out one.
    """
    sizes = [_size(side.analysis.data, "train_statistics") or {} for side in (a, b)]
    first, second = (_documents(side.scored) for side in (a, b))
    return (
        "utf8_bytes" in sizes[0] and sizes[0] == sizes[1] and first is not None and first == second
    )


def _documents(record: CellRecord | None) -> list[dict[str, float]] | None:
    rows = ((record.evaluation if record else None) or {}).get("documents") or []
    found = [{name: number(row, name) for name in ("tokens", "raw_bytes")} for row in rows]
    if not found or any(None in row.values() for row in found):
        return None
    return [{k: v for k, v in row.items() if v is not None} for row in found]


def _held_out(record: CellRecord | None) -> dict[str, int] | None:
    documents = _documents(record)
    if documents is None:
        return None
    totals = {name: int(sum(d[name] for d in documents)) for name in ("tokens", "raw_bytes")}
    return {"documents": len(documents), **totals}


def _size(data: Mapping[str, Any] | None, name: str) -> dict[str, int] | None:
    """Documents and characters: another file under the same name is another size."""
    block = (data or {}).get(name) or {}
    kept = {k: block[k] for k in ("documents", "characters", "utf8_bytes") if block.get(k)}
    return kept or None


def _allocator(environment: Mapping[str, Any]) -> Any:
    """Settings of the allocators, ``default`` where the record says that there were none."""
    if "allocator" not in environment:
        return None
    return dict(environment["allocator"] or {}) or "default"


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        if f"{prefix}{key}" in ("allocator", "node"):
            continue  # one fact, see above; which node of a kind it was says nothing
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def _absent(value: Any) -> bool:
    """True for None, an empty text, a stated "not stated", and 0, which imports write for it."""
    plain = value is None or isinstance(value, str | int)
    return plain and not isinstance(value, bool) and value in _NOT_STATED
