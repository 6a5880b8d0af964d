"""Documents to token ids, with the loss on trained text only, and the bytes behind that loss.

Bits per byte divides the loss of a text by its bytes, so the two have to cover the same text. A
Japanese character can be several tokens; it counts only when all of them are in the loss: the
first token (nothing comes before it to predict it from), a character cut at the length limit and
a token that reaches into untrained text stay out of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .document import Document

__all__ = ["IGNORED", "TokenStatistics", "token_statistics", "tokenize"]

IGNORED = -100  # label of a token that does not enter the loss, as torch's cross entropy takes it

_Span = tuple[int, int]


@dataclass(frozen=True)
class TokenStatistics:
    """Sizes of a set of documents, and what the tokenizer makes of them."""

    documents: int
    tokens: int  # of the whole texts, before any cut, without added special tokens
    kept_tokens: int  # of the examples: after the cut, with special tokens
    trained_tokens: int  # of the examples, in the loss
    characters: int
    utf8_bytes: int
    truncated_documents: int
    tokens_per_character: float
    bytes_per_token: float


def tokenize(
    documents: Sequence[Document], tokenizer: Any, max_length: int
) -> list[dict[str, Any]]:
    """One example per document, in order, not padded, cut at ``max_length`` tokens.

    Keys: ``input_ids``; ``labels``, of the same length, -100 where a token is not in the loss;
    ``raw_bytes``, UTF-8 bytes of the text whose tokens are in the loss; ``text_tokens``, tokens of
    the whole text before the cut; ``truncated``. The end-of-text token is added where the document
    asks for it; it is in the loss and stands for no bytes.
    """
    if not documents:
        return []
    examples = []
    if getattr(tokenizer, "is_fast", False):
        encoded = _encode_fast(documents, tokenizer)
    else:
        encoded = [_encode_by_segment(document, tokenizer) for document in documents]
    for document, (ids, spans) in zip(documents, encoded, strict=True):
        examples.append(_example(document, ids, spans, tokenizer.eos_token_id, max_length))
    return examples


def token_statistics(
    documents: Sequence[Document], examples: Sequence[dict[str, Any]]
) -> TokenStatistics:
    """Sums over documents and the examples made from them; ratios are of the whole texts."""
    tokens = sum(example["text_tokens"] for example in examples)
    characters = sum(len(document.text) for document in documents)
    utf8_bytes = sum(len(document.text.encode()) for document in documents)
    return TokenStatistics(
        documents=len(documents),
        tokens=tokens,
        kept_tokens=sum(len(example["input_ids"]) for example in examples),
        trained_tokens=sum(n != IGNORED for example in examples for n in example["labels"]),
        characters=characters,
        utf8_bytes=utf8_bytes,
        truncated_documents=sum(example["truncated"] for example in examples),
        tokens_per_character=tokens / max(1, characters),
        bytes_per_token=utf8_bytes / max(1, tokens),
    )


def _encode_fast(
    documents: Sequence[Document], tokenizer: Any
) -> list[tuple[list[int], list[_Span]]]:
    """Ids and character spans of the joined texts; a chat text carries its own special tokens."""
    encoded: list[tuple[list[int], list[_Span]]] = []
    for document in documents:
        batch = tokenizer(
            document.text,
            add_special_tokens=document.append_eos,
            return_offsets_mapping=True,
            verbose=False,
        )
        spans = [(int(start), int(end)) for start, end in batch["offset_mapping"]]
        encoded.append((list(batch["input_ids"]), spans))
    return encoded


def _encode_by_segment(document: Document, tokenizer: Any) -> tuple[list[int], list[_Span]]:
    """Without offsets: each segment by itself, its tokens spread evenly over its characters."""
    ids: list[int] = []
    spans: list[_Span] = []
    if document.append_eos and getattr(tokenizer, "add_bos_token", False):
        ids.append(tokenizer.bos_token_id)
        spans.append((0, 0))
    start = 0
    for segment in document.segments:
        part = tokenizer(segment.text, add_special_tokens=False, verbose=False)["input_ids"]
        count = max(1, len(part))  # a tokenizer may make nothing of a text
        edges = [start + i * len(segment.text) // count for i in range(len(part) + 1)]
        ids.extend(part)
        spans.extend(pairwise(edges))
        start += len(segment.text)
    return ids, spans


def _example(
    document: Document, ids: list[int], spans: list[_Span], eos: int | None, max_length: int
) -> dict[str, Any]:
    text_tokens = sum(end > start for start, end in spans)
    text = document.text
    if document.append_eos and eos is not None and (not ids or ids[-1] != eos):
        ids, spans = [*ids, eos], [*spans, (len(text), len(text))]
    spans = _close_gaps(spans)
    trained = _trained_tokens(document, ids, spans, eos, max_length)
    labels = [token if use else IGNORED for token, use in zip(ids, trained, strict=True)]
    return {
        "input_ids": ids[:max_length],
        "labels": labels[:max_length],
        "raw_bytes": len("".join(text[i] for i in sorted(_covered(spans, trained))).encode()),
        "text_tokens": text_tokens,
        "truncated": len(ids) > max_length,
    }


def _close_gaps(spans: Sequence[_Span]) -> list[_Span]:
    """Let each token start where the one before ended: some tokenizers leave out the spaces."""
    closed: list[_Span] = []
    reached = 0
    for start, end in spans:
        closed.append((min(start, reached), end) if end > start else (start, end))
        reached = max(reached, end)
    return closed


def _trained_tokens(
    document: Document, ids: Sequence[int], spans: Sequence[_Span], eos: int | None, limit: int
) -> list[bool]:
    """Which tokens enter the loss: whole characters of trained text, and an added end of text."""
    allowed = [segment.trained for segment in document.segments for _ in segment.text]
    trained = [
        0 < place < limit and end > start and all(allowed[start:end])
        for place, (start, end) in enumerate(spans)
    ]
    torn = _covered(spans, [not use for use in trained])
    trained = [use and torn.isdisjoint(range(*spans[i])) for i, use in enumerate(trained)]
    last = len(ids) - 1
    if document.append_eos and 0 < last < limit and ids[last] == eos:
        trained[last] = bool(document.segments) and document.segments[-1].trained
    return trained


def _covered(spans: Sequence[_Span], chosen: Sequence[bool]) -> set[int]:
    """Positions of the characters that the chosen tokens cover."""
    return {
        position
        for (start, end), use in zip(spans, chosen, strict=True)
        if use
        for position in range(start, end)
    }
