"""How the page and the explorer are made from their templates (row 6)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def template_environment() -> Environment:
    """Templates beside this module: all is escaped, and a name without a value is an error.

    ``value|data`` is the content of a script element of data.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__ or __name__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data"] = embedded_json
    return environment


def embedded_json(value: Any) -> Markup:
    """JSON for a script element of data: no character in it can end that element.

    Raises ValueError on NaN and infinity, which JSON does not have.
    """
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
