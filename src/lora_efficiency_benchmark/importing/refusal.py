"""Why something is not imported, for English and for Japanese readers (row 4, no torch)."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import DataError
from ..language import Statement


class NotImportable(DataError):
    """One file, or a whole source or folder, that cannot be used; ``str`` is one English line."""

    @property
    def reason(self) -> Statement:
        """Why, in both languages."""
        return Statement(*self.args)


class Skipped(NamedTuple):
    """A file that was left out."""

    file: str  # relative to the source
    reason: Statement
