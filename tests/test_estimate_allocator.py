"""The caching allocator: every rule by hand, and random streams against a slow, plain model."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest

from lora_efficiency_benchmark.estimate.allocator import (
    EMPTY_CACHE,
    RESERVE_SEGMENT,
    RESET_PEAKS,
    AllocatorSettings,
    CachingAllocator,
    OutOfMemory,
    Replay,
    Segment,
    replay,
    rounded_bytes,
    segment_bytes,
)

MIB = 1024**2


def filled(*sizes: int, capacity: int | None = None) -> CachingAllocator:
    """An allocator with blocks 0, 1, ... of these sizes."""
    allocator = CachingAllocator(AllocatorSettings(capacity))
    for block_id, nbytes in enumerate(sizes):
        allocator.allocate(block_id, nbytes)
    return allocator


def layout(allocator: CachingAllocator) -> list[list[int]]:
    """Segments as lists of block sizes; a free block is negative."""
    return [
        [size if allocated else -size for size, allocated in segment.blocks]
        for segment in allocator.segments()
    ]


# Sizes


@pytest.mark.parametrize(
    ("nbytes", "expected"),
    [(1, 512), (511, 512), (512, 512), (513, 1024), (1024, 1024), (MIB, MIB), (MIB + 1, MIB + 512)],
)
def test_requests_round_up_to_512_bytes(nbytes: int, expected: int) -> None:
    assert rounded_bytes(nbytes) == expected
    assert filled(nbytes).allocated_bytes == expected


@pytest.mark.parametrize(
    ("nbytes", "expected"),
    [
        (512, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 512, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),
        (10 * MIB + 512, 12 * MIB),
        (12 * MIB, 12 * MIB),
        (1000 * MIB + 512, 1002 * MIB),
    ],
)
def test_segments_come_in_fixed_sizes(nbytes: int, expected: int) -> None:
    assert segment_bytes(nbytes) == expected
    assert filled(nbytes).reserved_bytes == expected


def test_zero_bytes_take_nothing() -> None:
    allocator = filled(0)
    assert (allocator.allocated_bytes, allocator.reserved_bytes) == (0, 0)
    allocator.free(0)
    assert allocator.segments() == []


def test_the_pool_is_chosen_by_the_rounded_size() -> None:
    assert layout(filled(MIB - 1)) == [[MIB, -MIB]], "rounds to 1 MiB: small"
    assert layout(filled(MIB + 1)) == [[MIB + 512, -(19 * MIB - 512)]], "large"


def test_pools_do_not_share_segments() -> None:
    allocator = filled(4 * MIB)  # leaves 16 MiB free in the large pool
    allocator.allocate(1, 512)
    assert layout(allocator) == [[4 * MIB, -16 * MIB], [512, -(2 * MIB - 512)]]
    allocator.free(1)
    allocator.allocate(2, 17 * MIB)
    assert allocator.reserved_bytes == (20 + 2 + 18) * MIB


# Splitting


def test_the_small_pool_splits_down_to_512_bytes() -> None:
    allocator = filled(MIB, MIB - 512)
    assert layout(allocator) == [[MIB, MIB - 512, -512]]
    allocator.allocate(2, 1)
    assert layout(allocator) == [[MIB, MIB - 512, 512]]
    assert (allocator.allocated_bytes, allocator.reserved_bytes) == (2 * MIB, 2 * MIB)


@pytest.mark.parametrize(
    ("nbytes", "allocated"),
    [
        (11 * MIB, 12 * MIB),  # exactly 1 MiB would be left: handed out whole
        (11 * MIB + 512, 12 * MIB),
        (11 * MIB - 512, 11 * MIB - 512),  # more than 1 MiB is left: cut
    ],
)
def test_the_large_pool_splits_only_if_more_than_1_mib_is_left(nbytes: int, allocated: int) -> None:
    allocator = filled(12 * MIB)
    allocator.free(0)
    allocator.allocate(1, nbytes)
    assert allocator.allocated_bytes == allocated
    assert allocator.reserved_bytes == 12 * MIB
    allocator.free(1)
    assert allocator.allocated_bytes == 0
    assert layout(allocator) == [[-12 * MIB]]


def test_a_new_segment_is_split_too() -> None:
    assert layout(filled(10 * MIB + 512)) == [[10 * MIB + 512, -(2 * MIB - 512)]]
    assert layout(filled(13 * MIB)) == [[14 * MIB]], "1 MiB would be left"
    assert filled(13 * MIB).peak_allocated_bytes == 14 * MIB


def test_requests_below_10_mib_share_20_mib_segments() -> None:
    assert layout(filled(9 * MIB, 9 * MIB)) == [[9 * MIB, 9 * MIB, -2 * MIB]]
    allocator = filled(6 * MIB, 6 * MIB, 6 * MIB, 6 * MIB)
    assert layout(allocator) == [[6 * MIB, 6 * MIB, 6 * MIB, -2 * MIB], [6 * MIB, -14 * MIB]]
    whole = filled(9 * MIB, 9 * MIB, MIB + 512)
    assert layout(whole) == [[9 * MIB, 9 * MIB, 2 * MIB]], "the rest is handed out whole"
    assert filled(19 * MIB // 2, 19 * MIB // 2).allocated_bytes == 20 * MIB


# Best fit


def test_the_smallest_block_that_fits_is_taken() -> None:
    allocator = filled(40 * MIB, 20 * MIB, 30 * MIB)
    for block_id in range(3):
        allocator.free(block_id)
    allocator.allocate(3, 18 * MIB)
    assert layout(allocator) == [[-40 * MIB], [18 * MIB, -2 * MIB], [-30 * MIB]]
    allocator.allocate(4, 20 * MIB)
    assert layout(allocator)[2] == [20 * MIB, -10 * MIB]
    allocator.allocate(5, 10 * MIB)
    assert layout(allocator)[2] == [20 * MIB, 10 * MIB]
    assert allocator.reserved_bytes == 90 * MIB


def test_of_equal_blocks_the_lowest_address_is_taken() -> None:
    allocator = filled(20 * MIB, 20 * MIB, 20 * MIB)
    for block_id in (2, 1, 0):
        allocator.free(block_id)
    allocator.allocate(3, 20 * MIB)
    assert layout(allocator) == [[20 * MIB], [-20 * MIB], [-20 * MIB]]


# Merging


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2)])
def test_free_neighbours_merge(order: tuple[int, ...]) -> None:
    allocator = filled(5 * MIB, 5 * MIB, 5 * MIB)
    for block_id in order:
        allocator.free(block_id)
    assert layout(allocator) == [[-20 * MIB]]


def test_merging_with_one_side_or_both() -> None:
    allocator = filled(4 * MIB, 4 * MIB, 4 * MIB, 4 * MIB, 4 * MIB)
    allocator.free(1)
    assert layout(allocator) == [[4 * MIB, -4 * MIB, 4 * MIB, 4 * MIB, 4 * MIB]]
    allocator.free(2)  # with the one before
    assert layout(allocator) == [[4 * MIB, -8 * MIB, 4 * MIB, 4 * MIB]]
    allocator.free(0)  # with the one after
    assert layout(allocator) == [[-12 * MIB, 4 * MIB, 4 * MIB]]
    allocator.free(4)
    allocator.free(3)  # with both
    assert layout(allocator) == [[-20 * MIB]]


def test_segments_do_not_merge() -> None:
    allocator = filled(20 * MIB, 20 * MIB)
    allocator.free(0)
    allocator.free(1)
    allocator.allocate(2, 40 * MIB)
    assert layout(allocator) == [[-20 * MIB], [-20 * MIB], [40 * MIB]]


# Reserved and allocated


def test_fragmentation_reserves_more_than_is_allocated() -> None:
    """Gaps of 10 MiB: 30 MiB are free and a request for 12 MiB still needs a new segment."""
    allocator = CachingAllocator()
    allocator.reserve_segment(60 * MIB)
    for block_id in range(6):
        allocator.allocate(block_id, 10 * MIB)
    for block_id in (0, 2, 4):
        allocator.free(block_id)
    allocator.allocate(6, 12 * MIB)
    assert layout(allocator)[0] == [-10 * MIB, 10 * MIB, -10 * MIB, 10 * MIB, -10 * MIB, 10 * MIB]
    assert allocator.allocated_bytes == 42 * MIB
    assert allocator.reserved_bytes == 72 * MIB


def test_peaks_stay_and_can_be_reset() -> None:
    allocator = filled(20 * MIB, 30 * MIB)
    allocator.free(1)
    allocator.empty_cache()
    assert (allocator.allocated_bytes, allocator.reserved_bytes) == (20 * MIB, 20 * MIB)
    assert (allocator.peak_allocated_bytes, allocator.peak_reserved_bytes) == (50 * MIB, 50 * MIB)
    allocator.reset_peaks()
    assert (allocator.peak_allocated_bytes, allocator.peak_reserved_bytes) == (20 * MIB, 20 * MIB)


def test_empty_cache_releases_whole_free_segments_only() -> None:
    allocator = filled(20 * MIB, 12 * MIB, 4 * MIB, 5 * MIB, 1000)
    for block_id in (0, 2, 4):
        allocator.free(block_id)
    allocator.empty_cache()
    assert layout(allocator) == [[12 * MIB], [-4 * MIB, 5 * MIB, -11 * MIB]]
    assert allocator.reserved_bytes == 32 * MIB
    allocator.allocate(5, 4 * MIB)
    assert layout(allocator)[1] == [4 * MIB, 5 * MIB, -11 * MIB], "the gap is still usable"


def test_a_reserved_segment_is_filled_by_later_requests() -> None:
    allocator = CachingAllocator()
    allocator.reserve_segment(101 * MIB)
    assert allocator.allocated_bytes == 0
    assert allocator.peak_allocated_bytes == 102 * MIB, "it was allocated, unsplit, for a moment"
    assert allocator.reserved_bytes == 102 * MIB
    for block_id in range(10):
        allocator.allocate(block_id, 10 * MIB)
    assert layout(allocator) == [[*[10 * MIB] * 10, -2 * MIB]]
    allocator.allocate(10, 512)
    assert allocator.reserved_bytes == 104 * MIB, "small requests cannot use it"
    allocator.reserve_segment(0)
    allocator.reserve_segment(2 * MIB)
    assert allocator.reserved_bytes == 104 * MIB, "what is cached already serves"


# Capacity


def test_a_full_device_gives_back_what_is_cached_first() -> None:
    allocator = filled(20 * MIB, 30 * MIB, 4 * MIB, 1000, capacity=72 * MIB)
    assert allocator.reserved_bytes == 72 * MIB, "exactly full fits"
    for block_id in (0, 3):
        allocator.free(block_id)
    allocator.allocate(4, 22 * MIB)
    assert layout(allocator) == [[30 * MIB], [4 * MIB, -16 * MIB], [22 * MIB]]
    assert allocator.reserved_bytes == 72 * MIB
    assert allocator.peak_reserved_bytes == 72 * MIB


def test_nothing_is_given_back_while_a_segment_fits() -> None:
    allocator = filled(20 * MIB, 30 * MIB, capacity=72 * MIB)
    allocator.free(0)
    allocator.allocate(2, 22 * MIB)
    assert layout(allocator) == [[-20 * MIB], [30 * MIB], [22 * MIB]]


def test_out_of_memory() -> None:
    allocator = filled(20 * MIB, 30 * MIB, 4 * MIB, capacity=72 * MIB)
    allocator.free(0)
    with pytest.raises(OutOfMemory, match="24 MiB does not fit: 50 of 72 MiB") as caught:
        allocator.allocate(3, 24 * MIB)
    assert isinstance(caught.value, MemoryError)
    assert caught.value.segment_bytes == 24 * MIB
    assert caught.value.capacity_bytes == 72 * MIB
    assert caught.value.reserved_bytes == allocator.reserved_bytes == 50 * MIB, "it was released"
    assert allocator.allocated_bytes == 34 * MIB
    allocator.allocate(3, 22 * MIB)
    assert allocator.reserved_bytes == 72 * MIB


def test_split_segments_cannot_be_given_back() -> None:
    allocator = filled(19 * MIB, 2 * MIB, 2 * MIB, capacity=40 * MIB)
    allocator.free(1)
    with pytest.raises(OutOfMemory):
        allocator.allocate(3, 20 * MIB)


# Streams


def test_replay_reports_peaks_and_ends() -> None:
    events = [(0, 1000), (1, 30 * MIB), (2, 0), (1, -30 * MIB), (EMPTY_CACHE, 0), (3, 100)]
    assert replay(events) == Replay(
        peak_allocated_bytes=30 * MIB + 1024,
        peak_reserved_bytes=32 * MIB,
        end_allocated_bytes=1024 + 512,
        end_reserved_bytes=2 * MIB,
    )
    assert replay([]) == Replay(0, 0, 0, 0)


def test_replay_markers() -> None:
    events = [(RESERVE_SEGMENT, 100 * MIB), (RESET_PEAKS, 0), (0, 10 * MIB), (1, 20 * MIB)]
    assert replay(events) == Replay(30 * MIB, 100 * MIB, 30 * MIB, 100 * MIB)
    with pytest.raises(ValueError, match="-1 is neither"):
        replay([(-1, 0)])


def test_replay_goes_on_with_an_allocator() -> None:
    allocator = filled(20 * MIB)
    assert replay([(0, -20 * MIB), (1, 12 * MIB)], allocator=allocator).end_reserved_bytes == (
        20 * MIB
    )
    assert layout(allocator) == [[12 * MIB, -8 * MIB]]
    with pytest.raises(ValueError, match="its own settings"):
        replay([], AllocatorSettings(), allocator=allocator)


def test_replay_within_a_capacity() -> None:
    events = [(0, 20 * MIB), (0, -20 * MIB), (1, 30 * MIB)]
    assert replay(events).peak_reserved_bytes == 50 * MIB
    assert replay(events, AllocatorSettings(40 * MIB)).peak_reserved_bytes == 30 * MIB
    with pytest.raises(OutOfMemory):
        replay(events, AllocatorSettings(29 * MIB))


def test_numpy_integers_are_sizes_too() -> None:
    events = [(0, 20 * MIB), (1, 30 * MIB), (0, -20 * MIB), (2, 18 * MIB), (3, 1000)]
    allocator = CachingAllocator()
    for block_id, nbytes in zip(*np.array(events, dtype=np.int64).T, strict=True):
        replay([(block_id, nbytes)], allocator=allocator)
    expected = replay(events)
    assert allocator.peak_reserved_bytes == expected.peak_reserved_bytes == 52 * MIB
    assert type(allocator.allocated_bytes) is int


def test_impossible_streams_are_refused() -> None:
    allocator = filled(512)
    with pytest.raises(ValueError, match="block 0 is allocated already"):
        allocator.allocate(0, 512)
    with pytest.raises(ValueError, match="block 7 is not allocated"):
        allocator.free(7)
    with pytest.raises(ValueError, match="cannot allocate -5 bytes"):
        allocator.allocate(1, -5)
    allocator.free(0)
    allocator.allocate(0, 512)  # an id may come back


# Random streams


class PlainAllocator:
    """The same rules with lists and linear searches: blocks are [bytes, id or None]."""

    def __init__(self) -> None:
        self.segments: list[tuple[bool, list[list[int | None]]]] = []  # small pool?, blocks
        self.peak_allocated = self.peak_reserved = 0

    def total(self, allocated_only: bool) -> int:
        blocks = (block for _, blocks in self.segments for block in blocks)
        return sum(size or 0 for size, owner in blocks if owner is not None or not allocated_only)

    def allocate(self, block_id: int, nbytes: int) -> None:
        size = (nbytes + 511) // 512 * 512
        small = size <= MIB
        fits = [
            (blocks[k][0], index, k)
            for index, (pool, blocks) in enumerate(self.segments)
            for k in range(len(blocks))
            if pool == small and blocks[k][1] is None and (blocks[k][0] or 0) >= size
        ]
        if not fits:
            new = 2 * MIB if small else 20 * MIB
            if size >= 10 * MIB:
                new = (size + 2 * MIB - 1) // (2 * MIB) * 2 * MIB
            self.segments.append((small, [[new, None]]))
            fits = [(new, len(self.segments) - 1, 0)]
        found, index, k = min(fits)
        rest = (found or 0) - size
        if rest >= 512 if small else rest > MIB:
            self.segments[index][1][k : k + 1] = [[size, block_id], [rest, None]]
        else:
            self.segments[index][1][k][1] = block_id
        self.peak_allocated = max(self.peak_allocated, self.total(allocated_only=True))
        self.peak_reserved = max(self.peak_reserved, self.total(allocated_only=False))

    def free(self, block_id: int) -> None:
        for _, blocks in self.segments:
            for block in blocks:
                if block[1] == block_id:
                    block[1] = None
            merged: list[list[int | None]] = []
            for size, owner in blocks:
                if merged and owner is None and merged[-1][1] is None:
                    merged[-1][0] = (merged[-1][0] or 0) + (size or 0)
                else:
                    merged.append([size, owner])
            blocks[:] = merged

    def empty_cache(self) -> None:
        self.segments = [s for s in self.segments if len(s[1]) > 1 or s[1][0][1] is not None]


def random_events(seed: int, length: int, most_alive: int) -> list[tuple[int, int]]:
    chance = random.Random(seed)
    few = [int(2 ** chance.uniform(8, 26)) for _ in range(12)]  # sizes come back, as in training
    alive: list[tuple[int, int]] = []
    events: list[tuple[int, int]] = []
    for block_id in range(length):
        if chance.random() < 0.01:
            events.append((EMPTY_CACHE, 0))
        elif alive and (len(alive) >= most_alive or chance.random() < 0.47):
            freed, nbytes = alive.pop(chance.randrange(len(alive)))
            events.append((freed, -nbytes))
        else:
            anything = int(2 ** chance.uniform(0, 26))
            alive.append((block_id, chance.choice(few) if chance.random() < 0.7 else anything))
            events.append(alive[-1])
    return events


def prefixes(events: Sequence[tuple[int, int]]) -> Iterator[CachingAllocator]:
    """The allocator after every event."""
    allocator = CachingAllocator()
    for event in events:
        replay([event], allocator=allocator)
        yield allocator


@pytest.mark.parametrize("seed", range(4))
def test_random_streams_keep_the_invariants(seed: int) -> None:
    events = random_events(seed, length=500, most_alive=60)
    alive: dict[int, int] = {}
    for (block_id, nbytes), allocator in zip(events, prefixes(events), strict=True):
        if nbytes > 0:
            alive[block_id] = nbytes
        else:
            alive.pop(block_id, None)
        segments = allocator.segments()
        assert all(sum(size for size, _ in s.blocks) == s.nbytes for s in segments)
        assert sum(s.nbytes for s in segments) == allocator.reserved_bytes
        handed_out = [size for s in segments for size, allocated in s.blocks if allocated]
        assert sum(handed_out) == allocator.allocated_bytes
        assert len(handed_out) == len(alive)
        assert sum(map(rounded_bytes, alive.values())) <= allocator.allocated_bytes
        assert allocator.allocated_bytes <= allocator.reserved_bytes
        assert allocator.peak_allocated_bytes >= allocator.allocated_bytes
        assert allocator.peak_reserved_bytes >= allocator.reserved_bytes
        assert not any(two_free_neighbours(s) for s in segments), "they merge"
    for block_id in alive:
        allocator.free(block_id)
    assert allocator.allocated_bytes == 0
    assert all(len(s.blocks) == 1 for s in allocator.segments())
    allocator.empty_cache()
    assert allocator.reserved_bytes == 0
    assert allocator.segments() == []


def two_free_neighbours(segment: Segment) -> bool:
    states = [allocated for _, allocated in segment.blocks]
    return any(not a and not b for a, b in pairwise(states))


@pytest.mark.parametrize("seed", range(10, 16))
def test_random_streams_agree_with_the_plain_model(seed: int) -> None:
    events = random_events(seed, length=400, most_alive=50)
    plain = PlainAllocator()
    for (block_id, nbytes), allocator in zip(events, prefixes(events), strict=True):
        if block_id == EMPTY_CACHE:
            plain.empty_cache()
        elif nbytes > 0:
            plain.allocate(block_id, nbytes)
        else:
            plain.free(block_id)
        expected = [
            [size if owner is not None else -(size or 0) for size, owner in blocks]
            for _, blocks in plain.segments
        ]
        assert layout(allocator) == expected
    assert replay(events) == Replay(
        plain.peak_allocated,
        plain.peak_reserved,
        plain.total(allocated_only=True),
        plain.total(allocated_only=False),
    )
