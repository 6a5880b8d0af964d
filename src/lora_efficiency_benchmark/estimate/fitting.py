"""The largest batch, length and rank that a GPU holds, each varied alone (row 4).

A recording of the step (``recording``) replayed through the allocator finds the value; traces at
exactly that value and at the next one have the last word, so that ``estimate`` says the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TypedDict

from ..errors import ModelError
from .predict import CONTEXT_BYTES, Estimate, Predictor
from .recording import Point, Recording
from .stream import Stream

SHORTEST = 16  # tokens; a batch of shorter texts is not looked for
MOST_TEXTS = 65_536
HIGHEST_RANK = 4096
LONGEST = 131_072  # where a model names no longest length
_FIRST_RATIO = 1.03  # reserved to allocated
_GUESSES = 4


class Largest(TypedDict):
    """Each with the two others as asked; None where not even the smallest value fits."""

    batch_size: int | None
    seq_len: int | None
    rank: int | None  # None as well where the method has no rank


def needed_bytes(found: Estimate) -> int:
    """What the device must have for an estimated step: the worst reserved peak and the context."""
    if found.peak_reserved_range_bytes is None:
        return found.peak_allocated_bytes
    return found.peak_reserved_range_bytes[1] + found.context_bytes


def largest_that_fits(predictor: Predictor, limit_bytes: int) -> Largest | None:
    """The largest of each dimension that fits into ``limit_bytes``; None where none does.

    A value is one that fits while the next one does not. Memory may dip again further up, where
    blocks happen to fit gaps better; such islands are not looked for.
    """
    search = _Search(predictor, limit_bytes)
    found = Largest(batch_size=search.batch(), seq_len=search.length(), rank=search.rank())
    return found if any(found.values()) else None


@dataclass
class _Search:
    """One model, method and limit."""

    predictor: Predictor
    limit: int
    _recordings: dict[tuple[bool, bool, bool], Recording | None] = field(default_factory=dict)
    _traced: dict[Point, bool] = field(default_factory=dict)

    def batch(self) -> int | None:
        """The largest batch; a batch of one text is traced by itself."""
        asked, length, rank = self._asked
        if asked == 1 and not self._fits(self._asked):
            return None
        found = self._largest((2, MOST_TEXTS), asked, lambda n: (n, length, rank))
        if found is None and self._fits((1, length, rank)):
            return 1
        return found

    def length(self) -> int | None:
        """The greatest length, on either side of a sliding window."""
        batch, asked, rank = self._asked
        for ends in self._sides():
            if asked < ends[0] and not self._fits(self._asked):
                continue
            found = self._largest(ends, asked, lambda n: (batch, n, rank))
            if found is not None:
                return found
        return None

    def rank(self) -> int | None:
        """The highest rank of a LoRA adapter."""
        batch, length, asked = self._asked
        if self.predictor.method.adapter is None:
            return None
        hidden = getattr(self.predictor.config, "hidden_size", HIGHEST_RANK)
        ends = (1, max(asked, min(hidden, HIGHEST_RANK)))
        return self._largest(ends, asked, lambda n: (batch, length, n))

    # ---- the search -----------------------------------------------------------------------------

    @property
    def _asked(self) -> Point:
        options = self.predictor.options
        return options.batch_size, options.seq_len, self.predictor.rank

    def _sides(self) -> list[tuple[int, int]]:
        """Ranges of lengths that take one path each, the longer ones first."""
        longest = getattr(self.predictor.config, "max_position_embeddings", None)
        highest = longest if isinstance(longest, int) else LONGEST
        window = self.predictor.window()
        if window is None or not SHORTEST < window <= highest:
            return [(SHORTEST, highest)]
        return [(window, highest), (SHORTEST, window - 1)]

    def _largest(self, ends: tuple[int, int], asked: int, at: Callable[[int], Point]) -> int | None:
        """The value that fits while the next does not; None where the lowest does not fit."""
        lowest, below, above = at(ends[0]), ends[0] - 1, ends[1] + 1
        if below < asked < above:  # what was asked for is known already
            below, above = (asked, above) if self._fits(self._asked) else (below, asked)
        recorded = (*self._kind(lowest), True) in self._recordings
        if above == asked and not recorded and not self._fits(lowest):
            return None  # and nothing had to be recorded to know it
        start = self._recorded_largest(below, above, at)
        found = _walk(below, above, start, lambda n: self._fits(at(n)))
        return found if found >= ends[0] else None

    def _recorded_largest(self, below: int, above: int, at: Callable[[int], Point]) -> int:
        """About the largest value between the two, by the recording where there is one."""
        if above - below <= 1:
            return below
        recording = self._recording(at(below + 1))
        if recording is None:
            return self._extrapolated_largest(below, above, at)

        @cache
        def needed(value: int) -> int:
            return self._recorded(at(value))

        def allocated(value: int) -> int:
            return int(recording.allocated_peaks([at(value)])[0])

        guess, ratio = below, _FIRST_RATIO
        for _ in range(_GUESSES):  # allocated bytes, which are quick, times what that ratio was
            if above - below <= 1:
                break
            guess = _last(below, above, lambda n, by=ratio: allocated(n) * by <= self.limit)  # type: ignore[misc]
            guess = max(guess, below + 1)
            ratio = needed(guess) / allocated(guess)
            if needed(guess) <= self.limit:
                below = guess
            else:
                above = guess
        return _walk(below, above, guess, lambda n: needed(n) <= self.limit)

    def _extrapolated_largest(self, below: int, above: int, at: Callable[[int], Point]) -> int:
        """About the largest value, from a few traces: memory is nearly linear in what varies."""
        first = max(below, 1)
        second = min(2 * first, above - 1)
        for _ in range(_GUESSES):
            low, high = self._needed(at(first)), self._needed(at(second))
            if second == first or high == low:
                break
            guess = first + (self.limit - low) * (second - first) // (high - low)
            guess = min(max(guess, below + 1), above - 1)
            first, second = second, guess
        return second

    # ---- one point ------------------------------------------------------------------------------

    def _fits(self, point: Point) -> bool:
        """Whether a step fits, from traces at exactly this point, as ``estimate`` has it."""
        if point not in self._traced:
            stream, shorter = self.predictor.stream(*point), self._shorter(point)
            fits = self._device_bytes(stream, None) <= self.limit
            if fits and shorter is not None:
                fits = self._device_bytes(stream, self.predictor.stream(*shorter)) <= self.limit
            self._traced[point] = fits
        return self._traced[point]

    def _needed(self, point: Point) -> int:
        """What the device must have, from traces."""
        shorter = self._shorter(point)
        half = None if shorter is None else self.predictor.stream(*shorter)
        return self._device_bytes(self.predictor.stream(*point), half)

    def _recorded(self, point: Point) -> int:
        """What the device must have, from polynomials: exact but for the rounding of lengths."""
        shorter = self._shorter(point)
        half = None if shorter is None else self._replayed(shorter)
        return self._device_bytes(self._replayed(point), half)

    def _replayed(self, point: Point) -> Stream:
        recording = self._recording(point)
        return self.predictor.stream(*point) if recording is None else recording.at(*point)

    def _recording(self, point: Point) -> Recording | None:
        """The step as polynomials, on this side of a window; None where it is none.

        Optimizers keep small tensors in another way, so a step may be none in the rank, and still
        be one at the rank asked for.
        """
        recording = self._recorded_kind(*self._kind(point), any_rank=True)
        if recording is None and point[2] == self._asked[2]:
            recording = self._recorded_kind(*self._kind(point), any_rank=False)
        return recording

    def _recorded_kind(self, many: bool, long: bool, any_rank: bool) -> Recording | None:
        kind = (many, long, any_rank)
        if kind not in self._recordings:
            _, asked, rank = self._asked
            other = (self.predictor.window() or SHORTEST) if long else SHORTEST
            length = asked if self._slides(asked) == long else other
            batches = (3, 5, 4) if many else (1, 1, 1)
            ranks = (8, 12, 20) if any_rank else (rank, rank, rank)
            try:
                self._recordings[kind] = self.predictor.recording(length, batches, ranks)
            except ModelError:
                self._recordings[kind] = None
        return self._recordings[kind]

    def _kind(self, point: Point) -> tuple[bool, bool]:
        """Steps of one kind take one path: several texts or one, on one side of a window."""
        return point[0] > 1, self._slides(point[1])

    def _slides(self, length: int) -> bool:
        """Whether attention slides at this length."""
        window = self.predictor.window()
        return window is not None and length >= window

    def _shorter(self, point: Point) -> Point | None:
        """The batch of half the length that may come before; a CPU keeps nothing of it."""
        batch, length, rank = point
        half = self.predictor.shorter_length(length)
        if half is None or self.predictor.options.device != "cuda":
            return None
        return batch, half, rank

    def _device_bytes(self, stream: Stream, shorter: Stream | None) -> int:
        if self.predictor.options.device != "cuda":
            return self.predictor.peak_of(stream).allocated_bytes
        return self.predictor.reserved_range(stream, shorter)[1] + CONTEXT_BYTES


def _walk(below: int, above: int, start: int, fits: Callable[[int], bool]) -> int:
    """The largest value between the two that fits while the next does not; ``below`` if none does.

    From ``start`` in growing steps to both sides of the limit, then halving.
    """
    step, value = 1, min(max(start, below + 1), above - 1)
    while above - below > 1:
        if not below < value < above:
            value = (below + above) // 2
        if fits(value):
            below, value = value, value + step
        else:
            above, value = value, value - step
        step *= 2
    return below


def _last(below: int, above: int, holds: Callable[[int], bool]) -> int:
    """The last value in ``[below, above)`` for which ``holds``, which it stops doing once."""
    while above - below > 1:
        middle = (below + above) // 2
        if holds(middle):
            below = middle
        else:
            above = middle
    return below
