"""The whole analysis in one place (row 5): records in, verdicts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..config.claims import Claim
from ..plan import AS_PRACTISED
from ..records.results import CellRecord
from .claim_verdicts import JudgedClaim, judge_claim
from .cross_model import (
    CROSS_MODEL,
    across_models,
    cross_claims,
    cross_comparison,
    reference_comparison,
    short_names,
)
from .estimated import judge_estimates
from .estimator import estimator_error
from .findings import Findings
from .forgetting import forgetting
from .joint import judge_joint
from .learning_rates import learning_rate_curves
from .matched import matched_arms
from .metrics import measure
from .pairing import Comparison, compare_arms
from .rows import arm_summaries, failures, result_rows
from .selection import Selection, model_shown, select
from .values import Analysis, EstimatorError
from .warnings import find_warnings
from .written import samples


def analyze(
    records: Sequence[CellRecord],
    claims: Sequence[Claim],
    estimates: Sequence[Mapping[str, Any]] = (),
    base_model: str | None = None,
    unfinished: int | None = None,
) -> Analysis:
    """Judge ``claims`` on ``records``. Pure, and the order of the records does not matter.

    Any part of a matrix will do: what is missing is NOT_MEASURED, with the reason. ``estimates``
    (the entries of estimates.json) are judged apart and touch no measured verdict. ``base_model``
    names the other model of a cross-model comparison: only what was asked for is compared.
    ``unfinished``: planned cells that have no record, where the plan is known.
    """
    selection = select(records, base_model)
    comparison = compare_arms(selection)
    judged = [
        judge_claim(claim, measure(comparison, claim), _reading(comparison, claim))
        for claim in claims
    ]
    reference = reference_comparison(selection)
    across, names = None, ("", "")
    if reference is not None:
        cross = cross_comparison(comparison, reference)
        of_two = _judge_across(selection, cross, claims)
        judged = [c for c in judged if c.claim.comparison != CROSS_MODEL] + of_two
        names = short_names(model_shown(selection.records), model_shown(selection.reference))
        across = across_models(cross, of_two, _leading(claims), names)
    joint = judge_joint(judged, model_shown(selection.records))
    verdicts = tuple(claim.verdict for claim in judged)
    arms = arm_summaries(comparison, names[0], names[0])
    base = comparison.base
    curves = learning_rate_curves(selection, claims)
    return Analysis(
        claims=verdicts,
        joint=joint,
        warnings=find_warnings(Findings(selection, comparison, verdicts, arms, curves, unfinished)),
        arms=arms,
        rows=result_rows(comparison) + (result_rows(reference) if reference else ()),
        base=dict(base.evaluation) if base and base.evaluation else None,
        data=dict(base.data) if base and base.data else None,
        environment=dict(selection.environment),
        settings=_settings(selection, comparison),
        failures=failures((*selection.records, *selection.reference)),
        estimated_claims=judge_estimates(claims, estimates),
        estimator=_estimator(selection, names),
        learning_rates=curves,
        matched=matched_arms(comparison),
        forgetting=forgetting(comparison),
        samples=samples(comparison),
        unfinished=unfinished,
        across=across,
    )


def _leading(claims: Sequence[Claim]) -> list[Claim]:
    """The claims that sentences are about: those of the joint verdict."""
    return [claim for claim in claims if claim.joint] or list(claims)


def _estimator(selection: Selection, names: tuple[str, str]) -> EstimatorError | None:
    """Over the memory cells of both models; the cells name theirs where there are two."""
    both = (selection.records, selection.reference)
    shown = {
        record.cell.model_name: name
        for records, name in zip(both, names, strict=True)
        for record in records
    }
    cells = [record for records in both for record in records if record.cell.kind == "memory"]
    return estimator_error(cells, shown)


def _judge_across(
    selection: Selection, comparison: Comparison, claims: Sequence[Claim]
) -> list[JudgedClaim]:
    models = (model_shown(selection.records), model_shown(selection.reference))
    return [
        judge_claim(claim, measure(comparison, claim), _reading(comparison, claim), models)
        for claim in cross_claims(claims)
    ]


def _reading(comparison: Comparison, claim: Claim) -> str | None:
    """As practised, where a quality or time claim was measured with unequal precisions."""
    if not claim.noisy:
        return None
    readings = {r.cell.reading for arm in comparison.lora for r in arm.train.values()}
    return AS_PRACTISED if readings == {AS_PRACTISED} else None


_RISKS = ("trust_remote_code", "allow_pickle")
"""Settings that let a model's author run code or pickles here: shown wherever they were on."""


def _settings(selection: Selection, comparison: Comparison) -> dict[str, Any]:
    """What all arms share, and the precision of each method."""
    if not selection.records:
        return {}
    arms = {"full": comparison.full, "lora": comparison.lora}
    precision = {
        name: sorted({r.cell.precision for arm in group for r in arm.train.values()})
        for name, group in arms.items()
    }
    trained = [a for a in (*comparison.full, *comparison.lora) if a.train]
    one = {"processes": 1, "accelerate": None}  # nothing to tell
    shared = {k: v for k, v in selection.settings.items() if k not in one or v != one[k]}
    return {
        "model": model_shown(selection.records),
        **({"base_model": model_shown(selection.reference)} if selection.reference else {}),
        **shared,
        "dataset_sizes": sorted({arm.dataset_size for arm in trained}),
        "seeds": sorted({seed for arm in trained for seed in arm.train}),
        "precision": {name: "/".join(values) for name, values in precision.items() if values},
        **{name: True for name in _RISKS if any(getattr(r.cell, name) for r in selection.records)},
    }
