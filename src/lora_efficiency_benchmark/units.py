"""Unit conversions, one each, in one place. Inside the package everything is bytes and seconds."""

from __future__ import annotations

import math
import re

MIB = 1024**2
GIB = 1024**3

_SUFFIXES = {"": 1, "B": 1, "KIB": 1024, "MIB": MIB, "GIB": GIB, "TIB": 1024**4}
_SUFFIXES |= {"K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_SUFFIXES |= {"KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}


def to_mib(nbytes: float) -> float:
    """Bytes to MiB (2**20 bytes), the ``mb`` of the specification."""
    return nbytes / MIB


def to_gib(nbytes: float) -> float:
    """Bytes to GiB (2**30 bytes)."""
    return nbytes / GIB


def to_minutes(seconds: float) -> float:
    """Seconds to minutes."""
    return seconds / 60.0


def from_minutes(minutes: float) -> float:
    """Minutes to seconds."""
    return 60.0 * minutes


def bits_per_byte(total_nats: float, total_bytes: int) -> float:
    """Cross-entropy in bits per UTF-8 byte of raw text: ``nats / ln 2 / bytes``."""
    return total_nats / math.log(2) / total_bytes


def parse_bytes(text: str) -> int:
    """``"24GiB"`` -> 25769803776. Raises ValueError on anything that is not a size."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _SUFFIXES:
        raise ValueError(f"{text!r} is not a size such as 24GiB")
    size = float(match[1]) * _SUFFIXES[match[2].upper()]
    if not math.isfinite(size):
        raise ValueError(f"{text!r} is beyond any size")
    return int(size)


def format_duration(seconds: float) -> str:
    """``75 -> "1:15"``, ``4000 -> "1:06:40"``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"
