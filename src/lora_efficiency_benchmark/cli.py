"""``lora-bench`` (row 7): parse, call, print, exit code. Heavy imports wait for their command.

Exit codes: 0 done (whatever the verdict), 1 the user can fix it (one line on standard error),
2 usage, 3 ``--strict`` and a claim is not VERIFIED, 130 interrupted (what is finished is kept).
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from . import (
    cli_compare,
    cli_doctor,
    cli_estimate,
    cli_import,
    cli_init,
    cli_map,
    cli_plan,
    cli_recommend,
    cli_report,
    cli_sizes,
)
from .cli_config import Config, Preset, Settings, configuration
from .cli_output import Json, Lang, choose_language, print_json, say
from .errors import ConfigError, LoraBenchError

if TYPE_CHECKING:
    from .analysis import Analysis

app = typer.Typer(
    help="Is LoRA really that much cheaper than full fine-tuning, and as good? Measured, judged.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Argument(help="Output folder of a run")]
Claims = Annotated[str | None, typer.Option(help="Claims preset or YAML file")]
Strict = Annotated[bool, typer.Option(help="Exit 3 unless every claim is VERIFIED")]


cli_init.register(app)
cli_doctor.register(app)


@app.command()
def run(
    config: Config = None,
    preset: Preset = None,
    output_dir: Annotated[str | None, typer.Option(help="Folder for records and report")] = None,
    executor: Annotated[str, typer.Option(help="Only 'local' in this version")] = "local",
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
    be opened while it runs; it is written anew about once a minute, between cells.

    Example: lora-bench run --preset quick --set training_steps=12 --output-dir results

    Example: lora-bench run config.yaml --report-to tensorboard
    """
    from .benchmark import LoRAEfficiencyBenchmark
    from .report.progress import Progress
    from .report.terminal import render_terminal

    language = choose_language(lang)
    if executor != "local":
        raise ConfigError(f"--executor {executor}: only 'local' is available in this version")
    benchmark = LoRAEfficiencyBenchmark(configuration(config, preset, settings, output_dir))
    for number in (signal.SIGINT, signal.SIGTERM):  # a background shell job starts deaf to SIGINT
        signal.signal(number, _terminate)
    try:
        with Progress(language) as progress:
            analysis = benchmark.run(progress, fresh, language, report_to)
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


cli_plan.register(app)


@app.command()
def analyze(
    folder: Folder,
    claims: Claims = None,
    strict: Strict = False,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """Verdicts from the records of a folder; needs no torch and no GPU.

    Example: lora-bench analyze lora_benchmark_results --json
    """
    from .benchmark import analyze_folder
    from .report.terminal import render_terminal

    language = choose_language(lang)
    analysis = analyze_folder(folder, claims)
    if as_json:
        print_json(analysis.to_dict())
    else:
        typer.echo(render_terminal(analysis, language))
    if strict and not _all_verified(analysis):
        raise typer.Exit(3)


@app.command()
def presets(as_json: Json = False) -> None:
    """Benchmark and claims presets.

    Example: lora-bench presets --json
    """
    from .yaml_io import preset_names, preset_path

    kinds = ("benchmarks", "claims")
    if as_json:
        print_json({kind: preset_names(kind) for kind in kinds})
        return
    for kind in kinds:
        for name in preset_names(kind):
            typer.echo(f"{kind:11} {name:12} {preset_path(kind, name)}")


cli_sizes.register(app)
cli_estimate.register(app)
cli_recommend.register(app)
cli_report.register(app)
cli_compare.register(app)
cli_import.register(app)
cli_map.register(app)


def main() -> None:
    """Entry point: user errors become one line and exit code 1."""
    try:
        app()
    except LoraBenchError as error:
        typer.echo(f"lora-bench: {_one_line(error)}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


def _all_verified(analysis: Analysis) -> bool:
    return all(claim.verification == "VERIFIED" for claim in analysis.claims)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does: what is finished is kept."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
