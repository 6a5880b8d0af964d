"""From a measurement to the verdict on one configuration (row 5).

Deterministic metrics are judged by value. Noisy ones are judged by their interval:

    VERIFIED   its lower end reaches verified_at
    FAILED     it lies wholly below partial_at
    PARTIAL    it lies wholly from partial_at to below verified_at
    UNDECIDED  anything else, always with one seed, and where full may have gained nothing

For quality this is a test of non-inferiority with the margin 1 - verified_at, a share of the gain
of full fine-tuning.
"""

from __future__ import annotations

from ..config.claims import Claim
from ..language import Statement
from .contrasts import PairedRatio
from .intervals import LEVEL, Plan, is_clear, plan, ratio_interval
from .metrics import Measurement
from .values import FAILED, NOT_MEASURED, PARTIAL, UNDECIDED, VERIFIED, ConfigurationVerdict
from .wording import NOTHING, seed_count


def judge_configuration(
    claim: Claim, measurement: Measurement, level: float = LEVEL, below: float | None = None
) -> ConfigurationVerdict:
    """One configuration; ``level`` is the confidence of a noisy metric's interval.

    ``below`` is that of its upper end, where it differs.
    """
    interval, needed = None, Plan()
    reason = measurement.reason
    ratio = measurement.ratio
    if measurement.value is None:
        verification = NOT_MEASURED
    elif not claim.noisy:
        verification = judge_value(claim, measurement.value, measurement.bound)
    elif ratio is None:
        verification = UNDECIDED  # nothing says how noisy the value is
    else:
        interval = ratio_interval(ratio, level, below)
        verification = judge_interval(claim, interval)
        reason = _decided_reason(claim, verification, ratio)
        if verification == UNDECIDED:
            reason, needed = undecided(claim, ratio, level, below)
    return ConfigurationVerdict(
        configuration=measurement.configuration,
        value=measurement.value,
        ci95=interval,
        num_seeds=len(measurement.values) if ratio is None else ratio.count,
        verification=verification,
        seeds_needed=needed.seeds,
        texts_needed=needed.texts,
        dataset_size=measurement.dataset_size,
        cells=measurement.cells,
        reason=reason.en,
        reason_ja=reason.ja,
        bound=measurement.bound,
    )


def judge_value(claim: Claim, value: float, bound: str | None = None) -> str:
    """VERIFIED, PARTIAL or FAILED by value; a bound decides only what lies beyond it."""
    if value >= claim.verified_at:
        verification = VERIFIED
    else:
        verification = PARTIAL if value >= claim.partial_at else FAILED
    decided = {None: True, "lower": verification == VERIFIED, "upper": verification == FAILED}
    return verification if decided[bound] else UNDECIDED


def judge_interval(claim: Claim, interval: tuple[float, float] | None) -> str:
    """The verdict of an interval; UNDECIDED where there is none (one seed) or it is too wide."""
    if interval is None:
        return UNDECIDED
    low, high = interval
    if low >= claim.verified_at:
        return VERIFIED
    if high < claim.partial_at:
        return FAILED
    return PARTIAL if low >= claim.partial_at and high < claim.verified_at else UNDECIDED


def undecided(
    claim: Claim, ratio: PairedRatio, level: float = LEVEL, below: float | None = None
) -> tuple[Statement, Plan]:
    """Why a noisy metric is undecided, and what would decide it."""
    found = plan(ratio, (claim.verified_at, claim.partial_at), level, below)
    start = _what_is_open(claim, ratio, max(level, below or level))
    advice = _advice(claim, ratio, found)
    note = _seeds_only(claim, ratio)
    text = Statement(f"{start.en}; {advice.en}{note.en}", f"{start.ja}({advice.ja}){note.ja}")
    return text, found


def _what_is_open(claim: Claim, ratio: PairedRatio, level: float) -> Statement:
    if ratio.count == 1:
        return Statement("one seed decides nothing", "1シードでは判定不可")
    if is_clear(ratio, level):
        count = ratio.count
        return Statement(
            f"the interval of {count} seeds crosses a threshold",
            f"{count}シードの信頼区間の内側にしきい値",
        )
    if claim.metric == "gain_retention":
        return Statement(
            "full fine-tuning's own gain is not clearly above zero",
            "フルファインチューニング自体の改善が0を上回るか不確か",
        )
    return Statement("the times scatter too much for a ratio", "時間のばらつきが大きく比は不定")


def _advice(claim: Claim, ratio: PairedRatio, found: Plan) -> Statement:
    """How many seeds or texts would decide."""
    if found.by_texts:
        have, texts, seeds = len(ratio.documents), found.texts, found.seeds_with_texts
        why = f"more seeds alone would not decide, the error of {have} held-out texts is too large"
        why_ja = f"評価テキスト{have}件の誤差が大きく、"
        if texts is None or seeds is None:
            return Statement(why, why_ja + "シードを増やすだけでは判定不可")
        more = NOTHING
        if seeds > ratio.count:
            more = Statement(f" with {seeds} seeds", f"と約{seeds}シード")
        return Statement(
            f"{why}; about {texts}{more.en} would", f"{why_ja}判定には約{texts}件{more.ja}必要"
        )
    if found.seeds is not None:
        needed = seed_count(found.seeds)
        return Statement(f"about {needed.en} would", f"判定には約{needed.ja}必要")
    if ratio.value in (claim.verified_at, claim.partial_at):
        return Statement("the value sits on a threshold", "値がしきい値と同じ")
    return Statement("more than 100 seeds would be needed", "100シードを超えても不足")


def _decided_reason(claim: Claim, verification: str, ratio: PairedRatio) -> Statement:
    """What a decided quality verdict says about the gain, and on what it rests."""
    if claim.metric != "gain_retention" or verification == UNDECIDED:
        return NOTHING
    basis = _basis(ratio)
    if claim.verified_at > 1:  # no loss of gain is allowed, so there is none to state
        return basis
    most, least = (f"{100 * (1 - bar):.3g}%" for bar in (claim.partial_at, claim.verified_at))
    lost = {
        VERIFIED: Statement(f"at most {least}", f"{least}以内"),
        PARTIAL: Statement(f"more than {least}, at most {most}", f"{least}超{most}以内"),
        FAILED: Statement(f"more than {most}", f"{most}超"),
    }[verification]
    return Statement(
        f"{lost.en} of full fine-tuning's gain is lost ({basis.en})",
        f"フルの改善幅に対する損失は{lost.ja}({basis.ja})",
    )


def _basis(ratio: PairedRatio) -> Statement:
    """Which errors the interval covers."""
    seeds = seed_count(ratio.count)
    texts = len(ratio.documents)
    if texts < 2:
        return Statement(
            f"{seeds.en}; error of the held-out texts unknown",
            f"{seeds.ja}、評価テキストの誤差は不明",
        )
    return Statement(f"{seeds.en}, {texts} held-out texts", f"{seeds.ja}、評価テキスト{texts}件")


def _seeds_only(claim: Claim, ratio: PairedRatio) -> Statement:
    if claim.metric != "gain_retention" or len(ratio.documents) > 1:
        return NOTHING
    return Statement("; error of the held-out texts unknown", "。評価テキストの誤差は不明")
