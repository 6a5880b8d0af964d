"""One text in both languages (row 6)."""

from __future__ import annotations


def both(ja: str, en: str) -> dict[str, str]:
    """``{"ja": ..., "en": ...}``, as ``Wording`` reads it."""
    return {"ja": ja, "en": en}
