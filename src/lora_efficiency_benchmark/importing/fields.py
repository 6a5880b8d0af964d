"""Values out of foreign JSON (row 4, no torch): each checked for its type, absent or usable.

A field that is absent or null is None: not known. A field of the wrong type means that the file is
not what it looks like, and the whole file is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..language import Statement
from .files import clean, shown
from .refusal import NotImportable

LARGEST = 2**63 - 1
"""Counts and sizes above this are no counts of anything."""

T = TypeVar("T")


class Fields:
    """A mapping from a foreign file, with its place in the file for messages."""

    def __init__(self, values: Mapping[str, Any], where: str = "") -> None:
        self.values = values
        self.where = where

    def place(self, name: str) -> str:
        """``train_info.status``."""
        return f"{self.where}.{name}" if self.where else name

    def need(self, read: Callable[[str], T | None], name: str) -> T:
        """What ``read`` finds under a name. Raises NotImportable where there is nothing."""
        value = read(name)
        if value is None:
            place = self.place(name)
            raise NotImportable(f"{place} is missing", f"{place} がありません")
        return value

    def mapping(self, name: str) -> Fields | None:
        """A nested mapping."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(name, Statement("a mapping", "マッピング"))
        return Fields(value, self.place(name))

    def rows(self, name: str) -> list[Fields]:
        """A list of mappings; empty where absent."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(name, Statement("a list of mappings", "マッピングのリスト"))
        return [Fields(item, f"{self.place(name)}[{i}]") for i, item in enumerate(value)]

    def text(self, name: str, limit: int = 200) -> str | None:
        """A text without control characters, cut to ``limit``; None where it is empty."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.wrong(name, Statement("a text", "文字列"))
        return clean(value, limit) or None

    def flag(self, name: str) -> bool | None:
        """True or false."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, Statement("true or false", "true か false"))
        return value

    def whole(self, name: str, low: int = 0) -> int | None:
        """A whole number from ``low`` up; 3.0 is 3."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= LARGEST:
            rule = Statement(f"a whole number of at least {low}", f"{low}以上の整数")
            raise self.wrong(name, rule)
        return value

    def number(self, name: str, low: float = 0.0, high: float = 1e300) -> float | None:
        """A finite number within bounds."""
        value = self.logged(name)
        if value is not None and not low <= value <= high:  # NaN is not
            upper = "" if high == 1e300 else f" and at most {high:g}"
            upper_ja = "" if high == 1e300 else f"{high:g}以下の"
            rule = (
                f"a number of at least {low:g}{upper}",
                f"{low:g}以上{upper_ja}の数".replace("のの", "の"),
            )
            raise self.wrong(name, Statement(*rule))
        return value

    def logged(self, name: str) -> float | None:
        """A number that may have become NaN or infinite, such as a loss."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, Statement("a number", "数"))
        try:
            return float(value)
        except OverflowError:
            return math.inf

    def wrong(self, name: str, rule: Statement) -> NotImportable:
        """The error for a value that breaks a rule."""
        place, value = self.place(name), shown(self.values.get(name))
        return NotImportable(
            f"{place} must be {rule.en}, got {value}",
            f"{place} は{rule.ja}が必要です (値: {value})",
        )


def finite(value: float | None) -> float | None:
    """The number, unless it is NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None
