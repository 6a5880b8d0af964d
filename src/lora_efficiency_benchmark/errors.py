"""Every error this package raises on purpose, in English with its Japanese beside it.

    raise ConfigError(f"{path}: is a folder; name a file", f"{path}: フォルダーです。ファイルを…")

``str(error)`` is English: records, logs and programs read it. ``error.text(language)`` is for the
person at the command line. What ends one cell only (``CellError``) is told in its record, and has
no Japanese.

LoraBenchError                 one clear line: what, where, what to do
├── UserError                  the user can fix it: the CLI prints the line, exit code 1
│   ├── ConfigError            a configuration file, preset or option
│   ├── DataError              a data set that cannot be read or is too small
│   ├── ModelError             a model that cannot be found or loaded
│   ├── TargetModulesError     target modules that match nothing, or only partly
│   └── StoreError             an output folder that cannot be read or written
└── CellError                  one cell ended without a result: recorded, the matrix goes on
    ├── OutOfMemoryCell        the cell needed more memory than there is
    ├── DivergedCell           loss or gradients became NaN or infinite
    ├── TimeLimitCell          the cell ran past its time limit
    └── WorkerDied             the process ended without an answer
"""

from __future__ import annotations

from typing import Self

from .language import Statement
from .plain_text import one_line

_MOST = 2000  # characters of a line


class LoraBenchError(Exception):
    """Base of all errors raised on purpose: one line for a person, in either language.

    Names in it may come from strangers: what a terminal would obey is taken out here, once.
    """

    def __init__(self, en: str, ja: str | None = None) -> None:
        super().__init__(en, en if ja is None else ja)

    def __str__(self) -> str:
        return self.text("en")

    def text(self, language: str) -> str:
        """The line in ``ja`` or ``en``."""
        en, ja = self.args
        return one_line(ja if language == "ja" else en, _MOST)

    def within(self, where: str) -> Self:
        """The same, naming first what it is about."""
        return type(self)(*(f"{where}: {text}" for text in self.args))


class UserError(LoraBenchError):
    """Something the user can fix."""


class ConfigError(UserError):
    """A configuration field, preset or option is wrong."""


class DataError(UserError):
    """A data set cannot be read, is empty, or is too small."""


class ModelError(UserError):
    """A model cannot be found or loaded."""


class TargetModulesError(UserError):
    """Adapter target modules match nothing, or only partly."""


class StoreError(UserError):
    """An output folder cannot be read or written."""


class CellError(LoraBenchError):
    """One cell ended without a result; ``kind`` is stored in its record."""

    kind = "error"


class OutOfMemoryCell(CellError):
    """The cell needed more memory than the device or the host has."""

    kind = "out_of_memory"


class DivergedCell(CellError):
    """Loss or gradients became NaN or infinite."""

    kind = "diverged"


class TimeLimitCell(CellError):
    """The cell ran past its time limit."""

    kind = "time_limit"


class WorkerDied(CellError):
    """The worker process ended without an answer."""

    kind = "worker_died"


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return one_line((str(error).strip().splitlines() or [type(error).__name__])[0])


def both_lines(error: BaseException) -> Statement:
    """The same in both languages; the words of a library have no Japanese."""
    if isinstance(error, LoraBenchError):
        return Statement(error.text("en"), error.text("ja"))
    return Statement.unchanged(first_line(error))
