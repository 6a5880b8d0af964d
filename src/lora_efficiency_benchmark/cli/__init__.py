"""``lora-bench`` (row 7): parse, call, print, exit code. Heavy imports wait for their command.

One module a command, in the order in which ``lora-bench --help`` lists them. ``configuration`` and
``output`` are shared.

Exit codes: 0 done (whatever the verdict), 1 the user can fix it (one line on standard error),
2 usage, 3 ``--strict`` and the answer is not a plain yes, 130 interrupted (what is finished is
kept).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from ..errors import LoraBenchError
from ..language import Language, resolve_language
from . import (
    analyze,
    compare,
    doctor,
    estimate,
    import_results,
    init,
    map,
    plan,
    recommend,
    report,
    run,
    sizes,
)

app = typer.Typer(
    help="Is LoRA really that much cheaper than full fine-tuning, and as good? Measured, judged.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    *(init, doctor, run, plan, analyze, sizes, estimate),
    *(recommend, report, compare, import_results, map),
):
    command.register(app)


def main() -> None:
    """Entry point: user errors become one line and exit code 1."""
    try:
        app()
    except LoraBenchError as error:
        typer.echo(f"lora-bench: {error.text(_language(sys.argv[1:]))}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


def _language(words: Sequence[str]) -> Language:
    """What the last ``--lang`` says, however far options were read; else that of the locale."""
    said = [
        after if sign else following
        for word, following in zip(words, [*words[1:], ""], strict=True)
        for name, sign, after in [word.partition("=")]
        if name == "--lang"
    ]
    return resolve_language(said[-1] if said else None)
