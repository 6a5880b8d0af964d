"""Text of strangers as one harmless line (row 0): no control, direction or surrogate characters.

A name can hold what a terminal obeys (escape sequences), what turns the reading direction around,
or what UTF-8 cannot hold. Messages, tables and the log go through here.
"""

from __future__ import annotations

import reprlib
import unicodedata

SHOWN = 160
"""Characters of a value in a message, at most."""


def one_line(text: object, limit: int | None = None) -> str:
    """White space folded, each character that is none replaced by ``?``, cut to ``limit``."""
    flat = " ".join(str(text).split())
    safe = flat if flat.isprintable() else "".join(map(_harmless, flat))
    return safe if limit is None or len(safe) <= limit else safe[: limit - 1] + "…"


def _harmless(character: str) -> str:
    return "?" if unicodedata.category(character)[0] == "C" else character


def is_plain(text: str) -> bool:
    """True for text on one line that any terminal shows as it is."""
    return not any(unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" for c in text)


def shown(value: object) -> str:
    """A value for a message, short whatever it holds; lists that share parts are not unfolded."""
    if isinstance(value, str | bytes):
        return one_line(repr(value[: SHOWN + 1]), SHOWN)
    try:
        return one_line(_SHORT.repr(value), SHOWN)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"


def spreadsheet_text(text: str) -> str:
    """One line that no spreadsheet runs: an apostrophe goes before what looks like a formula."""
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULA) else line


_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxtuple = 4, 8, 8, 8
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
