"""Claims against what was found, with metric, condition and what would change it (row 6)."""

from __future__ import annotations

from collections.abc import Sequence

from ...analysis.values import Analysis, ArmSummary, ClaimVerdict, ConfigurationVerdict
from ...config.claims import NOISY_METRICS
from ...plan import FULL
from .. import formats
from ..texts import Wording
from . import Cell, Line, Table, line, memory_block


def claims_table(analysis: Analysis, say: Wording) -> Table:
    """Claims down, configurations across: the joint question can be read off a column."""
    labels = configuration_labels(analysis)
    rows = [_claim_row(analysis, claim, labels, say) for claim in analysis.claims]
    if analysis.claims:
        rows.append(_joint_row(analysis, labels, say))
    names = [formats.clean(label) for label in labels]
    columns = (say("column.claim"), say("column.claimed"), *names, say("column.overall"))
    return Table(say("heading.claims"), columns, tuple(rows))


def configuration_labels(analysis: Analysis) -> list[str]:
    """LoRA configurations in the order the claims list them."""
    found = (v.configuration for claim in analysis.claims for v in claim.per_configuration)
    return list(dict.fromkeys(found))


def found_value(claim: ClaimVerdict, found: ConfigurationVerdict, say: Wording) -> str:
    """The value in words: a bound is called one, an estimate too."""
    value = formats.metric_value(claim.metric, found.value, say)
    if found.value is not None:
        value = formats.bounded(value, found.bound, say)
    return f"{value} ({say('estimated')})" if claim.basis == "ESTIMATED" else value


def condition(analysis: Analysis, claim: ClaimVerdict, say: Wording) -> str:
    """What a claim's value depends on, in one line."""
    parts = [say(f"comparison.{claim.comparison}")]
    models = compared_models(analysis, claim, say)
    if models:
        parts.append(models)
        if claim.metric == "gain_retention":
            parts.append(say("condition.bits"))
    if claim.metric != "parameter_reduction_ratio":
        parts.append(say(f"precision.{claim.precision}"))
    if claim.metric == "memory_reduction_ratio":
        parts += _tokens_condition(analysis, claim, say)
    if claim.metric in NOISY_METRICS:
        points = (p for a in analysis.arms for c in a.curves for p in c.get("loss") or ())
        steps = max((p.get("step") or 0 for p in points), default=0)
        parts += [say("condition.steps", steps=steps)] if steps else []
    return " · ".join(parts)


def compared_models(analysis: Analysis, claim: ClaimVerdict, say: Wording) -> str:
    """Which model was fully fine-tuned and which had LoRA; empty where it was the same one."""
    if claim.comparison != "cross-model" or not claim.base_model:
        return ""
    model, base = claim.model, claim.base_model
    if analysis.across is not None and claim.basis == "MEASURED":
        model, base = analysis.across.model, analysis.across.base_model
    return formats.clean(say("estimates.models", base=base, model=model))


def _tokens_condition(analysis: Analysis, claim: ClaimVerdict, say: Wording) -> list[str]:
    """Tokens a step; of both models where each tokenizer makes other tokens of the same texts."""
    own = _tokens(analysis.arms, claim.precision, say)
    if analysis.across is None or claim.comparison != "cross-model":
        return own
    other = _tokens(analysis.reference_arms, claim.precision, say)
    if own == other:
        return own
    if not own or not other:
        return []
    names = (analysis.across.base_model, analysis.across.model)
    pairs = zip(names, (*other, *own), strict=True)
    return [f"{formats.clean(name)}: {tokens}" for name, tokens in pairs]


def _tokens(arms: Sequence[ArmSummary], reading: str, say: Wording) -> list[str]:
    blocks = [block for arm in arms if (block := memory_block(arm, reading))]
    if not blocks or not blocks[0].get("tokens_per_step"):
        return []
    first = blocks[0]
    shape = {"batch": first.get("batch_size"), "length": first.get("sequence_length")}
    return [say("condition.tokens", tokens=first["tokens_per_step"], **shape)]


def _claim_row(
    analysis: Analysis, claim: ClaimVerdict, labels: list[str], say: Wording
) -> tuple[Cell, ...]:
    head = (
        Line(formats.clean(claim.text[say.language])),
        Line(say(f"metric.{claim.metric}"), quiet=True),
        Line(condition(analysis, claim, say), quiet=True),
        Line(say("source", source=formats.clean(claim.source)), quiet=True),
    )
    claimed = (
        Line(formats.claimed_value(claim.metric, claim.claimed, say)),
        *_thresholds(claim, say),
    )
    found = [_found(analysis, claim, label, say) for label in labels]
    return (head, claimed, *found, _overall(claim, say))


def _thresholds(claim: ClaimVerdict, say: Wording) -> Cell:
    if claim.verified_at is None or claim.partial_at is None:
        return ()
    values = {
        "verified": formats.claimed_value(claim.metric, claim.verified_at, say),
        "partial": formats.claimed_value(claim.metric, claim.partial_at, say),
    }
    return (Line(say("thresholds", **values), quiet=True),)


def _found(analysis: Analysis, claim: ClaimVerdict, label: str, say: Wording) -> Cell:
    entries = [v for v in claim.per_configuration if v.configuration == label]
    if not entries:
        return line(say("not_measured"))
    several = len({v.dataset_size for v in entries}) > 1
    parts = (_configuration(analysis, claim, v, several, say) for v in entries)
    return tuple(part for lines in parts for part in lines)


def _configuration(
    analysis: Analysis,
    claim: ClaimVerdict,
    found: ConfigurationVerdict,
    several: bool,
    say: Wording,
) -> list[Line]:
    verdict = Line(say(f"verdict.{found.verification}"), (), found.verification)
    lines = [verdict]
    if found.value is not None:
        cells = records_behind(analysis, claim, found)
        lines.insert(0, Line(found_value(claim, found, say), cells))
    if several and found.dataset_size is not None:
        lines.insert(0, Line(say("texts", n=f"{found.dataset_size:,}"), heading=True))
    if found.ci95 is not None:
        low, high = (formats.metric_value(claim.metric, end, say) for end in found.ci95)
        lines.append(Line(say("interval", low=low, high=high), quiet=True))
    note = _note(claim, found, say)
    return [*lines, Line(note, quiet=True)] if note else lines


def records_behind(
    analysis: Analysis, claim: ClaimVerdict, found: ConfigurationVerdict
) -> tuple[str, ...]:
    """Records to link to, the arm's own first. Counts are alike in all records of an arm."""
    if claim.basis == "ESTIMATED":
        return ()
    arms = (*analysis.arms, *analysis.reference_arms)
    of_full = {c for arm in arms if arm.training_method == FULL for c in arm.cells}
    own = [cell for cell in found.cells if cell not in of_full]
    full = [cell for cell in found.cells if cell in of_full]
    if claim.metric == "parameter_reduction_ratio":
        own, full = own[:1], full[:1]
    return (*own, *full)


def _note(claim: ClaimVerdict, found: ConfigurationVerdict, say: Wording) -> str:
    """Why there is no value or verdict; for a noisy value at least the number of seeds."""
    reason = formats.clean(say.either(found.reason, found.reason_ja))
    if reason or claim.metric not in NOISY_METRICS or found.value is None:
        return reason
    seeds = say("seeds.one") if found.num_seeds == 1 else say("seeds", n=found.num_seeds)
    if found.seeds_needed is None:
        return seeds
    return f"{seeds} · {say('seeds_needed', n=found.seeds_needed)}"


def _overall(claim: ClaimVerdict, say: Wording) -> Cell:
    lines = [Line(say(f"verdict.{claim.verification}"), (), claim.verification)]
    if claim.mean is not None:
        mean = formats.metric_value(claim.metric, claim.mean, say)
        lines.append(Line(f"{say('mean')} {mean}", quiet=True))
    why = formats.clean(say.either(claim.reason, claim.reason_ja))
    return (*lines, Line(why, quiet=True)) if why else tuple(lines)


def _joint_row(analysis: Analysis, labels: list[str], say: Wording) -> tuple[Cell, ...]:
    joint = analysis.joint
    lines = [Line(say(f"verdict.{joint.verification}"), (), joint.verification)]
    why = formats.clean(say.either(joint.reason, joint.reason_ja))
    last = (*lines, Line(why, quiet=True)) if why else tuple(lines)
    found = (_joint_found(analysis, label, say) for label in labels)
    return (line(say("joint.row")), line(""), *found, last)


def _joint_found(analysis: Analysis, label: str, say: Wording) -> Cell:
    entries = [c for c in analysis.joint.configurations if c.get("configuration") == label]
    several = len({c.get("dataset_size") for c in entries}) > 1
    lines: list[Line] = []
    for entry in entries:
        if several and entry.get("dataset_size") is not None:
            lines.append(Line(say("texts", n=f"{entry['dataset_size']:,}"), heading=True))
        verdict = entry["verification"]
        lines.append(Line(say(f"verdict.{verdict}"), (), verdict))
    return tuple(lines) or line(say("not_measured"))
