"""What PyTorch's CUDA caching allocator would hold for a stream of allocations. Pure: no torch.

Why ``reserved`` is more than ``allocated``. Asking the driver for memory is slow and waits for the
device, so PyTorch asks rarely, for whole *segments*, cuts them into *blocks*, and keeps a block
that is freed for the next request instead of giving it back. Four things make the segments larger
than the tensors in them:

* rounding: a request becomes a multiple of 512 bytes, a segment one of 2 MiB (or 20 MiB at once);
* pools: requests up to 1 MiB and larger ones never share a segment;
* rests: a block is handed out whole when what would be left of it is too small to be useful;
* fragmentation: free blocks of one segment merge, free blocks of two segments never do, so
  a request larger than every single gap needs a new segment however large their sum is.

``allocated`` counts blocks handed out, at the size of the block: a tensor counts as its rounded
size, or as more when the block was not cut. ``reserved`` counts segments. It grows with the order
and the sizes of requests, not only with their sum, and therefore has to be replayed.

The rules are those of ``c10/cuda/CUDACachingAllocator.cpp`` in PyTorch 2.13 with its default
settings (``round_size``, ``get_allocation_size``, ``should_split``, ``BlockComparatorSize``,
``free_block``, ``release_blocks``; constants from ``c10/core/AllocatorConfig.h``): no expandable
segments, no limit on splitting, no rounding to powers of two, no garbage collection threshold.
With these defaults ``release_available_cached_blocks`` returns at once, so a failed ``cudaMalloc``
releases every cached segment that is whole and tries once more.

Simplifications: one stream and no graph capture, so a freed block is free at once; and addresses
of new segments only grow, where ``cudaMalloc`` may hand out a lower one. Addresses decide only
which of several free blocks of exactly the same size is taken.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

from ..units import MIB, to_mib

BLOCK_BYTES = 512  # kMinBlockSize: every block is a multiple of it
SMALL_BYTES = MIB  # kSmallSize: the largest request of the small pool
SMALL_SEGMENT_BYTES = 2 * MIB  # kSmallBuffer: every segment of the small pool
LARGE_SEGMENT_BYTES = 20 * MIB  # large_segment_size: segment for requests below OWN_SEGMENT_BYTES
OWN_SEGMENT_BYTES = 10 * MIB  # kMinLargeAlloc: from here on a segment of the request's own size
SEGMENT_ROUND_BYTES = 2 * MIB  # kRoundLarge: such a segment is a multiple of it

# Markers in a stream; far from -1, which other streams use for marks of their own.
EMPTY_CACHE = -101  # event (EMPTY_CACHE, 0): torch.cuda.empty_cache()
RESET_PEAKS = -102  # event (RESET_PEAKS, 0): torch.cuda.reset_peak_memory_stats()
RESERVE_SEGMENT = -103  # event (RESERVE_SEGMENT, nbytes): allocate that much and free it at once

_SIZE_SHIFT = 64  # (size, address) as one integer, which bisect compares fastest


class OutOfMemory(MemoryError):
    """A segment did not fit, even after everything cached was given back."""

    def __init__(self, segment_bytes: int, reserved_bytes: int, capacity_bytes: int) -> None:
        super().__init__(
            f"a segment of {to_mib(segment_bytes):.0f} MiB does not fit: "
            f"{to_mib(reserved_bytes):.0f} of {to_mib(capacity_bytes):.0f} MiB are reserved"
        )
        self.segment_bytes = segment_bytes
        self.reserved_bytes = reserved_bytes
        self.capacity_bytes = capacity_bytes


@dataclass(frozen=True)
class AllocatorSettings:
    """``capacity_bytes``: most bytes of segments there can be; None is no limit."""

    capacity_bytes: int | None = None


@dataclass(frozen=True)
class Segment:
    """One piece of driver memory; its ``blocks``, in order, are (bytes, is allocated)."""

    nbytes: int
    blocks: tuple[tuple[int, bool], ...]


@dataclass(frozen=True)
class Replay:
    """What ``torch.cuda`` would report after the stream: ``max_memory_*`` and ``memory_*``."""

    peak_allocated_bytes: int
    peak_reserved_bytes: int
    end_allocated_bytes: int
    end_reserved_bytes: int


class _Block:
    """A piece of a segment, linked to its neighbours in the same segment."""

    __slots__ = ("address", "after", "before", "free", "pool", "size")

    def __init__(self, address: int, size: int, pool: _Pool) -> None:
        self.address = address
        self.size = size
        self.pool = pool
        self.free = False
        self.before: _Block | None = None
        self.after: _Block | None = None


class _Pool:
    """The free blocks of one pool, ordered by (size, address)."""

    __slots__ = ("blocks", "keys", "smallest_rest")

    def __init__(self, smallest_rest: int) -> None:
        self.smallest_rest = smallest_rest  # a block is cut only if at least this much is left
        self.keys: list[int] = []
        self.blocks: dict[int, _Block] = {}

    def insert(self, block: _Block) -> None:
        key = block.size << _SIZE_SHIFT | block.address
        insort(self.keys, key)
        self.blocks[key] = block
        block.free = True

    def remove(self, block: _Block) -> None:
        key = block.size << _SIZE_SHIFT | block.address
        del self.keys[bisect_left(self.keys, key)]
        del self.blocks[key]
        block.free = False

    def take_best_fit(self, size: int) -> _Block | None:
        """The smallest free block of at least ``size``, the lowest address first; not free now."""
        index = bisect_left(self.keys, size << _SIZE_SHIFT)
        if index == len(self.keys):
            return None
        block = self.blocks.pop(self.keys.pop(index))
        block.free = False
        return block


class CachingAllocator:
    """The allocator of one device. Block ids are the caller's; an id may be used again once freed.

    Peaks start at zero and follow the current values, as ``torch.cuda`` keeps them.
    """

    def __init__(self, settings: AllocatorSettings | None = None) -> None:
        self.settings = settings or AllocatorSettings()
        self._small = _Pool(smallest_rest=BLOCK_BYTES)
        self._large = _Pool(smallest_rest=SMALL_BYTES + 1)
        self._live: dict[int, _Block | None] = {}  # None: no bytes, no block
        self._segments: dict[int, int] = {}  # address -> bytes
        self._next_address = 0
        self._allocated = self._reserved = self._peak_allocated = self._peak_reserved = 0

    @property
    def allocated_bytes(self) -> int:
        """Bytes of blocks that are handed out (``memory_allocated``)."""
        return self._allocated

    @property
    def reserved_bytes(self) -> int:
        """Bytes of segments held from the driver (``memory_reserved``)."""
        return self._reserved

    @property
    def peak_allocated_bytes(self) -> int:
        """Most allocated bytes since the last reset (``max_memory_allocated``)."""
        return self._peak_allocated

    @property
    def peak_reserved_bytes(self) -> int:
        """Most reserved bytes since the last reset (``max_memory_reserved``)."""
        return self._peak_reserved

    def allocate(self, block_id: int, nbytes: int) -> None:
        """Hand out ``nbytes``; raises OutOfMemory when a needed segment does not fit."""
        if block_id in self._live:
            raise ValueError(f"block {block_id} is allocated already")
        self._live[block_id] = self._take(nbytes) if nbytes else None

    def free(self, block_id: int) -> None:
        """Take a block back into the cache, merged with free neighbours."""
        try:
            block = self._live.pop(block_id)
        except KeyError:
            raise ValueError(f"block {block_id} is not allocated") from None
        if block is not None:
            self._give(block)

    def reserve_segment(self, nbytes: int) -> None:
        """Allocate ``nbytes`` and free them at once, so that later requests are cut from them.

        This is what ``caching_allocator_warmup`` of transformers does before it loads weights; as
        there, a cached block that is large enough is used, and the peak of allocated counts it.
        """
        if nbytes:
            self._give(self._take(nbytes))

    def empty_cache(self) -> None:
        """Give every segment without an allocated block back to the driver."""
        for pool in (self._large, self._small):
            for block in list(pool.blocks.values()):
                if block.before is None and block.after is None:
                    pool.remove(block)
                    del self._segments[block.address]
                    self._reserved -= block.size

    def reset_peaks(self) -> None:
        """Both peaks start again from the current values."""
        self._peak_allocated = self._allocated
        self._peak_reserved = self._reserved

    def segments(self) -> list[Segment]:
        """Every segment with its blocks, in the order they were made."""
        blocks = [block for block in self._live.values() if block is not None]
        for pool in (self._small, self._large):
            blocks.extend(pool.blocks.values())
        heads = {block.address: block for block in blocks if block.before is None}
        found = []
        for address, nbytes in self._segments.items():
            block: _Block | None = heads[address]
            parts = []
            while block is not None:
                parts.append((block.size, not block.free))
                block = block.after
            found.append(Segment(nbytes, tuple(parts)))
        return found

    def _take(self, nbytes: int) -> _Block:
        if nbytes < 0:
            raise ValueError(f"cannot allocate {nbytes} bytes")
        size = rounded_bytes(int(nbytes))  # a NumPy integer would overflow in a key
        pool = self._small if size <= SMALL_BYTES else self._large
        block = pool.take_best_fit(size) or self._new_segment(size, pool)
        left = block.size - size
        if left >= pool.smallest_rest:
            rest = _Block(block.address + size, left, pool)
            rest.before, rest.after = block, block.after
            if rest.after is not None:
                rest.after.before = rest
            block.after, block.size = rest, size
            pool.insert(rest)
        self._allocated += block.size
        if self._allocated > self._peak_allocated:
            self._peak_allocated = self._allocated
        return block

    def _give(self, block: _Block) -> None:
        pool = block.pool
        self._allocated -= block.size
        before, after = block.before, block.after
        if before is not None and before.free:
            pool.remove(before)
            block.address = before.address
            block.size += before.size
            block.before = before.before
            if block.before is not None:
                block.before.after = block
        if after is not None and after.free:
            pool.remove(after)
            block.size += after.size
            block.after = after.after
            if block.after is not None:
                block.after.before = block
        pool.insert(block)

    def _new_segment(self, size: int, pool: _Pool) -> _Block:
        nbytes = segment_bytes(size)
        capacity = self.settings.capacity_bytes
        if capacity is not None and self._reserved + nbytes > capacity:
            self.empty_cache()
            if self._reserved + nbytes > capacity:
                raise OutOfMemory(nbytes, self._reserved, capacity)
        block = _Block(self._next_address, nbytes, pool)
        self._segments[block.address] = nbytes
        self._next_address += nbytes
        self._reserved += nbytes
        self._peak_reserved = max(self._peak_reserved, self._reserved)
        return block


def rounded_bytes(nbytes: int) -> int:
    """Bytes of the block that a request of ``nbytes`` (more than none) looks for."""
    return -(-nbytes // BLOCK_BYTES) * BLOCK_BYTES


def segment_bytes(nbytes: int) -> int:
    """Bytes asked from the driver when no cached block serves a request of ``nbytes``."""
    if nbytes <= SMALL_BYTES:
        return SMALL_SEGMENT_BYTES
    if nbytes < OWN_SEGMENT_BYTES:
        return LARGE_SEGMENT_BYTES
    return -(-nbytes // SEGMENT_ROUND_BYTES) * SEGMENT_ROUND_BYTES


def replay(
    events: Sequence[tuple[int, int]],
    settings: AllocatorSettings | None = None,
    *,
    allocator: CachingAllocator | None = None,
) -> Replay:
    """Run a stream of events through an allocator; a new one, unless one is given to go on with.

    ``(id, nbytes)`` with ``id >= 0`` allocates, ``(id, -nbytes)`` frees: which block is freed, and
    how large it was, is a matter of the id. ``(id, 0)`` takes nothing. Negative ids are markers:
    EMPTY_CACHE, RESET_PEAKS, RESERVE_SEGMENT. Raises OutOfMemory, and ValueError on a stream that
    is not one (an id allocated twice, or freed without having been allocated).
    """
    if allocator is None:
        allocator = CachingAllocator(settings)
    elif settings is not None:
        raise ValueError("an allocator that is given brings its own settings")
    allocate, free = allocator.allocate, allocator.free
    for block_id, nbytes in events:
        if block_id < 0:
            _mark(allocator, block_id, nbytes)
        elif nbytes > 0:
            allocate(block_id, nbytes)
        elif nbytes < 0:
            free(block_id)
    return Replay(
        peak_allocated_bytes=allocator.peak_allocated_bytes,
        peak_reserved_bytes=allocator.peak_reserved_bytes,
        end_allocated_bytes=allocator.allocated_bytes,
        end_reserved_bytes=allocator.reserved_bytes,
    )


def _mark(allocator: CachingAllocator, marker: int, nbytes: int) -> None:
    if marker == EMPTY_CACHE:
        allocator.empty_cache()
    elif marker == RESET_PEAKS:
        allocator.reset_peaks()
    elif marker == RESERVE_SEGMENT:
        allocator.reserve_segment(nbytes)
    else:
        raise ValueError(f"{marker} is neither a block id nor a marker")
