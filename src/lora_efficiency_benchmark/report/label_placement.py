"""Where to write the name of a point so that no name covers another (row 6).

Greedy: points from left to right, each takes the first free place around it. Positions are pixels,
y downwards, as in SVG.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .formats import text_width

FONT_SIZE = 12
_CHARACTER = 0.60 * FONT_SIZE  # width of a narrow character, on the generous side
_LINE = FONT_SIZE + 3
_GAP = 9  # from the point to its name


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
    points: Sequence[tuple[float, float]], texts: Sequence[str], frame: Box
) -> list[tuple[float, float]]:
    """Left edge and vertical middle of each text, in the order given."""
    taken = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    places: list[tuple[float, float]] = [(0.0, 0.0)] * len(points)
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        candidates = list(_around(points[i], _CHARACTER * text_width(texts[i])))
        free = (b for b in candidates if b.inside(frame) and not any(b.covers(t) for t in taken))
        box = next(free, candidates[0])
        taken.append(box)
        places[i] = (box.left, (box.top + box.bottom) / 2)
    return places


def _around(point: tuple[float, float], width: float) -> Iterator[Box]:
    """Right, left, then above and below at growing distance."""
    x, y = point
    lefts = (x + _GAP, x - _GAP - width)
    for distance in range(10):
        for shift in {0: (0,)}.get(distance, (-distance, distance)):
            middle = y + shift * _LINE
            for left in (*lefts, x - width / 2) if distance else lefts:
                yield Box(left, middle - _LINE / 2, left + width, middle + _LINE / 2)
