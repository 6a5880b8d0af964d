"""Runs side by side for a terminal (row 6): plain text, one column a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...analysis.comparing.values import (
    NO,
    ComparedConfiguration,
    ComparedQuantity,
    RunsComparison,
    RunValue,
)
from ...analysis.comparing.words import (
    fact_name,
    outcome,
    reasons,
    rule_name,
    run_letter,
    state_name,
    value_text,
)
from .. import formats
from ..texts import Wording, wording
from . import wrap

_COMMIT = 10  # digits of a commit
_LONGEST = 44  # columns of one value in the table of differences


def render_comparison(found: RunsComparison, language: str, width: int = 100) -> str:
    """Runs, what differs, what may be compared, the configurations; a summary comes last."""
    say = wording(language)
    blocks = [_runs(found, say), _differences(found, say), _permissions(found, say)]
    blocks += [_configuration(entry, say, width) for entry in found.configurations]
    if not found.configurations:
        blocks.append([say("compare.none")])
    notes = wrap(say("compare.reference"), width) + wrap(say("compare.levels"), width)
    blocks += [_unshared(found, say), notes]
    lines = [line for block in blocks if block for line in (*block, "")]
    last = wrap(formats.clean(found.sentence[language]), width)
    return "\n".join([*lines, *last])


def _runs(found: RunsComparison, say: Wording) -> list[str]:
    """Two lines a run: its folder, and what it is."""
    lines = []
    for place, run in enumerate(found.runs):
        facts = [formats.clean(f) for f in (run.model, run.device, run.imported) if f]
        seeds = say("seeds.one") if run.num_seeds == 1 else say("seeds", n=run.num_seeds)
        verdict = say("compare.joint", verdict=say(f"verdict.{run.joint}"))
        lines.append(f"{run_letter(place)}  {formats.clean(run.name)}")
        if run.unfinished:
            facts.append(say("compare.unfinished", n=run.unfinished))
        lines.append("   " + " · ".join([*facts, seeds, verdict]))
    return lines


def _differences(found: RunsComparison, say: Wording) -> list[str]:
    letters = [run_letter(place) for place in range(len(found.runs))]
    rows = [[say("compare.differs"), *letters]]
    for fact in found.differences:
        name = say.either(*fact_name(fact.name)) if fact.kind != "claims" else fact.name
        shown = _only_what_differs(fact.values) if fact.kind != "claims" else fact.values
        if fact.name == "git.commit":
            shown = [value and str(value)[:_COMMIT] for value in shown]
        rows.append([formats.clean(name), *(_fact(value, say) for value in shown)])
    lines = _table(rows) if found.differences else [say("compare.same")]
    if found.not_stated:
        names = say.either(*reasons(found.not_stated))
        lines.append(say("compare.not_stated", names=names))
    return lines


def _only_what_differs(values: Sequence[Any]) -> list[Any]:
    """Of mappings, the entries that are not the same in all runs."""
    maps = [value for value in values if isinstance(value, Mapping)]
    if len(maps) < len(values):
        return list(values)
    keys = dict.fromkeys(key for each in maps for key in each)
    kept = [key for key in keys if len({str(each.get(key)) for each in maps}) > 1]
    return [{key: each.get(key) for key in kept} for each in maps]


def _fact(value: Any, say: Wording) -> str:
    if value is None:
        return say("paper.not_stated")
    if isinstance(value, Mapping):
        value = ", ".join(f"{k} {v}" for k, v in value.items()) or "-"
    elif isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    elif isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:,}"
    return formats.shorten(value, _LONGEST)


def _permissions(found: RunsComparison, say: Wording) -> list[str]:
    rows = []
    for entry in found.permissions:
        pair = f"{run_letter(entry.run)} - {run_letter(0)}"
        state = say.either(*state_name(entry.comparable))
        why = formats.clean(say.either(*reasons(entry.because, entry.unknown)))
        rows.append([pair, say.either(*rule_name(entry.quantity)), state, why])
    return [say("compare.may"), *_table(rows)]


def _configuration(entry: ComparedConfiguration, say: Wording, width: int) -> list[str]:
    name = say("full") if entry.configuration == "full" else formats.clean(entry.configuration)
    texts = say("per_texts", n=f"{entry.dataset_size:,}") if entry.dataset_size else ""
    letters = [run_letter(place) for place in range(len(entry.runs))]
    head = [f"{name}  {texts}".rstrip(), *letters]
    head += [f"{letter} - {run_letter(0)}" for letter in letters[1:]]
    rows = [head, *(_quantity(q, say) for q in entry.quantities)]
    sentence = formats.clean(entry.sentence[say.language])
    return [*_table(rows), *wrap(sentence, width)]


def _quantity(compared: ComparedQuantity, say: Wording) -> list[str]:
    cells = [compared.text[say.language]]
    cells += [_value(compared, value, say) for value in compared.values]
    for found in compared.differences:
        known = all(compared.values[i].value is not None for i in (0, found.run))
        text = say.either(*outcome(compared, found)) if known else "-"
        names = found.because if known and found.comparable != NO else ()
        cells.append(f"{text} *" if names else text)
    return cells


def _value(compared: ComparedQuantity, value: RunValue, say: Wording) -> str:
    verdict = f" {say(f'verdict.{value.verification}')}" if value.verification else ""
    if value.value is None:
        return f"-{verdict}"
    shown = formats.bounded(say.either(*value_text(compared.metric, value.value)), value.bound, say)
    if value.ci95 is not None:
        low, high = (say.either(*value_text(compared.metric, end)) for end in value.ci95)
        shown = f"{shown} [{low}, {high}]"
    return shown + verdict


def _unshared(found: RunsComparison, say: Wording) -> list[str]:
    lines = []
    for entry in found.unshared:
        name = say("full") if entry.configuration == "full" else formats.clean(entry.configuration)
        here = ", ".join(run_letter(i) for i, has in enumerate(entry.runs) if has)
        size = say("texts", n=f"{entry.dataset_size:,}") if entry.dataset_size else ""
        lines.append(say("compare.only", runs=here, name=f"{name} {size}".rstrip()))
    return lines


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    count = max(len(row) for row in rows)
    full = [[*row, *[""] * (count - len(row))] for row in rows]
    widths = [
        max(formats.text_width(cell) for cell in column) for column in zip(*full, strict=True)
    ]
    return [
        "  ".join(
            cell + " " * (width - formats.text_width(cell))
            for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in full
    ]
