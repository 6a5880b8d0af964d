"""The report as GitHub-flavoured markdown (row 6): the same content, shorter."""

from __future__ import annotations

import re

from ..analysis.values import Analysis
from . import formats
from .figures import build_figures
from .tables import Line, Table, arm_tables, facts
from .tables.claims import claims_table
from .tables.estimates import estimates_table, estimator_line, estimator_table
from .tables.matched import matched_table
from .tables.probes import forgetting_table, sample_tables
from .tables.rates import rates_note, rates_table
from .texts import METHOD_KEYS, Wording, wording

_SPECIAL = re.compile(r"([\\`*_\[\]|#~!$@])")


def render_markdown(analysis: Analysis, language: str) -> str:
    """``report.md``; figures are referred to as ``figures/<name>.svg``."""
    say = wording(language)
    parts = [f"# {escape(say('title'))}", f"**{escape(analysis.joint.sentence[language])}**"]
    parts += [escape(facts.across_line(analysis, say))]
    parts += [f"## {say('heading.claims')}", _claims(analysis, say), say("records")]
    parts += _estimates(analysis, say)
    parts += [f"## {say('heading.figures')}", *_figures(analysis, language)]
    parts += [f"## {say('heading.arms')}", *_arms(analysis, say)]
    parts += _across(analysis, say)
    parts += _matched(analysis, say)
    parts += _rates(analysis, say)
    parts += _forgetting(analysis, say) + _samples(analysis, say)
    breakdown = _table(arm_tables.breakdown_table(analysis, say))
    parts += [f"## {say('heading.breakdown')}", breakdown or say("none.breakdown")]
    data = _table(facts.data_table(analysis, say))
    parts += [f"## {say('heading.data')}", data or say("none.data")]
    parts += [f"## {say('heading.limits')}", _limits(analysis, say)]
    parts += [f"## {say('heading.failures')}", _failures(analysis, say)]
    parts += [f"## {say('heading.environment')}", *_facts(analysis, say)]
    parts += [f"## {say('heading.method')}", "\n".join(f"- {say(key)}" for key in METHOD_KEYS)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: object) -> str:
    """One line in which nothing is markup: pipes, backticks, emphasis, links, HTML."""
    escaped = _SPECIAL.sub(r"\\\1", formats.clean(text))
    escaped = re.sub(r"(?i)(https?|ftp):", r"\1\:", escaped)  # no automatic links
    escaped = re.sub(r"(?i)(www)\.", r"\1\.", escaped)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _claims(analysis: Analysis, say: Wording) -> str:
    return _table(claims_table(analysis, say)) or say("none.claims")


def _estimates(analysis: Analysis, say: Wording) -> list[str]:
    """Nothing where nothing was estimated: such a report looks as it always did."""
    scale, run = estimates_table(analysis, say), estimator_table(analysis, say)
    parts, error = [], escape(estimator_line(analysis, say))
    if scale.rows:
        parts += [f"## {scale.title}", f"{say('estimates.note')} {error}", _table(scale)]
    if run.rows:
        heading = f"### {run.title}" if scale.rows else f"## {run.title}\n\n{error}"
        parts += [heading, _table(run)]
    return parts


def _across(analysis: Analysis, say: Wording) -> list[str]:
    table = arm_tables.across_table(analysis, say)
    if not table.rows:
        return []
    return [f"## {escape(table.title)}", escape(facts.across_note(analysis, say)), _table(table)]


def _matched(analysis: Analysis, say: Wording) -> list[str]:
    table = matched_table(analysis, say)
    return [f"## {table.title}", say("matched.note"), _table(table)] if table.rows else []


def _rates(analysis: Analysis, say: Wording) -> list[str]:
    table = rates_table(analysis, say)
    if not table.rows:
        return []
    return [f"## {table.title}", escape(rates_note(analysis, say)), _table(table)]


def _forgetting(analysis: Analysis, say: Wording) -> list[str]:
    table = forgetting_table(analysis, say)
    return [f"## {table.title}", say("forgetting.note"), _table(table)] if table.rows else []


def _samples(analysis: Analysis, say: Wording) -> list[str]:
    """Prompts and continuations are strangers' text: the table escapes them, so do we the title."""
    tables = sample_tables(analysis, say)
    blocks = [f"### {escape(table.title)}\n\n{_table(table)}" for table in tables]
    return [f"## {say('heading.samples')}", say("samples.note"), *blocks] if blocks else []


def _figures(analysis: Analysis, language: str) -> list[str]:
    shown = []
    for figure in build_figures(analysis, language):
        picture = f"![{escape(figure.title)}](figures/{figure.name}.svg)\n\n" if figure.spec else ""
        shown.append(f"### {escape(figure.title)}\n\n{picture}{escape(figure.caption)}")
    return shown


def _arms(analysis: Analysis, say: Wording) -> list[str]:
    if not analysis.arms:
        return [say("none.arms")]
    built = (arm_tables.quality_table, arm_tables.memory_table, arm_tables.time_table)
    shown = [table(analysis, say) for table in built]
    base = facts.base_line(analysis, say)
    head = [escape(base)] if base else []
    return head + [f"### {table.title}\n\n{_table(table)}" for table in shown]


def _limits(analysis: Analysis, say: Wording) -> str:
    entries = []
    for warning in analysis.warnings:
        cause, step = facts.warning_text(warning, say)
        entries.append(f"- **{escape(cause)}** ({escape(warning.code)})  \n"
                       f"  {say('limit.next')}: {escape(step)}")  # fmt: skip
    return "\n".join(entries) or say("none.limits")


def _failures(analysis: Analysis, say: Wording) -> str:
    return _table(facts.failure_table(analysis, say)) or say("none.failures")


def _facts(analysis: Analysis, say: Wording) -> list[str]:
    shown = [_table(facts.fact_table("", analysis.environment, say)) or say("none.environment")]
    if analysis.settings:
        settings = _table(facts.fact_table("", analysis.settings, say))
        shown += [f"### {say('heading.settings')}", settings]
    return shown


def _table(table: Table) -> str:
    """A pipe table; empty where there is no row."""
    if not table.rows:
        return ""
    head = "| " + " | ".join(escape(column) or " " for column in table.columns) + " |"
    rule = "|" + "---|" * len(table.columns)
    body = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in table.rows]
    return "\n".join([head, rule, *body])


def _cell(lines: tuple[Line, ...]) -> str:
    return "<br>".join(_line(line) for line in lines) or " "


def _line(line: Line) -> str:
    text = escape(line.text)
    if line.verdict or line.heading:
        return f"**{text}**"
    if not line.cells:
        return text
    links = [f"[{text}]({formats.record_href(line.cells[0])})"]
    links += [f"[{i}]({formats.record_href(c)})" for i, c in enumerate(line.cells[1:], 2)]
    return " ".join(links)
