"""Reports from an analysis (row 6): HTML, markdown, figures and a terminal table."""

from .figures import render_figures
from .markdown import render_markdown
from .page import render_html
from .terminal import render_terminal

__all__ = ["render_figures", "render_html", "render_markdown", "render_terminal"]
