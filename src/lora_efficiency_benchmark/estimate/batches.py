"""The batches of a traced step: shapes only, and as few as show what happens (row 4).

Forward passes of an accumulated step repeat from the second on, so three are run. The Trainer has
all batches of a step on the device before the first pass, and the first of the next step before the
last; the second one stands for those left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from .options import EstimateOptions

_TRACED_PASSES = 3
_NAMES = ("input_ids", "attention_mask", "labels")


@dataclass
class Batches:
    """One optimizer step's texts, and the collator that makes batches of them."""

    options: EstimateOptions
    passes: int = field(init=False)  # forward passes that are run a step
    _made: int = 0

    def __post_init__(self) -> None:
        self.passes = min(self.options.accumulation, _TRACED_PASSES)

    def examples(self) -> list[dict[str, Any]]:
        """The longest text first in each batch, the others shorter where there is padding."""
        longest = _text(self.options.seq_len)
        other = _text(self.options.seq_len - 1) if self.options.has_mask else longest
        return [longest, *[other] * (self.options.batch_size - 1)] * self.passes

    def collate(self, examples: list[dict[str, Any]], pad_token_id: int) -> dict[str, Any]:
        """The batch of ``training.collate.pad_batch`` as the device sees it, not built by row."""
        shape = (len(examples), max(len(example["input_ids"]) for example in examples))
        stands_for = 1
        if self.options.loop == "trainer" and self._made % self.passes == 1:
            stands_for += self.options.accumulation - self.passes
        self._made += 1
        return {
            name: torch.empty((stands_for * shape[0], shape[1]), dtype=torch.long)[: shape[0]]
            for name in _NAMES
        }


def _text(tokens: int) -> dict[str, Any]:
    return {name: [1] * tokens for name in _NAMES}
