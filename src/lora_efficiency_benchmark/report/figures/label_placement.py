"""Where to write the name of a point so that no name covers another (row 6).

Greedy: points from left to right, each takes the first free place around it. Positions are pixels,
y downwards, as in SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..formats import text_width

FONT_SIZE = 12
_CHARACTER = 0.57 * FONT_SIZE  # width of a narrow character, on the generous side
LINE = FONT_SIZE + 3
_GAP = 9  # from the point to its name
_LINES_AWAY = [0, -1, 1, *(sign * n for n in range(2, 10) for sign in (-1, 1))]


@dataclass(frozen=True)
class Box:
    """A rectangle: left, top, right, bottom."""

    left: float
    top: float
    right: float
    bottom: float

    def covers(self, other: Box) -> bool:
        """Whether two rectangles share area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def inside(self, outer: Box) -> bool:
        """Whether this rectangle lies within another."""
        fits_across = outer.left <= self.left and self.right <= outer.right
        return fits_across and outer.top <= self.top and self.bottom <= outer.bottom


def place_labels(
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    frame: Box,
    solid: Sequence[Box] = (),
    faint: Sequence[Box] = (),
) -> list[Box]:
    """A box for each text, in the order given.

    ``solid`` marks are never covered while there is room; ``faint`` ones rather than move a name
    away from its point.
    """
    taken = [*solid, *(Box(x - 6, y - 6, x + 6, y + 6) for x, y in points)]
    boxes = [frame] * len(points)
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        near, far = _around(points[i], _CHARACTER * text_width(texts[i]))
        box = (
            _first_free(near, frame, [*taken, *faint])
            or _first_free(near, frame, taken)
            or _first_free(far, frame, [*taken, *faint])
            or near[0]
        )
        taken.append(box)
        boxes[i] = box
    return boxes


def _first_free(candidates: Sequence[Box], frame: Box, taken: Sequence[Box]) -> Box | None:
    free = (b for b in candidates if b.inside(frame) and not any(b.covers(t) for t in taken))
    return next(free, None)


def _around(point: tuple[float, float], width: float) -> tuple[list[Box], list[Box]]:
    """Places within one line of the point, and further away: right, left, centred."""
    x, y = point
    lefts = (x + _GAP, x - _GAP - width, x - width / 2)
    boxes = [
        Box(left, y + lines * LINE - LINE / 2, left + width, y + lines * LINE + LINE / 2)
        for lines in _LINES_AWAY
        for left in lefts[: 3 if lines else 2]
    ]
    return boxes[:8], boxes[8:]
