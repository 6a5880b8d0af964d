"""The answers in one sentence each, English and Japanese (row 5)."""

from __future__ import annotations

from ...language import Statement
from ..values import NOT_MEASURED
from ..wording import NOTHING, seed_count
from . import words
from .checks import Check
from .figures import (
    conditions,
    cost_beside_full,
    evidence,
    memory_or_infinity,
    quality,
    quality_and_memory,
)
from .pivot import BestSetting
from .rule import NONE, QUALIFIES, RECOMMENDED, RULED_OUT, Decision, Judged
from .values import MEMORY, ORDERS, PARAMETERS, TIME

_LEAST = {
    MEMORY: Statement("needs the least peak memory", "ピークメモリが最小"),
    TIME: Statement("has the shortest mean training time", "平均学習時間が最短"),
    PARAMETERS: Statement("trains the fewest parameters", "学習パラメータ数が最少"),
}


def answer(decision: Decision, data_size: int | None) -> Statement:
    """Which setting to use; ``data_size`` where more than one was run."""
    at = words.texts_at(data_size)
    if decision.verification == RECOMMENDED and decision.chosen is not None:
        chosen = decision.chosen
        told = _full(decision, at) if chosen.candidate.is_full else _lora(decision, chosen, at)
    elif decision.verification == NONE:
        told = _none(decision, at)
    else:
        told = _undecided(decision, at)
    return told


def best_lora(best: BestSetting, data: Statement, data_size: int | None) -> Statement:
    """The best LoRA setting on this data, whatever the limits; what misses them is said."""
    at = words.texts_at(data_size)
    place = Statement(f"on {data.en}{at.en}", f"{data.ja}{at.ja}で")
    if best.best is None:
        return Statement(
            f"No LoRA setting has a held-out loss {place.en}",
            f"{place.ja}LoRAの評価損失がありません",
        )
    shown, name = quality(best.best), best.best.candidate.name
    count = len(best.best.candidate.losses)
    seeds = seed_count(count)
    if not best.as_good and not best.worse:
        return Statement(
            f"Only one LoRA setting was run {place.en}: {name} ({shown.en})",
            f"{place.ja}測定したLoRA設定は1つだけです: {name}({shown.ja})",
        )
    if not best.as_good:
        others = len(best.worse)
        return Statement(
            f"The best LoRA setting {place.en} is {name} ({shown.en}), shown to be better than "
            f"{'the other' if others == 1 else f'each of the other {others}'} "
            f"at {seeds.en}",
            f"{place.ja}最も良いLoRA設定は {name}({shown.ja})です。"
            f"他の{others}設定のどれよりも良いことを{seeds.ja}で確認しました",
        )
    if count == 1:
        return Statement(
            f"Which LoRA setting is best {place.en} is undecided: one seed tells no two apart; "
            f"{name} measured best ({shown.en}), which is a guess",
            f"{place.ja}最も良いLoRA設定は判定保留です。1シードでは差を見分けられません。"
            f"測定値が最も良いのは {name}({shown.ja})ですが、推測にとどまります",
        )
    same = words.names([j.candidate.name for j in best.as_good])
    cheapest = min((best.best, *best.as_good), key=memory_or_infinity)
    but = NOTHING
    if cheapest.status == RULED_OUT:
        but = Statement(", but misses the limits", "(ただし上の条件は満たしません)")
    return Statement(
        f"No single LoRA setting is best {place.en}: {name} measured best ({shown.en}), and "
        f"{seeds.en} cannot tell it from {same.en}; "
        f"{cheapest.candidate.name} needs the least memory of these{but.en}",
        f"{place.ja}最も良いLoRA設定は1つに絞れません。"
        f"測定値が最も良いのは {name}({shown.ja})ですが、"
        f"{seeds.ja}では {same.ja} との差を見分けられません。"
        f"このうちメモリが最小なのは {cheapest.candidate.name} です{but.ja}",
    )


# ---- recommended ---------------------------------------------------------------------------------


def _lora(decision: Decision, chosen: Judged, at: Statement) -> Statement:
    limits, kept = conditions(decision.limits), evidence(chosen.retention)
    cost = _bracketed(cost_beside_full(decision, chosen.candidate))
    why, left = _why_cheapest(decision, chosen), _possibly_cheaper(decision)
    name = chosen.candidate.name
    return Statement(
        f"Use {name}{at.en}: shown to meet the limits ({limits.en}), it keeps {kept.en} and "
        f"{why.en}{cost.en}{left.en}",
        f"{name} を推奨します{at.ja}。{limits.ja}という条件を満たすことを確認しました"
        f"(改善幅の維持率{kept.ja})。{why.ja}です{cost.ja}{left.ja}",
    )


def _full(decision: Decision, at: Statement) -> Statement:
    lora = [j for j in decision.judged if not j.candidate.is_full]
    own = cost_beside_full(decision, decision.chosen.candidate) if decision.chosen else NOTHING
    cost = _bracketed(own)
    if all(j.status == RULED_OUT for j in lora):
        near = min(lora, key=lambda j: j.distance)
        reason = near.deciding.reason if near.deciding else NOTHING
        limits = conditions(decision.limits)
        why = Statement(
            f"no LoRA setting of {len(lora)} meets the limits ({limits.en}), closest is "
            f"{near.candidate.name}: {reason.en}",
            f"{len(lora)}通りのLoRA設定はどれも条件({limits.ja})を満たしません。"
            f"最も近いのは {near.candidate.name}: {reason.ja}",
        )
    else:
        why = Statement(
            "no LoRA setting that meets the limits is cheaper",
            "条件を満たし、かつフルファインチューニングより安いLoRA設定はありません",
        )
    return Statement(
        f"Do not use LoRA here{at.en}: {why.en}; full fine-tuning meets them{cost.en}",
        f"ここではLoRAを使わないでください{at.ja}。{why.ja}。フルファインチューニングは条件を満たします{cost.ja}",
    )


def _why_cheapest(decision: Decision, chosen: Judged) -> Statement:
    count = len(decision.of_status(QUALIFIES))
    if count == 1:
        return Statement(
            "no other setting is shown to qualify", "条件を満たすと確認できた設定はこれのみ"
        )
    first = next(
        (by for by in ORDERS[decision.limits.cheapest] if chosen.candidate.cost(by) is not None),
        None,
    )
    if first is None:
        return Statement("its cost was not measured", "コストは未測定")
    least = _LEAST[first]
    return Statement(
        f"{least.en} of the {count} settings that qualify",
        f"条件を満たすと確認できた{count}設定のうち{least.ja}",
    )


def _possibly_cheaper(decision: Decision) -> Statement:
    if not decision.cheaper:
        return NOTHING
    listed = words.names([j.candidate.name for j in decision.cheaper])
    return Statement(
        f"; possibly cheaper and undecided: {listed.en}",
        f"。より安い可能性がありますが、判定保留です: {listed.ja}",
    )


# ---- not recommended -----------------------------------------------------------------------------


def _undecided(decision: Decision, at: Statement) -> Statement:
    limits, tail = conditions(decision.limits), _fallback(decision)
    lora = [j for j in decision.judged if not j.candidate.is_full]
    one = max((len(j.candidate.losses) for j in lora), default=0) == 1
    head = Statement(
        f"Undecided{' at one seed' if one else ''}{at.en} which setting is the cheapest within the "
        f"limits ({limits.en})",
        f"条件({limits.ja})を満たす最も安い設定は{'1シードでは' if one else ''}判定保留です{at.ja}",
    )
    guess = _guess(decision, decision.chosen) if lora and decision.chosen else NOTHING
    if guess == NOTHING:
        check = _first_unmeasured(decision)
        guess = (
            check.reason
            if check
            else Statement("no LoRA setting was measured", "LoRAの測定がありません")
        )
    return Statement(f"{head.en}: {guess.en}{tail.en}", f"{head.ja}。{guess.ja}{tail.ja}")


def _guess(decision: Decision, chosen: Judged) -> Statement:
    name, figures = words.named(chosen.candidate.name), quality_and_memory(chosen)
    if chosen.status == QUALIFIES:
        return _guess_full(decision, figures)
    advice = _advice(chosen)
    if chosen.met_by_value:
        return Statement(
            f"the best guess is {name.en} ({figures.en}), {advice.en}",
            f"現時点の推測は {name.ja}({figures.ja})で、{advice.ja}",
        )
    return Statement(
        f"{name.en} comes closest ({figures.en}), {advice.en}",
        f"最も近いのは {name.ja}({figures.ja})で、{advice.ja}",
    )


def _guess_full(decision: Decision, figures: Statement) -> Statement:
    """Full fine-tuning qualifies, and the LoRA settings that are open fall short so far."""
    left = [j for j in decision.cheaper if j.distance[1] < float("inf")]
    if not left:
        check = _first_unmeasured(decision)
        why = check.reason if check else NOTHING
        return Statement(
            f"only full fine-tuning is shown to qualify ({figures.en}); {why.en}",
            f"条件を満たすと確認できたのはフルファインチューニングだけです({figures.ja})。"
            f"LoRA: {why.ja}",
        )
    near = min(left, key=lambda j: j.distance)
    shown, advice = quality_and_memory(near), _advice(near)
    return Statement(
        f"the best guess is full fine-tuning ({figures.en}), as no LoRA setting reaches them so "
        f"far; closest is {near.candidate.name} ({shown.en}), {advice.en}",
        f"現時点の推測はフルファインチューニングです({figures.ja})。条件に届くLoRA設定はまだなく、"
        f"最も近いのは {near.candidate.name}({shown.ja})で、{advice.ja}",
    )


def _advice(judged: Judged) -> Statement:
    """What would settle a candidate that is open, as the end of a sentence."""
    check = judged.deciding
    if judged.seeds_needed is not None:
        seeds = seed_count(judged.seeds_needed)
        return Statement(
            f"about {seeds.en} would decide whether it does",
            f"この設定が条件を満たすかどうかの判定には約{seeds.ja}必要です",
        )
    if check is not None and check.verification == NOT_MEASURED:
        return check.reason
    return Statement(
        "more seeds alone would not decide whether it does",
        "シードを増やすだけではこの設定を判定できません",
    )


def _fallback(decision: Decision) -> Statement:
    found = decision.fallback
    if found is None:
        return NOTHING
    cost = _bracketed(cost_beside_full(decision, found.candidate))
    return Statement(
        f"; full fine-tuning meets the limits meanwhile{cost.en}",
        f"。現時点で条件を満たすと確認できているのはフルファインチューニングです{cost.ja}",
    )


def _bracketed(cost: Statement) -> Statement:
    """An aside; nothing where no cost was measured."""
    return cost if cost == NOTHING else Statement(f" ({cost.en})", f"({cost.ja})")


def _none(decision: Decision, at: Statement) -> Statement:
    limits = conditions(decision.limits)
    near = decision.chosen or decision.judged[0]
    name = words.named(near.candidate.name)
    reason = near.deciding.reason if near.deciding else NOTHING
    return Statement(
        f"No setting meets the limits{at.en} ({limits.en}); {name.en} comes closest: {reason.en}",
        f"条件({limits.ja})を満たす設定はありません{at.ja}。最も近いのは {name.ja}: {reason.ja}",
    )


def _first_unmeasured(decision: Decision) -> Check | None:
    """Why the cheapest LoRA configuration that is still open could not be judged."""
    checks = (
        check
        for judged in decision.judged
        if not judged.candidate.is_full and judged.status != RULED_OUT
        for check in judged.checks
        if check.verification == NOT_MEASURED
    )
    return next(checks, None)
