"""The verdict table for a terminal (row 6): plain text that says the same without colour."""

from __future__ import annotations

import re
from collections import Counter

from ..analysis.values import Analysis, ClaimVerdict
from . import formats
from .claims_table import configuration_labels, found_value
from .texts import Wording, wording

_FOUND_WIDTH = 44  # columns the values may take before the other columns are narrowed
# A piece that is never broken: a run of narrow characters, or one wide character together with the
# punctuation that may not begin a line.
_PIECE = re.compile(r"[!-\u2fff]+|\s+|.[、。)」]*")


def render_terminal(analysis: Analysis, language: str, width: int = 100) -> str:
    """Table and footnotes, no line of them wider than ``width``; then the joint verdict.

    The verdict is the last line, whole, so that ``tail -1`` shows it; the terminal wraps it.
    """
    say = wording(language)
    labels = configuration_labels(analysis)
    lines, footnotes = _table(analysis, labels, width, say)
    for note in _notes(analysis, labels, footnotes, say):
        lines += wrap(note, width)
    return "\n".join([*lines, formats.clean(analysis.joint.sentence[language])])


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` columns; Japanese may break between any two characters."""
    lines = [""]
    for piece in _PIECE.findall(text):
        while formats.text_width(piece) > width:  # longer than a whole line
            lines.append(piece[:width])
            piece = piece[width:]
        if formats.text_width(lines[-1] + piece.rstrip()) > width:
            lines.append("")
            piece = piece.lstrip()
        lines[-1] += piece
    return [line.rstrip() for line in lines if line.strip()]


def _table(
    analysis: Analysis, labels: list[str], width: int, say: Wording
) -> tuple[list[str], list[str]]:
    """Lines of the table, and its footnotes."""
    from io import StringIO

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not analysis.claims:
        return [say("none.claims")], []
    footnotes: list[str] = []
    rows = [_row(claim, labels, footnotes, say) for claim in analysis.claims]
    widest = max(formats.text_width(part) for row in rows for part in row[2].split("\n"))
    table = Table(box=box.SQUARE)
    for key, justify in (("claim", "left"), ("claimed", "right"), ("found", "left")):
        least = min(widest, _FOUND_WIDTH) if key == "found" and width >= 90 else None
        title = Text(say(f"column.{key}"))
        table.add_column(title, justify=justify, overflow="fold", min_width=least)  # type: ignore[arg-type]
    table.add_column(Text(say("column.verdict")), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    out = StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=False,
                      legacy_windows=False)  # fmt: skip
    console.print(table)
    return out.getvalue().splitlines(), footnotes


def _row(
    claim: ClaimVerdict, labels: list[str], footnotes: list[str], say: Wording
) -> tuple[str, str, str, str]:
    text = formats.clean(claim.text[say.language])
    verdict = say(f"verdict.{claim.verification}")
    note = _footnote(claim, say)
    if note:
        footnotes.append(note)
        verdict = f"{verdict} [{len(footnotes)}]"
    claimed = formats.claimed_value(claim.metric, claim.claimed, say)
    return text, claimed, _found(claim, labels, say), verdict


def _found(claim: ClaimVerdict, labels: list[str], say: Wording) -> str:
    """Values in the order of ``labels``; one line a data size where there are several."""
    if all(found.value is None for found in claim.per_configuration):
        return say("not_measured")
    sizes = list(dict.fromkeys(found.dataset_size for found in claim.per_configuration))
    by_place = {(v.configuration, v.dataset_size): v for v in claim.per_configuration}
    rows = []
    for size in sizes:
        entries = [by_place.get((label, size)) for label in labels]
        values = [found_value(claim, v, say) if v else say("not_measured") for v in entries]
        head = f"{say('texts', n=f'{size:,}')}: " if size is not None and len(sizes) > 1 else ""
        rows.append(head + "  ".join(values))
    return "\n".join(rows)


def _footnote(claim: ClaimVerdict, say: Wording) -> str:
    """What the mean hides, and how many seeds would decide."""
    reason = formats.clean(say.either(claim.reason, claim.reason_ja))
    needed = [v.seeds_needed for v in claim.per_configuration if v.seeds_needed]
    if not reason and claim.verification == "UNDECIDED" and needed:
        return say("seeds_needed", n=max(needed))
    return reason


def _notes(analysis: Analysis, labels: list[str], footnotes: list[str], say: Wording) -> list[str]:
    notes = []
    if labels:
        names = " · ".join(formats.clean(label) for label in labels)
        notes.append(say("terminal.configurations", labels=names))
    notes += [f"[{i}] {note}" for i, note in enumerate(footnotes, 1)]
    if analysis.failures:
        kinds = Counter(formats.clean(f.get("kind", "")) for f in analysis.failures)
        words = ", ".join(f"{say.known('kind', kind)} {n}" for kind, n in kinds.items())
        notes.append(say("terminal.failures", n=len(analysis.failures), kinds=words))
    return notes
