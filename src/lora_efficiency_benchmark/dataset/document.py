"""A document: text with its trained parts marked, and the groups it may not share.

Every loader returns documents, and everything after it (split, overlap audit, tokenisation) reads
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Document", "Segment"]


@dataclass(frozen=True)
class Segment:
    """A stretch of text. ``trained`` tells whether its tokens enter the loss."""

    text: str
    trained: bool


@dataclass(frozen=True)
class Document:
    """One training or evaluation example before tokenisation.

    ``groups`` names what this document may not have in common with the other side of a split,
    as ``"topic:…"``, ``"template:…"``, ``"document:…"``. ``source`` tells a person where it came
    from. ``append_eos`` is False where a chat template already closes the text.
    """

    segments: tuple[Segment, ...]
    groups: tuple[str, ...]
    source: str
    append_eos: bool = True

    @property
    def text(self) -> str:
        """The segments joined."""
        return "".join(segment.text for segment in self.segments)
