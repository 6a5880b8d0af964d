"""Batches from tokenised examples (row 4): padded to the longest text of the batch, no further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..dataset.tokens import IGNORED


def pad_batch(examples: Sequence[dict[str, Any]], pad_token_id: int) -> dict[str, torch.Tensor]:
    """``input_ids``, ``attention_mask``, ``labels``: int64 tensors of shape (batch, longest)."""
    longest = max(len(example["input_ids"]) for example in examples)
    shape = (len(examples), longest)
    batch = {
        "input_ids": torch.full(shape, pad_token_id),
        "attention_mask": torch.zeros(shape, dtype=torch.long),
        "labels": torch.full(shape, IGNORED),
    }
    for row, example in enumerate(examples):
        length = len(example["input_ids"])
        batch["input_ids"][row, :length] = torch.tensor(example["input_ids"])
        batch["labels"][row, :length] = torch.tensor(example["labels"])
        batch["attention_mask"][row, :length] = 1
    return batch
