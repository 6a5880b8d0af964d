"""Memory that matrix libraries take from PyTorch's allocator for themselves (row 4; no torch).

Each cuBLAS or hipBLAS handle has one workspace; the thread that runs backward has a handle of its
own. Sizes: PyTorch's ``CublasHandlePool``, whose default depends on the device, and which
``CUBLAS_WORKSPACE_CONFIG`` overrides. The 76 MiB of hipBLASLt are not counted: whether it is used
depends on the library's build.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from ..measure.allocations import CATEGORIES
from ..units import MIB
from .stream import Stream

HANDLES = 2
_DEFAULT = (2 * 4096 + 8 * 16) * 1024
_OTHERS = (  # beginnings of architecture names, the longer before the shorter
    ("gfx94", 128 * MIB),
    ("gfx95", 128 * MIB),
    ("gfx", 32 * MIB),
    ("sm90", 32 * MIB),
    ("sm10", 32 * MIB),
    ("sm12", 32 * MIB),
)


def default_workspace_bytes(arch: str | None) -> int:
    """Bytes a handle keeps on an architecture such as ``sm89``; None: as most CUDA devices."""
    return next((size for start, size in _OTHERS if (arch or "").startswith(start)), _DEFAULT)


def configured_workspace_bytes(text: str | None) -> int | None:
    """Bytes that ``CUBLAS_WORKSPACE_CONFIG`` asks for, such as ``:4096:8`` (KiB, how many)."""
    parts = re.findall(r":(\d+):(\d+)", text or "")
    return sum(int(size) * 1024 * int(count) for size, count in parts) or None


def with_workspaces(stream: Stream, nbytes: list[int]) -> Stream:
    """The stream with blocks that exist from the start, counted as temporaries."""
    first = len(stream.sizes)
    extra = np.arange(first, first + len(nbytes))
    ones, zeros = np.ones(len(nbytes), dtype=np.int64), np.zeros(len(nbytes), dtype=np.int64)
    kind = CATEGORIES.index("temporaries")
    return replace(
        stream,
        blocks=np.concatenate([extra, stream.blocks]),
        signs=np.concatenate([ones, stream.signs]),
        phases=np.concatenate([zeros, stream.phases]),
        layers=np.concatenate([zeros - 1, stream.layers]),
        sizes=np.concatenate([stream.sizes, np.array(nbytes, dtype=np.int64)]),
        categories=np.concatenate([stream.categories, zeros + kind]),
    )
