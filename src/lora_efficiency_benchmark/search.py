"""Learning rates by equal search (row 3): which trials come next, and which rate won. Pure.

Every arm gets the same number of short trials, so no arm is favoured by more care. The state of a
search is its records: replaying them gives the next trials, so a search goes on where it stopped.
"""

from __future__ import annotations

import math
from bisect import bisect, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .config.adapters import AdapterSettings
from .config.benchmark_config import LoRABenchmarkConfig
from .config.checks import Search
from .config.stored import load_stored_config
from .errors import DivergedCell, StoreError
from .plan import Cell, arms_of, expand, trial_cell
from .records.results import OK, CellRecord
from .records.store import Store

Losses = dict[float, float]  # learning rate -> validation loss, infinite where training diverged


def next_trials(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> list[Cell]:
    """The trials to run now, at most one an arm; none when the search is over.

    After the search, trials at one shared rate show what the specification's form of the
    comparison would have found; they decide nothing. The full fine-tuning of a cross-model
    comparison has a search of its own.
    """
    return [cell for side in _sides(config) for cell in _next_trials(side, records)]


def _sides(config: LoRABenchmarkConfig) -> list[LoRABenchmarkConfig]:
    reference = config.reference
    return [config] if reference is None else [config, reference]


def _next_trials(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> list[Cell]:
    if config.searched is None:
        return []
    known = trial_losses(config, records)
    steps = {arm: search_path(known[_label(arm)], config.searched, arm) for arm in arms_of(config)}
    wanted = {arm: rate for arm, (_, rate) in steps.items() if rate is not None}
    if not wanted:
        shared = shared_rate(config, records)
        wanted = {arm: shared for arm in steps if shared not in known[_label(arm)]}
    return [trial_cell(config, arm, rate) for arm, rate in wanted.items()]


def found_rates(
    config: LoRABenchmarkConfig, records: Sequence[CellRecord]
) -> dict[str, float] | None:
    """The rate of every arm by label; None before the search is over, or where there is none.

    An arm none of whose trials ended with a loss gets the middle of its grid.
    """
    if config.searched is None or _next_trials(config, records):
        return None
    known = trial_losses(config, records)
    return {
        _label(arm): _winner(known[_label(arm)], config.searched, arm) for arm in arms_of(config)
    }


def shared_rate(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> float:
    """The configured ``learning_rate``, else the one that full fine-tuning found."""
    assert config.searched is not None
    if config.learning_rate is not None:
        return config.learning_rate
    return _winner(trial_losses(config, records)["full"], config.searched, None)


def search_path(
    losses: Mapping[float, float], search: Search, arm: AdapterSettings | None
) -> tuple[list[float], float | None]:
    """``(rates tried in order, the next rate)``; no next one when the budget is spent."""
    waiting = _first_rates(search, arm)
    tried: list[float] = []
    while len(tried) < search.trials:
        rate = waiting[len(tried)] if len(tried) < len(waiting) else _beside(losses, tried, search)
        if rate in tried:  # three digits tell no more rates apart: the search has closed in
            break
        if rate not in losses:
            return tried, rate
        tried.append(rate)
    return tried, None


def trial_losses(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> dict[str, Losses]:
    """Validation loss of every trial of this configuration, by label and rate."""
    found: dict[str, Losses] = {_label(arm): {} for arm in arms_of(config)}
    for record in trials_of(config, records):
        assert record.cell.learning_rate is not None
        loss = (record.validation or {}).get("loss") if record.status == OK else math.inf
        found[record.cell.label][record.cell.learning_rate] = _number(loss)
    return found


def trials_of(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> list[CellRecord]:
    """The records of this configuration's search."""
    if config.searched is None:
        return []
    arms = {_label(arm): arm for arm in arms_of(config)}
    found = []
    for record in records:
        cell = record.cell
        if cell.kind == "trial" and cell.learning_rate is not None and cell.label in arms:
            expected = trial_cell(config, arms[cell.label], cell.learning_rate)
            found += [record] if expected.id == record.cell_id else []
    return found


def is_conclusive(record: CellRecord) -> bool:
    """True where running it again would say nothing new: it ended, or its rate is too high."""
    return record.status != "failed" or (record.error or {}).get("kind") == DivergedCell.kind


def planned_ids(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> set[str]:
    """Ids of the cells that belong to a configuration, given what its search has found so far."""
    ids: set[str] = set()
    for side in _sides(config):
        ids |= {cell.id for cell in expand(side, found_rates(side, records))}
        ids |= {record.cell_id for record in trials_of(side, records)}
    return ids


def folder_records(
    path: str | Path, tell: Callable[[str, str], None]
) -> tuple[list[CellRecord], LoRABenchmarkConfig | None]:
    """The records of an output folder; where it holds a config.yaml, those that belong to it.

    ``tell(english, japanese)`` hears what of that file is not accepted any more. Raises StoreError
    where there are none, ConfigError on a config.yaml that is none.
    """
    store = Store(path)
    records = store.load_records()
    if not records:
        raise StoreError(
            f"{path}: holds no records; run the benchmark first",
            f"{path}: 記録がありません。先にベンチマークを実行してください",
        )
    asked = store.path / "config.yaml"
    if not asked.is_file():
        return records, None
    config = load_stored_config(asked, tell)
    return planned_records(config, records), config


def planned_records(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> list[CellRecord]:
    """The records that belong to a configuration; a folder may hold those of an older one."""
    planned = planned_ids(config, records)
    return [record for record in records if record.cell_id in planned]


def remaining_cells(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> list[Cell]:
    """Cells without a result, in order; before a search is over, with the rates expected.

    Trials at the shared rate are among them; see ``uncertain_trials``.
    """
    return [cell for side in _sides(config) for cell in _remaining_cells(side, records)]


def unfinished_cells(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> int:
    """How many planned cells have no record yet, at most; a failed one has."""
    recorded = {record.cell_id for record in records}
    left = remaining_cells(config, records)
    return sum(cell.kind == "trial" or cell.id not in recorded for cell in left)


def _remaining_cells(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> list[Cell]:
    finished = {record.cell_id for record in records if record.status != "failed"}
    rates = found_rates(config, records)
    others = [c for c in expand(config, rates) if c.kind != "trial" and c.id not in finished]
    first = next((i for i, cell in enumerate(others) if cell.kind == "train"), len(others))
    if config.searched is not None and rates is None:
        others[first:first] = _search_trials(config, records)
    return others


def _search_trials(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> list[Cell]:
    """Trials to come: those of the search with the rates expected, then those at the shared one."""
    search = config.searched
    assert search is not None
    known = trial_losses(config, records)
    done = dict.fromkeys(known, search.trials)
    for arm in arms_of(config):
        tried, following = search_path(known[_label(arm)], search, arm)
        if following is not None:
            done[_label(arm)] = len(tried)
    expected = [
        trial_cell(config, arm, search.centres[_kind(arm)])
        for round_ in range(search.trials)
        for arm in arms_of(config)
        if round_ >= done[_label(arm)]
    ]
    return expected + [cell for cell, _ in _shared_trials(config, records)]


def uncertain_trials(config: LoRABenchmarkConfig, records: Sequence[CellRecord]) -> int:
    """How many of ``remaining_cells`` may fall away, because a search tries that rate itself."""
    sides = (side for side in _sides(config) if side.searched is not None)
    shared = (entry for side in sides for entry in _shared_trials(side, records))
    return sum(not certain for _, certain in shared)


def _shared_trials(
    config: LoRABenchmarkConfig, records: Sequence[CellRecord]
) -> Iterator[tuple[Cell, bool]]:
    """Trials at the shared rate to come, and whether each is certain whatever the search finds."""
    search = config.searched
    assert search is not None
    known = trial_losses(config, records)
    if config.learning_rate is None and search_path(known["full"], search, None)[1] is not None:
        for arm in config.adapters:  # full fine-tuning will have tried it, whichever it is
            yield trial_cell(config, arm, search.centres["full"]), False
        return
    shared = shared_rate(config, records)
    for each in arms_of(config):
        tried, following = search_path(known[_label(each)], search, each)
        rates = {*tried, *(_first_rates(search, each) if following is not None else ())}
        if shared not in rates and shared not in known[_label(each)]:
            trials = search.trials - len(rates) if following is not None else 0
            yield trial_cell(config, each, shared), not _within_reach(shared, rates, trials, search)


def _within_reach(rate: float, tried: set[float], trials: int, search: Search) -> bool:
    """True where so many more trials may come to ``rate``: if each went as near as it can."""
    grid = sorted(tried)
    for _ in range(trials):
        place = bisect(grid, rate)
        if place == 0:
            nearer = grid[0] / search.factor
        elif place == len(grid):
            nearer = grid[-1] * search.factor
        else:
            nearer = math.sqrt(grid[place - 1] * grid[place])
        if _rounded(nearer) == rate:
            return True
        insort(grid, _rounded(nearer))
    return False


def _first_rates(search: Search, arm: AdapterSettings | None) -> list[float]:
    centre = search.centres[_kind(arm)]
    return [_rounded(rate) for rate in (centre / search.factor, centre, centre * search.factor)]


def _beside(losses: Mapping[float, float], tried: Sequence[float], search: Search) -> float:
    """One step beyond the best rate at an edge, else halfway (in ratio) to its better neighbour."""
    grid = sorted(tried)
    best = min(grid, key=lambda rate: losses[rate])
    place = grid.index(best)
    if place == 0:
        return _rounded(best / search.factor)
    if place == len(grid) - 1:
        return _rounded(best * search.factor)
    neighbour = min((grid[place - 1], grid[place + 1]), key=lambda rate: losses[rate])
    return _rounded(math.sqrt(best * neighbour))


def _winner(losses: Mapping[float, float], search: Search, arm: AdapterSettings | None) -> float:
    tried, _ = search_path(losses, search, arm)
    finite = [rate for rate in tried if math.isfinite(losses[rate])]
    return min(finite, key=lambda rate: losses[rate]) if finite else search.centres[_kind(arm)]


def _number(value: object) -> float:
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else math.inf  # type: ignore[arg-type]


def _rounded(rate: float) -> float:
    """Three digits: the same rate on every machine, and readable."""
    return float(f"{rate:.3g}")


def _kind(arm: AdapterSettings | None) -> str:
    return "full" if arm is None else "lora"


def _label(arm: AdapterSettings | None) -> str:
    return "full" if arm is None else arm.label
