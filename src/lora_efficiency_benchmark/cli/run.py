"""``lora-bench run`` (row 7): measure what is missing, then judge and report."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Annotated

import typer

from ..errors import ConfigError
from .configuration import Config, Preset, Settings, configuration
from .output import Lang, choose_language, say


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(run)


def run(
    config: Config = None,
    preset: Preset = None,
    output_dir: Annotated[str | None, typer.Option(help="Folder for records and report")] = None,
    executor: Annotated[
        str, typer.Option(help="local, or ray: the cells on a Ray cluster, several at a time")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster to join: auto or HOST:PORT; default: launcher.address of the "
            "configuration, then RAY_ADDRESS, then a cluster of this machine alone"
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; an older folder is moved aside first")
    ] = False,
    report_to: Annotated[
        str,
        typer.Option(
            help="Who follows the training: none, tensorboard, wandb, mlflow, ...; told between "
            "steps, outside of what is timed"
        ),
    ] = "none",
    settings: Settings = None,
    lang: Lang = None,
) -> None:
    """Measure what is missing, then judge and report. Default: the preset 'quick'.

    Stop it at any time: the same command goes on from there. report.html in the output folder can
    be opened while it runs; it is written anew about once a minute, when no cell is running.

    Example: lora-bench run --preset quick --set training_steps=12 --output-dir results

    Example: lora-bench run config.yaml --report-to tensorboard

    Example: lora-bench run config.yaml --executor ray --address auto
    """
    from ..benchmark import LoRAEfficiencyBenchmark
    from ..report.terminal import render_terminal
    from ..report.terminal.progress import Progress

    language = choose_language(lang)
    if address is not None and executor == "local":
        raise ConfigError(
            "--address: is that of a Ray cluster; add --executor ray",
            "--address: Ray クラスターのアドレスです。--executor ray も指定してください",
        )
    benchmark = LoRAEfficiencyBenchmark(configuration(config, preset, settings, output_dir))
    for number in (signal.SIGINT, signal.SIGTERM):  # a background shell job starts deaf to SIGINT
        signal.signal(number, _terminate)
    try:
        with Progress(language) as progress:
            analysis = benchmark.run(progress, fresh, language, report_to, executor, address)
    except KeyboardInterrupt:
        kept = len(benchmark.store.finished_ids()) if benchmark.store.path.is_dir() else 0
        say(
            language,
            f"中断しました。測定済みの {kept} セルは {benchmark.store.path} に残っています。"
            "同じコマンドで続きから再開します。",
            f"Stopped. {kept} finished cells are kept in {benchmark.store.path}; "
            "the same command goes on from there.",
        )
        raise typer.Exit(130) from None
    report = benchmark.store.path / "report.html"
    say(language, f"レポート: {report}", f"Report: {report}", err=False)
    typer.echo(render_terminal(analysis, language))
    if analysis.failures:
        say(language, "失敗したセルがあります。", "Some cells failed; the table says which.")


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does: what is finished is kept.

    Batch systems may send it more than once; the second would only cut the first one short.
    """
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt
