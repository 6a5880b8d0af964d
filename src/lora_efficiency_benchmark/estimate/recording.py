"""A training step recorded once and replayed on any batch, length and rank (pure numpy).

The size of every block is a polynomial in B (batch), S (length) and r (rank), nearly always a
single term such as 4·B·S·hidden. Recordings at three points give the coefficients, checked exactly:
a block that no term or pair of terms explains at all three raises NotPolynomial. What is
extrapolated is each event, never a peak: a peak is the maximum of many lines.

Kernels round lengths up to multiples of at most 128, so recordings are made at lengths with the
remainder of the one asked for; there the polynomial is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ..language import Statement
from .stream import STEP_END, Ints, Stream

EXPONENTS = (  # of (B, S, r), the likely ones first
    (0, 0, 0), (1, 1, 0), (0, 0, 1), (1, 1, 1), (1, 2, 0), (0, 2, 0), (1, 0, 0), (0, 1, 0),
    (1, 0, 1), (0, 1, 1), (0, 0, 2),
)  # fmt: skip
Point = tuple[int, int, int]  # (B, S, r)


class NotPolynomial(Exception):
    """The recordings do not have one structure, or a block's size is not a polynomial."""

    @property
    def reason(self) -> Statement:
        """Why, in both languages."""
        return Statement(*self.args)


@dataclass(frozen=True)
class Recording:
    """The events of a step, and the size of each block as a polynomial."""

    structure: Stream  # sizes are those of the first recording
    coefficients: npt.NDArray[np.float64]  # [distinct sizes, terms]
    kind: Ints  # [blocks] row of ``coefficients``

    def at(self, batch_size: int, seq_len: int, rank: int = 1) -> Stream:
        """The stream on another batch, length and rank."""
        rows = self.coefficients @ terms_of((batch_size, seq_len, rank))
        return replace(self.structure, sizes=np.rint(rows).astype(np.int64)[self.kind])

    def allocated_peaks(self, points: Sequence[Point]) -> Ints:
        """Peak allocated bytes at each ``(B, S, r)``; thousands of points a second."""
        events = self._net_changes()
        terms = np.stack([terms_of(point) for point in points], axis=1)
        levels = self.coefficients @ terms  # [distinct sizes, points]
        peaks = np.empty(len(points), dtype=np.int64)
        for start in range(0, len(points), 64):
            sizes = np.rint(levels[:, start : start + 64])
            running = np.cumsum(events[1][:, None] * sizes[events[0]], axis=0)
            peaks[start : start + 64] = running.max(axis=0)
        return peaks

    def _net_changes(self) -> tuple[Ints, Ints]:
        """Row of coefficients and sign of every event but the ends of steps."""
        real = self.structure.blocks != STEP_END
        return self.kind[self.structure.blocks[real]], self.structure.signs[real]


def fit(streams: Sequence[Stream], points: Sequence[Point]) -> Recording:
    """The recording behind streams of one structure. Raises NotPolynomial."""
    first = streams[0]
    if not all(first.same_structure(other) for other in streams[1:]):
        raise NotPolynomial(
            "the step takes another path on another batch or length",
            "バッチや長さを変えると、ステップが別の経路を通ります",
        )
    sizes = np.stack([stream.sizes for stream in streams], axis=1)
    distinct, kind = np.unique(sizes, axis=0, return_inverse=True)
    terms = np.stack([terms_of(point) for point in points], axis=1)  # [terms, points]
    rows = np.stack([_coefficients(row.astype(float), terms) for row in distinct])
    return Recording(first, rows, kind.reshape(-1))


def terms_of(point: Point) -> npt.NDArray[np.float64]:
    """[terms] the value of every term at a point, in the order of ``EXPONENTS``."""
    b, s, r = point
    return np.array([float(b) ** i * float(s) ** j * float(r) ** k for i, j, k in EXPONENTS])


def _coefficients(
    values: npt.NDArray[np.float64], terms: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The one or two terms that give ``values`` at every point."""
    found = np.zeros(len(EXPONENTS))
    for i, term in enumerate(terms):
        ratio = values / term
        if np.ptp(ratio) <= 1e-9 * ratio[0]:
            found[i] = ratio[0]
            return found
    for i, j in combinations(range(len(terms)), 2):
        pair = terms[[i, j]].T
        if abs(np.linalg.det(pair[:2])) < 1e-6:
            continue
        solved = np.linalg.solve(pair[:2], values[:2])
        whole = np.abs(solved - np.rint(solved)).max() < 1e-4
        if whole and np.abs(pair @ np.rint(solved) - values).max() < 0.5:
            found[[i, j]] = np.rint(solved)
            return found
    given = values.astype(int).tolist()
    raise NotPolynomial(
        f"no polynomial gives {given} bytes", f"{given} バイトを与える多項式がありません"
    )
