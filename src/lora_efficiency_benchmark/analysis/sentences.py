"""The one sentence that leads every report (row 5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ..config.claims import Claim
from ..language import Statement
from .values import NOT_MEASURED, UNDECIDED, VERIFIED, ClaimVerdict, ConfigurationVerdict
from .wording import NOTHING, number_word, phrase, seed_count


@dataclass(frozen=True)
class Headline:
    """What the sentence is made of."""

    verification: str
    model_name: str
    claims: tuple[Claim, ...]  # those of the joint verdict
    best: dict[str, ConfigurationVerdict | None]  # of the configuration that comes closest
    configuration: str | None
    dataset_size: int | None  # None where only one was tested
    seeds_needed: int | None


def headline(facts: Headline) -> Statement:
    """The joint verdict in plain words."""
    subject = _subject(facts)
    count = len(facts.claims)
    whole = f"all {number_word(count)} claims" if count > 1 else "the claim"
    whole_ja = f"{count}つの主張すべて" if count > 1 else "主張"
    if facts.verification == NOT_MEASURED or facts.configuration is None:
        return Statement(
            f"{subject.en}: not judged, because not every claim has been measured yet",
            f"{subject.ja}: まだ測定していない主張があるため、判定できません",
        )
    where = _where(facts)
    gap = "" if where.ja.endswith(")") else " "  # between Latin letters and Japanese ones
    figures = _figures(facts.claims, facts.best)
    if facts.verification == VERIFIED:
        return Statement(
            f"{subject.en}: {where.en} meets {whole} at once ({figures.en})",
            f"{subject.ja}: {where.ja}{gap}は{whole_ja}を同時に満たします({figures.ja})",
        )
    if facts.verification == UNDECIDED:
        needed = NOTHING
        if facts.seeds_needed:
            seeds = seed_count(facts.seeds_needed)
            needed = Statement(
                f"; about {seeds.en} would decide", f"。判定には約{seeds.ja}必要です"
            )
        return Statement(
            f"{subject.en}: undecided whether any configuration meets {whole}; "
            f"{where.en} still could ({figures.en}){needed.en}",
            f"{subject.ja}: {whole_ja}を同時に満たす設定があるかは判定保留で、"
            f"{where.ja}{gap}に可能性が残ります({figures.ja}){needed.ja}",
        )
    return Statement(
        f"{subject.en}: no single configuration meets {whole}; "
        f"{where.en} comes closest ({figures.en})",
        f"{subject.ja}: {whole_ja}を同時に満たす設定はなく、"
        f"最も近いのは {where.ja}{gap}です({figures.ja})",
    )


def across_sentence(
    claims: Sequence[Claim], verdicts: Sequence[ClaimVerdict], model: str, base_model: str
) -> Statement:
    """Full fine-tuning of one model against LoRA of the other, in one line.

    The figures are those of the configuration and data size that kept most of the gain.
    """
    head = Statement(
        f"Across models (full fine-tuning of {base_model}, LoRA of {model})",
        f"異なるモデルの比較({base_model} のフルファインチューニングと {model} のLoRA)",
    )
    found = [entry for verdict in verdicts for entry in verdict.per_configuration]
    measured = [entry for entry in found if entry.value is not None]
    if not measured:
        return Statement(f"{head.en}: not measured", f"{head.ja}: 未測定")
    lead = _keeps_most(verdicts) or measured[0]
    of_lead = {
        claim.id: _entry_of(verdict, lead) for claim, verdict in zip(claims, verdicts, strict=True)
    }
    names = {entry.configuration for entry in found}
    several = len({e.dataset_size for e in found if e.dataset_size is not None}) > 1
    at = lead.dataset_size if several else None
    where = Statement.unchanged(lead.configuration)
    if at is not None:
        where = Statement(f"{where.en} at {at} texts", f"{where.ja}(学習データ{at}件)")
    figures = _figures(claims, of_lead)
    gap = "" if where.ja.endswith(")") else " "
    best = len(names) > 1 and _keeps_most(verdicts) is not None
    if best:
        return Statement(
            f"{head.en}: {where.en} measured best ({figures.en})",
            f"{head.ja}: 維持率の測定値が最も高いのは {where.ja}{gap}で、{figures.ja}です",
        )
    return Statement(
        f"{head.en}: {where.en} ({figures.en})", f"{head.ja}: {where.ja}{gap}は、{figures.ja}です"
    )


def _keeps_most(verdicts: Sequence[ClaimVerdict]) -> ConfigurationVerdict | None:
    """The entry with the largest share of the gain; None where none was measured."""
    entries = [e for v in verdicts if v.metric == "gain_retention" for e in v.per_configuration]
    known = [entry for entry in entries if entry.value is not None]
    return max(known, key=lambda entry: entry.value or 0.0, default=None)


def _entry_of(verdict: ClaimVerdict, lead: ConfigurationVerdict) -> ConfigurationVerdict | None:
    """The same configuration in another claim; counts and peaks are the same at every size."""
    return next(
        (
            entry
            for entry in verdict.per_configuration
            if entry.configuration == lead.configuration
            and entry.dataset_size in (None, lead.dataset_size)
        ),
        None,
    )


def _subject(facts: Headline) -> Statement:
    """``R-5 on smollm2-135m-instruct``; the claim's name is taken from its source."""
    found = {m[1] for c in facts.claims if (m := re.search(r"\bclaim ([A-Z]+-?\d+)", c.source))}
    model = PurePath(facts.model_name).name or facts.model_name
    shared = next(iter(found)) if len(found) == 1 else None
    name = Statement(shared or "The claims", shared or "主張")
    if not model:
        return name
    return Statement(name.en + f" on {model}", name.ja + f"({model})")


def _where(facts: Headline) -> Statement:
    name = facts.configuration or ""
    if facts.dataset_size is None:
        return Statement.unchanged(name)
    size = facts.dataset_size
    return Statement(f"{name} at {size} texts", f"{name}(学習データ{size}件)")


def _figures(claims: Sequence[Claim], entries: dict[str, ConfigurationVerdict | None]) -> Statement:
    parts_en, parts_ja = [], []
    for claim in claims:
        entry = entries.get(claim.id)
        shown = phrase(entry.value if entry else None, claim.metric, entry.bound if entry else None)
        undecided = entry is not None and entry.verification == UNDECIDED
        parts_en.append(shown.en + (", undecided" if undecided else ""))
        parts_ja.append(shown.ja + ("で判定保留" if undecided else ""))
    return Statement(", ".join(parts_en), "、".join(parts_ja))
