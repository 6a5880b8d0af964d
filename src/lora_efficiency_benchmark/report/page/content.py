"""What the page says in one language (row 6): values and tables in, a dictionary for templates."""

from __future__ import annotations

import re
from typing import Any

from ...analysis.values import Analysis, AnalysisWarning
from .. import formats
from ..figures import Figure, build_figures
from ..figures.style import MOST_ARMS
from ..tables import Table, arm_tables, facts, shown_arms
from ..tables.claims import claims_table
from ..tables.curves import curves_table, sizes_table
from ..tables.estimates import estimates_table, estimator_line, estimator_table
from ..tables.matched import matched_table
from ..tables.probes import forgetting_table, sample_tables
from ..tables.rates import rates_note, rates_table
from ..texts import METHOD_KEYS, Wording, wording
from .filters import filter_groups, lora_arms
from .overview import claim_cards, joint_left_out, joint_rows


def content(analysis: Analysis, language: str, drawn: bool = True) -> dict[str, Any]:
    """Everything the templates show. Raises ConfigError on an unknown language.

    Figures are not ``drawn`` for a language that only scripts can show: the page draws them.
    """
    say = wording(language)
    figures = build_figures(analysis, language)
    return {
        "language": language,
        "say": say,
        "figures": {figure.name: _figure(figure, say, drawn) for figure in figures},
        **_first_screen(analysis, say),
        **_topics(analysis, say),
        **_background(analysis, say),
    }


def subject(analysis: Analysis, say: Wording) -> str:
    """What was measured, in one line: model, device, data."""
    name = analysis.settings.get("model")
    device = (analysis.environment.get("device") or {}).get("name")
    sizes = sorted({arm.dataset_size for arm in analysis.arms})
    data = say("per_texts", n=" / ".join(f"{size:,}" for size in sizes)) if sizes else None
    other = say("across.other", base=analysis.across.base_model) if analysis.across else None
    return " · ".join(formats.clean(part) for part in (name, other, device, data) if part)


def _first_screen(analysis: Analysis, say: Wording) -> dict[str, Any]:
    cards = claim_cards(analysis, say)
    return {
        "joint": analysis.joint,
        "sentence": formats.clean(analysis.joint.sentence[say.language]),
        "across_line": facts.across_line(analysis, say),
        "joint_reason": formats.clean(say.either(analysis.joint.reason, analysis.joint.reason_ja)),
        "joint_rows": joint_rows(analysis, say),
        "joint_more": joint_left_out(analysis),
        "subject": subject(analysis, say),
        "runs": len(analysis.rows),
        "lost": len(analysis.failures),
        "unfinished": analysis.unfinished or 0,
        "nothing": not analysis.rows and not any(arm.memory for arm in analysis.arms),
        "cards": [card for card in cards if card.joint],
        "other_cards": [card for card in cards if not card.joint],
        "claims": claims_table(analysis, say),
    }


def _topics(analysis: Analysis, say: Wording) -> dict[str, Any]:
    arms = shown_arms(analysis)
    return {
        "filters": filter_groups(analysis, say),
        "configurations": len(lora_arms(analysis)),
        "most_arms": MOST_ARMS if len(arms) > MOST_ARMS else 0,
        "base": facts.base_line(analysis, say),
        "has_arms": bool(arms),
        "quality": arm_tables.quality_table(analysis, say),
        "memory": arm_tables.memory_table(analysis, say),
        "breakdown": arm_tables.breakdown_table(analysis, say),
        "time": arm_tables.time_table(analysis, say),
        "across": arm_tables.across_table(analysis, say),
        "across_note": facts.across_note(analysis, say),
        "curves": curves_table(analysis, say),
        "sizes": sizes_table(analysis, say),
        "matched": matched_table(analysis, say),
        "rates": rates_table(analysis, say),
        "rates_note": rates_note(analysis, say),
        "estimates": estimates_table(analysis, say),
        "estimator": estimator_table(analysis, say),
        "estimator_line": estimator_line(analysis, say),
        "forgetting": forgetting_table(analysis, say),
        "samples": sample_tables(analysis, say),
    }


def _background(analysis: Analysis, say: Wording) -> dict[str, Any]:
    return {
        "limits": [_limit(warning, say) for warning in analysis.warnings],
        "failures": facts.failure_table(analysis, say),
        "data": facts.data_table(analysis, say),
        "environment": _facts("heading.environment", analysis.environment, say),
        "settings": _facts("heading.settings", analysis.settings, say),
        "method": [say(key) for key in METHOD_KEYS],
    }


def _figure(figure: Figure, say: Wording, drawn: bool) -> dict[str, Any]:
    from markupsafe import Markup

    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "alt": say(f"figure.{figure.name}.alt", title=figure.title),
        "svg": Markup(_inline(figure.to_svg())) if figure.spec and drawn else "",
        "spec": figure.whole() if figure.spec else None,
    }


def _inline(svg: str) -> str:
    """SVG inside HTML: no name space or role of its own, the page's font, and two decimals."""
    head, end, rest = svg.partition(">")
    head = re.sub(r'\s(xmlns(:\w+)?|role|aria-\w+)="[^"]*"', "", head)
    rest = re.sub(r"<[^>]*>", lambda tag: _lighter(tag[0]), rest)
    return f'{head} aria-hidden="true"{end}{rest}'


def _lighter(tag: str) -> str:
    unstyled = re.sub(r'\sfont-family="[^"]*"', "", tag)
    return re.sub(r"(\d\.\d\d)\d+", r"\1", unstyled)


def _limit(warning: AnalysisWarning, say: Wording) -> dict[str, str]:
    cause, step = facts.warning_text(warning, say)
    return {"code": formats.clean(warning.code), "cause": cause, "next_step": step}


def _facts(key: str, values: dict[str, Any], say: Wording) -> Table:
    return facts.fact_table(say(key), values, say)
