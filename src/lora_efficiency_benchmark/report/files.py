"""The files of a report, written through the store: report.html, report.md, figures/."""

from __future__ import annotations

from ..analysis import Analysis
from ..language import Language
from ..records.store import Store
from .figures import render_figures
from .markdown import render_markdown
from .page import render_html


def write_report(store: Store, analysis: Analysis, language: Language) -> None:
    """report.html (one file, offline), report.md and the figures it shows. Raises StoreError."""
    for name, svg in render_figures(analysis, language).items():
        store.write_text(f"figures/{name}", svg)
    store.write_text("report.html", render_html(analysis, language))
    store.write_text("report.md", render_markdown(analysis, language))
