"""``lora-bench doctor`` (row 7): what this machine can run, what is wrong, and what mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ModelError
from .output import Json, Lang, choose_language, print_json, say

Fix = Annotated[
    bool,
    typer.Option("--fix", help="Fetch the default model where it is missing or damaged"),
]
OutputDir = Annotated[Path | None, typer.Option(help="Where a run would write; default: here")]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(doctor)


def doctor(
    fix: Fix = False,
    output_dir: OutputDir = None,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """What this machine can run, what is wrong, and the command that mends it.

    Exit 1 only where something hinders a run; notes do not.

    Example: lora-bench doctor --fix
    """
    from ..doctor import examine
    from ..models.cache import check_default_model, ensure_default_model

    language = choose_language(lang)
    if fix and not check_default_model()["ok"]:
        _fetch(ensure_default_model, language)
    found = examine(output_dir, language, _draws_japanese())
    if as_json:
        print_json(found)
    else:
        _print(found, language)
    if found["problems"]:
        raise typer.Exit(1)


def _fetch(ensure: Any, language: str) -> None:
    try:
        ensure(mend=True)
    except ImportError as error:  # torch or transformers: the examination says which
        say(language, f"取得できません: {error}", f"cannot be fetched: {error}")
    except ModelError as error:
        say(language, error.text("ja"), error.text("en"))


def _draws_japanese() -> bool | None:
    """Whether figures can be drawn with Japanese letters; None where that cannot be tried."""
    try:
        from ..report.figures.png import draws_japanese

        return draws_japanese()
    except ImportError:
        return None


def _print(found: dict[str, Any], language: str) -> None:
    ja = language == "ja"
    typer.echo(f"Python {found['python']}")
    typer.echo(", ".join(f"{name} {version}" for name, version in found["packages"].items()))
    for device in found["devices"]:
        size = (device["total_memory_bytes"] or 0) / 1024**3
        typer.echo(f"{device['type']}: {device['name']}, {size:.1f} GiB")
    model = found["default_model"]
    state = "ok" if model["ok"] else ("使えません" if ja else "not usable")
    typer.echo(f"{'既定モデル' if ja else 'default model'}: {model['path']}: {state}")
    for mark, entries in (("!", found["problems"]), ("-", found["notes"])):
        for entry in entries:
            typer.echo(f"{mark} {entry['what']}")
            typer.echo(f"    {entry['why']}")
            typer.echo(f"    > {entry['mend']}")
    if not found["problems"]:
        say(
            language,
            "測定を妨げる問題はありません。",
            "Nothing hinders a run.",
            err=False,
        )
