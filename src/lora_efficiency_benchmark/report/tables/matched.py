"""The table of gain kept at equal steps and at equal training time (row 6)."""

from __future__ import annotations

from ...analysis.values import Analysis, MatchedArm
from .. import formats
from ..texts import Wording
from . import Cell, Line, Table, line


def matched_table(analysis: Analysis, say: Wording) -> Table:
    """One row a LoRA arm and data size."""
    head = ("column.arm", "column.texts", "column.equal_steps", "column.equal_time")
    rows = [
        (
            line(arm.label),
            line(f"{arm.dataset_size:,}"),
            _kept(arm, arm.equal_steps, arm.equal_steps_ci95, say),
            _at_time(arm, say),
        )
        for arm in analysis.matched
    ]
    return Table(say("heading.matched"), tuple(say(key) for key in head), tuple(rows))


def _kept(
    arm: MatchedArm, value: float | None, interval: tuple[float, float] | None, say: Wording
) -> Cell:
    if value is None:
        return line(say("not_measured"))
    lines = [Line(formats.percent(value, say), arm.cells)]
    if interval is not None:
        low, high = (formats.percent(end, say) for end in interval)
        lines.append(Line(say("interval", low=low, high=high), quiet=True))
    return tuple(lines)


def _at_time(arm: MatchedArm, say: Wording) -> Cell:
    kept = _kept(arm, arm.equal_time, arm.equal_time_ci95, say)
    if arm.equal_time is None:
        reason = formats.clean(say.either(arm.reason, arm.reason_ja))
        return (*kept, Line(reason, quiet=True))
    return (
        *kept,
        Line(say("matched.after", time=formats.duration(arm.seconds or 0.0, say)), quiet=True),
    )
