"""How much of the evaluation side the training side already holds.

Three readings, from strict to loose: the same text or sentence; a near copy (Jaccard similarity of
character 5-shingles of at least 0.8, found with MinHash and confirmed exactly); and the share of
character 13-grams seen in training (13 is the length used for word n-grams in the contamination
study of Brown et al. 2020, appendix C; characters, as Japanese has no spaces, are the stricter
reading).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

from .document import Document
from .patterns import REGISTERS

__all__ = ["Overlap", "audit_overlap", "sentences"]

NGRAM = 13  # characters
SHINGLE = 5  # characters
NEAR_DUPLICATE = 0.8  # Jaccard similarity

_PERMUTATIONS = 64
_BANDS = (16, 4)
"""Bands and rows: a pair of similarity s becomes a candidate with probability 1 - (1 - s^4)^16,
which is 0.9998 at 0.8 (Leskovec et al., Mining of Massive Datasets, section 3.4)."""
_CONFIRMED_PER_TEXT = 50  # the best candidates of each evaluation text that are compared exactly

_SENTENCE_END = re.compile(r"(?<=[。．!?！？])|\n")
_REGISTER = re.compile(rf"^(?:{'|'.join(REGISTERS)})\s*[:：]\s*")


@dataclass(frozen=True)
class Overlap:
    """What the two sides have in common."""

    train_documents: int
    evaluation_documents: int
    exact: int  # evaluation documents whose text is also in training
    shared_sentences: int  # distinct sentences on both sides
    shared_groups: int  # distinct groups (topics, templates, documents) on both sides
    ngram13_share: float  # of the distinct character 13-grams of the evaluation side, 0 to 1
    near_duplicates: int  # evaluation documents with Jaccard >= 0.8 to a training document
    max_jaccard: float | None  # largest confirmed similarity; None if no pair came close

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def audit_overlap(train: Sequence[Document], evaluation: Sequence[Document]) -> Overlap:
    """Measure the overlap of two sides. About 2,000 x 200 documents take a second or two."""
    train_texts = list(dict.fromkeys(_normalise(d.text) for d in train))
    evaluation_texts = [_normalise(d.text) for d in evaluation]
    known = set(train_texts)
    similarity = _best_similarities(train_texts, list(dict.fromkeys(evaluation_texts)))
    return Overlap(
        train_documents=len(train),
        evaluation_documents=len(evaluation),
        exact=sum(text in known for text in evaluation_texts),
        shared_sentences=len(_all_sentences(train) & _all_sentences(evaluation)),
        shared_groups=len(_all_groups(train) & _all_groups(evaluation)),
        ngram13_share=_ngram_share(train_texts, evaluation_texts),
        near_duplicates=sum(
            similarity.get(text, 0.0) >= NEAR_DUPLICATE for text in evaluation_texts
        ),
        max_jaccard=max(similarity.values(), default=None),
    )


def sentences(text: str) -> list[str]:
    """Sentences of a text without its register prefix, normalised; empty ones left out."""
    parts = (_normalise(part) for part in _SENTENCE_END.split(_REGISTER.sub("", text)))
    return [part for part in parts if part]


def _normalise(text: str) -> str:
    """Compatibility form NFKC, runs of white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _all_sentences(documents: Iterable[Document]) -> set[str]:
    return {sentence for document in documents for sentence in sentences(document.text)}


def _all_groups(documents: Iterable[Document]) -> set[str]:
    return {group for document in documents for group in document.groups}


def _pieces(text: str, length: int) -> Iterator[str]:
    """Substrings of ``length`` characters; the whole text if it is shorter."""
    return (text[i : i + length] for i in range(max(1, len(text) - length + 1)))


def _ngram_share(train: Iterable[str], evaluation: Iterable[str]) -> float:
    """Share of distinct evaluation 13-grams that occur in training; texts under 13 do not count.

    Only the evaluation side, the smaller one, is held in memory.
    """
    wanted = {gram for text in evaluation if len(text) >= NGRAM for gram in _pieces(text, NGRAM)}
    if not wanted:
        return 0.0
    found: set[str] = set()
    for text in train:
        found.update(wanted.intersection(_pieces(text, NGRAM)))
    return len(found) / len(wanted)


def _best_similarities(train: Sequence[str], evaluation: Sequence[str]) -> dict[str, float]:
    """Largest confirmed Jaccard similarity of each evaluation text that has a candidate."""
    from datasketch import MinHashLSH

    index = MinHashLSH(num_perm=_PERMUTATIONS, params=_BANDS)
    sketches = [_sketch(text) for text in evaluation]
    for number, sketch in enumerate(sketches):
        index.insert(number, sketch, check_duplication=False)
    candidates: dict[int, list[tuple[float, int]]] = {}
    for place, text in enumerate(train):
        sketch = _sketch(text)
        for number in index.query(sketch):
            estimate = float(sketch.jaccard(sketches[number]))
            candidates.setdefault(number, []).append((estimate, place))
    best: dict[str, float] = {}
    for number, pairs in candidates.items():
        pairs.sort(reverse=True)
        shingles = set(_pieces(evaluation[number], SHINGLE))
        best[evaluation[number]] = max(
            _jaccard(shingles, set(_pieces(train[place], SHINGLE)))
            for _, place in pairs[:_CONFIRMED_PER_TEXT]
        )
    return best


def _sketch(text: str) -> Any:
    """MinHash of the character shingles."""
    from datasketch import MinHash

    sketch = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=crc32)
    sketch.update_batch([piece.encode() for piece in set(_pieces(text, SHINGLE))])
    return sketch


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)
