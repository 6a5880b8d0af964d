"""Forgetting (row 4): loss on texts that have nothing to do with the training data.

Two small sets written for this project, everyday English and everyday Japanese, come with the
package (``presets/probes``). The untouched model and every fine-tuned one are evaluated on both;
what counts is the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..dataset import Document, Segment, tokenize
from ..dataset.tokens import IGNORED
from .evaluation import evaluate

LANGUAGES = ("english", "japanese")
_FOLDER = Path(__file__).parents[1] / "presets" / "probes"


def load_probes() -> dict[str, list[Document]]:
    """The texts of both sets; passages are separated by blank lines."""
    return {name: _documents(name) for name in LANGUAGES}


def evaluate_probes(
    model: Any, tokenizer: Any, max_length: int, precision: str, pad_token_id: int
) -> dict[str, Any]:
    """The record's ``probes`` block; a set of which no token can be scored is left out."""
    found = {}
    for name, documents in load_probes().items():
        examples = tokenize(documents, tokenizer, max_length)
        for example in examples:
            _leave_out_end(example, tokenizer.eos_token_id)
        if any(label != IGNORED for example in examples for label in example["labels"]):
            result = evaluate(model, examples, precision, pad_token_id)
            kept = ("loss", "bits_per_byte", "tokens", "raw_bytes", "documents")
            found[name] = {key: result[key] for key in kept}
    return found


def _documents(name: str) -> list[Document]:
    text = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return [
        Document((Segment(" ".join(passage.split()), True),), (), f"{name} probe")
        for passage in text.split("\n\n")
    ]


def _leave_out_end(example: dict[str, Any], eos: int | None) -> None:
    """End of text out of the loss: where a text ends is what training on texts teaches first."""
    if example["labels"] and eos is not None and example["labels"][-1] == eos:
        example["labels"][-1] = IGNORED
