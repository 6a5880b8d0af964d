"""``lora-bench`` (row 7): parse, call, print, exit code. Heavy imports wait for their command.

Exit codes: 0 done (whatever the verdict), 1 the user can fix it (one line on standard error),
2 usage, 3 ``--strict`` and a claim is not VERIFIED, 130 interrupted (what is finished is kept).
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import cli_estimate, cli_import, cli_recommend, cli_sizes
from .cli_output import Json, Lang, choose_language, print_json, say
from .errors import ConfigError, LoraBenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .analysis import Analysis
    from .config import LoRABenchmarkConfig
    from .plan import Cell

app = typer.Typer(
    help="Is LoRA really that much cheaper than full fine-tuning, and as good? Measured, judged.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[str | None, typer.Argument(help="YAML file; see 'lora-bench presets'")]
Preset = Annotated[str | None, typer.Option(help="A preset instead of a file")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, replaces one field; may be repeated")
]
Folder = Annotated[Path, typer.Argument(help="Output folder of a run")]
Claims = Annotated[str | None, typer.Option(help="Claims preset or YAML file")]
Strict = Annotated[bool, typer.Option(help="Exit 3 unless every claim is VERIFIED")]


@app.command()
def run(
    config: Config = None,
    preset: Preset = None,
    output_dir: Annotated[str | None, typer.Option(help="Folder for records and report")] = None,
    executor: Annotated[str, typer.Option(help="Only 'local' in this version")] = "local",
    fresh: Annotated[
        bool, typer.Option(help="Start over; an older folder is moved aside first")
    ] = False,
    settings: Settings = None,
    lang: Lang = None,
) -> None:
    """Measure what is missing, then judge and report. Default: the preset 'quick'.

    Example: lora-bench run --preset quick --set training_steps=12 --output-dir results
    """
    from .benchmark import LoRAEfficiencyBenchmark
    from .report.progress import Progress
    from .report.terminal import render_terminal

    language = choose_language(lang)
    if executor != "local":
        raise ConfigError(f"--executor {executor}: only 'local' is available in this version")
    benchmark = LoRAEfficiencyBenchmark(_configuration(config, preset, settings, output_dir))
    for number in (signal.SIGINT, signal.SIGTERM):  # a background shell job starts deaf to SIGINT
        signal.signal(number, _terminate)
    try:
        with Progress(language) as progress:
            analysis = benchmark.run(watch=progress, fresh=fresh, language=language)
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


@app.command()
def plan(
    config: Config = None,
    preset: Preset = None,
    settings: Settings = None,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """The cells of a configuration: forecast of their time, estimated memory; nothing runs."""
    from .claims import load_claims
    from .forecast import forecast_seconds, reference_speed
    from .search import remaining_cells
    from .units import format_duration

    language = choose_language(lang)
    asked = _configuration(config, preset, settings, None)
    load_claims(asked.claims)
    cells = remaining_cells(asked, [])
    rows = [{"id": c.id, "label": c.label, **c.to_dict()} for c in cells]
    seconds = [forecast_seconds(cell) for cell in cells]
    peaks = _estimated_peaks(cells, language)
    for row, value, peak in zip(rows, seconds, peaks, strict=True):
        row |= {"forecast_seconds": value, "estimated_peak_bytes": peak}
    if as_json:
        print_json({"cells": rows, "forecast_seconds": sum(seconds), "speed": reference_speed()})
        return
    several = len({cell.model_name for cell in cells}) > 1
    for cell, value, peak in zip(cells, seconds, peaks, strict=True):
        name = f"{Path(cell.model_name).name:20} " if several else ""
        typer.echo(
            f"{cell.kind:7} {name}{cell.label:18} {cell.reading:12} {cell.precision:9} "
            f"n={cell.dataset_size:<6} seed {cell.seed}  {format_duration(value):>8}"
            f"  {_estimated(peak, language)}".rstrip()
        )
    machine, total = reference_speed()["machine"], format_duration(sum(seconds))
    say(
        language,
        f"{len(cells)} セル、合計 約 {total} (予測。基準機: {machine}、SmolLM2-135M での実測から)",
        f"{len(cells)} cells, about {total} in all (forecast from a run of SmolLM2-135M on "
        f"{machine})",
        err=False,
    )


@app.command()
def analyze(
    folder: Folder,
    claims: Claims = None,
    strict: Strict = False,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """Verdicts from the records of a folder; needs no torch and no GPU."""
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
def report(
    folder: Folder,
    lang: Lang = None,
    format_: Annotated[str, typer.Option("--format", help="html or md")] = "html",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Default: stdout")] = None,
    claims: Claims = None,
) -> None:
    """The report of a folder again, in either language."""
    from .benchmark import analyze_folder
    from .report import render_html, render_markdown

    renderers = {"html": render_html, "md": render_markdown}
    if format_ not in renderers:
        raise ConfigError(f"--format {format_}: must be one of {', '.join(renderers)}")
    text = renderers[format_](analyze_folder(folder, claims), choose_language(lang))
    if output is None:
        typer.echo(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written ({error.strerror})") from None


@app.command()
def presets(as_json: Json = False) -> None:
    """Benchmark and claims presets."""
    from .yaml_io import preset_names, preset_path

    kinds = ("benchmarks", "claims")
    if as_json:
        print_json({kind: preset_names(kind) for kind in kinds})
        return
    for kind in kinds:
        for name in preset_names(kind):
            typer.echo(f"{kind:11} {name:12} {preset_path(kind, name)}")


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option(help="Fetch the default model if it is missing")] = False,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """What this machine can run, what is wrong, and the command that mends it."""
    from .doctor import examine
    from .model_cache import check_default_model, ensure_default_model

    language = choose_language(lang)
    if fix and not check_default_model()["ok"]:
        ensure_default_model(mend=True)
    found = examine()
    if as_json:
        print_json(found)
    else:
        _print_doctor(found, language)
    if found["problems"]:
        raise typer.Exit(1)


cli_sizes.register(app)
cli_estimate.register(app)
cli_recommend.register(app)
cli_import.register(app)


def main() -> None:
    """Entry point: user errors become one line and exit code 1."""
    try:
        app()
    except LoraBenchError as error:
        typer.echo(f"lora-bench: {_one_line(error)}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


def _configuration(
    config: str | None, preset: str | None, settings: list[str] | None, output_dir: str | None
) -> LoRABenchmarkConfig:
    from .config import load_config, parse_override

    if config is not None and preset is not None:
        raise ConfigError("give a configuration file or --preset, not both")
    overrides: dict[str, Any] = dict(parse_override(text) for text in settings or [])
    if output_dir is not None:
        overrides["output_dir"] = output_dir
    return load_config(config or preset or "quick", **overrides)


def _estimated_peaks(cells: Sequence[Cell], language: str) -> list[int | None]:
    """Predicted peak of each cell in bytes; why there is none is said once."""
    from .foresight import UNTRACEABLE, plan_estimates

    found = plan_estimates(cells)
    reasons = list(dict.fromkeys(e[UNTRACEABLE] for e in found.values() if UNTRACEABLE in e))
    if reasons:
        text = "; ".join(reasons)
        say(language, f"メモリを推定できません: {text}", f"memory is not estimated: {text}")
    return [found.get(cell.id, {}).get("peak_allocated_bytes") for cell in cells]


def _estimated(peak: int | None, language: str) -> str:
    from .units import GIB, to_gib, to_mib

    if peak is None:
        return ""
    size = f"{to_mib(peak):.0f} MiB" if peak < GIB else f"{to_gib(peak):.2f} GiB"
    return f"{size:>9} {'推定' if language == 'ja' else 'estimated'}"


def _all_verified(analysis: Analysis) -> bool:
    return all(claim.verification == "VERIFIED" for claim in analysis.claims)


def _print_doctor(found: dict[str, Any], language: str) -> None:
    typer.echo(f"Python {found['python']}")
    for name, version in found["packages"].items():
        typer.echo(f"{name} {version}")
    for device in found["devices"]:
        size = (device["total_memory_bytes"] or 0) / 1024**3
        typer.echo(f"{device['type']}: {device['name']}, {size:.1f} GiB")
    model = found["default_model"]
    typer.echo(f"default model: {model['path']}: {'ok' if model['ok'] else 'missing'}")
    for problem in found["problems"]:
        typer.echo(f"! {problem['what']}: {problem['mend']}")
    if not found["problems"]:
        say(language, "問題はありません。", "Nothing is wrong.", err=False)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does: what is finished is kept."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
