"""Files that a stranger wrote (row 4, no torch): found and read within bounds.

Nothing outside the source is opened: symbolic links are not followed, and only regular files are
read. Text that goes on to a record, a terminal or a report loses control characters first.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..language import Statement
from ..plain_text import one_line
from ..units import MIB
from .refusal import NotImportable, Skipped

MAX_JSON_BYTES = 64 * MIB
MAX_ENTRIES = 20_000
MAX_DEPTH = 16
_LINK = Statement("is a link; links are not followed", "リンクのため読みません")
_FLAGS = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # as far as the system has them
    _FLAGS |= getattr(os, _name, 0)


def clean(text: object, limit: int = 200) -> str:
    """One line without control, direction and surrogate characters, at most ``limit`` long."""
    return one_line(text, limit)


def shown(value: object) -> str:
    """A value for a message: short, whatever a file holds."""
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    return clean(repr(value), 60)


def name_within(path: Path, base: Path) -> str:
    """The file's name relative to the source, safe to store and to print."""
    return clean(path.relative_to(base).as_posix(), 400)


def find_files(base: Path, without: Path) -> tuple[list[Path], list[Skipped]]:
    """All regular files below ``base`` in a fixed order, and what was passed over.

    ``without`` is the output folder, which may lie inside the source. Raises NotImportable where
    the folder is too large to be a folder of results.
    """
    files: list[Path] = []
    skipped: list[Skipped] = []
    waiting = [base]
    seen = 0
    while waiting:
        for entry in _entries(waiting.pop(), base, skipped):
            seen += 1
            if seen > MAX_ENTRIES:
                raise NotImportable(
                    f"holds more than {MAX_ENTRIES} files; give the folder of the results itself",
                    f"ファイルが{MAX_ENTRIES}件を超えます。結果のフォルダーそのものを指定してください",
                )
            path = Path(entry.path)
            if entry.is_symlink():
                if path.suffix == ".json":
                    skipped.append(Skipped(name_within(path, base), _LINK))
            elif entry.is_dir(follow_symlinks=False):
                deep = len(path.relative_to(base).parts) > MAX_DEPTH
                if not deep and not entry.name.startswith(".") and path.resolve() != without:
                    waiting.append(path)
            elif entry.is_file(follow_symlinks=False) or path.suffix == ".json":
                files.append(path)
    return sorted(files), skipped


def _entries(folder: Path, base: Path, skipped: list[Skipped]) -> Sequence[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError as error:
        name = name_within(folder, base)
        if name == ".":
            raise _unreadable(error) from None
        skipped.append(Skipped(name, _unreadable(error).reason))
        return []


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The file and its size. Raises NotImportable unless it is a regular file that can be read."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise _unreadable(error) from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise NotImportable("is not a regular file", "通常のファイルではありません")
        try:
            yield file, status.st_size
        except OSError as error:
            raise _unreadable(error) from None


def read_json(path: Path) -> Any:
    """Plain data. Raises NotImportable on anything that is not JSON of a bearable size."""
    with open_regular(path) as (file, size):
        content = b"" if size > MAX_JSON_BYTES else file.read(MAX_JSON_BYTES + 1)
    if size > MAX_JSON_BYTES or len(content) > MAX_JSON_BYTES:
        limit = MAX_JSON_BYTES // MIB
        raise NotImportable(f"is larger than {limit} MiB", f"{limit} MiB を超えています")
    return parse_json(content)


def parse_json(content: bytes) -> Any:
    """Plain data from UTF-8 JSON. Raises NotImportable."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise NotImportable("is not UTF-8 text", "UTF-8 のテキストではありません") from None
    except RecursionError:
        raise NotImportable("is nested too deeply", "入れ子が深すぎます") from None
    except ValueError as error:
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise NotImportable(f"is not JSON{line}", f"JSON として読めません{line}") from None


def _unreadable(error: OSError) -> NotImportable:
    if error.errno == errno.ELOOP:
        return NotImportable(*_LINK)
    reason = clean(error.strerror or error)
    return NotImportable(f"cannot be read ({reason})", f"読めません ({reason})")
