"""Verdicts from records (row 5): numbers in, values out; no files, no printing, no torch."""

from __future__ import annotations

from .flow import analyze
from .specification import specification_dictionary
from .values import (
    FAILED,
    NOT_MEASURED,
    PARTIAL,
    SCHEMA,
    UNDECIDED,
    VERIFIED,
    Analysis,
    AnalysisWarning,
    ArmSummary,
    ClaimVerdict,
    ConfigurationVerdict,
    EstimatedClaim,
    EstimatorCell,
    EstimatorError,
    JointVerdict,
)

__all__ = [
    "FAILED",
    "NOT_MEASURED",
    "PARTIAL",
    "SCHEMA",
    "UNDECIDED",
    "VERIFIED",
    "Analysis",
    "AnalysisWarning",
    "ArmSummary",
    "ClaimVerdict",
    "ConfigurationVerdict",
    "EstimatedClaim",
    "EstimatorCell",
    "EstimatorError",
    "JointVerdict",
    "analyze",
    "specification_dictionary",
]
