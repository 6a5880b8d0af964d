"""Training and evaluation sides that share no group.

A random split of related texts measures memory, not learning. Here whole groups go to one side.
Which side is decided by hashes of the texts: the evaluation side is the same for every training
size, and a smaller training set is the beginning of a larger one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import ceil
from typing import Any

from ..config.benchmark_config import GENERATED, dataset_name
from ..errors import DataError
from .corpora import load_corpus
from .document import Document
from .generator import JapaneseDatasetGenerator

__all__ = ["Split", "load_split", "split_documents"]

_HELD_OUT_SHARE = 0.1  # share of the groups to hold out at least ...
_HELD_OUT_GROUPS = 8  # ... up to this many: evaluation should not hang on one document
_LARGE_SHARE = 0.2  # a group with more of the documents is held out only if nothing else is left


@dataclass(frozen=True)
class Split:
    """Documents to train on, to evaluate on, and to choose learning rates on."""

    train: list[Document]
    evaluation: list[Document]
    validation: list[Document] = field(default_factory=list)


def load_split(
    dataset: str | Mapping[str, Any],
    *,
    train_size: int,
    evaluation_size: int,
    seed: int,
    tokenizer: Any = None,
    validation_size: int = 0,
) -> Split:
    """Load a data set, or generate one, and split it by group.

    ``dataset`` is ``"generated"`` or what :func:`load_corpus` takes. Generated texts are the same
    for every ``seed`` (its two sides are separate by construction); for real data the seed decides
    which groups are held out. Raises :class:`DataError` if there are not enough documents.
    """
    name = dataset_name(dataset)
    if name == GENERATED:
        generator = JapaneseDatasetGenerator(seed=0)
        evaluation = generator.evaluation_documents(evaluation_size)
        if not validation_size:
            return Split(generator.training_documents(train_size), evaluation)
        train, validation = generator.searched_documents(train_size, validation_size)
        return Split(train, evaluation, validation)
    documents = load_corpus(dataset, tokenizer=tokenizer)
    return split_documents(
        documents,
        str(name),
        train_size=train_size,
        evaluation_size=evaluation_size,
        seed=seed,
        validation_size=validation_size,
    )


def split_documents(
    documents: Sequence[Document],
    name: str,
    *,
    train_size: int,
    evaluation_size: int,
    seed: int,
    validation_size: int = 0,
) -> Split:
    """Split documents by group. A text that occurs again is dropped, so none is on both sides.

    The evaluation side does not depend on ``validation_size``: validation takes from what is left.
    """
    if train_size <= 0 or evaluation_size <= 0:
        raise DataError(
            f"dataset {name}: training size {train_size} and evaluation size {evaluation_size} "
            "must both be above 0",
            f"データ {name}: 学習 {train_size} 件と評価 {evaluation_size} 件は、"
            "どちらも0より大きくしてください",
        )
    unique = list({document.text: document for document in reversed(documents)}.values())
    ordered = sorted(unique, key=lambda document: _rank(document, seed))
    components = _components(ordered)
    held_out = _choose_held_out(components, len(ordered), evaluation_size)
    component_of = _component_numbers(components)
    evaluation = [d for d in ordered if component_of[d.text] in held_out]
    train = [d for d in ordered if component_of[d.text] not in held_out]
    validation: list[Document] = []
    if validation_size and train:
        rest = [component for n, component in enumerate(components) if n not in held_out]
        chosen = _choose_held_out(rest, len(train), validation_size)
        kept = {d.text for number in chosen for d in rest[number]}
        validation = [d for d in train if d.text in kept]
        train = [d for d in train if d.text not in kept]
    asked = (train_size, evaluation_size, validation_size)
    if any(len(s) < n for s, n in zip((train, evaluation, validation), asked, strict=True)):
        searched = f", {len(validation)} validated on" if validation_size else ""
        searched_ja = f"、検証に {len(validation)} 件" if validation_size else ""
        also = f", {validation_size} (search.validation_size)" if validation_size else ""
        also_ja = f"、検証 {validation_size} 件 (search.validation_size)" if validation_size else ""
        raise DataError(
            f"dataset {name}: {len(ordered)} different documents in {len(components)} groups; "
            f"{len(evaluation)} can be held out{searched} and {len(train)} trained on, but "
            f"{evaluation_size}{also} and {train_size} are asked for; "
            "lower evaluation_size or dataset_sizes, or add text",
            f"データ {name}: {len(components)} 群に {len(ordered)} 件の異なる文書があり、"
            f"評価に {len(evaluation)} 件{searched_ja}、学習に {len(train)} 件を使えますが、"
            f"評価 {evaluation_size} 件{also_ja}、学習 {train_size} 件が必要です。"
            "evaluation_size か dataset_sizes を減らすか、テキストを増やしてください",
        )
    return Split(train[:train_size], evaluation[:evaluation_size], validation[:validation_size])


def _rank(document: Document, seed: int) -> bytes:
    """A place in the order that depends on the text and the seed only."""
    return sha256(f"{seed}:{document.text}".encode()).digest()


def _components(documents: Sequence[Document]) -> list[list[Document]]:
    """Documents connected by shared groups, directly or through others (union-find)."""
    parent: dict[str, str] = {}

    def root(group: str) -> str:
        parent.setdefault(group, group)
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    def groups_of(document: Document) -> tuple[str, ...]:
        return document.groups or (f"text:{document.text}",)

    for document in documents:
        first, *others = groups_of(document)
        for other in others:
            parent[root(other)] = root(first)
    members: dict[str, list[Document]] = {}
    for document in documents:
        members.setdefault(root(groups_of(document)[0]), []).append(document)
    return list(members.values())


def _component_numbers(components: Sequence[Sequence[Document]]) -> dict[str, int]:
    return {
        document.text: number
        for number, component in enumerate(components)
        for document in component
    }


def _choose_held_out(
    components: Sequence[Sequence[Document]], total: int, evaluation_size: int
) -> set[int]:
    """Numbers of the components to hold out, in the order given, very large ones last.

    The components come in the order of their first document, which is a hashed one.
    """
    enough_groups = min(_HELD_OUT_GROUPS, ceil(_HELD_OUT_SHARE * len(components)))
    order = sorted(range(len(components)), key=lambda n: len(components[n]) > _LARGE_SHARE * total)
    chosen: set[int] = set()
    documents = 0
    for number in order:
        if documents >= evaluation_size and len(chosen) >= enough_groups:
            break
        chosen.add(number)
        documents += len(components[number])
    return chosen
