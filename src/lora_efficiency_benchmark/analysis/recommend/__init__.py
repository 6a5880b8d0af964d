"""Which setting to use (row 5): the cheapest within the user's limits, and the best LoRA setting.

``recommend`` starts from records; ``decide`` holds the rule and needs values only.
"""

from __future__ import annotations

from .flow import Recommendation, recommend
from .rule import NONE, QUALIFIES, RECOMMENDED, RULED_OUT, Decision, Judged, decide
from .values import ORDERS, Candidate, Limits

__all__ = [
    "NONE",
    "ORDERS",
    "QUALIFIES",
    "RECOMMENDED",
    "RULED_OUT",
    "Candidate",
    "Decision",
    "Judged",
    "Limits",
    "Recommendation",
    "decide",
    "recommend",
]
