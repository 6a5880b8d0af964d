"""Which language a person reads (row 0): Japanese or English, from the option or the locale."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

Language = Literal["ja", "en"]


class Statement(NamedTuple):
    """The same words in both languages."""

    en: str
    ja: str

    @classmethod
    def unchanged(cls, text: str) -> Statement:
        """Words that stay as they are in any language: names, and what a library says."""
        return cls(text, text)

    def text(self, language: str) -> str:
        """The words in ``ja`` or ``en``."""
        return self.ja if language == "ja" else self.en


def resolve_language(option: str | None = None) -> Language:
    """``"ja"`` or ``"en"``: the option if given, else the locale's language, else English.

    The locale is read as POSIX orders it: LC_ALL, then LC_MESSAGES, then LANG.
    """
    if option in ("ja", "en"):
        return "ja" if option == "ja" else "en"
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "ja" if value.lower().startswith("ja") else "en"
    return "en"
