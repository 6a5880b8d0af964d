"""A snippet for a model card on the Hub (row 6): ``model-index`` metadata, table and conditions.

The metadata hold measured values only, one metric a configuration and quantity, under the label of
the configuration (``config``); what was estimated or not measured is named in the text below.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ...analysis.values import Analysis, ArmSummary, ClaimVerdict
from ...errors import ConfigError
from ...plan import CONTROLLED, FULL
from .. import formats
from ..markdown import escape
from ..tables import arm_name, facts
from ..tables.claims import compared_models, found_value
from ..texts import Wording, wording
from . import ClaimRow, claim_rows, conditions, published


def render_card(
    analysis: Analysis, language: str, configuration: str | None = None, source: str | None = None
) -> str:
    """YAML between ``---`` lines, then markdown.

    ``configuration`` is the label of the one arm that the card is about (default: all of them),
    ``source`` an address where the results can be seen. Raises ConfigError on a label that the
    run does not have, or an address that is none.
    """
    say = wording(language)
    if source is not None and not source.startswith(("https://", "http://")):
        raise ConfigError(
            f"--source {formats.clean(source)}: must begin with https:// or http://",
            f"--source {formats.clean(source)}: https:// か http:// で始めてください",
        )
    arms = _arms(analysis, configuration)
    front = _front_matter(analysis, arms, source, say)
    labels = {arm.label for arm in arms} if configuration is not None else None
    body = _body(analysis, labels, say)
    return f"---\n{front}---\n\n{body}"


def _arms(analysis: Analysis, configuration: str | None) -> list[ArmSummary]:
    if configuration is None:
        return list(analysis.arms)
    found = [arm for arm in analysis.arms if arm.label == configuration]
    if not found:
        known = ", ".join(dict.fromkeys(formats.clean(arm.label) for arm in analysis.arms))
        given = formats.clean(configuration)
        raise ConfigError(
            f"--configuration {given}: not in this folder; it has {known or 'no arm'}",
            f"--configuration {given}: このフォルダーにありません。あるもの: {known or 'なし'}",
        )
    return found


# ---- metadata ------------------------------------------------------------------------------------


def _front_matter(
    analysis: Analysis, arms: list[ArmSummary], source: str | None, say: Wording
) -> str:
    """``model-index`` as the Hub reads it. Without a metric there is nothing to index."""
    import yaml

    result: dict[str, Any] = {
        "task": {"type": "text-generation", "name": "Text Generation"},
        "dataset": _dataset(analysis),
        "metrics": [metric for arm in arms for metric in _metrics(analysis, arm, say)],
    }
    if source is not None:
        result["source"] = {"name": "lora-efficiency-benchmark", "url": formats.clean(source)}
    name = published(analysis.settings.get("model")) or say("paper.not_stated")
    index = [{"name": name, "results": [result]}] if result["metrics"] else []
    data = {"model-index": index} if index else {}
    return str(yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=math.inf))


def _dataset(analysis: Analysis) -> dict[str, Any]:
    name = (analysis.data or {}).get("name") or analysis.settings.get("dataset") or "not stated"
    if isinstance(name, Mapping):
        name = name.get("path") or "not stated"
    shown = published(name)
    return {"type": shown, "name": shown, "split": "held-out"}


def _metrics(analysis: Analysis, arm: ArmSummary, say: Wording) -> Iterator[dict[str, Any]]:
    label = _label(analysis, arm)
    peak = (arm.memory.get(CONTROLLED) or {}).get("peak_allocated_bytes")
    loss = _mean(arm.eval_losses)
    values: list[tuple[str, str, float | None, int]] = [
        ("loss", "loss", loss, len(arm.eval_losses)),
        ("perplexity", "perplexity", _exp(loss), len(arm.eval_losses)),
        ("bits", "bits_per_byte", arm.bits_per_byte, len(arm.eval_losses)),
        ("gain", "gain_retention", _retention(arm), len(arm.eval_losses)),
        ("trainable", "trainable_parameters", arm.trainable_parameters or None, 0),
        ("memory", "peak_memory_allocated_bytes", peak, 0),
        ("time", "train_seconds", _mean(arm.train_seconds), len(arm.train_seconds)),
    ]
    for key, kind, value, seeds in values:
        if value is None or not math.isfinite(value):
            continue
        args: dict[str, Any] = {"training_texts": arm.dataset_size} if seeds else {}
        args |= {"seeds": seeds} if seeds else {}
        interval = _interval(analysis, arm) if key == "gain" else None
        args |= {"ci95": list(interval)} if interval else {}
        yield {
            "type": kind,
            "value": value,
            "name": say(f"card.{key}", label=label),
            "config": label,
            **({"args": args} if args else {}),
        }


def _label(analysis: Analysis, arm: ArmSummary) -> str:
    """The arm's label; with its data size where the run has several."""
    several = len({other.dataset_size for other in analysis.arms}) > 1
    label = formats.clean(arm.label)
    return f"{label}, n={arm.dataset_size}" if several else label


def _retention(arm: ArmSummary) -> float | None:
    """Full fine-tuning keeps its own gain by definition: no result."""
    return None if arm.training_method == FULL else arm.gain_retention


def _interval(analysis: Analysis, arm: ArmSummary) -> tuple[float, float] | None:
    place = (arm.label, arm.dataset_size)
    found = (
        v.ci95
        for claim in analysis.claims
        if claim.metric == "gain_retention" and claim.comparison == "same-model"
        for v in claim.per_configuration
        if (v.configuration, v.dataset_size) == place
    )
    return next((interval for interval in found if interval is not None), None)


def _mean(values: tuple[float, ...]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _exp(loss: float | None) -> float | None:
    return None if loss is None or loss > 700 else math.exp(loss)


# ---- text ----------------------------------------------------------------------------------------


def _body(analysis: Analysis, labels: set[str] | None, say: Wording) -> str:
    facts_list = [f"- {escape(n)}: {escape(value)}" for n, value in conditions(analysis, say)]
    missing = _not_measured(analysis, labels, say)
    limits = [
        f"- {escape(facts.warning_text(warning, say)[0])} ({escape(warning.code)})"
        for warning in analysis.warnings
    ]
    parts = [
        f"## {say('card.heading')}",
        f"{say('card.intro')} **{escape(analysis.joint.sentence[say.language])}**",
        *([escape(facts.across_line(analysis, say))] if analysis.across else []),
        _table(analysis, labels, say) or say("paper.none"),
        *_references(analysis, say),
        f"### {say('card.conditions')}",
        "\n".join(facts_list),
        f"### {say('card.not_measured')}",
        "\n".join(missing) or say("card.complete"),
    ]
    if limits:
        parts += [f"### {say('card.limits')}", "\n".join(limits)]
    return "\n\n".join(parts) + "\n"


def _table(analysis: Analysis, labels: set[str] | None, say: Wording) -> str:
    keys = ("claim", "claimed", "configuration", "texts", "value", "interval", "seeds", "verdict")
    head = "| " + " | ".join(escape(say(f"paper.column.{key}")) for key in keys) + " |"
    rows = [
        _row(_name(analysis, claim, say), claim, row, say)
        for claim in analysis.claims
        for row in claim_rows(claim, say)
        if labels is None or row.configuration in {formats.clean(label) for label in labels}
    ]
    return "\n".join([head, "|" + "---|" * len(keys), *rows]) if rows else ""


def _references(analysis: Analysis, say: Wording) -> list[str]:
    """Full fine-tuning of the other model: figures of another model, so not among the metadata."""
    lines = []
    for arm in analysis.reference_arms:
        peak = (arm.memory.get(CONTROLLED) or {}).get("peak_allocated_bytes")
        shown = say(
            "card.reference",
            name=arm_name(arm, say),
            texts=say("per_texts", n=f"{arm.dataset_size:,}"),
            trainable=formats.count(arm.trainable_parameters or None, say),
            memory=formats.size(peak, say),
            time=formats.duration(_mean(arm.train_seconds), say),
            bits=formats.decimals(arm.bits_per_byte, 3, say),
        )
        lines.append(f"- {escape(shown)}")
    return ["\n".join(lines)] if lines else []


def _name(analysis: Analysis, claim: ClaimVerdict, say: Wording) -> str:
    """The claim, with both models where they differ: its text alone would stand there twice."""
    models = compared_models(analysis, claim, say)
    return " · ".join(part for part in (claim.text[say.language], models) if part)


def _row(name: str, claim: ClaimVerdict, row: ClaimRow, say: Wording) -> str:
    claimed = formats.claimed_value(claim.metric, claim.claimed, say)
    found = (row.configuration, row.texts, row.value, row.interval, row.seeds, row.verdict)
    cells = (name, claimed, *found)
    return "| " + " | ".join(escape(cell) or " " for cell in cells) + " |"


def _not_measured(analysis: Analysis, labels: set[str] | None, say: Wording) -> list[str]:
    """What has no value, with the reason; then the estimates, each called one."""
    lines = []
    for claim in (*analysis.claims, *analysis.estimated_claims):
        name = _name(analysis, claim, say)
        if not claim.per_configuration:
            values = {"claim": name, "configuration": say("not_measured")}
            reason = say.either(claim.reason, claim.reason_ja)
            lines.append(say("card.missing", **values, reason=reason))
        for found in claim.per_configuration:
            if labels is not None and found.configuration not in labels:
                continue
            values = {"claim": name, "configuration": found.configuration}
            if claim.basis == "ESTIMATED" and found.value is not None:
                value = found_value(claim, found, say)
                lines.append(say("card.estimated", **values, value=value))
            elif found.value is None:
                reason = say.either(found.reason, found.reason_ja) or say("not_measured")
                lines.append(say("card.missing", **values, reason=reason))
    return [f"- {escape(text)}" for text in dict.fromkeys(lines)]
