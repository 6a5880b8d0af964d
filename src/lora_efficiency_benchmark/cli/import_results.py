"""``lora-bench import`` (row 7): foreign results become records that ``analyze`` judges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Json, Lang, choose_language, print_json, print_table, say

if TYPE_CHECKING:
    from ..importing import Summary

_SHOWN = 20  # lines of a list, before the rest is counted


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("import")(import_)


def import_(
    source: Annotated[
        Path,
        typer.Argument(
            help="Result files of PEFT's method_comparison, or folders with trainer_state.json"
        ),
    ],
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Output folder; new, empty, or imported before")
    ],
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """Foreign results into records, to be judged by analyze and report.

    What a source does not give is NOT_MEASURED. Example: lora-bench import results/ imported/
    """
    from ..importing import import_results

    language = choose_language(lang)
    done = import_results(source, directory)
    if as_json:
        print_json(done.to_dict())
    else:
        _print(done, language)


def _print(done: Summary, language: str) -> None:
    head = ("ファイル", "設定", "モデル", "状態", "記録")
    rows = [head if language == "ja" else ("file", "configuration", "model", "status", "records")]
    rows += [
        (r.file, r.configuration, r.model, r.status, str(len(r.records)))
        for r in done.imported[:_SHOWN]
    ]
    print_table(rows, right=(4,))
    _say_more(len(done.imported), language)
    for name, reason in done.skipped[:_SHOWN]:
        text = reason.text(language)
        say(language, f"除外: {name}: {text}", f"skipped: {name}: {text}", err=False)
    _say_more(len(done.skipped), language)
    for note in done.notes[:_SHOWN]:
        text = note.text(language)
        say(language, f"注意: {text}", f"note: {text}", err=False)
    runs, left, where = len(done.imported), len(done.skipped), done.directory
    then = f"lora-bench analyze {where}"
    say(
        language,
        f"{runs} 件の実行を {where} に取り込みました ({left} 件を除外)。次: {then}",
        f"runs imported into {where}: {runs}, files skipped: {left}. Next: {then}",
        err=False,
    )


def _say_more(count: int, language: str) -> None:
    if count > _SHOWN:
        more = count - _SHOWN
        say(
            language,
            f"ほか {more} 件 (--json で全件)",
            f"and {more} more (--json lists all)",
            err=False,
        )
