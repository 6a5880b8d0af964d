"""Numbers and names as a reader sees them (row 6). What is missing is said in words, never as 0."""

from __future__ import annotations

import math
import unicodedata
from urllib.parse import quote

from ..analysis.wording import quantity
from ..plain_text import one_line
from ..units import GIB, MIB, format_duration, to_gib, to_mib
from .texts import Wording


def clean(text: object) -> str:
    """Text of strangers as everywhere in this program: ``plain_text.one_line``."""
    return one_line(text)


def shorten(text: object, length: int) -> str:
    """``clean``, cut to a number of characters."""
    return one_line(text, length)


def record_href(cell_id: str) -> str:
    """Relative link from a report to the record of a cell."""
    return f"records/{quote(clean(cell_id), safe='')}.json"


def decimals(value: float | None, places: int, say: Wording) -> str:
    """A plain decimal, or words."""
    if value is None:
        return say("not_measured")
    return f"{value:,.{places}f}" if math.isfinite(value) else say("not_finite")


def metric_value(metric: str, value: float | None, say: Wording) -> str:
    """A value in the form of its metric, as the verdict's own sentences write it."""
    if value is None or not math.isfinite(value):
        return decimals(value, 0, say)
    return say.either(*quantity(value, metric))


def ratio(value: float | None, say: Wording) -> str:
    """``1.654 -> "1.65x"``."""
    return metric_value("memory_reduction_ratio", value, say)


def percent(value: float | None, say: Wording) -> str:
    """``0.8212 -> "82.1%"``."""
    return metric_value("gain_retention", value, say)


def bounded(value: str, bound: str | None, say: Wording) -> str:
    """A value that is only known to lie beyond a bound says so."""
    return say(f"bound.{bound}", value=value) if bound in ("lower", "upper") else value


def claimed_value(metric: str, value: float, say: Wording) -> str:
    """A claimed value without decimals nobody claimed: ``200x``, ``2x``, ``100%``."""
    if metric == "gain_retention":
        return f"{100 * value:g}%"
    return say("ratio", number=f"{value:g}")


def size(nbytes: float | None, say: Wording) -> str:
    """Bytes in the largest fitting of GiB, MiB and KiB."""
    if nbytes is None or not math.isfinite(nbytes):
        return decimals(nbytes, 0, say)
    if nbytes >= GIB:
        return f"{to_gib(nbytes):.2f} GiB"
    if nbytes >= MIB:
        return f"{to_mib(nbytes):,.1f} MiB"
    return f"{1024 * to_mib(nbytes):,.1f} KiB" if nbytes else "0"


def count(value: int | None, say: Wording) -> str:
    """A whole number with separators."""
    return say("not_measured") if value is None else f"{value:,}"


def duration(seconds: float | None, say: Wording) -> str:
    """``75 -> "1:15"``; below ten seconds two digits, so that nothing reads as 0."""
    if seconds is None or not math.isfinite(seconds):
        return decimals(seconds, 0, say)
    return format_duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"


def rate(value: float | None, say: Wording) -> str:
    """A learning rate."""
    return say("not_measured") if value is None else f"{value:.2g}"


def text_width(text: str) -> int:
    """Columns a text takes, East-Asian wide characters counted twice."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
