"""How far one recording of a step reaches, and the points it is made at (row 4).

A batch of one text has no mask, attention that slides takes another path from its window on, and an
8-bit optimizer keeps small tensors in fp32. Each side of such a border is recorded by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from ..optimizers import BLOCK, PAGED_FROM, SMALL_BELOW
from .reduction import Domain

STEP = 128  # tokens: recordings are exact at multiples of it
_RANKS = (8, 12, 20)  # that no polynomial confuses; small, so that they trace fast
_MANY, _ONE = (3, 5, 4), (1, 1, 1)
_HIGHEST_RECORDED = 512


@dataclass(frozen=True)
class Piece:
    """One recording: where it is used, and the arguments it is made with."""

    domain: Domain
    seq_len: int
    batches: tuple[int, int, int]
    ranks: tuple[int, int, int]


def pieces(
    max_batch: int,
    max_length: int,
    window: int | None,
    groups: Iterable[tuple[tuple[int, ...], tuple[int, int, int]]],
) -> list[Piece]:
    """Every recording that the sliders need, batches of several texts first.

    ``groups`` are ranks that one recording serves, and the ranks it is made at.
    """
    batches = [((2, max_batch), _MANY)] if max_batch > 1 else []
    return [
        Piece(Domain(texts, lengths, STEP, ranks), lengths[0], recorded, made_at)
        for texts, recorded in [*batches, ((1, 1), _ONE)]
        for lengths in _sides(max_length, window)
        for ranks, made_at in groups
    ]


def rank_groups(
    optimizer: str, unit_sizes: Iterable[int], ranks: Iterable[int]
) -> list[tuple[tuple[int, ...], tuple[int, int, int]]]:
    """Ranks that one recording serves, each with the three ranks to record at.

    ``unit_sizes`` are the elements of the adapter's tensors at rank 1; empty where the method has
    no rank. Where an 8-bit optimizer treats tensors by size, ranks are grouped by what is small.
    """
    units = sorted(set(unit_sizes))
    limits = [SMALL_BELOW] if optimizer.endswith("8bit") else []
    limits += [PAGED_FROM] if optimizer.startswith("paged") else []

    def kind(rank: int) -> tuple[bool, ...]:
        return tuple(rank * unit < limit for limit in limits for unit in units)

    if not limits or not units:
        return [(tuple(ranks), _RANKS if units else _ONE)]
    found: list[tuple[tuple[int, ...], tuple[int, int, int]]] = []
    whole = max(4, BLOCK // math.gcd(BLOCK, *units))  # ranks at which no block is left half full
    for key, group in groupby(sorted(ranks), kind):
        alike = [n for n in range(whole, _HIGHEST_RECORDED + 1, whole) if kind(n) == key]
        found += list(_recorded(tuple(group), alike))
    return found


def _recorded(
    group: tuple[int, ...], alike: list[int]
) -> Iterator[tuple[tuple[int, ...], tuple[int, int, int]]]:
    """A group with three ranks of its kind to record at, or each of its ranks by itself."""
    if set(_RANKS) <= set(alike):
        yield group, _RANKS
    elif len(alike) >= 4:
        yield group, (alike[0], alike[1], alike[3])
    else:
        yield from (((rank,), (rank, rank, rank)) for rank in group)


def _sides(max_length: int, window: int | None) -> list[tuple[int, int]]:
    """Ranges of lengths, in steps of ``STEP``, that take one path each."""
    if window is None or not STEP < window <= max_length:
        return [(STEP, max_length)]
    first = -(-window // STEP) * STEP
    sides = [(STEP, first - STEP), (first, max_length)]
    return [side for side in sides if side[0] <= side[1]]
