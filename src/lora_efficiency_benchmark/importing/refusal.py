"""Why something is not imported, for English and for Japanese readers (row 4, no torch)."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import DataError


class Statement(NamedTuple):
    """The same sentence in both languages."""

    en: str
    ja: str


class NotImportable(DataError):
    """One file, or a whole source or folder, that cannot be used; ``str`` is one English line."""

    def __init__(self, en: str, ja: str) -> None:
        super().__init__(en)
        self.reason = Statement(en, ja)

    def within(self, name: str) -> NotImportable:
        """The same, naming the file it is about."""
        return NotImportable(f"{name}: {self.reason.en}", f"{name}: {self.reason.ja}")


class Skipped(NamedTuple):
    """A file that was left out."""

    file: str  # relative to the source
    reason: Statement
