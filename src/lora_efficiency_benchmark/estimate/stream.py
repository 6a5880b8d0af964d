"""What one traced run of training steps allocated and released, in order. Pure: numpy only.

A stream is a list of events on numbered blocks. The initial blocks (weights, buffers, adapter) come
first. Each event knows the phase it happened in and the decoder layer it belongs to; each block
knows its category. Sizes are exact bytes as requested, before an allocator rounds them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..measure.allocations import BACKWARD, BETWEEN, CATEGORIES, FORWARD, OPTIMIZER, Peak

PHASES = (BETWEEN, FORWARD, BACKWARD, OPTIMIZER)
STEP_END = -1  # in ``Stream.blocks``: not a block, the end of an optimizer step
OUTSIDE = -1  # in ``Stream.layers``: not inside a decoder layer

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """Events in order, and the blocks they are about."""

    blocks: Ints  # [events] block number, or STEP_END
    signs: Ints  # [events] +1 allocated, -1 released, 0 step end
    phases: Ints  # [events] index into PHASES
    layers: Ints  # [events] decoder layer, or OUTSIDE
    sizes: Ints  # [blocks] bytes
    categories: Ints  # [blocks] index into CATEGORIES

    def __len__(self) -> int:
        return len(self.blocks)

    def same_structure(self, other: Stream) -> bool:
        """True where both hold the same events in the same order, sizes apart."""
        return (
            len(self) == len(other)
            and np.array_equal(self.blocks, other.blocks)
            and np.array_equal(self.signs, other.signs)
        )

    def ordered(self) -> Stream:
        """The same, releases that follow each other sorted by block: their order has no effect.

        Some containers release what they hold in the order of addresses, which differs by run.
        """
        group = np.cumsum(np.concatenate([[0], (np.diff(self.signs) != 0).astype(np.int64)]))
        within = np.where(self.signs < 0, self.blocks, np.arange(len(self.blocks)))
        return self.reordered(np.lexsort((within, group)))

    def reordered(self, order: Ints) -> Stream:
        """The same events in another order."""
        return replace(
            self,
            blocks=self.blocks[order],
            signs=self.signs[order],
            phases=self.phases[order],
            layers=self.layers[order],
        )

    def peak(self) -> Peak:
        """The allocated peak, what it consists of, and what is left at the end of the last step."""
        deltas = np.where(self.blocks == STEP_END, 0, self.signs * self.sizes[self.blocks])
        running = np.cumsum(deltas)
        at = int(np.argmax(running))
        ends = np.flatnonzero(self.blocks == STEP_END)
        return Peak(
            allocated_bytes=int(running[at]),
            phase=PHASES[self.phases[at]],
            breakdown=self._breakdown(at),
            end_of_step_bytes=int(running[ends[-1]]) if len(ends) else None,
        )

    def _breakdown(self, at: int) -> dict[str, int]:
        """Bytes by category of the blocks alive after event ``at``; adds up to the total there."""
        blocks, signs = self.blocks[: at + 1], self.signs[: at + 1]
        real = blocks != STEP_END
        alive = np.bincount(blocks[real], weights=signs[real], minlength=len(self.sizes)) > 0
        values = np.bincount(
            self.categories[alive], weights=self.sizes[alive], minlength=len(CATEGORIES)
        )
        return {name: int(value) for name, value in zip(CATEGORIES, values, strict=True)}
