"""Reports from an analysis (row 6): HTML, markdown, figures and a terminal table."""

from .figures import render_figures
from .html import render_html
from .markdown import render_markdown
from .terminal import render_terminal

__all__ = ["render_figures", "render_html", "render_markdown", "render_terminal"]
