"""A recorded step reduced to the moments that can be its peak (row 4; numpy only, no torch).

Memory after each event is a sum of block sizes, each a polynomial in batch, length and rank,
rounded up to the allocator's 512 bytes. Of tens of thousands of such moments a handful is ever the
highest: only they are kept, as counts of live blocks by size and category. What is left out of the
sums is nothing, so a reduced step gives the bytes of the whole one wherever a kept moment is the
highest; ``shortfall`` measures that on points that had no part in choosing them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...measure.allocations import CATEGORIES
from ..recording import Point, Recording, terms_of
from ..stream import STEP_END, Ints

ALIGNMENT = 512  # bytes, what the CUDA allocator rounds to
_ROUND = 200  # points looked at together
_MOST_ROUNDS = 20

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Domain:
    """Where a reduced step is used: batches and lengths between ends, and a list of ranks."""

    batches: tuple[int, int]
    lengths: tuple[int, int]
    length_step: int
    ranks: tuple[int, ...]

    def __contains__(self, point: Point) -> bool:
        batch, length, rank = point
        inside = self.batches[0] <= batch <= self.batches[1]
        return inside and self.lengths[0] <= length <= self.lengths[1] and rank in self.ranks

    def lattice(self) -> list[Point]:
        """Points from end to end, growing by about a half, at every rank."""
        batches, lengths = _growing(*self.batches, 1), _growing(*self.lengths, self.length_step)
        return [(b, s, r) for b in batches for s in lengths for r in self.ranks]

    def sample(self, count: int, draw: np.random.Generator) -> list[Point]:
        """Random points, batches and lengths drawn evenly by their logarithm."""
        few, many = np.log(self.batches)
        short, long = np.log(self.lengths)
        batches = np.exp(draw.uniform(few, many, count)).round().astype(int)
        lengths = np.exp(draw.uniform(short, long, count))
        steps = np.maximum(lengths // self.length_step, 1).astype(int) * self.length_step
        steps = np.clip(steps, *self.lengths)
        ranks = draw.choice(self.ranks, count)
        return list(zip(batches.tolist(), steps.tolist(), ranks.tolist(), strict=True))


@dataclass(frozen=True)
class Reduced:
    """The moments of one step that can be its peak."""

    domain: Domain
    coefficients: Floats  # [columns, terms] bytes of one block, before rounding
    categories: Ints  # [columns] index into CATEGORIES
    counts: Ints  # [moments, columns] blocks alive
    base: Ints  # [moments, CATEGORIES] bytes that never change, rounded
    phases: Ints  # [moments] index into PHASES
    shortfall: float  # largest share of a peak that was missing on fresh points; 0 if none was

    def peaks(self, points: Sequence[Point]) -> Ints:
        """Peak allocated bytes at each ``(B, S, r)``, without library workspaces."""
        highest: Ints = _levels(self.counts, self.base, self._sizes(points)).max(axis=0)
        return highest

    def breakdown(self, point: Point) -> dict[str, int]:
        """Bytes by category at the peak; adds up to it."""
        sizes = self._sizes([point])
        at = int(_levels(self.counts, self.base, sizes)[:, 0].argmax())
        found = self.base[at].copy()
        np.add.at(found, self.categories, self.counts[at] * sizes[:, 0])
        return dict(zip(CATEGORIES, found.tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the page: a column is its category and ``[term, coefficient, ...]``."""
        terms = [
            [value for i in np.flatnonzero(row) for value in (int(i), _plain(row[i]))]
            for row in self.coefficients
        ]
        pairs = zip(self.categories.tolist(), terms, strict=True)
        return {
            "batches": list(self.domain.batches),
            "lengths": list(self.domain.lengths),
            "ranks": list(self.domain.ranks),
            "columns": [[category, *row] for category, row in pairs],
            "base": self.base.tolist(),
            "counts": self.counts.tolist(),
            "phases": self.phases.tolist(),
        }

    def _sizes(self, points: Sequence[Point]) -> Ints:
        return _rounded(self.coefficients, points)


def reduce_recording(recording: Recording, domain: Domain, seed: int = 0) -> Reduced:
    """The moments of a recording that are its peak somewhere in a domain.

    Chosen on points from end to end and on rounds of random ones, until two rounds in a row find
    no other moment.
    """
    whole = _moments(recording, domain)
    draw = np.random.default_rng(seed)
    kept = _highest(whole, domain.lattice())
    quiet = 0
    for _ in range(_MOST_ROUNDS):
        found = _highest(whole, domain.sample(_ROUND, draw)) - kept
        kept |= found
        quiet = 0 if found else quiet + 1
        if quiet == 2:
            break
    fresh = domain.sample(_ROUND, draw)
    reduced = _only(whole, sorted(kept), shortfall=0.0)
    peaks, least = whole.peaks(fresh), reduced.peaks(fresh)
    return _only(whole, sorted(kept), shortfall=float(((peaks - least) / peaks).max()))


def _moments(recording: Recording, domain: Domain) -> Reduced:
    """Every moment after which memory falls, in the order of events, equal ones once."""
    stream = recording.structure
    real = stream.blocks != STEP_END
    blocks, signs, phases = stream.blocks[real], stream.signs[real], stream.phases[real]
    columns, column = np.unique(
        np.stack([recording.kind, stream.categories]), axis=1, return_inverse=True
    )
    change = np.zeros((len(blocks), columns.shape[1]), dtype=np.int32)
    change[np.arange(len(blocks)), column.reshape(-1)[blocks]] = signs
    falls = (signs > 0) & np.append(signs[1:] < 0, True)
    alive = np.cumsum(change, axis=0)[falls].astype(np.int64)
    _, first = np.unique(alive, axis=0, return_index=True)
    first.sort()
    coefficients = recording.coefficients[columns[0]]
    fixed = ~coefficients[:, 1:].any(axis=1)  # the first term is the constant one
    alive, categories = alive[first], columns[1]
    base = np.zeros((len(first), len(CATEGORIES)), dtype=np.int64)
    sizes = _rounded(coefficients[fixed], [(1, 1, 1)])[:, 0]
    for category, size, count in zip(categories[fixed], sizes, alive[:, fixed].T, strict=True):
        base[:, category] += size * count
    return Reduced(
        domain, coefficients[~fixed], categories[~fixed], alive[:, ~fixed], base,
        phases[falls][first], 0.0,
    )  # fmt: skip


def _highest(whole: Reduced, points: Sequence[Point]) -> set[int]:
    """The first highest moment of each point."""
    found: set[int] = set()
    for start in range(0, len(points), _ROUND):
        sizes = _rounded(whole.coefficients, points[start : start + _ROUND])
        found |= set(_levels(whole.counts, whole.base, sizes).argmax(axis=0).tolist())
    return found


def _only(whole: Reduced, moments: list[int], shortfall: float) -> Reduced:
    """Some of the moments, and the columns that they use."""
    counts = whole.counts[moments]
    used = counts.any(axis=0)
    return Reduced(
        whole.domain, whole.coefficients[used], whole.categories[used], counts[:, used],
        whole.base[moments], whole.phases[moments], shortfall,
    )  # fmt: skip


def _levels(counts: Ints, base: Ints, sizes: Ints) -> Ints:
    """[moments, points] bytes; floats hold every whole number of this size exactly."""
    moving = counts.astype(np.float64) @ sizes.astype(np.float64)
    levels: Ints = np.rint(moving).astype(np.int64) + base.sum(axis=1)[:, None]
    return levels


def _rounded(coefficients: Floats, points: Sequence[Point]) -> Ints:
    """[columns, points] bytes of one block, as the allocator hands it out."""
    sizes = np.rint(coefficients @ np.stack([terms_of(point) for point in points], axis=1))
    return -(-sizes.astype(np.int64) // ALIGNMENT) * ALIGNMENT


def _growing(low: int, high: int, step: int) -> list[int]:
    values = [low]
    while values[-1] < high:
        grown = max(values[-1] + step, values[-1] * 3 // 2 // step * step)
        values.append(min(grown, high))
    return values


def _plain(value: float) -> int | float:
    return int(value) if value == int(value) else float(value)
