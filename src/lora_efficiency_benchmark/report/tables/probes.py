"""Forgetting and samples (row 6): quality beyond one number. Empty where none was measured."""

from __future__ import annotations

from ...analysis.values import Analysis, Forgetting, SampleText
from ...plan import FULL
from .. import formats
from ..texts import Wording
from . import Cell, Line, Table, line

_SHOWN_CHARACTERS = 400  # of one continuation
_SETS = ("english", "japanese")


def forgetting_table(analysis: Analysis, say: Wording) -> Table:
    """One row an arm and data size: what its training changed on both probe sets."""
    found: dict[tuple[str, int], dict[str, Forgetting]] = {}
    for entry in analysis.forgetting:
        found.setdefault((entry.label, entry.dataset_size), {})[entry.language] = entry
    head = ["column.arm", "column.texts"]
    head += [f"column.{name}.{unit}" for name in _SETS for unit in ("loss", "bits")]
    rows = [_before(analysis, say)] if found else []
    rows += [_row(entries, say) for entries in found.values()]
    return Table(say("heading.forgetting"), tuple(say(key) for key in head), tuple(rows))


def sample_tables(analysis: Analysis, say: Wording) -> list[Table]:
    """One table a prompt, one row a model; the title is the prompt."""
    head = (say("column.arm"), say("column.continuation"))
    return [
        Table(
            formats.shorten(sample.prompt, _SHOWN_CHARACTERS),
            head,
            tuple((line(_writer(text, say)), _written(text, say)) for text in sample.texts),
        )
        for sample in analysis.samples
    ]


def _before(analysis: Analysis, say: Wording) -> tuple[Cell, ...]:
    first = {entry.language: entry for entry in reversed(analysis.forgetting)}
    cells: list[Cell] = [line(say("forgetting.base")), line("")]
    for name in _SETS:
        entry = first.get(name)
        if entry is None:
            cells += [line(say("not_measured"))] * 2
        else:
            values = (entry.base_loss, entry.base_bits_per_byte)
            cells += [line(formats.decimals(value, 3, say), entry.base_cell) for value in values]
    return tuple(cells)


def _row(entries: dict[str, Forgetting], say: Wording) -> tuple[Cell, ...]:
    arm = next(iter(entries.values()))
    name = say("full") if arm.training_method == FULL else formats.clean(arm.label)
    cells: list[Cell] = [line(name), line(f"{arm.dataset_size:,}")]
    for language in _SETS:
        for unit in ("loss_change", "bits_per_byte_change"):
            cells.append(_change(entries.get(language), unit, say))
    return tuple(cells)


def _change(entry: Forgetting | None, unit: str, say: Wording) -> Cell:
    """The mean over seeds, and each of them where there are several."""
    if entry is None:
        return line(say("not_measured"))
    seeds = entry.per_seed
    mean = f"{getattr(entry, unit):+.3f}"
    if len(seeds) == 1:
        return line(mean, seeds[0]["cell_id"])
    each = tuple(
        Line(
            say("forgetting.seed", seed=s["seed"], change=f"{s[unit]:+.3f}"),
            (s["cell_id"],),
            quiet=True,
        )
        for s in seeds
    )
    return (Line(mean), *each)


def _writer(text: SampleText, say: Wording) -> str:
    if text.training_method is None:
        return say("samples.base")
    return say("full") if text.training_method == FULL else text.label


def _written(text: SampleText, say: Wording) -> Cell:
    shown = formats.shorten(text.text, _SHOWN_CHARACTERS).strip()
    return line(shown or say("samples.nothing"), quiet=not shown)
