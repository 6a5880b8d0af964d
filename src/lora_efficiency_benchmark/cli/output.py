"""What the commands share (row 7): common options, two languages, JSON, a plain table."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigError
from ..plain_text import one_line

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output")]
Lang = Annotated[str | None, typer.Option("--lang", help="ja or en; default: from the locale")]
_UNSAFE = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What a terminal would obey or UTF-8 cannot hold; in JSON an escape says the same."""


def choose_language(option: str | None) -> Any:
    """``"ja"`` or ``"en"``. Raises ConfigError on anything else."""
    from ..language import resolve_language

    if option not in (None, "ja", "en"):
        raise ConfigError(
            f"--lang {option}: must be ja or en", f"--lang {option}: ja か en を指定してください"
        )
    return resolve_language(option)


def check_writable(path: Path) -> None:
    """Before a command works for minutes, not after. Raises ConfigError."""
    there = path if path.exists() else path.parent
    if path.is_dir() or not path.parent.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(
            f"{path}: cannot be written; give a file in a folder that exists",
            f"{path}: 書き込めません。すでにあるフォルダーの中のファイルを指定してください",
        )


def print_json(data: Any) -> None:
    """One JSON document on standard output."""
    text = json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False)
    typer.echo(_UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], text))


def say(language: str, ja: str, en: str, err: bool = True) -> None:
    """One line in the reader's language; on standard error unless told otherwise."""
    typer.echo(one_line(ja if language == "ja" else en), err=err)


def print_table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Columns as wide as their widest cell; those in ``right`` (from 0) flush right."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = []
        for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - _width(cell))
            cells.append(blank + cell if number in right else cell + blank)
        typer.echo("  ".join(cells).rstrip())


def _width(text: str) -> int:
    """Terminal columns: a full-width character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
