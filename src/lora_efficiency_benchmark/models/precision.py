"""Precisions (row 4): what the weights are stored in, and what the passes compute in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

AUTOCAST_DTYPES = {"amp-bf16": torch.bfloat16, "amp-fp16": torch.float16}


def autocast(precision: str, device_type: str) -> AbstractContextManager[Any]:
    """Autocast for the ``amp-*`` precisions, nothing for the pure ones."""
    dtype = AUTOCAST_DTYPES.get(precision)
    if dtype is None:
        return nullcontext()
    return torch.autocast(device_type, dtype=dtype)


def trainer_flags(precision: str) -> dict[str, bool]:
    """The same choice in the words of ``TrainingArguments``."""
    return {"bf16": precision == "amp-bf16", "fp16": precision == "amp-fp16"}
