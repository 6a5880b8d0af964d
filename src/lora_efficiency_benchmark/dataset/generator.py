"""Varied technical Japanese, made from building blocks: deterministic, with two held-out sides.

The specification's generator wraps ten base texts in four registers and repeats them; a random
split of that puts the same sentences on both sides. Here a text is drawn from topics x methods x
relations x evidence x register, and no two of the three sides (training, validation, evaluation)
share a topic or a sentence pattern, hence a sentence. Learning rates are chosen on the validation
side: were it closer to training than the evaluation side is, the choice would reward learning the
patterns by heart. A longer request continues a shorter one, so data sizes are nested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import TypeVar

from ..errors import DataError
from .blocks import Method, Topic, evaluation_topics, training_topics, validation_topics
from .document import Document, Segment
from .patterns import EVALUATION, REGISTERS, TRAINING, VALIDATION, Pattern, PatternSet

__all__ = [
    "EVALUATION_CAPACITY",
    "TRAINING_CAPACITY",
    "VALIDATION_CAPACITY",
    "JapaneseDatasetGenerator",
]

TRAINING_CAPACITY = 50_000
"""Largest training request. The grammar holds several times as many bodies; near exhaustion the
texts of one topic would become near copies of each other."""

EVALUATION_CAPACITY = 2_000
"""Largest evaluation request."""

VALIDATION_CAPACITY = 2_000
"""Largest request for texts to choose learning rates on."""

_LONGEST_CHARACTERS = 100
"""Longer texts are drawn again: short runs truncate at 128 tokens, about 90 characters."""

_ATTEMPTS = 200
"""Draws for one topic and register before the next ones get their turn."""

_Item = TypeVar("_Item")


class JapaneseDatasetGenerator:
    """Generates technical Japanese in the four registers of the specification.

    The same seed gives the same texts on every machine, and the first ``n`` texts do not depend on
    how many are asked for.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def generate_japanese_training_data(self, size: int) -> list[str]:
        """Return ``size`` unique training texts (1 to 50,000), else raise :class:`DataError`."""
        return [document.text for document in self.training_documents(size)]

    def generate_japanese_evaluation_data(self, size: int) -> list[str]:
        """Return ``size`` unique texts on held-out topics in held-out sentence patterns."""
        return [document.text for document in self.evaluation_documents(size)]

    def training_documents(self, size: int) -> list[Document]:
        """The training texts with the groups (topic, sentence patterns) each one belongs to."""
        _check_size("training", size, TRAINING_CAPACITY)
        return self._take("training", size, training_topics(), TRAINING)

    def searched_documents(
        self, size: int, validation_size: int
    ) -> tuple[list[Document], list[Document]]:
        """What a search of learning rates needs: the training texts, and the validation texts."""
        return self.training_documents(size), self.validation_documents(validation_size)

    def validation_documents(self, size: int) -> list[Document]:
        """Texts to choose learning rates on, with the groups of each one; at most 2,000.

        They share no topic and no sentence pattern with the training texts, nor with the
        evaluation texts: as far from training as the evaluation side.
        """
        _check_size("validation", size, VALIDATION_CAPACITY)
        return self._take("validation", size, validation_topics(), VALIDATION)

    def evaluation_documents(self, size: int) -> list[Document]:
        """The evaluation texts with the groups each one belongs to; at most 2,000."""
        _check_size("evaluation", size, EVALUATION_CAPACITY)
        return self._take("evaluation", size, evaluation_topics(), EVALUATION)

    def _take(
        self, side: str, size: int, topics: Sequence[Topic], patterns: PatternSet
    ) -> list[Document]:
        stream = _documents(Random(f"{side}:{self.seed}"), topics, patterns)
        return list(islice(stream, size))


def _check_size(side: str, size: int, capacity: int) -> None:
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        raise DataError(
            f"generated {side} data: size is {size!r}; ask for a whole number above 0",
            f"生成データ ({side}): サイズが {size!r} です。0より大きい整数を指定してください",
        )
    if size > capacity:
        raise DataError(
            f"generated {side} data: {size} texts asked for, {capacity} can be made; "
            "lower the size or use a data set of your own",
            f"生成データ ({side}): {size} 件に対して、作れるのは {capacity} 件までです。"
            "サイズを減らすか、自分のデータを使ってください",
        )


def _documents(rng: Random, topics: Sequence[Topic], patterns: PatternSet) -> Iterator[Document]:
    """Endless stream of documents whose text without register and closing is new each time."""
    pairs = _pairs(patterns)
    seen: set[str] = set()
    next_topic = _rounds(rng, topics)
    next_register = _rounds(rng, REGISTERS)
    while True:
        topic, register = next_topic(), next_register()
        for _ in range(_ATTEMPTS):
            used = _patterns(rng, pairs, patterns.closings, register)
            fill = _fill(rng, topic, _choice(rng, topic.methods))
            opening, claim, *closing = (pattern.text.format_map(fill) for pattern in used)
            text = f"{register}: {opening}{claim}{''.join(closing)}"
            if opening + claim not in seen and len(text) <= _LONGEST_CHARACTERS:
                seen.add(opening + claim)
                yield _document(text, topic, used)
                break


def _document(text: str, topic: Topic, used: Sequence[Pattern]) -> Document:
    groups = (f"topic:{topic.name}", *(f"template:{pattern.name}" for pattern in used))
    return Document((Segment(text, trained=True),), groups, source="generated")


def _pairs(patterns: PatternSet) -> list[tuple[Pattern, Pattern]]:
    """Openings with the claims that can follow them: same kind, nothing said twice."""
    return [
        (opening, claim)
        for opening in patterns.openings
        for claim in patterns.claims
        if opening.kind == claim.kind and not opening.slots() & claim.slots()
    ]


def _patterns(
    rng: Random,
    pairs: Sequence[tuple[Pattern, Pattern]],
    closings: Sequence[Pattern],
    register: str,
) -> list[Pattern]:
    """An opening, a claim and, if the register has closings, one that repeats no circumstance."""
    opening, claim = _choice(rng, pairs)
    said = (opening.slots() | claim.slots()) - {"t", "m"}
    fitting = [c for c in closings if c.kind == register and not c.slots() & said]
    return [opening, claim, _choice(rng, fitting)] if fitting else [opening, claim]


def _fill(rng: Random, topic: Topic, method: Method) -> dict[str, str]:
    return {
        "t": topic.name,
        "d": topic.definition,
        "m": method.name,
        "p": method.problem,
        "g": method.gain,
        "u": _choice(rng, topic.uses),
        "c": _choice(rng, topic.field.situations),
        "e": _choice(rng, topic.field.evidence),
    }


def _choice(rng: Random, items: Sequence[_Item]) -> _Item:
    """Uniform choice from ``rng.random()``, whose sequence Python keeps between versions."""
    return items[int(rng.random() * len(items))]


def _rounds(rng: Random, items: Sequence[_Item]) -> Callable[[], _Item]:
    """Draw without replacement, start again when all are drawn: no item falls behind."""
    waiting: list[_Item] = []

    def draw() -> _Item:
        if not waiting:
            waiting.extend(items)
        return waiting.pop(int(rng.random() * len(waiting)))

    return draw
