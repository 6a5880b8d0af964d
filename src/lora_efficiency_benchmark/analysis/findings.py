"""What the warning checks look at, and how they list what they found (row 5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..language import Statement
from ..records.results import CellRecord
from .pairing import Arm, Comparison, Pair
from .selection import Selection
from .values import ArmSummary, ClaimVerdict, RateCurve
from .wording import listing

TIE = 0.03
"""Nats per token. Repeated runs scatter by up to 0.013, so two of them differ by chance by up to
about 0.013 * sqrt(2) * 1.64: smaller differences are ties."""


@dataclass(frozen=True)
class Findings:
    """What the checks look at."""

    selection: Selection
    comparison: Comparison
    claims: tuple[ClaimVerdict, ...]
    arms: tuple[ArmSummary, ...]
    curves: tuple[RateCurve, ...] = ()
    unfinished: int | None = None

    @property
    def trained(self) -> list[CellRecord]:
        """Results of training cells, full fine-tuning first."""
        arms = (*self.comparison.full, *self.comparison.lora)
        return [record for arm in arms for record in arm.train.values()]

    @property
    def pairs(self) -> list[tuple[Arm, Pair]]:
        """Every pair with its LoRA arm."""
        return [(arm, p) for arm in self.comparison.lora for p in self.comparison.pairs(arm)]


def same_text(lines: Iterable[str]) -> Statement | None:
    """Distinct names and numbers; None where there are none. Words go to ``join_texts``."""
    distinct = list(dict.fromkeys(lines))
    return listing(distinct) if distinct else None


def join_texts(lines: Iterable[Statement]) -> Statement | None:
    """Distinct lines joined in each language; None where there are none."""
    distinct = list(dict.fromkeys(lines))
    if not distinct:
        return None
    return Statement(listing([t.en for t in distinct]).en, listing([t.ja for t in distinct]).ja)
