"""Memory of a cell that several processes train together. Pure: no torch.

Each rank measures itself; here their figures become one block, and what only several processes do
before the first step is taken out of an allocator's stream.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from .allocations import Event


def of_all_ranks(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One ``memory`` block from those of the ranks: every size is the largest of any rank.

    ``ranks`` lists the sizes of each; the rest is of the rank with the highest peak.
    """
    if len(results) == 1:
        return dict(results[0])
    sizes = (
        "peak_allocated_bytes", "peak_reserved_bytes", "device_used_bytes", "process_peak_bytes",
    )  # fmt: skip
    highest = max(results, key=lambda result: result["peak_allocated_bytes"])
    most = {
        name: max((r[name] for r in results if r[name] is not None), default=None) for name in sizes
    }
    each = [{"rank": i, **{name: r[name] for name in sizes}} for i, r in enumerate(results)]
    return {**highest, **most, "ranks": each}


def without_moves(events: Sequence[Event], weights: Container[int], until_ns: int) -> list[Event]:
    """Events but for weights that were moved before the first step.

    accelerate moves a CPU model of several processes from ``cpu`` to ``cpu:0``, which copies it.
    The weights are counted once, from what they are; that the old ones are freed is not in the
    stream. ``weights`` are the addresses of the new ones, ``until_ns`` is when the step begins.
    """
    return [
        event
        for event in events
        if event.nbytes < 0 or event.address not in weights or event.time_ns >= until_ns
    ]
