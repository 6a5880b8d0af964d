"""The values a comparison of runs consists of (row 5)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ...records.results import encode_non_finite

SCHEMA = "lora-bench/compare/1"
YES, STATED, NO = "yes", "stated", "no"
"""May a quantity of two runs be compared: as it is; with what differs or is unknown named; no."""


@dataclass(frozen=True)
class RunFacts:
    """One run, as it stands alone."""

    name: str  # the folder as it was given
    model: str
    device: str | None
    dataset_sizes: tuple[int, ...]
    num_seeds: int
    imported: str | None  # layout of the foreign results, None for our own
    joint: str  # the run's own joint verdict
    sentence: dict[str, str]
    unfinished: int | None  # planned cells without a record; None where the plan is not known


@dataclass(frozen=True)
class DifferingFact:
    """One thing that is not the same in all runs."""

    kind: str  # environment | settings | claims
    name: str  # dotted, such as packages.torch
    values: tuple[Any, ...]  # one a run; None where no record says


@dataclass(frozen=True)
class Permission:
    """Whether one quantity of a run may be compared with the first run's."""

    quantity: str
    run: int  # place of the run, from 0; the other side is run 0
    comparable: str  # yes | stated | no
    because: tuple[str, ...]  # names of what differs, or is not stated
    unknown: tuple[str, ...] = ()  # those of them that a run does not state


@dataclass(frozen=True)
class RunValue:
    """One quantity of one configuration in one run."""

    value: float | None
    ci95: tuple[float, float] | None  # None for exact quantities and single seeds
    num_seeds: int
    verification: str | None = None  # the run's own verdict, where the quantity is a claim's
    bound: str | None = None  # "lower" | "upper": an arm ran out of memory
    cells: tuple[str, ...] = ()
    reason: str = ""  # why there is no value
    reason_ja: str = ""


@dataclass(frozen=True)
class RunDifference:
    """A run's value minus the first run's."""

    run: int
    comparable: str  # yes | stated | no
    because: tuple[str, ...]
    difference: float | None  # None where not comparable, or a side has no value
    interval: tuple[float, float] | None  # over the seeds that both have; None for exact ones
    level: float | None  # confidence of the interval, corrected for the number of comparisons
    num_seeds: int  # common ones
    shown: bool  # exact and not zero, or an interval that leaves zero out
    seeds_needed: int | None = None  # that would show a difference like this, where nothing does
    reason: str = ""  # why two values give no difference, or fewer seeds than they have
    reason_ja: str = ""


@dataclass(frozen=True)
class ComparedQuantity:
    """One quantity of one configuration in all runs."""

    name: str  # a claim's id, or one of RAW
    metric: str  # how the value is written
    rule: str  # one of permissions.QUANTITIES: what it may be compared by
    claim: bool
    exact: bool  # a count or a peak: no interval, judged by value
    values: tuple[RunValue, ...]  # one a run
    differences: tuple[RunDifference, ...]  # of every run but the first
    text: dict[str, str]  # {"en", "ja"}


@dataclass(frozen=True)
class ComparedConfiguration:
    """One arm at one data size that at least two runs have, the first among them."""

    configuration: str  # full, or the adapter's label
    dataset_size: int
    runs: tuple[bool, ...]  # which runs have it
    quantities: tuple[ComparedQuantity, ...]
    sentence: dict[str, str]


@dataclass(frozen=True)
class UnsharedConfiguration:
    """An arm that the first run, or every other one, lacks."""

    configuration: str
    dataset_size: int
    adapter: dict[str, Any] | None
    runs: tuple[bool, ...]


@dataclass(frozen=True)
class RunsComparison:
    """Two or more runs side by side. No figure in it is a mean over runs."""

    runs: tuple[RunFacts, ...]
    differences: tuple[DifferingFact, ...]
    not_stated: tuple[str, ...]  # what no run states and a comparison would need
    permissions: tuple[Permission, ...]
    configurations: tuple[ComparedConfiguration, ...]
    unshared: tuple[UnsharedConfiguration, ...]
    sentence: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The document of ``compare --json``: schema first; non-finite numbers as in records."""
        body: dict[str, Any] = encode_non_finite(dataclasses.asdict(self))
        return {"schema": SCHEMA, **body}
