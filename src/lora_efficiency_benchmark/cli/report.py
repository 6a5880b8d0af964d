"""``lora-bench report`` (row 7): the report of a folder again, for reading, papers and the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from .output import Lang, choose_language, say

if TYPE_CHECKING:
    from ..analysis import Analysis

FORMATS = ("html", "md", "latex", "csv", "card")

Folder = Annotated[Path, typer.Argument(help="Output folder of a run")]
Claims = Annotated[str | None, typer.Option(help="Claims preset or YAML file")]
Format = Annotated[
    str | None, typer.Option("--format", help="html (default), md, latex, csv or card")
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Default: stdout")]
Figures = Annotated[
    Path | None, typer.Option(help="Write every figure into this folder, as .svg and .png")
]
Fonts = Annotated[
    Path | None, typer.Option(help="With --figures: a folder of fonts to draw with too")
]
Configuration = Annotated[
    str | None, typer.Option(help="With --format card: only this arm, by its label")
]
Source = Annotated[
    str | None, typer.Option(help="With --format card: address where the results can be seen")
]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(report)


def report(
    folder: Folder,
    lang: Lang = None,
    format_: Format = None,
    output: Output = None,
    claims: Claims = None,
    figures: Figures = None,
    fonts: Fonts = None,
    configuration: Configuration = None,
    source: Source = None,
) -> None:
    """The report of a folder again, in either language; tables for papers, figures as files.

    latex: the claims and the arms as booktabs tables, conditions in the caption. csv: one long
    table, a row a claim and configuration. card: a snippet for a model card on the Hub, with
    model-index metadata. --figures alone writes figures and no report.

    Example: lora-bench report DIR --format latex -o table.tex --figures figures
    """
    from ..folder import analyze_folder

    language = choose_language(lang)
    chosen = format_ or "html"
    _check(chosen, figures, fonts, configuration, source)
    analysis = analyze_folder(folder, claims, language)
    wanted = figures is None or format_ is not None or output is not None
    text = _render(analysis, chosen, language, configuration, source) if wanted else None
    if output is not None and text is not None:
        _write(output, text)
    elif text is not None:
        typer.echo(text, nl=not text.endswith("\n"))
    if figures is not None:
        _write_figures(analysis, language, figures, fonts, quiet=text is not None)


def _check(
    format_: str,
    figures: Path | None,
    fonts: Path | None,
    configuration: str | None,
    source: str | None,
) -> None:
    if format_ not in FORMATS:
        raise ConfigError(
            f"--format {format_}: must be one of {', '.join(FORMATS)}",
            f"--format {format_}: {', '.join(FORMATS)} のいずれかを指定してください",
        )
    if fonts is not None and figures is None:
        raise ConfigError(
            "--fonts: only with --figures FOLDER",
            "--fonts: --figures FOLDER と一緒に指定してください",
        )
    for name, value in (("--configuration", configuration), ("--source", source)):
        if value is not None and format_ != "card":
            raise ConfigError(
                f"{name}: only with --format card",
                f"{name}: --format card と一緒に指定してください",
            )


def _render(
    analysis: Analysis, format_: str, language: str, configuration: str | None, source: str | None
) -> str:
    from ..report import render_html, render_markdown
    from ..report.paper.csv_table import render_csv
    from ..report.paper.latex import render_latex
    from ..report.paper.model_card import render_card

    if format_ == "card":
        return render_card(analysis, language, configuration, source)
    renderers = {
        "html": render_html,
        "md": render_markdown,
        "latex": render_latex,
        "csv": render_csv,
    }
    return renderers[format_](analysis, language)


def _write(path: Path, text: str) -> None:
    """The text as it is: a CSV keeps its line ends on every system."""
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{path}: cannot be written ({reason}); give another -o",
            f"{path}: 書き込めません ({reason})。-o で別の場所を指定してください",
        ) from None


def _write_figures(
    analysis: Analysis, language: str, folder: Path, fonts: Path | None, quiet: bool
) -> None:
    """Figures on disk, one path a line; on standard error where a report went to stdout."""
    from ..report.figures.png import FONT_PACKAGES, write_figures

    written = write_figures(analysis, language, folder, fonts)
    for path in written.files:
        typer.echo(path, err=quiet)
    if not written.files:
        say(language, "描けるデータのある図はありません。", "No figure has data to draw.")
    if written.without_glyphs:
        names = ", ".join(written.without_glyphs)
        ja = (
            f"{folder}: 日本語の文字を持つフォントがないため、PNGを書けない図があります({names})。"
            f"SVGは書きました。フォントを入れる(Debian: {FONT_PACKAGES})か、--fonts でフォントの"
            "フォルダーを指定してください"
        )
        en = (
            f"{folder}: no font here has Japanese letters, so there is no PNG of {names}; the SVG "
            f"is written. Install one (Debian: {FONT_PACKAGES}) or name a folder with --fonts"
        )
        raise ConfigError(en, ja)
