"""Allocation histories: many steps on batches of different lengths, for the allocator replay.

What an allocator reserves depends on what it served before. A history starts with loading the
weights, runs the recorded first step on one length and the recorded steady step on any others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .allocator import EMPTY_CACHE, RESERVE_SEGMENT
from .stream import STEP_END, Ints, Stream

Events = list[tuple[int, int]]


@dataclass(frozen=True)
class _Parts:
    """A stream of two steps, cut into what happens once and what happens in every further step."""

    first: slice  # events of loading and of the first step
    steady: slice  # events of the second step
    weights: int  # initial blocks
    inherited: list[int]  # blocks of the first step that the second releases
    heirs: list[int | None]  # block of the second step that a third would release in its place


def history(
    streams: Sequence[Stream], workspaces: Sequence[int], empty_cache_every: int | None = None
) -> Events:
    """Events for ``allocator.replay``: one step per stream, all of one structure.

    The weights are loaded as transformers does: one segment is reserved for all of them, then
    filled. ``workspaces`` are bytes that libraries keep for themselves, allocated once.
    """
    first = streams[0]
    parts = _cut(first)
    loaded = first.sizes[: parts.weights]
    events: Events = [(RESERVE_SEGMENT, int(loaded.sum()))]
    events += [(block, int(nbytes)) for block, nbytes in enumerate(loaded)]
    top = len(first.sizes)
    events += [(top + i, nbytes) for i, nbytes in enumerate(workspaces)]
    top += len(workspaces)
    events += _events(first, slice(parts.weights, parts.first.stop), {})
    renamed: dict[int, int] = {}
    for number, stream in enumerate(streams[1:], start=1):
        if empty_cache_every and number % empty_cache_every == 0:
            events.append((EMPTY_CACHE, 0))
        names = dict(zip(parts.inherited, _left_behind(parts, renamed), strict=True))
        born = _born(stream, parts.steady)
        renamed = {int(block): top + i for i, block in enumerate(born)}
        top += len(born)
        events += _events(stream, parts.steady, {**names, **renamed})
    return events


def _left_behind(parts: _Parts, renamed: dict[int, int]) -> list[int | None]:
    """Names of what the step before left for this one to release; None where nothing was."""
    if not renamed:
        return list(parts.inherited)
    return [None if heir is None else renamed[heir] for heir in parts.heirs]


def _events(stream: Stream, part: slice, names: Mapping[int, int | None]) -> Events:
    blocks, signs = stream.blocks[part], stream.signs[part]
    deltas = signs * stream.sizes[blocks]
    named = (
        (names.get(block, block), delta)
        for block, delta in zip(blocks.tolist(), deltas.tolist(), strict=True)
        if block != STEP_END
    )
    return [(name, delta) for name, delta in named if name is not None]


def _born(stream: Stream, part: slice) -> Ints:
    return stream.blocks[part][stream.signs[part] > 0]


def _cut(stream: Stream) -> _Parts:
    ends = np.flatnonzero(stream.blocks == STEP_END)
    first, steady = slice(0, int(ends[0]) + 1), slice(int(ends[0]) + 1, int(ends[1]) + 1)
    released = stream.blocks[steady][stream.signs[steady] < 0]
    born = _born(stream, steady)
    inherited = np.setdiff1d(released, born).tolist()
    left = np.setdiff1d(born, released).tolist()
    return _Parts(first, steady, _initial(stream), inherited, _heirs(stream, inherited, left))


def _heirs(stream: Stream, inherited: list[int], left: list[int]) -> list[int | None]:
    """For each block, the first of equal size that nothing has been given to yet."""
    waiting: dict[int, list[int]] = {}
    for block in reversed(left):
        waiting.setdefault(int(stream.sizes[block]), []).append(block)
    queues = (waiting.get(int(stream.sizes[block])) for block in inherited)
    return [queue.pop() if queue else None for queue in queues]


def _initial(stream: Stream) -> int:
    """Blocks that exist before the first step: the leading run of weights and adapter."""
    kinds = stream.categories[stream.blocks[: len(stream.sizes)]]
    other = np.flatnonzero(kinds > 1)
    return int(other[0]) if len(other) else len(kinds)
