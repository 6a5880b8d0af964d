"""Runs side by side (row 5): what differs, what may be compared; no figure is pooled over runs.

``flow.compare_runs`` is the way in: start reading there.
"""

from __future__ import annotations

from .flow import RunInput, compare_runs
from .values import SCHEMA, RunsComparison

__all__ = ["SCHEMA", "RunInput", "RunsComparison", "compare_runs"]
