"""The joint verdict (row 5): does any single configuration meet all claims at once?

A configuration is as good as its worst claim. The answer is

    VERIFIED      some configuration meets every claim
    UNDECIDED     none does yet, and at least one still could
    PARTIAL       none can meet every claim, and at least one has failed none
    FAILED        every configuration has failed at least one claim
    NOT_MEASURED  claims were left unmeasured, and what was measured rules no configuration out

Once a deterministic claim rules a configuration out, no number of seeds brings it back: "none meets
all" is then decided while quality is still open. PARTIAL is the best that remains possible in that
case, and the reason says so. The same holds where the interval of a noisy claim lies below
verified_at and only crosses partial_at.

The two directions ask different questions, so the ends of an interval have their own confidence:

    at least  "any of m configurations" gives chance m tries: 1 - 0.05/m (Bonferroni) for the lower
              end. Within one configuration all claims must hold, which needs no correction.
    below     "none" is wrong only if the one that does hold was ruled out: no correction for m. But
              any of k noisy claims can rule a configuration out: 1 - 0.05/k for the upper end.

Either way the joint verdict errs in at most one case of forty. m counts the configurations that
chance could let pass, at every data size: not those that a deterministic claim rules out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..config.claims import Claim
from ..language import Statement
from .claim_verdicts import JudgedClaim
from .intervals import LEVEL, corrected, plan
from .metrics import Measurement
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
from .wording import listing, plural

WORST_FIRST = (FAILED, PARTIAL, UNDECIDED, NOT_MEASURED, VERIFIED)
_Levels = tuple[float, float]  # confidence of the lower and of the upper end of intervals


@dataclass(frozen=True)
class Candidate:
    """One configuration at one data size, with its verdict on every joint claim."""

    configuration: str
    dataset_size: int | None
    entries: dict[str, ConfigurationVerdict | None]  # claim id -> verdict; None: no such figure
    missed: frozenset[str] = frozenset()  # claim ids that it cannot meet any more

    @property
    def statuses(self) -> dict[str, str]:
        """claim id -> verification."""
        return {k: e.verification if e else NOT_MEASURED for k, e in self.entries.items()}

    @property
    def verification(self) -> str:
        """That of its worst claim; where one is missed for good, PARTIAL is the best possible."""
        worst = min(self.statuses.values(), key=WORST_FIRST.index)
        return PARTIAL if self.missed and worst != FAILED else worst

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
    exact = [claim for claim in joint if not claim.claim.noisy]
    tries = _tries([_candidate(exact, *place, (LEVEL, LEVEL)) for place in kept], exact)
    levels = corrected(tries), corrected(len(joint) - len(exact))
    return [_candidate(joint, *place, levels) for place in kept]


def _tries(candidates: Sequence[Candidate], joint: Sequence[JudgedClaim]) -> int:
    """Configurations that chance could let pass: no deterministic claim rules them out."""
    exact = {claim.claim.id for claim in joint if not claim.claim.noisy}
    return sum(not candidate.missed & exact for candidate in candidates)


def _candidate(
    joint: Sequence[JudgedClaim], name: str, size: int | None, levels: _Levels
) -> Candidate:
    entries = {c.claim.id: _entry(c, name, size, levels) for c in joint}
    missed = {c.claim.id for c in joint if _is_missed(c.claim, entries[c.claim.id])}
    return Candidate(name, size, entries, frozenset(missed))


def _entry(
    judged: JudgedClaim, name: str, size: int | None, levels: _Levels
) -> ConfigurationVerdict | None:
    pairs = zip(judged.measurements, judged.verdict.per_configuration, strict=True)
    for measurement, entry in pairs:
        if measurement.configuration == name and measurement.dataset_size in (None, size):
            return _corrected(judged.claim, measurement, levels) or entry
    return None


def _corrected(
    claim: Claim, measurement: Measurement, levels: _Levels
) -> ConfigurationVerdict | None:
    """A noisy claim at the levels of the joint question; None for what has no interval."""
    if measurement.ratio is None:
        return None
    entry = judge_configuration(claim, measurement, *levels)
    if entry.verification != UNDECIDED:
        return entry
    # Here only verified_at matters: whether it is PARTIAL or FAILED need not be settled.
    found = plan(measurement.ratio, (claim.verified_at,), *levels)
    return replace(entry, seeds_needed=found.seeds)


def _is_missed(claim: Claim, entry: ConfigurationVerdict | None) -> bool:
    """True where the claim is decided against, be it as PARTIAL or as FAILED."""
    if entry is None or entry.verification in (VERIFIED, NOT_MEASURED):
        return False
    below = entry.ci95 is not None and entry.ci95[1] < claim.verified_at
    return entry.verification != UNDECIDED or below


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
) -> Statement:
    if not joint:
        return Statement("no claim counts towards the joint verdict", "総合判定の対象の主張なし")
    if verification == NOT_MEASURED:
        missing = [c.claim for c in joint if _unmeasured(c.claim.id, candidates)]
        return Statement(
            "not measured: " + listing([c.text["en"] for c in missing]).en,
            "未測定: " + listing([c.text["ja"] for c in missing]).ja,
        )
    if verification == VERIFIED:
        names = _names(candidates, VERIFIED)
        return Statement(f"met by {names.en}", f"すべて満たす設定: {names.ja}")
    if verification == UNDECIDED:
        return _open_reason(candidates, _tries(candidates, joint))
    return _decided_reason(verification, candidates, joint)


def _names(candidates: Sequence[Candidate], *verifications: str) -> Statement:
    """Each configuration once, whatever its data sizes."""
    found = [c.configuration for c in candidates if c.verification in verifications]
    return listing(list(dict.fromkeys(found)))


def _unmeasured(claim_id: str, candidates: Sequence[Candidate]) -> bool:
    return not candidates or any(c.statuses[claim_id] == NOT_MEASURED for c in candidates)


def _open_reason(candidates: Sequence[Candidate], corrected: int) -> Statement:
    names = _names(candidates, UNDECIDED, NOT_MEASURED)
    needed = [c.seeds_needed for c in candidates if c.verification == UNDECIDED]
    known = [n for n in needed if n is not None]
    en = f"still possible: {names.en}"
    ja = f"まだ可能性がある設定: {names.ja}"
    if known and len(known) == len(needed):
        en += f"; about {plural(max(known), 'seed')} would decide"
        ja += f"(判定には約{max(known)}シード必要)"
    elif needed:
        en += "; for some, seeds alone would not decide"
        ja += "(シードを増やすだけでは判定不可の設定あり)"
    if corrected > 1:
        en += f"; intervals are corrected for {corrected} configurations"
        ja += f"。信頼区間は{corrected}通りの比較に合わせて補正済み"
    return Statement(en, ja)


def _decided_reason(
    verification: str, candidates: Sequence[Candidate], joint: Sequence[JudgedClaim]
) -> Statement:
    """Which claims rule the configurations out, and what is open although that is decided."""
    total = len(candidates)
    counts = []
    for claim in joint:
        out = sum(claim.claim.id in c.missed for c in candidates)
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
        ja += (
            f"。ここまでは確定です。{names_ja}は判定保留のため、PARTIALが上限で、"
            "FAILEDになる可能性もあります"
        )
    return Statement(en, ja)
