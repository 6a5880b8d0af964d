"""Real Japanese prose to train on: paragraphs of manuals that Debian packages, one file a page.

    python benchmarks/japanese_documents.py FOLDER

Downloads four packages with ``apt-get download`` (a Debian system with package lists; nothing is
installed), unpacks them with ``dpkg-deb`` in a temporary folder, and keeps of each HTML page the
paragraphs that are Japanese prose. Every page becomes one text file, so that a split by document
never tears a page apart. Prints what it kept and a hash over all of it; the texts stay under the
licences of their packages and are not part of this repository.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lora_efficiency_benchmark.dataset.paragraphs import read_paragraphs

PAGES = {
    "debian-reference-ja": "usr/share/debian-reference/*.ja.html",
    "developers-reference-ja": "usr/share/developers-reference/ja/*.html",
    "maint-guide-ja": "usr/share/doc/maint-guide-ja/html/*.html",
    "gimp-help-ja": "usr/share/gimp/2.0/help/ja/*.html",
}
SHORTEST = 60
"""Characters; below are headings, menu entries and captions."""
JAPANESE_SHARE = 0.5
"""Share of kana and kanji; below are untranslated paragraphs, listings and tables."""

_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def is_japanese_prose(paragraph: str) -> bool:
    """Whether a paragraph is long enough and mostly kana and kanji."""
    japanese = len(_JAPANESE.findall(paragraph))
    return len(paragraph) >= SHORTEST and japanese >= JAPANESE_SHARE * len(paragraph)


def pages(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and paragraphs of every page under an unpacked package; a paragraph occurs once."""
    seen: set[str] = set()
    for package, pattern in PAGES.items():
        for path in sorted(root.glob(pattern)):
            kept = []
            for paragraph in read_paragraphs(path):
                one_line = " ".join(paragraph.split())
                if is_japanese_prose(one_line) and one_line not in seen:
                    seen.add(one_line)
                    kept.append(one_line)
            if kept:
                yield f"{package}-{path.name.split('.')[0]}", kept


def main(folder: Path) -> None:
    """Download, unpack and write ``folder``, which must not exist yet."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["apt-get", "download", "--quiet", *PAGES], cwd=work, check=True)
        for archive in sorted(Path(work).glob("*.deb")):
            print(archive.name)
            subprocess.run(["dpkg-deb", "-x", str(archive), work], check=True)
        digest, count, characters, paragraphs = hashlib.sha256(), 0, 0, 0
        for name, kept in pages(Path(work)):
            text = "\n\n".join(kept) + "\n"
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
            digest.update(text.encode())
            count, paragraphs = count + 1, paragraphs + len(kept)
            characters += sum(map(len, kept))
    print(f"{count} pages, {paragraphs:,} paragraphs, {characters:,} characters")
    print(f"sha256 {digest.hexdigest()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = Path(sys.argv[1])
    if target.exists():
        sys.exit(f"{target}: exists already; name a new folder")
    main(target)
