"""The dictionary of the specification's ``analyze_efficiency_claims()`` (row 5)."""

from __future__ import annotations

from typing import Any

from .values import NOT_MEASURED, Analysis, ClaimVerdict
from .wording import quantity

CLAIMED_PARAMETERS, CLAIMED_MEMORY = 200, 2.0  # as the specification writes them
UNKNOWN = "unknown"


def specification_dictionary(analysis: Analysis) -> dict[str, Any]:
    """The three keys of the specification, then ``joint``, ``warnings`` and ``claims``.

    ``measured`` holds one value a configuration; retention one a configuration and data size, as
    perplexity(full) / perplexity(LoRA). ``verification`` is "unknown" before there is data.
    """
    document = analysis.to_dict()
    lora = [arm for arm in analysis.arms if arm.performance_retention is not None and arm.adapter]
    return {
        "parameter_reduction": _reduction(
            _find(analysis, "parameter_reduction_ratio"), CLAIMED_PARAMETERS
        ),
        "memory_reduction": _reduction(_find(analysis, "memory_reduction_ratio"), CLAIMED_MEMORY),
        "performance_retention": {
            "measured": [arm.performance_retention for arm in lora],
            "analysis": _retention_lines(analysis),
        },
        "joint": document["joint"],
        "warnings": document["warnings"],
        "claims": document["claims"],
    }


def _find(analysis: Analysis, metric: str) -> ClaimVerdict | None:
    """The claim on a metric; of several the one that counts towards the joint verdict."""
    found = [claim for claim in analysis.claims if claim.metric == metric]
    found = [c for c in found if c.comparison == "same-model"]
    return next((c for c in found if c.joint), found[0] if found else None)


def _reduction(claim: ClaimVerdict | None, default: float) -> dict[str, Any]:
    if claim is None:
        return {"claimed": default, "measured": [], "verification": UNKNOWN}
    whole = float(claim.claimed).is_integer() and isinstance(default, int)
    measured = [e.value for e in claim.per_configuration if e.value is not None]
    return {
        "claimed": int(claim.claimed) if whole else claim.claimed,
        "measured": measured,
        "verification": UNKNOWN if claim.verification == NOT_MEASURED else claim.verification,
    }


def _retention_lines(analysis: Analysis) -> list[str]:
    claim = _find(analysis, "gain_retention")
    entries = claim.per_configuration if claim else ()
    verdicts = {(e.configuration, e.dataset_size): e for e in entries}
    lines = []
    for arm in analysis.arms:
        if arm.adapter is None or arm.performance_retention is None:
            continue
        line = (
            f"{arm.label}, {arm.dataset_size} texts: perplexity of full / LoRA = "
            f"{arm.performance_retention:.3f}"
        )
        entry = verdicts.get((arm.label, arm.dataset_size))
        if entry is not None and entry.value is not None:
            kept = quantity(entry.value, "gain_retention").en
            line += f"; gain kept {kept} ({entry.verification})"
        lines.append(line)
    return lines
