"""A few decoder layers stand for many (row 4 by place; pure numpy).

Decoder layers repeat, so what the third of five layers allocates is what each layer in the middle
of thirty-two allocates. Wherever a traced stream crosses the third layer, upwards (forward pass,
optimizer) or downwards (backward), the events of the crossing are repeated for every layer in the
middle. Blocks are renamed, so that a release in the copy of a layer releases the block of that
copy, or of its neighbour.

The two first and the two last layers keep their own events, because they touch what lies outside.
What does not have this shape raises NotPeriodic, and the caller traces all layers instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .stream import OUTSIDE, STEP_END, Ints, Stream

TRACED = 5
_MIDDLE = 2


class NotPeriodic(Exception):
    """The stream is not made of equal layers."""


@dataclass(frozen=True)
class _Piece:
    """Consecutive events: once (``crossing`` 0), or for each middle layer (+1 up, -1 down)."""

    start: int
    end: int
    crossing: int
    above: bool  # the last layer entered lies beyond the middle


def repeat_layers(stream: Stream, count: int) -> Stream:
    """The stream of ``count`` layers from one of ``TRACED``. Raises NotPeriodic."""
    if count < TRACED:
        raise NotPeriodic(f"{count} layers are fewer than {TRACED}")
    stream = _tidied(stream)
    names = _Names(stream, count)
    keys: list[Ints] = []
    index: list[Ints] = []
    for piece in _pieces(stream.layers):
        events = np.arange(piece.start, piece.end)
        middle = range(_MIDDLE, count - _MIDDLE)
        if piece.crossing:
            order = middle if piece.crossing > 0 else reversed(middle)
            copies = [names.shifted(events, layer - _MIDDLE) for layer in order]
        else:
            copies = [names.fixed(events, piece.above)]
        keys += copies
        index += [events] * len(copies)
    return _renumbered(stream, np.concatenate(keys), np.concatenate(index))


def _tidied(stream: Stream) -> Stream:
    """Releases in a row that hop between layers, sorted by layer.

    Autocast drops its cached casts in the order of a hash table; in which order is of no effect.
    """
    order = np.arange(len(stream))
    edges = np.flatnonzero(np.diff(stream.signs)) + 1
    for start, end in zip([0, *edges.tolist()], [*edges.tolist(), len(stream)], strict=True):
        steps = np.diff(stream.layers[start:end])
        if stream.signs[start] < 0 and np.any(steps > 0) and np.any(steps < 0):
            by_layer = np.argsort(stream.layers[start:end], kind="stable")
            order[start:end] = start + by_layer
    return stream.reordered(order)


def _pieces(layers: Ints) -> list[_Piece]:
    """Cut the events at every crossing of the middle layer."""
    edges = np.flatnonzero(np.diff(layers)) + 1
    starts = [0, *edges.tolist()]
    pieces: list[_Piece] = []
    above, done, entered = False, 0, -1
    for start, layer in zip(starts, layers[starts].tolist(), strict=True):
        if layer == OUTSIDE:
            continue
        if layer == _MIDDLE:
            entered = start if entered < 0 else entered
            continue
        arrived = layer > _MIDDLE
        if arrived != above:
            if entered >= 0:
                pieces.append(_Piece(done, entered, 0, above))
                pieces.append(_Piece(entered, start, 1 if arrived else -1, above))
            else:  # a jump past the middle, from the last layer to the first
                pieces.append(_Piece(done, start, 0, above))
            done, above = start, arrived
            entered = -1
        elif abs(layer - _MIDDLE) > 1:
            entered = -1  # back where it came from: a look behind, not a crossing
    pieces.append(_Piece(done, len(layers), 0, above))
    return [piece for piece in pieces if piece.end > piece.start]


class _Names:
    """Names blocks by the layer they were made in and their number within it."""

    def __init__(self, stream: Stream, count: int) -> None:
        self._beyond = count - TRACED
        born = stream.signs > 0
        self._blocks = stream.blocks
        self._home = np.full(len(stream.sizes), OUTSIDE, dtype=np.int64)
        self._home[stream.blocks[born]] = stream.layers[born]
        self._ordinal = np.zeros(len(stream.sizes), dtype=np.int64)
        counts = {}
        for layer in (OUTSIDE, *range(TRACED)):
            mine = np.flatnonzero(self._home == layer)
            self._ordinal[mine] = np.arange(len(mine))
            counts[layer] = len(mine)
        sizes = [stream.sizes[self._home == layer] for layer in (1, 2, 3)]
        if not all(np.array_equal(sizes[0], other) for other in sizes[1:]):
            raise NotPeriodic("the layers in the middle differ")
        self._stride = max(counts.values()) + 1

    def fixed(self, events: Ints, above: bool) -> Ints:
        """Names in events that happen once; beyond the middle, its last layer is the near one."""
        homes = self._home_of(events)
        far = homes >= (1 if above else _MIDDLE + 2)
        return self._keys(events, homes + far * self._beyond)

    def shifted(self, events: Ints, distance: int) -> Ints:
        """Names in the copy of a crossing for the layer ``distance`` after the traced one."""
        homes = self._home_of(events)
        if np.any((homes == 0) | (homes == TRACED - 1)):
            raise NotPeriodic("a layer in the middle touches one that is not its neighbour")
        return self._keys(events, homes + (homes != OUTSIDE) * distance)

    def _home_of(self, events: Ints) -> Ints:
        blocks = self._blocks[events]
        return np.where(blocks == STEP_END, OUTSIDE, self._home[blocks])

    def _keys(self, events: Ints, layers: Ints) -> Ints:
        blocks = self._blocks[events]
        return np.where(blocks == STEP_END, -1, (layers + 1) * self._stride + self._ordinal[blocks])


def _renumbered(stream: Stream, keys: Ints, index: Ints) -> Stream:
    """Blocks numbered by first use, with the sizes of the traced blocks they copy."""
    real = keys >= 0
    _, first, number = np.unique(keys[real], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    blocks = np.full(len(keys), STEP_END, dtype=np.int64)
    blocks[real] = rank[number]
    signs = stream.signs[index]
    for sign in (1, -1):
        if np.bincount(blocks[real & (signs == sign)], minlength=1).max(initial=0) > 1:
            raise NotPeriodic("a layer releases what is not its own or its neighbour's")
    source = stream.blocks[index][real][np.sort(first)]
    return Stream(
        blocks=blocks,
        signs=signs,
        phases=stream.phases[index],
        layers=stream.layers[index],
        sizes=stream.sizes[source],
        categories=stream.categories[source],
    )
