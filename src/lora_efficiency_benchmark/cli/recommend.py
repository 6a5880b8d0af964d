"""``lora-bench recommend`` (row 7): which setting to use, from the records of a folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from .output import Json, Lang, choose_language, print_json, say

if TYPE_CHECKING:
    from ..analysis.recommend import Limits

Folder = Annotated[Path, typer.Argument(help="Output folder of a run")]
Retention = Annotated[
    str, typer.Option(help="Least share of full fine-tuning's gain to keep, such as 0.95 or 95%")
]
MaxMemory = Annotated[
    str | None,
    typer.Option(help="Most peak memory, such as 24GiB, or a device name such as RTX-4090"),
]
MaxMinutes = Annotated[
    str | None, typer.Option(help="Most training time in minutes (optimizer steps only)")
]
DataSize = Annotated[
    str | None, typer.Option(help="Training texts to answer for; default: the largest that was run")
]
Cheapest = Annotated[
    str,
    typer.Option(
        help="memory, time or parameters: what 'cheapest' goes by first; the other two break ties"
    ),
]
Strict = Annotated[bool, typer.Option(help="Exit 3 unless the answer is RECOMMENDED")]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(recommend)


def recommend(
    folder: Folder,
    retention: Retention = "0.95",
    max_memory: MaxMemory = None,
    max_minutes: MaxMinutes = None,
    data_size: DataSize = None,
    cheapest: Cheapest = "memory",
    strict: Strict = False,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """The cheapest setting within your limits, the Pareto front, and the best LoRA setting.

    RECOMMENDED only where quality is shown to reach --retention (lower bound of its interval over
    seeds, corrected for the number of settings); else UNDECIDED with a guess that is called one,
    or NONE. The answer may be full fine-tuning. 'Cheapest' is the least peak memory, because memory
    decides what can run at all; then training time, then trainable parameters. Memory is the peak
    of the training phase on this run's batch and length; a GPU needs about 0.5 GiB more for its
    context.

    Example: lora-bench recommend lora_benchmark_results --retention 0.9 --max-memory 24GiB
    """
    from ..analysis.recommend import RECOMMENDED
    from ..analysis.recommend import recommend as choose
    from ..report.terminal.recommendation import render_recommendation
    from ..search import folder_records

    language = choose_language(lang)
    limits = _limits(retention, max_memory, max_minutes, cheapest)
    size = None if data_size is None else _number(data_size, "--data-size", "1000", whole=True)
    records, config = folder_records(folder, lambda en, ja: say(language, ja, en))
    other = None if config is None else config.base_model_name
    found = choose(records, limits, None if size is None else int(size), other)
    if as_json:
        print_json(found.to_dict())
    else:
        typer.echo(render_recommendation(found, language))
    if strict and found.decision.verification != RECOMMENDED:
        raise typer.Exit(3)


def _limits(
    retention: str, max_memory: str | None, max_minutes: str | None, cheapest: str
) -> Limits:
    from ..analysis.recommend import ORDERS, Limits
    from ..config.gpus import parse_gpu

    if cheapest not in ORDERS:
        raise ConfigError(
            f"--cheapest {cheapest}: must be one of {', '.join(ORDERS)}",
            f"--cheapest {cheapest}: {', '.join(ORDERS)} のいずれかを指定してください",
        )
    memory = None
    if max_memory is not None:
        try:
            memory = parse_gpu(max_memory).total_bytes
        except ConfigError as error:
            texts = (text.replace("--gpu", "--max-memory", 1) for text in error.args)
            raise ConfigError(*texts) from None
    minutes = None if max_minutes is None else _number(max_minutes, "--max-minutes", "30")
    return Limits(
        retention=_share(retention),
        max_memory_bytes=memory,
        max_seconds=None if minutes is None else 60.0 * minutes,
        cheapest=cheapest,
    )


def _share(text: str) -> float:
    """``0.95`` or ``95%``."""
    from ..analysis.recommend.values import MAX_RETENTION

    percent = text.strip().endswith("%")
    try:
        value = float(text.strip().removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MAX_RETENTION:
        raise ConfigError(
            f"--retention {text}: must be a share such as 0.95 or 95%",
            f"--retention {text}: 0.95 や 95% のような割合を指定してください",
        )
    return value


def _number(text: str, option: str, example: str, whole: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)) or (whole and value != int(value)):
        kind, kind_ja = ("whole number", "整数") if whole else ("number", "数")
        raise ConfigError(
            f"{option} {text}: must be a {kind} above zero, such as {example}",
            f"{option} {text}: {example} のような、0より大きい{kind_ja}を指定してください",
        )
    return value
