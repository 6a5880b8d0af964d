"""Real data sets: a text file, JSON lines, a folder of documents, parquet, or a Hub data set.

Every document carries the groups that a split may not tear apart: neighbouring paragraphs of one
file, all paragraphs of one document in a folder, all answers to one prompt.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import DataError, first_line
from ..models.hub import is_unreachable, prepare_hub
from .document import Document, Segment
from .paragraphs import TEXT_SUFFIXES, kind_of, read_paragraphs
from .records import RecordFields, read_json_lines, record_to_document

__all__ = ["SECTION_PARAGRAPHS", "load_corpus"]

SECTION_PARAGRAPHS = 20
"""Paragraphs of a single text file that stay on one side together: neighbours share a subject."""

_JSON_LINES = ".jsonl"
_PARQUET = ".parquet"
_READABLE = (*TEXT_SUFFIXES, _JSON_LINES)
_WORD = re.compile("[a-z]+")
_OTHER_SPLITS = {"test", "validation", "valid", "val", "dev", "eval"}


def load_corpus(
    dataset: str | Mapping[str, Any], *, tokenizer: Any = None, limit: int | None = None
) -> list[Document]:
    """Load a data set as documents, in its own order, the first ``limit`` if given.

    ``dataset`` is a path, a Hub id, or ``{path: …}`` with ``text_field``, ``prompt`` and
    ``completion``, or ``messages`` naming the fields of the records. ``tokenizer`` is needed for
    messages only. Raises :class:`DataError`, naming file and line, for data it cannot use.
    """
    options = {"path": dataset} if isinstance(dataset, str) else dict(dataset)
    name = options.pop("path", None)
    if not isinstance(name, str) or not name:
        raise DataError(
            "dataset: a path or a Hub id is needed, as a text or as {path: …}",
            "dataset: パスか Hub の ID を、文字列か {path: …} の形で指定してください",
        )
    fields = RecordFields.from_options(options, name)
    documents = list(itertools.islice(_load(name, fields, tokenizer), limit))
    if not documents:
        raise DataError(
            f"dataset {name}: holds no text to learn from; check path and fields",
            f"データ {name}: 学習できるテキストがありません。パスと項目名を確認してください",
        )
    return documents


def _load(name: str, fields: RecordFields, tokenizer: Any) -> Iterator[Document]:
    path = Path(name).expanduser()
    if path.is_dir():
        return _load_folder(path, fields, tokenizer)
    if path.is_file():
        return _load_file(path, path.name, fields, tokenizer)
    if name.startswith(("/", "~", ".", "\\")) or kind_of(path) in (*_READABLE, _PARQUET):
        raise DataError(
            f"dataset {name}: no such file or folder; check the path",
            f"データ {name}: ファイルもフォルダーもありません。パスを確認してください",
        )
    prepare_hub()
    return _load_hub(name, fields, tokenizer)


def _load_file(path: Path, source: str, fields: RecordFields, tokenizer: Any) -> Iterator[Document]:
    """One file by its suffix; ``source`` names it independently of where it lies."""
    kind = kind_of(path)
    if kind in TEXT_SUFFIXES:
        return _text_documents(path, source)
    if kind == _JSON_LINES:
        return _json_documents(path, source, fields, tokenizer)
    if kind == _PARQUET:
        return _load_hub("parquet", fields, tokenizer, data_files=str(path))
    readable = ", ".join((*_READABLE, _PARQUET))
    raise DataError(
        f"dataset {path}: unknown kind of file; these can be read: {readable}",
        f"データ {path}: 読めない種類のファイルです。読める種類: {readable}",
    )


def _text_documents(path: Path, source: str) -> Iterator[Document]:
    for index, paragraph in enumerate(read_paragraphs(path)):
        section = f"section:{source}:{index // SECTION_PARAGRAPHS}"
        yield Document((Segment(paragraph, True),), (section,), source)


def _json_documents(
    path: Path, source: str, fields: RecordFields, tokenizer: Any
) -> Iterator[Document]:
    for where, record in read_json_lines(path):
        document = record_to_document(record, fields, where, source, tokenizer)
        if document is not None:
            yield document


def _load_folder(folder: Path, fields: RecordFields, tokenizer: Any) -> Iterator[Document]:
    """All readable files, sorted by name; each one is a group of its own. Hidden ones are none."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not _hidden(p, folder))
    readable = [path for path in files if kind_of(path) in _READABLE]
    tables = [path for path in files if kind_of(path) == _PARQUET]
    if tables:  # a saved Hub data set; a README.md beside its tables is not part of the data
        paths = [str(path.resolve()) for path in _training_tables(tables, folder)]
        yield from _load_hub("parquet", fields, tokenizer, str(folder), data_files=paths)
        return
    if not readable:
        kinds = ", ".join((*_READABLE, _PARQUET))
        raise DataError(
            f"dataset {folder}: has no file that can be read; known are {kinds}",
            f"データ {folder}: 読めるファイルがありません。読める種類: {kinds}",
        )
    for path in readable:
        source = path.relative_to(folder).as_posix()
        for document in _load_file(path, source, fields, tokenizer):
            if len(readable) == 1:  # one file: its sections are the groups
                yield document
            elif document.groups[0].startswith("section:"):
                yield replace(document, groups=(f"document:{source}",))
            else:
                yield replace(document, groups=(f"document:{source}", *document.groups))


def _training_tables(tables: list[Path], folder: Path) -> list[Path]:
    """The tables whose path says train; without such, those that do not say what else they are.

    They are named here one by one: a README.md that came with them may name addresses on the
    network as its data files, and the datasets library would fetch them.
    """
    names = {path: path.relative_to(folder).as_posix().lower() for path in tables}
    words = {path: set(_WORD.findall(name)) for path, name in names.items()}
    named = [path for path in tables if "train" in words[path]]
    return named or [path for path in tables if not words[path] & _OTHER_SPLITS] or tables


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _load_hub(
    name: str, fields: RecordFields, tokenizer: Any, source: str = "", **options: Any
) -> Iterator[Document]:
    """Rows of the ``train`` split of a Hub data set, or of files that hold parquet."""
    source = source or str(options.get("data_files", name))
    for index, row in enumerate(_hub_rows(name, source, options)):
        document = record_to_document(row, fields, f"{source}, row {index}", source, tokenizer)
        if document is not None:
            yield document


def _hub_rows(name: str, source: str, options: Mapping[str, Any]) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"dataset {source}: reading it needs the datasets library; pip install datasets",
            f"データ {source}: 読み込みには datasets ライブラリーが必要です。"
            "pip install datasets で入れてください",
        ) from error
    try:
        return datasets.load_dataset(name, split="train", **options)
    except Exception as error:  # network, cache, parser and script errors share no base class
        reason = reason_ja = first_line(error)
        if "data_files" in options:
            raise DataError(
                f"dataset {source}: cannot be read as parquet ({reason}); check the files",
                f"データ {source}: parquet として読めません ({reason})。ファイルを確認してください",
            ) from error
        if is_unreachable():
            reason = "the Hub does not answer, and its cache does not hold the data set"
            reason_ja = "Hub が応答せず、キャッシュにもデータがありません"
        raise DataError(
            f"dataset {source}: is no local path and cannot be loaded from the Hub ({reason}); "
            "check the name, or download it first when offline",
            f"データ {source}: 手元のパスではなく、Hub からも読み込めません ({reason_ja})。"
            "名前を確認するか、オフラインなら先にダウンロードしてください",
        ) from error
