"""Memory that a kernel allocates inside itself and gives back before it returns (row 4).

Operators on fake tensors show their results only. What some kernels need beside them is listed
here, by operator, with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .options import EstimateOptions


def kernel_scratch(options: EstimateOptions) -> Callable[[Any, Any, Any], int] | None:
    """``scratch(operator, arguments, result) -> bytes`` for the device, or None where there is none."""
    return None
