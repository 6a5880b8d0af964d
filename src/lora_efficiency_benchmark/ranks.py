"""The processes that train one cell together (row 4): which one this is, and values of all.

``accelerate launch`` starts them (``execution/group.py``) and the Trainer joins them; each is a
rank, 0 the first. A process on its own is rank 0 of 1, and everything here is then free of cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

_SEED_STRIDE = 1_000_003  # between the noise of one rank and of the next


def count() -> int:
    """Processes that train together."""
    return torch.distributed.get_world_size() if _joined() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return torch.distributed.get_rank() if _joined() else 0


def gather(value: Any) -> list[Any]:
    """The value of every rank, in order of rank; every rank must ask.

    Values travel as pickles between processes that one launcher started on this machine.
    """
    if count() == 1:
        return [value]
    found: list[Any] = [None] * count()
    torch.distributed.all_gather_object(found, value)
    return found


def share(items: Sequence[Any], in_step: bool) -> list[Any]:
    """Every so-many-th of ``items``, beginning at the number of this rank.

    ``in_step``: all ranks get equally many; where the items run out, the last one is done again.
    """
    own = list(items[rank() :: count()])
    missing = -(-len(items) // count()) - len(own)
    return own + [items[-1]] * missing if in_step else own


def is_sharded(model: Any) -> bool:
    """True where each rank holds a part of every weight, so that a pass needs all of them.

    FSDP2 makes weights DTensors; DeepSpeed's ZeRO-3 gives them a ``ds_id``. Both are made when the
    training begins.
    """
    first = next(model.parameters())
    return count() > 1 and (hasattr(first, "full_tensor") or hasattr(first, "ds_id"))


def device_of(model: Any) -> torch.device:
    """Where a batch for ``model`` has to be: weights that are divided may be parked elsewhere."""
    if is_sharded(model):
        return accelerator()
    device: torch.device = next(model.parameters()).device
    return device


def accelerator() -> torch.device:
    """The device that parts of a divided model are moved to."""
    found = torch.accelerator.current_accelerator()
    assert found is not None  # preflight refuses to divide a model on a CPU
    return found


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself; of one that FSDP2 has divided, all of it. Every rank must ask."""
    full: torch.Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full


def seed_noise(seed: int) -> None:
    """Dropout of its own for every rank; rank 0 keeps the noise that it has.

    The Trainer seeds all ranks alike, which would drop the same places of different texts.
    """
    if rank():
        torch.manual_seed(seed + rank() * _SEED_STRIDE)


def _joined() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
