"""The largest batch, length and rank that a GPU holds, each varied alone (row 4).

A recording of the step (``recording``) replayed through the allocator finds the value; the step
traced at exactly that value has the last word, so that ``estimate`` says the same of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TypedDict

from ..errors import ModelError
from ..units import MIB
from .predict import CONTEXT_BYTES, Estimate, Predictor
from .recording import Point, Recording
from .stream import Stream

SHORTEST = 16  # tokens; a batch of shorter texts is not looked for
MOST_TEXTS = 65_536
HIGHEST_RANK = 4096
LONGEST = 131_072  # where a model names no longest length
_CLOSE = 16 * MIB  # of the limit: here the recording is not exact enough (lengths are rounded)
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

    def batch(self) -> int | None:
        """The largest batch; a batch of one text is traced by itself."""
        length, rank = self.predictor.options.seq_len, self.predictor.rank
        found = self._largest((2, MOST_TEXTS), lambda n: (n, length, rank), self._asked(2))
        if found is None and self._needed((1, length, rank)) <= self.limit:
            return 1
        return found

    def length(self) -> int | None:
        """The greatest length, on either side of a sliding window."""
        batch, rank = self.predictor.options.batch_size, self.predictor.rank
        for lowest, highest in self._sides():
            asked = lowest <= self.predictor.options.seq_len <= highest
            recording = self._asked(batch) if asked else self._recording(lowest, batch)
            found = self._largest((lowest, highest), lambda n: (batch, n, rank), recording)
            if found is not None:
                return found
        return None

    def rank(self) -> int | None:
        """The highest rank of a LoRA adapter."""
        options, asked = self.predictor.options, self.predictor.rank
        if self.predictor.method.adapter is None:
            return None
        hidden = getattr(self.predictor.config, "hidden_size", HIGHEST_RANK)
        ends = (1, max(asked, min(hidden, HIGHEST_RANK)))
        batch, length = options.batch_size, options.seq_len
        return self._largest(ends, lambda n: (batch, length, n), self._asked(batch))

    # ---- inside ---------------------------------------------------------------------------------

    def _asked(self, batch_size: int) -> Recording | None:
        return self._many if batch_size > 1 else self._one

    @cached_property
    def _many(self) -> Recording | None:
        return self._recording(self.predictor.options.seq_len, 2)

    @cached_property
    def _one(self) -> Recording | None:
        return self._recording(self.predictor.options.seq_len, 1)

    def _recording(self, seq_len: int, batch_size: int) -> Recording | None:
        """The step as polynomials; None where it is none, and every value has to be traced."""
        try:
            if batch_size > 1:
                return self.predictor.recording(seq_len)
            return self.predictor.recording(seq_len, (1, 1, 1))
        except ModelError:
            return None

    def _sides(self) -> list[tuple[int, int]]:
        """Ranges of lengths that take one path each, the longer ones first."""
        longest = getattr(self.predictor.config, "max_position_embeddings", None)
        highest = longest if isinstance(longest, int) else LONGEST
        window = self.predictor.window()
        if window is None or not SHORTEST < window <= highest:
            return [(SHORTEST, highest)]
        return [(window, highest), (SHORTEST, window - 1)]

    def _largest(
        self, ends: tuple[int, int], at: Callable[[int], Point], recording: Recording | None
    ) -> int | None:
        """The value that fits while the next does not; None where the lowest does not fit."""
        if recording is None:
            return self._exactly(ends, ends[0], lambda n: self._needed(at(n)))

        @cache
        def recorded(value: int) -> int:
            return self._recorded(recording, at(value))

        def needed(value: int) -> int:
            quick = recorded(value)
            return self._needed(at(value)) if abs(quick - self.limit) < _CLOSE else quick

        def allocated(value: int) -> int:
            return int(recording.allocated_peaks([at(value)])[0])

        if allocated(ends[0]) > self.limit:
            return None
        return self._exactly(ends, self._guess(ends, recorded, allocated), needed)

    def _guess(
        self, ends: tuple[int, int], needed: Callable[[int], int], allocated: Callable[[int], int]
    ) -> int:
        """About the largest value: allocated bytes, which are quick, times what that ratio was."""
        below, above, ratio = ends[0], ends[1] + 1, _FIRST_RATIO
        for _ in range(_GUESSES):
            guess = _last(below, above, lambda n, by=ratio: allocated(n) * by <= self.limit)  # type: ignore[misc]
            known = needed(guess)
            ratio = known / allocated(guess)
            if known <= self.limit:
                below = guess
            else:
                above = guess
            if above - below <= 1:
                break
        return below

    def _exactly(
        self, ends: tuple[int, int], start: int, needed: Callable[[int], int]
    ) -> int | None:
        """From ``start`` in growing steps to both sides of the limit, then halving."""
        fits, fails, step, value = ends[0] - 1, ends[1] + 1, 1, start
        while fails - fits > 1:
            if needed(value) <= self.limit:
                fits, value = value, value + step
            else:
                fails, value = value, value - step
            step *= 2
            if not fits < value < fails:
                value = (fits + fails) // 2
        return fits if fits >= ends[0] else None

    def _recorded(self, recording: Recording, point: Point) -> int:
        """What the device must have, from polynomials: exact but for the rounding of lengths."""
        batch, length, rank = point
        half = self.predictor.shorter_length(length)
        shorter = None if half is None else recording.at(batch, half, rank)
        return self._device_bytes(recording.at(*point), shorter)

    def _needed(self, point: Point) -> int:
        """The same from traces at exactly this point, as ``estimate`` has it."""
        batch, length, rank = point
        half = self.predictor.shorter_length(length)
        shorter = None if half is None else self.predictor.stream(batch, half, rank)
        return self._device_bytes(self.predictor.stream(*point), shorter)

    def _device_bytes(self, stream: Stream, shorter: Stream | None) -> int:
        if self.predictor.options.device != "cuda":
            return self.predictor.peak_of(stream).allocated_bytes
        return self.predictor.reserved_range(stream, shorter)[1] + CONTEXT_BYTES


def _last(below: int, above: int, holds: Callable[[int], bool]) -> int:
    """The last value in ``[below, above)`` for which ``holds``, which it stops doing once."""
    while above - below > 1:
        middle = (below + above) // 2
        if holds(middle):
            below = middle
        else:
            above = middle
    return below
