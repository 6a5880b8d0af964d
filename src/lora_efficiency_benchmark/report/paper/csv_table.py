"""Every claim on every configuration as one long CSV table (row 6); RFC 4180.

A spreadsheet runs a cell that begins with one of ``= + - @`` or a control character as a formula,
and names come from strangers: such a text gets an apostrophe in front. Numbers are our own and
stay numbers.
"""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from ...analysis.values import Analysis, ClaimVerdict, ConfigurationVerdict, EstimatedClaim
from ...plain_text import spreadsheet_text
from ..texts import wording
from . import PACKAGES, configuration_hash, published

COLUMNS = (
    "claim_id", "metric", "comparison", "basis", "precision", "configuration", "dataset_size",
    "value", "bound", "ci95_low", "ci95_high", "num_seeds", "seeds_needed", "verification",
    "claimed", "verified_at", "partial_at", "in_joint_verdict", "mean_value", "mean_verification",
    "model", "base_model", "batch_size", "max_length", "training_steps", "device", "versions",
    "configuration_hash", "records", "reason", "source",
)  # fmt: skip
"""One row a claim, configuration and data size; docs/papers.md says what each column holds."""


def render_csv(analysis: Analysis, language: str) -> str:
    """The table with its head; measured claims first, then the estimated ones (``basis``)."""
    wording(language)  # refuses a language that is none
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for claim in (*analysis.claims, *analysis.estimated_claims):
        for found in claim.per_configuration:
            row = {**_claim(analysis, claim), **_found(found, language)}
            writer.writerow({name: cell(value) for name, value in row.items()})
    return out.getvalue()


def cell(value: Any) -> str | int | float:
    """A value as it is written: nothing for None, texts made harmless, numbers as they are."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else ""
    return spreadsheet_text(value)


def _claim(analysis: Analysis, claim: ClaimVerdict) -> dict[str, Any]:
    shared = {
        "claim_id": claim.id,
        "metric": claim.metric,
        "comparison": claim.comparison,
        "basis": claim.basis,
        "precision": claim.precision,
        "claimed": claim.claimed,
        "verified_at": claim.verified_at,
        "partial_at": claim.partial_at,
        "in_joint_verdict": claim.joint,
        "mean_value": claim.mean,
        "mean_verification": claim.verification,
        "model": published(claim.model or analysis.settings.get("model")),
        "base_model": published(claim.base_model or analysis.settings.get("model")),
        "source": claim.source,
    }
    if isinstance(claim, EstimatedClaim):
        return {**shared, "batch_size": claim.batch_size, "max_length": claim.seq_len}
    return {**shared, **_run(analysis)}


def _run(analysis: Analysis) -> dict[str, Any]:
    """What holds for all measured rows; an estimate was made for no device and no step count."""
    packages = analysis.environment.get("packages") or {}
    names = ("batch_size", "max_length", "training_steps")
    return {
        **{name: analysis.settings.get(name) for name in names},
        "device": (analysis.environment.get("device") or {}).get("name"),
        "versions": " ".join(f"{k}=={packages[k]}" for k in PACKAGES if k in packages),
        "configuration_hash": configuration_hash(analysis) if analysis.arms else None,
    }


def _found(found: ConfigurationVerdict, language: str) -> dict[str, Any]:
    low, high = found.ci95 or (None, None)
    reason = found.reason_ja if language == "ja" and found.reason_ja else found.reason
    return {
        "configuration": found.configuration,
        "dataset_size": found.dataset_size,
        "value": found.value,
        "bound": found.bound,
        "ci95_low": low,
        "ci95_high": high,
        "num_seeds": found.num_seeds,
        "seeds_needed": found.seeds_needed,
        "verification": found.verification,
        "records": " ".join(found.cells),
        "reason": reason,
    }
