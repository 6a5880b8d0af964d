"""The joint verdict (row 5): does any single configuration meet all claims at once?

A configuration is as good as its worst claim. The answer is

    VERIFIED      some configuration meets every claim
    UNDECIDED     none does yet, and at least one still could
    PARTIAL       none can meet every claim, and at least one has failed none
    FAILED        every configuration has failed at least one claim
    NOT_MEASURED  claims were left unmeasured, and what was measured rules no configuration out

Once a deterministic claim rules a configuration out, no number of seeds brings it back: "none meets
all" is then decided while quality is still open. PARTIAL is the best that remains possible in that
case, and the reason says so.

Asking for *any* of m configurations gives chance m tries, so a noisy claim counts as VERIFIED here
only if it is at confidence 1 - 0.05/m (Bonferroni). Within one configuration all claims must hold
at once, which needs no further correction (intersection-union test).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .claim_verdicts import JudgedClaim
from .intervals import LEVEL
from .sentences import Headline, headline
from .values import (
    FAILED,
    NOT_MEASURED,
    PARTIAL,
    UNDECIDED,
    VERIFIED,
    ConfigurationVerdict,
    JointVerdict,
)
from .verdicts import judge_configuration
from .wording import Text, listing, plural

WORST_FIRST = (FAILED, PARTIAL, UNDECIDED, NOT_MEASURED, VERIFIED)


@dataclass(frozen=True)
class Candidate:
    """One configuration at one data size, with its verdict on every joint claim."""

    configuration: str
    dataset_size: int | None
    entries: dict[str, ConfigurationVerdict | None]  # claim id -> verdict; None: no such figure

    @property
    def statuses(self) -> dict[str, str]:
        """claim id -> verification."""
        return {k: e.verification if e else NOT_MEASURED for k, e in self.entries.items()}

    @property
    def verification(self) -> str:
        """That of its worst claim."""
        return min(self.statuses.values(), key=WORST_FIRST.index)

    @property
    def seeds_needed(self) -> int | None:
        """Seeds that would settle all its undecided claims, if known."""
        open_claims = [e for e in self.entries.values() if e and e.verification == UNDECIDED]
        needed = [e.seeds_needed for e in open_claims]
        known = [n for n in needed if n is not None]
        return max(known) if known and len(known) == len(needed) else None


def judge_joint(claims: Sequence[JudgedClaim], model_name: str) -> JointVerdict:
    """The joint verdict over the claims marked ``joint``."""
    joint = [c for c in claims if c.verdict.joint]
    candidates = _candidates(joint)
    verification = decide([c.verification for c in candidates])
    ranked = sorted(candidates, key=lambda c: _distance(c, joint))
    line = headline(
        Headline(
            verification=verification,
            model_name=model_name,
            claims=tuple(c.claim for c in joint),
            best=ranked[0].entries if ranked else {},
            configuration=ranked[0].configuration if ranked else None,
            dataset_size=ranked[0].dataset_size if ranked and _several_sizes(ranked) else None,
            seeds_needed=ranked[0].seeds_needed if ranked else None,
        )
    )
    reason = _reason(verification, candidates, joint)
    return JointVerdict(
        verification=verification,
        configurations=tuple(
            {
                "configuration": c.configuration,
                "dataset_size": c.dataset_size,
                "verification": c.verification,
                "claims": c.statuses,
                "seeds_needed": c.seeds_needed,
            }
            for c in candidates
        ),
        sentence={"ja": line.ja, "en": line.en},
        reason=reason.en,
        reason_ja=reason.ja,
    )


def decide(verifications: Sequence[str]) -> str:
    """The joint verdict from the verdicts of the configurations."""
    found = set(verifications)
    if not found or found == {NOT_MEASURED}:
        return NOT_MEASURED
    if VERIFIED in found:
        return VERIFIED
    # A configuration nobody measured in full could still turn out to meet everything.
    if found & {UNDECIDED, NOT_MEASURED}:
        return UNDECIDED
    return PARTIAL if PARTIAL in found else FAILED


def _candidates(joint: Sequence[JudgedClaim]) -> list[Candidate]:
    places: dict[tuple[str, int | None], None] = {}
    for claim in joint:
        for m in claim.measurements:
            places.setdefault((m.configuration, m.dataset_size))
    # A configuration with figures at data sizes needs no entry without one.
    sized = {name for name, size in places if size is not None}
    kept = [p for p in places if p[1] is not None or p[0] not in sized]
    tries = max(1, len(kept))
    return [
        Candidate(name, size, {c.claim.id: _entry(c, name, size, tries) for c in joint})
        for name, size in kept
    ]


def _entry(
    judged: JudgedClaim, name: str, size: int | None, tries: int
) -> ConfigurationVerdict | None:
    pairs = zip(judged.measurements, judged.verdict.per_configuration, strict=True)
    for measurement, entry in pairs:
        if measurement.configuration == name and measurement.dataset_size in (None, size):
            if judged.claim.noisy and entry.verification == VERIFIED:
                strict = 1 - (1 - LEVEL) / tries
                return judge_configuration(judged.claim, measurement, strict)
            return entry
    return None


def _distance(candidate: Candidate, joint: Sequence[JudgedClaim]) -> tuple[int, float, int]:
    """How far a configuration is from meeting everything: first its verdict, then its worst claim.

    The shortfall of a claim is the share by which the value misses ``verified_at``.
    """
    rank = (VERIFIED, UNDECIDED, NOT_MEASURED, PARTIAL, FAILED).index(candidate.verification)
    shortfalls = []
    for claim in joint:
        entry = candidate.entries[claim.claim.id]
        bar = claim.claim.verified_at
        missing = entry is None or entry.value is None or not bar
        gap = 1.0 if missing else (bar - entry.value) / abs(bar)  # type: ignore[operator,union-attr]
        shortfalls.append(max(0.0, gap))
    return rank, max(shortfalls, default=0.0), candidate.dataset_size or 0


def _several_sizes(candidates: Sequence[Candidate]) -> bool:
    return len({c.dataset_size for c in candidates}) > 1


def _reason(
    verification: str, candidates: Sequence[Candidate], joint: Sequence[JudgedClaim]
) -> Text:
    if not joint:
        return Text("no claim counts towards the joint verdict", "総合判定の対象の主張がない")
    if verification == NOT_MEASURED:
        missing = [c.claim for c in joint if _unmeasured(c.claim.id, candidates)]
        return Text(
            "not measured: " + listing([c.text["en"] for c in missing]).en,
            "未測定: " + listing([c.text["ja"] for c in missing]).ja,
        )
    if verification == VERIFIED:
        names = listing([c.configuration for c in candidates if c.verification == VERIFIED])
        return Text(f"met by {names.en}", f"すべて満たす設定: {names.ja}")
    if verification == UNDECIDED:
        return _open_reason(candidates)
    return _decided_reason(verification, candidates, joint)


def _unmeasured(claim_id: str, candidates: Sequence[Candidate]) -> bool:
    return not candidates or any(c.statuses[claim_id] == NOT_MEASURED for c in candidates)


def _open_reason(candidates: Sequence[Candidate]) -> Text:
    names = listing(
        [c.configuration for c in candidates if c.verification in (UNDECIDED, NOT_MEASURED)]
    )
    corrected = len(candidates)
    needed = [c.seeds_needed for c in candidates if c.verification == UNDECIDED]
    known = [n for n in needed if n is not None]
    en = f"still possible: {names.en}"
    ja = f"まだ可能性がある設定: {names.ja}"
    if known:
        en += f"; about {plural(max(known), 'seed')} would decide"
        ja += f"(判定には約{max(known)}シード必要)"
    if corrected > 1:
        en += f"; intervals are corrected for {corrected} configurations"
        ja += f"。信頼区間は{corrected}通りの比較に合わせて補正済み"
    return Text(en, ja)


def _decided_reason(
    verification: str, candidates: Sequence[Candidate], joint: Sequence[JudgedClaim]
) -> Text:
    """Which claims rule the configurations out, and what is open although that is decided."""
    total = len(candidates)
    counts = []
    for claim in joint:
        out = sum(c.statuses[claim.claim.id] in (FAILED, PARTIAL) for c in candidates)
        if out:
            counts.append((claim.claim, out))
    en = ", ".join(f'"{c.text["en"]}" is missed by {n} of {total}' for c, n in counts)
    ja = "、".join(f"「{c.text['ja']}」は{total}件中{n}件が未達" for c, n in counts)
    open_claims = [
        c.claim
        for c in joint
        if any(
            k.statuses[c.claim.id] in (UNDECIDED, NOT_MEASURED)
            for k in candidates
            if k.verification == PARTIAL
        )
    ]
    if verification == PARTIAL and open_claims:
        names_en = listing([f'"{c.text["en"]}"' for c in open_claims]).en
        names_ja = listing([f"「{c.text['ja']}」" for c in open_claims]).ja
        en += (
            f"; this is decided, but {names_en} is not, so PARTIAL is the best still possible "
            "and FAILED may follow"
        )
        ja += f"。ここまでは確定。{names_ja}は判定保留のため、PARTIALは上限でFAILEDになりうる"
    return Text(en, ja)
