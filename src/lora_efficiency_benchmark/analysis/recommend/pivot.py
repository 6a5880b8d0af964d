"""Rank against target modules (row 5): which combinations were run, and which is best.

The specification asks for the best rank and target modules on Japanese text. A matrix that runs
one target group at one rank only cannot separate the two, so what was not compared is listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...config.adapters import ALL_LINEAR, AdapterSettings
from ...language import Statement
from ..intervals import corrected
from ..values import UNDECIDED
from ..wording import NOTHING, listing
from .differences import quality_difference
from .rule import Decision, Judged
from .values import Candidate

MEASURED, NO_RESULT, NOT_RUN = "measured", "no_result", "not_run"
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_SPECIFICATION = (("q_proj", "v_proj"), _ATTENTION, (ALL_LINEAR,))
_KINDS = ("LoRA", "DoRA", "rsLoRA", "DoRA rsLoRA")


@dataclass(frozen=True)
class PivotEntry:
    """One combination of a row (kind and rank) and a column (target modules)."""

    row: str  # such as ``r=8`` or ``DoRA r=8 alpha=8``
    targets: str  # such as ``q,k,v,o``
    kind: str  # LoRA, DoRA, rsLoRA or both
    adapter: AdapterSettings | None  # None where not run
    judged: Judged | None = None

    @property
    def status(self) -> str:
        """MEASURED, NO_RESULT or NOT_RUN."""
        if self.judged is None:
            return NOT_RUN
        candidate = self.judged.candidate
        known = candidate.losses or self.judged.retention.value is not None
        return MEASURED if known else NO_RESULT


@dataclass(frozen=True)
class Pivot:
    """The table, row by row, and what it leaves open."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    entries: tuple[PivotEntry, ...]
    not_compared: tuple[Statement, ...]

    def at(self, row: str, column: str) -> PivotEntry:
        """The entry of one place."""
        return next(e for e in self.entries if (e.row, e.targets) == (row, column))


@dataclass(frozen=True)
class BestSetting:
    """The LoRA configuration with the lowest held-out loss, limits aside."""

    best: Judged | None  # None without any LoRA result
    as_good: tuple[Judged, ...] = ()  # not told apart from it, cheapest first
    worse: tuple[Judged, ...] = ()  # shown to be worse
    level: float = 0.95

    @property
    def verification(self) -> str:
        """SHOWN where it beats every other configuration, else UNDECIDED."""
        return "SHOWN" if self.best and self.worse and not self.as_good else UNDECIDED


def build_pivot(decision: Decision) -> Pivot:
    """All LoRA candidates as a table of rank and target modules."""
    run = {adapter: j for j in decision.judged if (adapter := j.candidate.adapter) is not None}
    adapters = sorted(run, key=_row_order)
    rows = dict.fromkeys(map(_row, adapters))
    columns = dict.fromkeys(map(targets_text, _target_groups(adapters)))
    by_place: dict[tuple[str, str], AdapterSettings] = {}
    for a in adapters:
        # Two that name the same modules in another order share a place; the first is shown.
        by_place.setdefault((_row(a), targets_text(_ordered(a.target_modules))), a)
    kinds = {_row(a): adapter_kind(a) for a in adapters}
    entries = []
    for row in rows:
        for column in columns:
            adapter = by_place.get((row, column))
            judged = run[adapter] if adapter else None
            entries.append(PivotEntry(row, column, kinds[row], adapter, judged))
    return Pivot(tuple(rows), tuple(columns), tuple(entries), _not_compared(adapters, entries))


def best_setting(decision: Decision) -> BestSetting:
    """Lowest mean loss, and which others cannot be told from it, corrected for their number."""
    trained = [j for j in decision.judged if j.candidate.adapter and j.candidate.losses]
    lora = [j for j in trained if not j.candidate.diverged]
    if not lora:
        return BestSetting(None)
    most = max(len(j.candidate.losses) for j in lora)
    full = [j for j in lora if len(j.candidate.losses) == most]  # a mean over fewer is no rival
    best = min(full, key=lambda j: (_loss(j.candidate), j.candidate.name))
    level = corrected(len(lora) - 1)
    as_good: list[Judged] = []
    worse: list[Judged] = []
    for other in lora:
        if other is best:
            continue
        found = quality_difference(other.candidate, best.candidate, level)
        shown_worse = found.shown and (found.mean or 0.0) > 0
        (worse if shown_worse else as_good).append(other)
    return BestSetting(best, tuple(as_good), tuple(worse), level)


def adapter_kind(adapter: AdapterSettings) -> str:
    """LoRA, DoRA, rsLoRA, or both of the latter."""
    named = [
        name for name, on in (("DoRA", adapter.use_dora), ("rsLoRA", adapter.use_rslora)) if on
    ]
    return " ".join(named) or "LoRA"


def targets_text(modules: Sequence[str]) -> str:
    """Target modules as labels name them, such as ``q,k,v,o``."""
    return AdapterSettings(r=1, alpha=2, target_modules=tuple(modules)).label.removeprefix("r=1 ")


def _ordered(modules: Sequence[str]) -> tuple[str, ...]:
    """One order for every way of naming the same modules."""
    known = [name for name in _ATTENTION if name in modules]
    return (*known, *sorted(set(modules) - set(known)))


def _row(adapter: AdapterSettings) -> str:
    """The label without its target modules."""
    return adapter.label.replace(f" {targets_text(adapter.target_modules)}", "", 1)


def _row_order(adapter: AdapterSettings) -> tuple[int, int, float, float]:
    return _KINDS.index(adapter_kind(adapter)), adapter.r, adapter.alpha, adapter.dropout


def _target_groups(adapters: Sequence[AdapterSettings]) -> list[tuple[str, ...]]:
    """The specification's groups where the model has such names, then what else was run."""
    run = list(dict.fromkeys(_ordered(a.target_modules) for a in adapters))
    named = any(set(group) & set(_ATTENTION) for group in run)
    listed = [g for g in _SPECIFICATION if g in run or (run and (named or g == (ALL_LINEAR,)))]
    return listed + [group for group in run if group not in listed]


def _not_compared(adapters: Sequence[AdapterSettings], entries: Sequence[PivotEntry]) -> tuple[
    Statement, ...
]:  # fmt: skip
    if not adapters:
        return ()
    plain = [entry for entry in entries if entry.kind == "LoRA"]
    lines = [*_one_value(adapters), _holes(plain), _confounded(plain), _variants(adapters)]
    return tuple(line for line in lines if line != NOTHING)


def _one_value(adapters: Sequence[AdapterSettings]) -> list[Statement]:
    ranks = sorted({a.r for a in adapters})
    groups = list(dict.fromkeys(targets_text(_ordered(a.target_modules)) for a in adapters))
    lines = []
    if len(ranks) == 1:
        lines.append(
            Statement(f"ranks (only {ranks[0]} was run)", f"ランク({ranks[0]}のみを測定)")
        )  # fmt: skip
    if len(groups) == 1:
        lines.append(
            Statement(
                f"target modules (only {groups[0]} was run)",
                f"対象モジュール({groups[0]}のみを測定)",
            )
        )
    return lines


def _holes(plain: Sequence[PivotEntry]) -> Statement:
    """How much of the grid was run at all."""
    run = sum(entry.status != NOT_RUN for entry in plain)
    if run == len(plain):
        return NOTHING
    return Statement(
        f"{len(plain) - run} of {len(plain)} combinations of rank and target modules",
        f"ランクと対象モジュールの組み合わせ{len(plain)}通りのうち{len(plain) - run}通り",
    )


def _confounded(plain: Sequence[PivotEntry]) -> Statement:
    """Target groups whose effect cannot be told from that of the rank they were run at."""
    rows: dict[str, list[str]] = {}
    for entry in plain:
        if entry.status != NOT_RUN:
            rows.setdefault(entry.targets, []).append(entry.row)
    shared = {row for own in rows.values() for row in own if _times(row, rows) > 1}
    alone = [t for t, own in rows.items() if len(rows) > 1 and not set(own) & shared]
    if not alone:
        return NOTHING
    ranks = listing([f"{t}: {', '.join(rows[t])}" for t in alone])
    return Statement(
        f"target modules at one rank for {ranks.en} (no other group was run at that rank)",
        f"同じランクでの対象モジュールの差({ranks.ja}では、他の対象は未測定)",
    )


def _times(row: str, rows: dict[str, list[str]]) -> int:
    return sum(row in own for own in rows.values())


def _variants(adapters: Sequence[AdapterSettings]) -> Statement:
    missing = [
        name
        for name, run in (
            ("DoRA", any(a.use_dora for a in adapters)),
            ("rsLoRA", any(a.use_rslora for a in adapters)),
        )
        if not run
    ]
    if not missing:
        return NOTHING
    return Statement(" and ".join(missing), "と".join(missing))


def _loss(candidate: Candidate) -> float:
    return candidate.mean_loss if candidate.mean_loss is not None else float("inf")
