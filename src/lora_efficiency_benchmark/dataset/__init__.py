"""Japanese data to train on and to evaluate on (row 4).

    blocks, patterns   what generated text is made of: training, validation, evaluation
    generator          JapaneseDatasetGenerator: texts from blocks and patterns
    corpora            real data: files, folders, Hub data sets (paragraphs, records read them)
    split              two sides that share no group
    leakage            the overlap of the two sides, measured
    tokens             token ids with the loss on trained text only

Importing this package imports neither torch nor transformers.
"""

from __future__ import annotations

from .corpora import load_corpus
from .document import Document, Segment
from .editions import GENERATED_EDITION, edition_of, on_other_texts, stated_edition
from .generator import (
    EVALUATION_CAPACITY,
    TRAINING_CAPACITY,
    VALIDATION_CAPACITY,
    JapaneseDatasetGenerator,
)
from .leakage import Overlap, audit_overlap
from .split import Split, load_split, split_documents
from .tokens import TokenStatistics, token_statistics, tokenize

__all__ = [
    "EVALUATION_CAPACITY",
    "GENERATED_EDITION",
    "TRAINING_CAPACITY",
    "VALIDATION_CAPACITY",
    "Document",
    "JapaneseDatasetGenerator",
    "Overlap",
    "Segment",
    "Split",
    "TokenStatistics",
    "audit_overlap",
    "edition_of",
    "load_corpus",
    "load_split",
    "on_other_texts",
    "split_documents",
    "stated_edition",
    "token_statistics",
    "tokenize",
]
