"""Text files to paragraphs: plain text, Markdown and HTML, also gzipped.

Paragraphs are separated by blank lines or, in HTML, by block elements. Paragraphs under
``SHORTEST_PARAGRAPH`` characters (headings, menu entries) are left out; long ones are kept whole,
since cutting happens at tokenisation.
"""

from __future__ import annotations

import gzip
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path

from ..errors import DataError
from ..units import GIB

__all__ = ["SHORTEST_PARAGRAPH", "TEXT_SUFFIXES", "kind_of", "read_paragraphs", "read_text"]

SHORTEST_PARAGRAPH = 10
MAX_TEXT_BYTES = 2 * GIB
TEXT_SUFFIXES = (".txt", ".md", ".html", ".htm")

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n")
_LINE_BREAK_IN_JAPANESE = re.compile(
    r"(?<=[\u3000-\u9fff\uff00-\uffef])\s*\n\s*(?=[\u3000-\u9fff])"
)
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "div", "dl", "dt",
    "figcaption", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li",
    "main", "ol", "p", "pre", "section", "table", "tbody", "td", "th", "thead", "tr", "ul",
})  # fmt: skip
# "title", not "head": </head> may be left out, <title> always ends
_UNSEEN = frozenset({"title", "nav", "script", "style", "template"})


def kind_of(path: Path) -> str:
    """The suffix that tells how to read a file: lower case, without a trailing ``.gz``."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read_text(path: Path) -> str:
    """Content of a UTF-8 file, gunzipped if the name says so; :class:`DataError` if unreadable."""
    try:
        zipped = path.name.lower().endswith(".gz")
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            raw = file.read(MAX_TEXT_BYTES + 1)
        if len(raw) > MAX_TEXT_BYTES:  # a megabyte of gzip can stand for a gigabyte
            limit = MAX_TEXT_BYTES // GIB
            raise DataError(
                f"{path}: holds more than {limit} GiB of text; split it into files",
                f"{path}: テキストが {limit} GiB を超えています。ファイルを分けてください",
            )
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not UTF-8 text (byte {error.start}); convert it, for example with iconv",
            f"{path}: UTF-8 のテキストではありません ({error.start}バイト目)。"
            "iconv などで変換してください",
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); check the file",
            f"{path}: 読めません ({error})。ファイルを確認してください",
        ) from error


def read_paragraphs(path: Path) -> list[str]:
    """Paragraphs of a text, Markdown or HTML file, in the order of the file."""
    text = read_text(path)
    blocks = _html_blocks(text) if kind_of(path) in (".html", ".htm") else _BLANK_LINES.split(text)
    paragraphs = (block.strip() for block in blocks)
    return [paragraph for paragraph in paragraphs if len(paragraph) >= SHORTEST_PARAGRAPH]


def _html_blocks(text: str) -> list[str]:
    parser = _BlockParser()
    parser.feed(text)
    parser.close()
    parser.flush()
    return parser.blocks


class _BlockParser(HTMLParser):
    """Collects the visible text of each block element."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self._pieces: list[str] = []
        self._unseen = 0
        self._verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._boundary(tag, +1)

    def handle_endtag(self, tag: str) -> None:
        self._boundary(tag, -1)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._pieces.append(data)

    def _boundary(self, tag: str, step: int) -> None:
        if tag in _BLOCKS:
            self.flush()
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen + step)
        if tag == "pre":
            self._verbatim = max(0, self._verbatim + step)

    def flush(self) -> None:
        """End the open block."""
        text = "".join(self._pieces)
        self._pieces.clear()
        if not self._verbatim:
            text = " ".join(_LINE_BREAK_IN_JAPANESE.sub("", text).split())
        if text.strip():
            self.blocks.append(text)
