"""``lora-bench compare`` (row 7): two or more runs side by side; nothing that differs is pooled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError
from .output import Json, Lang, choose_language, print_json

MAX_RUNS = 9  # columns that a terminal holds

Folders = Annotated[list[Path], typer.Argument(help="Output folders; the first is the reference")]
Claims = Annotated[str | None, typer.Option(help="Claims for all; default: those of each folder")]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(compare)


def compare(
    folders: Folders, claims: Claims = None, as_json: Json = False, lang: Lang = None
) -> None:
    """Runs side by side: another GPU, another model, before and after.

    Says what differs and which quantities may be compared nonetheless. No mean over runs is formed,
    and a difference is called one only where its interval leaves zero out. Every difference is to
    the first folder.

    Example: lora-bench compare before after --lang en
    """
    from ..analysis.comparing import RunInput, compare_runs
    from ..folder import read_folder
    from ..report.terminal.comparing import render_comparison

    language = choose_language(lang)
    if not 2 <= len(folders) <= MAX_RUNS:
        raise ConfigError(
            f"compare: takes 2 to {MAX_RUNS} folders, got {len(folders)}",
            f"compare: フォルダーは2個から{MAX_RUNS}個まで指定できます (現在: {len(folders)}個)",
        )
    contents = [(folder, read_folder(folder, claims, language)) for folder in folders]
    found = compare_runs([RunInput(str(folder), *content) for folder, content in contents])
    if as_json:
        print_json(found.to_dict())
    else:
        typer.echo(render_comparison(found, language))
