"""``lora-bench analyze`` and ``presets`` (row 7): verdicts from records; what comes along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Json, Lang, choose_language, print_json

if TYPE_CHECKING:
    from ..analysis import Analysis

Folder = Annotated[Path, typer.Argument(help="Output folder of a run")]
Claims = Annotated[str | None, typer.Option(help="Claims preset or YAML file")]
Strict = Annotated[
    bool, typer.Option(help="Exit 3 unless every claim and the joint verdict are VERIFIED")
]


def register(app: typer.Typer) -> None:
    """Add both commands to the command line."""
    app.command()(analyze)
    app.command()(presets)


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
    from ..folder import analyze_folder
    from ..report.terminal import render_terminal

    language = choose_language(lang)
    analysis = analyze_folder(folder, claims, language)
    if as_json:
        print_json(analysis.to_dict())
    else:
        typer.echo(render_terminal(analysis, language))
    if strict and not _all_verified(analysis):
        raise typer.Exit(3)


def presets(as_json: Json = False) -> None:
    """Benchmark and claims presets.

    Example: lora-bench presets --json
    """
    from ..config.yaml_io import preset_names, preset_path

    kinds = ("benchmarks", "claims")
    if as_json:
        print_json({kind: preset_names(kind) for kind in kinds})
        return
    for kind in kinds:
        for name in preset_names(kind):
            typer.echo(f"{kind:11} {name:12} {preset_path(kind, name)}")


def _all_verified(analysis: Analysis) -> bool:
    """Every claim, and one configuration that meets all of those that count together."""
    asked = [claim.verification for claim in analysis.claims]
    if any(claim.joint for claim in analysis.claims):
        asked.append(analysis.joint.verification)
    return all(verification == "VERIFIED" for verification in asked)
