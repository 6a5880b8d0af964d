"""The verdict table for a terminal (row 6): plain text that says the same without colour."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from ...analysis.values import Analysis, ClaimVerdict
from .. import formats
from ..tables.claims import compared_models, configuration_labels, found_value
from ..tables.estimates import terminal_estimates
from ..tables.facts import across_line
from ..texts import Wording, wording

_CLAIM_WIDTH = 16  # with less room than this for the claim, the other columns wrap too
_BORDERS = 13  # of four columns: five lines and a space on both sides of each text
# A piece that is never broken: a run of narrow characters or one wide character, with the brackets
# that may not end a line before it and the characters that may not begin one after it.
_PIECE = re.compile(
    r"\s+|[(「]*(?:[!-')-\u2fff]+|\S)[、。)」ーァィゥェォッャュョぁぃぅぇぉっゃゅょ]*"
)


def render_terminal(analysis: Analysis, language: str, width: int = 100) -> str:
    """Table and footnotes, no line of them wider than ``width``; then the joint verdict.

    The verdict is the last line, whole, so that ``tail -1`` shows it; the terminal wraps it.
    """
    say = wording(language)
    labels = configuration_labels(analysis)
    lines, footnotes = _table(analysis, labels, width, say)
    for note in _notes(analysis, labels, footnotes, say):
        lines += wrap(note, width)
    for note in terminal_estimates(analysis, say):
        lines += wrap(note, width)
    across = across_line(analysis, say)
    lines += wrap(across, width) if across else []
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
    titles = [say(f"column.{key}") for key in ("claim", "claimed", "found", "verdict")]
    footnotes: list[str] = []
    rows = [_row(analysis, claim, labels, footnotes, say) for claim in analysis.claims]
    left = width - _BORDERS - sum(_widest(row[i] for row in [titles, *rows]) for i in (1, 2, 3))
    fits = left >= _CLAIM_WIDTH
    table = Table(box=box.SQUARE)
    table.add_column(titles[0], overflow="fold")
    table.add_column(titles[1], justify="right", no_wrap=fits)
    for title in titles[2:]:
        table.add_column(title, overflow="fold", no_wrap=fits)
    for claim, *rest in rows:
        parts = claim.split("\n")
        name = "\n".join(line for p in parts for line in wrap(p, left)) if fits else claim
        table.add_row(*map(Text, (name, *rest)))
    out = StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=False,
                      legacy_windows=False)  # fmt: skip
    console.print(table)
    return out.getvalue().splitlines(), footnotes


def _widest(texts: Iterable[str]) -> int:
    return max(formats.text_width(line) for text in texts for line in text.split("\n"))


def _row(
    analysis: Analysis, claim: ClaimVerdict, labels: list[str], footnotes: list[str], say: Wording
) -> tuple[str, ...]:
    text = formats.clean(claim.text[say.language])
    models = compared_models(analysis, claim, say)
    if models:
        text = f"{text}\n  {models}"
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
