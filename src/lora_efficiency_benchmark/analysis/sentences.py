"""The one sentence that leads every report (row 5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ..claims import Claim
from .values import NOT_MEASURED, UNDECIDED, VERIFIED, ConfigurationVerdict
from .wording import Text, number_word, phrase, plural


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


def headline(facts: Headline) -> Text:
    """The joint verdict in plain words."""
    subject = _subject(facts)
    count = len(facts.claims)
    all_en = f"all {number_word(count)} claims" if count > 1 else "the claim"
    all_ja = f"{count}つの主張すべて" if count > 1 else "主張"
    if facts.verification == NOT_MEASURED or facts.configuration is None:
        return Text(
            f"{subject.en}: not judged, because not every claim has been measured yet",
            f"{subject.ja}: まだ測定していない主張があるため、判定できない",
        )
    where = _where(facts)
    figures = _figures(facts.claims, facts.best)
    if facts.verification == VERIFIED:
        return Text(
            f"{subject.en}: {where.en} meets {all_en} at once ({figures.en})",
            f"{subject.ja}: {where.ja} は{all_ja}を同時に満たす({figures.ja})",
        )
    if facts.verification == UNDECIDED:
        seeds = facts.seeds_needed
        en = f"; about {plural(seeds, 'seed')} would decide" if seeds else ""
        ja = f"。判定には約{seeds}シード必要" if seeds else ""
        return Text(
            f"{subject.en}: undecided whether any configuration meets {all_en}; "
            f"{where.en} still could ({figures.en}){en}",
            f"{subject.ja}: {all_ja}を同時に満たす設定があるかは判定保留で、"
            f"{where.ja} に可能性が残る({figures.ja}){ja}",
        )
    return Text(
        f"{subject.en}: no single configuration meets {all_en}; "
        f"{where.en} comes closest ({figures.en})",
        f"{subject.ja}: {all_ja}を同時に満たす設定はなく、最も近いのは {where.ja}({figures.ja})",
    )


def _subject(facts: Headline) -> Text:
    """``R-5 on smollm2-135m-instruct``; the claim's name is taken from its source."""
    found = {m[1] for c in facts.claims if (m := re.search(r"\bclaim ([A-Z]+-?\d+)", c.source))}
    model = PurePath(facts.model_name).name or facts.model_name
    shared = next(iter(found)) if len(found) == 1 else None
    name = Text(shared or "The claims", shared or "主張")
    if not model:
        return name
    return Text(f"{name.en} on {model}", f"{name.ja}({model})")


def _where(facts: Headline) -> Text:
    name = facts.configuration or ""
    if facts.dataset_size is None:
        return Text(name, name)
    size = facts.dataset_size
    return Text(f"{name} at {size} texts", f"{name}(学習データ{size}件)")


def _figures(claims: Sequence[Claim], entries: dict[str, ConfigurationVerdict | None]) -> Text:
    parts_en, parts_ja = [], []
    for claim in claims:
        entry = entries.get(claim.id)
        shown = phrase(entry.value if entry else None, claim.metric, entry.bound if entry else None)
        undecided = entry is not None and entry.verification == UNDECIDED
        parts_en.append(shown.en + (", undecided" if undecided else ""))
        parts_ja.append(shown.ja + ("で判定保留" if undecided else ""))
    return Text(", ".join(parts_en), "、".join(parts_ja))
