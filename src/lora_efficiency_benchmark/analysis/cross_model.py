"""Full fine-tuning of a smaller model against LoRA of a larger one (row 5).

The question is whether LoRA makes the larger model the better buy. The two start from different
losses and count other tokens, so quality is judged in bits per byte of the raw text, and the gain
is counted from the untrained *smaller* model for both:

    (bits before, smaller - bits of LoRA, larger) / (bits before, smaller - bits of full, smaller)

A value above 1 means that LoRA of the larger model ends up better. Tokenizers differ, so a batch of
the same texts has another number of tokens for each model; memory and time include that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from ..config.claims import Claim
from ..records.results import CellRecord
from .claim_verdicts import JudgedClaim
from .pairing import Arm, Comparison, Pair, compare_arms
from .rows import arm_summaries
from .selection import Selection
from .sentences import across_sentence
from .values import AcrossModels

CROSS_MODEL = "cross-model"
Names = tuple[str, str]


def reference_comparison(selection: Selection) -> Comparison | None:
    """The arms of the smaller model; None where there is no other model."""
    if not selection.reference:
        return None
    return compare_arms(replace(selection, records=selection.reference))


def cross_comparison(own: Comparison, reference: Comparison) -> Comparison:
    """LoRA arms of the one model beside full fine-tuning of the other."""
    pairs = {
        (arm.label, arm.dataset_size): tuple(_pairs(arm, other))
        for arm in own.lora
        for other in reference.full
        if arm.dataset_size == other.dataset_size
    }
    return Comparison(
        full=reference.full,
        lora=own.lora,
        base=reference.base,
        full_trainable=reference.full_trainable,
        across_models=True,
        _pairs=pairs,
    )


def short_names(model: str, other: str) -> tuple[str, str]:
    """Both names without the folders or the organisation before them, as far as they still differ.

    ``("org/large", "org/small") -> ("large", "small")``; two equal names are given back whole.
    """
    parts = [PurePath(name.replace("\\", "/")).parts for name in (model, other)]
    for kept in range(1, max(map(len, parts), default=0) + 1):
        ends = ["/".join(p[-kept:]) for p in parts]
        if ends[0] != ends[1] and all(ends):
            return ends[0], ends[1]
    return model, other


def across_models(
    comparison: Comparison, judged: Sequence[JudgedClaim], leading: Sequence[Claim], names: Names
) -> AcrossModels:
    """What reports show of the other model.

    ``comparison`` and ``judged`` are those across models, ``leading`` the claims that the sentence
    is about, ``names`` the short names of LoRA's model and of the other one.
    """
    asked = {(claim.metric, claim.precision) for claim in leading}
    kept = [c for c in judged if (c.claim.metric, c.claim.precision) in asked]
    line = across_sentence([c.claim for c in kept], [c.verdict for c in kept], *names)
    base = comparison.base
    return AcrossModels(
        model=names[0],
        base_model=names[1],
        arms=arm_summaries(comparison, *names),
        base=dict(base.evaluation) if base and base.evaluation else None,
        sentence={"ja": line.ja, "en": line.en},
    )


def cross_claims(claims: Sequence[Claim]) -> list[Claim]:
    """The claims that ask about two models, and every other one asked of them too."""
    own = [claim for claim in claims if claim.comparison == CROSS_MODEL]
    asked = {(claim.metric, claim.precision) for claim in own}
    again = [
        replace(claim, comparison=CROSS_MODEL, joint=False)
        for claim in claims
        if claim.comparison != CROSS_MODEL and (claim.metric, claim.precision) not in asked
    ]
    return own + again


def _pairs(arm: Arm, other: Arm) -> list[Pair]:
    """Seeds that both have, on the same data order for the same steps."""
    return [
        Pair(seed, other.train[seed], lora)
        for seed, lora in arm.train.items()
        if seed in other.train and _same_work(lora, other.train[seed])
    ]


def _same_work(a: CellRecord, b: CellRecord) -> bool:
    blocks = (a.training or {}, b.training or {})
    return all(blocks[0].get(name) == blocks[1].get(name) for name in ("order_sha256", "steps"))
