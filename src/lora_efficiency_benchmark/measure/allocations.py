"""From an allocator's event stream to the peak and what it consists of. Pure: no torch.

An event is an allocation or a release of one block. Marks, set while the training ran, say where a
forward pass or an optimizer step begins and ends and which addresses hold gradients or optimizer
state. Each block then belongs to exactly one category, so the breakdown adds up to the peak:

    weights, adapter      parameters and buffers, alive before the first step
    gradients, optimizer  named by their addresses
    logits_and_loss       blocks of exactly tokens x vocabulary elements
    activations           made in a forward pass and still alive at its end; the batch itself
    temporaries           everything else, such as buffers inside backward and the optimizer step
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

CATEGORIES = (
    "weights", "adapter", "gradients", "optimizer", "activations", "logits_and_loss", "temporaries",
)  # fmt: skip
FORWARD, BACKWARD, OPTIMIZER, BETWEEN = "forward", "backward", "optimizer", "between"
EXCHANGE = "exchange"  # copies that pass between processes: their end is not in the stream


@dataclass(frozen=True)
class Event:
    """One allocation (nbytes > 0) or release (nbytes < 0)."""

    time_ns: int
    address: int
    nbytes: int


@dataclass(frozen=True)
class Mark:
    """A moment of the training loop: from here on ``phase`` runs."""

    time_ns: int
    phase: str
    tags: dict[int, str] = field(default_factory=dict)  # address -> category, alive right now
    step_end: bool = False


@dataclass
class _Block:
    nbytes: int
    born: int  # index of the event
    phase: str
    died: int | None = None
    category: str | None = None
    survived_forward: bool = False


@dataclass(frozen=True)
class Peak:
    """The allocated peak of a training phase."""

    allocated_bytes: int
    phase: str
    breakdown: dict[str, int]  # bytes by category; adds up to allocated_bytes
    end_of_step_bytes: int | None


def find_peak(
    events: Sequence[Event],
    marks: Sequence[Mark],
    weights_bytes: int,
    adapter_bytes: int,
    logits_sizes: Iterable[int] = (),
) -> Peak:
    """Replay the events; ``weights_bytes`` and ``adapter_bytes`` were alive before the first.

    Blocks made in the phase ``exchange`` are left out.

    ``logits_sizes`` are the byte sizes that only logits-shaped blocks have.
    """
    blocks: list[_Block] = []
    alive: dict[int, _Block] = {}
    phase, running, peak, peak_at, peak_phase = BETWEEN, 0, 0, -1, BETWEEN
    end_of_step: int | None = None
    for index, item in enumerate(_merge(events, marks)):
        if isinstance(item, Mark):
            _apply(item, phase, alive)
            phase = item.phase
            if item.step_end:
                end_of_step = running
        elif item.nbytes > 0:
            if phase == EXCHANGE:
                continue
            block = _Block(item.nbytes, index, phase)
            blocks.append(block)
            alive[item.address] = block
            running += item.nbytes
            if running > peak:
                peak, peak_at, peak_phase = running, index, phase
        elif (gone := alive.pop(item.address, None)) is not None:
            gone.died = index
            running -= gone.nbytes
    breakdown = dict.fromkeys(CATEGORIES, 0)
    breakdown["weights"], breakdown["adapter"] = weights_bytes, adapter_bytes
    sizes = set(logits_sizes)
    for block in blocks:
        if block.born <= peak_at and (block.died is None or block.died > peak_at):
            category = block.category or category_of(
                block.nbytes, block.phase, block.survived_forward, sizes
            )
            breakdown[category] += block.nbytes
    base = weights_bytes + adapter_bytes
    return Peak(
        allocated_bytes=base + peak,
        phase=peak_phase,
        breakdown=breakdown,
        end_of_step_bytes=None if end_of_step is None else base + end_of_step,
    )


def _merge(events: Sequence[Event], marks: Sequence[Mark]) -> list[Event | Mark]:
    """By time; a mark comes before an event of the same nanosecond."""
    return sorted([*marks, *events], key=lambda item: item.time_ns)


def _apply(mark: Mark, phase: str, alive: dict[int, _Block]) -> None:
    for address, category in mark.tags.items():
        if address in alive:
            alive[address].category = category
    if phase == FORWARD and mark.phase != FORWARD:
        for block in alive.values():
            block.survived_forward |= block.phase == FORWARD


def logits_sizes(shape: Sequence[int]) -> set[int]:
    """Bytes of blocks as large as logits of this shape, in half and in single precision.

    The loss may drop the last position of each row.
    """
    *lead, vocabulary = shape
    rows, batch = math.prod(lead), shape[0] if len(shape) == 3 else 1
    return {count * vocabulary * size for count in (rows, rows - batch) for size in (2, 4)}


def category_of(nbytes: int, phase: str, survived_forward: bool, logits: Container[int]) -> str:
    """The category of a block that has no name: by its size, and when it was made and died."""
    if nbytes in logits:
        return "logits_and_loss"
    if survived_forward or phase == BETWEEN:
        return "activations"
    return "temporaries"
