"""Imports of torch, transformers and peft in four fifths of the time (row 0).

They make millions of objects that stay, and Python looks through all of them again and again for
garbage that is not there.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """No garbage collection inside; afterwards what was made is left out of it for good."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
