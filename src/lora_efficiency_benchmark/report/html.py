"""The report as one HTML file that works offline (row 6).

The page is a template with automatic escaping; the only markup let through is the figures',
rendered here from values that cannot carry markup themselves.
"""

from __future__ import annotations

import re
from typing import Any

from ..analysis.values import Analysis, AnalysisWarning
from . import arm_tables, facts, formats
from .claims_table import claims_table
from .estimates import estimates_table, estimator_line, estimator_table
from .figures import Figure, build_figures
from .matched import matched_table
from .probes import forgetting_table, sample_tables
from .rates import rates_note, rates_table
from .tables import Table
from .texts import METHOD_KEYS, Wording, wording


def render_html(analysis: Analysis, language: str) -> str:
    """One self-contained page: inline style, inline SVG, links only to record files."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__ or __name__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["record_href"] = formats.record_href
    template = environment.get_template("report.html.j2")
    return template.render(content(analysis, language))


def content(analysis: Analysis, language: str) -> dict[str, Any]:
    """What the template shows."""
    say = wording(language)
    arms = (arm_tables.quality_table, arm_tables.memory_table, arm_tables.time_table)
    return {
        "language": language,
        "say": say,
        "joint": analysis.joint,
        "sentence": formats.clean(analysis.joint.sentence[language]),
        "subject": subject(analysis, say),
        "claims": claims_table(analysis, say),
        "estimates": estimates_table(analysis, say),
        "estimator": estimator_table(analysis, say),
        "estimator_line": estimator_line(analysis, say),
        "figures": [_figure(figure) for figure in build_figures(analysis, language)],
        "base": facts.base_line(analysis, say),
        "arms": [table(analysis, say) for table in arms] if analysis.arms else [],
        "matched": matched_table(analysis, say),
        "rates": rates_table(analysis, say),
        "rates_note": rates_note(analysis, say),
        "forgetting": forgetting_table(analysis, say),
        "samples": sample_tables(analysis, say),
        "breakdown": arm_tables.breakdown_table(analysis, say),
        "data": facts.data_table(analysis, say),
        "limits": [_limit(warning, say) for warning in analysis.warnings],
        "failures": facts.failure_table(analysis, say),
        "environment": _facts("heading.environment", analysis.environment, say),
        "settings": _facts("heading.settings", analysis.settings, say),
        "method": [say(key) for key in METHOD_KEYS],
    }


def subject(analysis: Analysis, say: Wording) -> str:
    """What was measured, in one line: model, device, data."""
    name = analysis.settings.get("model")
    device = (analysis.environment.get("device") or {}).get("name")
    sizes = sorted({arm.dataset_size for arm in analysis.arms})
    data = say("per_texts", n=" / ".join(f"{size:,}" for size in sizes)) if sizes else None
    return " · ".join(formats.clean(part) for part in (name, device, data) if part)


def _figure(figure: Figure) -> dict[str, Any]:
    from markupsafe import Markup

    svg = Markup(_inline(figure.to_svg())) if figure.spec else None
    return {"name": figure.name, "title": figure.title, "caption": figure.caption, "svg": svg}


def _inline(svg: str) -> str:
    """SVG inside HTML needs no name space, and a page without addresses is easy to trust."""
    head, end, rest = svg.partition(">")
    return re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", head) + end + rest


def _limit(warning: AnalysisWarning, say: Wording) -> dict[str, str]:
    cause, step = facts.warning_text(warning, say)
    return {"code": formats.clean(warning.code), "cause": cause, "next_step": step}


def _facts(key: str, values: dict[str, Any], say: Wording) -> Table:
    return facts.fact_table(say(key), values, say)
