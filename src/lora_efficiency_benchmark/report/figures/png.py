"""Every figure as SVG and as PNG files (row 6), and whether this machine has Japanese letters.

An SVG asks the reader's machine for its fonts; a PNG needs them here. A missing letter would be
drawn as the same empty box for every character, so two different ones are drawn and compared.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

from ...analysis.values import Analysis
from ...errors import ConfigError
from . import build_figures
from .style import FONT

SCALE = 2.0  # pixels a CSS pixel: sharp in print at the usual width of a column
FONT_PACKAGES = "fonts-noto-cjk or fonts-ipafont"
_PROBE = ("日", "語")


class Written(NamedTuple):
    """What was written, and what could not be drawn as it should."""

    files: tuple[Path, ...]
    without_glyphs: tuple[str, ...]  # names of figures with Japanese letters that no font has


def write_figures(
    analysis: Analysis, language: str, folder: Path, fonts: Path | None = None
) -> Written:
    """``<name>.svg`` and ``<name>.png`` of every figure that has data, into ``folder``.

    ``fonts`` is a folder of font files to draw with beside the machine's own. Where no font has
    Japanese letters and a figure needs them, only its SVG is written, never boxes. Raises
    ConfigError on a folder that cannot be written or that holds no fonts.
    """
    if fonts is not None:
        register_fonts(fonts)
    files: list[Path] = []
    missing: list[str] = []
    for figure in build_figures(analysis, language):
        if figure.spec is None:
            continue
        svg = figure.to_svg()
        files.append(_write(folder, f"{figure.name}.svg", svg.encode()))
        if has_japanese(svg) and not draws_japanese():
            missing.append(figure.name)
        else:
            files.append(_write(folder, f"{figure.name}.png", to_png(svg)))
    return Written(tuple(files), tuple(missing))


def to_png(svg: str) -> bytes:
    """A picture of an SVG at twice its size, on white whatever the SVG's own background."""
    import vl_convert

    white = '<rect width="100%" height="100%" fill="white"/>'
    opaque = re.sub(r"(<svg\b[^>]*>)", rf"\1{white}", svg, count=1)
    return bytes(vl_convert.svg_to_png(opaque, scale=SCALE))


def has_japanese(text: str) -> bool:
    """True where a text needs a font beyond the Latin ones: kana, kanji and full-width letters."""
    return any(unicodedata.east_asian_width(character) in "WF" for character in text)


def draws_japanese() -> bool:
    """True where two different Japanese letters come out as different pictures."""
    return _draws(_PROBE)


def register_fonts(folder: Path) -> None:
    """Draw with the fonts of a folder too. Raises ConfigError where it holds none."""
    import vl_convert

    endings = {".ttf", ".ttc", ".otf", ".otc"}
    if not folder.is_dir():
        raise ConfigError(
            f"--fonts {folder}: no such folder", f"--fonts {folder}: フォルダーがありません"
        )
    if not any(path.suffix.lower() in endings for path in folder.rglob("*")):
        raise ConfigError(
            f"--fonts {folder}: holds no .ttf, .ttc or .otf file",
            f"--fonts {folder}: .ttf、.ttc、.otf のファイルがありません",
        )
    vl_convert.register_font_directory(str(folder.resolve()))
    _draws.cache_clear()


@functools.lru_cache(maxsize=4)
def _draws(letters: tuple[str, str]) -> bool:
    import vl_convert

    def picture(letter: str) -> bytes:
        text = f'<text x="2" y="20" font-size="18" font-family="{FONT}">{letter}</text>'
        size = 'width="24" height="24"'
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{text}</svg>'
        return bytes(vl_convert.svg_to_png(svg))

    return picture(letters[0]) != picture(letters[1])


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror or error})",
            f"{path}: 書き込めません ({error.strerror or error})",
        ) from None
    return path
