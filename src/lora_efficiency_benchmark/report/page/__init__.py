"""The report as one HTML file that works offline, in both languages (row 6).

The page is a template with automatic escaping. The only markup let through is what is made here:
figures rendered from values that cannot carry markup themselves, our own style and script, and the
figure library. A content security policy names each of them by its hash and allows nothing else:
no request, no other script, no evaluated text (the library runs with its own interpreter).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from importlib.resources import files
from typing import Any

from ...analysis.values import Analysis
from .. import formats
from ..texts import LANGUAGES, wording
from .content import content
from .environment import template_environment
from .filters import lora_arms


def render_html(analysis: Analysis, language: str) -> str:
    """One self-contained page; ``language`` is shown first, and alone where scripts do not run.

    Raises ConfigError on a language other than ``ja`` and ``en``.
    """
    wording(language)
    environment = template_environment()
    environment.filters["record_href"] = formats.record_href
    other = next(name for name in LANGUAGES if name != language)
    first, second = content(analysis, language), content(analysis, other, drawn=False)
    live = any(figure["spec"] for figure in first["figures"].values())
    return environment.get_template("report.html.j2").render(
        first=first, second=second, arms=lora_arms(analysis), **_assets(live)
    )


def embedded_script(text: str) -> str:
    """JavaScript as the content of a script element: nothing in it ends or nests that element."""
    unixed = text.replace("\r\n", "\n").replace("\r", "\n")
    closed = re.sub(r"(?i)<(/script|!--)", r"<\\\1", unixed)
    return closed.replace("\0", "\\0")


@functools.cache
def figure_library() -> str:
    """Vega, Vega-Lite and their interpreter as one script, out of the installed vl-convert."""
    import vl_convert

    return embedded_script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _assets(live: bool) -> dict[str, Any]:
    """Style, scripts and the policy that allows exactly these."""
    from markupsafe import Markup

    folder = files(__package__) / "templates"
    style = (folder / "page.css").read_text("utf-8")
    script = embedded_script((folder / "page.js").read_text("utf-8"))
    library = figure_library() if live else ""
    scripts = " ".join(f"'{_hash(text)}'" for text in (script, library) if text)
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return {
        "policy": policy,
        "style": Markup(style),
        "script": Markup(script),
        "library": Markup(library),
    }


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
