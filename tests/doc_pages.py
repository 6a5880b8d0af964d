"""The documentation as data: pages, headings, links, code blocks and the commands in them.

A fenced block may name the file it stands for after its language (``yaml card.yaml``); an indented
or unnamed one does so in a first line such as ``# my-config.yaml``. A ``console`` block holds
commands after ``$ `` and what they print; ``...`` there stands for lines that are left out.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ENGLISH_ONLY = {"architecture.md"}  # for those who change the program

_FENCE = re.compile(r"^```\s*(\S*)\s*(\S*)\s*$")
_NAMED = re.compile(r"^# (\S+\.yaml)\b")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`((?:\S*/)?lora-bench [^`]+)`")
_SHELL = re.compile(r"^(\$ |lora-bench |make |git |pip |python |\.venv/|\S+=\S+ lora-bench )")
_OURS = re.compile(r"(?:^|[\s/])lora-bench\s+(.+)$")


@dataclass(frozen=True)
class Block:
    """One code block."""

    kind: str  # language of a fence; empty for an indented block
    name: str  # file that it stands for, or empty
    text: str

    @property
    def lines(self) -> list[str]:
        """Its lines, those that end in a backslash joined."""
        return re.sub(r"\\\n\s*", " ", self.text).splitlines()

    @property
    def shell(self) -> list[str]:
        """The command lines, without prompt and comment."""
        if self.kind in ("yaml", "python", "jsonl", "text", "json") or self.name:
            return []
        found = self.lines
        if self.kind != "sh":
            found = [line for line in found if _SHELL.match(line)]
        if self.kind == "console":
            found = [line for line in found if line.startswith("$ ")]
        bare = (without_comment(line.removeprefix("$ ")) for line in found)
        return [line for line in bare if line]

    @property
    def examples(self) -> list[tuple[str, str]]:
        """Commands after ``$ `` and what is shown under each."""
        parts = re.split(r"^\$ (.*)$", self.text, flags=re.M)
        return list(zip(parts[1::2], (part.strip("\n") for part in parts[2::2]), strict=True))


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path
    headings: tuple[str, ...]  # with their number signs
    blocks: tuple[Block, ...]
    prose: str  # everything outside of code blocks

    @property
    def name(self) -> str:
        """Path from the repository's root."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def links(self) -> list[str]:
        """Targets of links and images that lead to files of the repository."""
        found = _LINK.findall(re.sub(r"`[^`]*`", "", self.prose))
        return [target for target in found if not re.match(r"[a-z]+:", target)]

    @property
    def commands(self) -> list[str]:
        """What follows ``lora-bench`` in code blocks and in inline code."""
        lines = [line for block in self.blocks for line in block.shell]
        lines += _INLINE.findall(self.prose)
        return [match[1].strip() for line in lines if (match := _OURS.search(line))]

    @property
    def anchors(self) -> set[str]:
        """Names that a link may have after ``#``, as GitHub makes them from headings."""
        bare = (heading.lstrip("#").strip().lower() for heading in self.headings)
        return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in bare}


@cache
def read_page(path: Path) -> Page:
    """A Markdown file, taken apart."""
    headings: list[str] = []
    blocks: list[Block] = []
    prose: list[str] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    place = 0
    while place < len(lines):
        line = lines[place]
        fence = _FENCE.match(line)
        if fence is not None:
            end = next(i for i in range(place + 1, len(lines)) if lines[i].rstrip() == "```")
            blocks.append(_block(fence[1], fence[2], lines[place + 1 : end]))
        elif line.startswith("    ") and (place == 0 or not lines[place - 1].strip()):
            end = place
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            blocks.append(_block("", "", [text[4:] for text in lines[place:end]]))
            end -= 1
        else:
            (headings if re.match(r"#+ ", line) else prose).append(line)
            end = place
        place = end + 1
    return Page(path, tuple(headings), tuple(blocks), "\n".join(prose))


def _block(kind: str, name: str, lines: list[str]) -> Block:
    text = "\n".join(lines) + "\n"
    named = _NAMED.match(text)
    return Block(kind, name or (named[1] if named and kind in ("", "yaml") else ""), text)


def docs_pages() -> list[Page]:
    """Every page under docs/, English first."""
    return [read_page(path) for path in (*sorted(DOCS.glob("*.md")), *_japanese())]


def all_pages() -> list[Page]:
    """Those, and the pages at the top of the repository."""
    return [*(read_page(path) for path in sorted(ROOT.glob("*.md"))), *docs_pages()]


def pairs() -> list[tuple[Page, Page | None]]:
    """English pages beside their Japanese version, the README included."""
    english = [path for path in sorted(DOCS.glob("*.md")) if path.name not in ENGLISH_ONLY]
    both = [(path, DOCS / "ja" / path.name) for path in english]
    both.append((ROOT / "README.md", ROOT / "README.ja.md"))
    return [(read_page(a), read_page(b) if b.is_file() else None) for a, b in both]


def _japanese() -> list[Path]:
    return sorted((DOCS / "ja").glob("*.md"))


def without_comment(line: str) -> str:
    """A shell line without its comment and the blanks around it."""
    return re.sub(r"(^|\s)#(?!\{).*$", "", line).strip()


def words_of(command: str) -> list[list[str]]:
    """The words after ``lora-bench``: one list, or more where ``a | b`` offers commands.

    Brackets around optional parts of a synopsis are taken off; pipes into other programs, what
    follows ``;`` and redirections are left out.
    """
    words = shlex.split(re.split(r"\s(?:;|&&|>)\s|;\s", command)[0])
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            parts.append([])
        elif (bare := _bare(word)) != "...":
            parts[-1].append(bare)
    return [part for part in parts if part and part[0]]


def _bare(word: str) -> str:
    """``[--json]`` -> ``--json``; a list such as ``key=[{r: 8}]`` stays."""
    if word.startswith("[") or word.endswith("...]"):
        word = word.lstrip("[").rstrip("]")
    return word.rstrip("]") if "[" not in word else word
