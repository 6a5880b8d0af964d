"""Building blocks of generated text: topics, and what can truly be said about each.

The grammar of a block is fixed, so that every combination a sentence pattern makes is grammatical:

    topic       noun, a technique or area                 深層学習
    definition  noun phrase that says what the topic is   多層の…を学習する技術
    method      noun, something used within the topic     残差接続
    problem     noun phrase, an unwanted event            勾配消失
    gain        noun phrase, a quality that can rise      学習の安定性
    use         noun phrase, an activity or place of use  工場の外観検査
    situation   noun phrase, a circumstance               学習データが少ない状況
    evidence    noun phrase, an investigation             乱数の種を変えた反復実験

A method carries the problem it eases and the gain it brings: the three are only used together, so
a sentence never credits a method with something it does not do. Situations and evidence belong to
a field, a group of related topics.

Notation of the data modules: ``[field]``, ``situations: a | b``, ``evidence: a | b``,
``# topic = definition``, ``method | problem | gain`` and ``> use | use | use``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache

from ..errors import DataError
from . import (
    blocks_evaluation,
    blocks_train_engineering,
    blocks_train_learning,
    blocks_train_systems,
    blocks_validation,
)

__all__ = [
    "Field",
    "Method",
    "Topic",
    "evaluation_topics",
    "parse_blocks",
    "training_topics",
    "validation_topics",
]


@dataclass(frozen=True)
class Method:
    """A technique with the problem it eases and the quality it improves."""

    name: str
    problem: str
    gain: str


@dataclass
class Field:
    """A group of related topics that share circumstances and kinds of evidence."""

    name: str
    situations: list[str] = dataclasses.field(default_factory=list)
    evidence: list[str] = dataclasses.field(default_factory=list)


@dataclass
class Topic:
    """A subject, its definition, and the claims that hold for it."""

    name: str
    definition: str
    field: Field
    methods: list[Method] = dataclasses.field(default_factory=list)
    uses: list[str] = dataclasses.field(default_factory=list)


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.split("|")]


def parse_blocks(text: str) -> list[Topic]:
    """Read the block notation; :class:`DataError` names the line that does not fit it."""
    topics: list[Topic] = []
    current: Field | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            current = _read_line(line.strip(), current, topics)
        except (ValueError, TypeError, IndexError) as error:
            message = f"building blocks, line {number}: {line!r} does not fit the notation"
            message_ja = f"部品の{number}行目: {line!r} は記法に合いません"
            raise DataError(
                f"{message}; see the docstring of dataset/blocks.py",
                f"{message_ja}。dataset/blocks.py の docstring を見てください",
            ) from error
    return topics


def _read_line(line: str, current: Field | None, topics: list[Topic]) -> Field | None:
    """Apply one line to the topics read so far; return the field that is open after it."""
    if not line:
        return current
    if line.startswith("["):
        return Field(line.strip("[]"))
    if current is None:
        raise ValueError("a field comes first")
    if line.startswith("situations:"):
        current.situations += _cells(line.removeprefix("situations:"))
    elif line.startswith("evidence:"):
        current.evidence += _cells(line.removeprefix("evidence:"))
    elif line.startswith("#"):
        name, definition = line[1:].split("=")
        topics.append(Topic(name.strip(), definition.strip(), current))
    elif line.startswith(">"):
        topics[-1].uses += _cells(line[1:])
    else:
        topics[-1].methods.append(Method(*_cells(line)))
    return current


@cache
def training_topics() -> tuple[Topic, ...]:
    """Topics of the training side."""
    modules = (blocks_train_learning, blocks_train_systems, blocks_train_engineering)
    return tuple(topic for module in modules for topic in parse_blocks(module.TEXT))


@cache
def evaluation_topics() -> tuple[Topic, ...]:
    """Topics of the evaluation side; none of them is a training topic."""
    return tuple(parse_blocks(blocks_evaluation.TEXT))


@cache
def validation_topics() -> tuple[Topic, ...]:
    """Topics of the validation side; none of them is a training or an evaluation topic."""
    return tuple(parse_blocks(blocks_validation.TEXT))
