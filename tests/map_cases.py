"""A map made by hand, without any tracing: two arms whose peaks are short formulas."""

from __future__ import annotations

import numpy as np

from lora_efficiency_benchmark.config.methods import parse_method
from lora_efficiency_benchmark.estimate.map.reduction import Domain, Reduced
from lora_efficiency_benchmark.estimate.map.values import (
    Check,
    Entry,
    LeftOut,
    ModelMap,
    Request,
    Setting,
)
from lora_efficiency_benchmark.estimate.recording import EXPONENTS
from lora_efficiency_benchmark.language import Statement
from lora_efficiency_benchmark.measure.allocations import CATEGORIES
from lora_efficiency_benchmark.units import GIB

WEIGHTS = 4 * GIB  # bytes; gradients are as many, optimizer state twice as many
TOKEN, LOGITS, RANK = 1_000_000, 128_000, 1_000_001  # bytes a token, a token, a rank
RANKS = (4, 8, 16)


def made_piece(batches: tuple[int, int], trained: bool, max_length: int = 4096) -> Reduced:
    """Full fine-tuning: backward pass or optimizer step. An adapter: backward pass alone."""
    parts = ("activations", "logits_and_loss") if trained else ("activations", "adapter")
    columns = [((1, 1, 0), TOKEN), ((1, 1, 0), LOGITS) if trained else ((0, 0, 1), RANK)]
    coefficients = np.zeros((2, len(EXPONENTS)))
    for row, (term, value) in zip(coefficients, columns, strict=True):
        row[EXPONENTS.index(term)] = value
    kept = [{"weights": WEIGHTS}]
    counts = [[1, 1]]
    if trained:
        kept = [
            {"weights": WEIGHTS, "gradients": WEIGHTS, "optimizer": 2 * WEIGHTS},
            {"weights": WEIGHTS, "gradients": WEIGHTS, "optimizer": 2 * WEIGHTS,
             "temporaries": WEIGHTS},
        ]  # fmt: skip
        counts = [[1, 1], [0, 0]]
    return Reduced(
        domain=Domain(batches, (128, max_length), 128, (1,) if trained else RANKS),
        coefficients=coefficients,
        categories=np.array([CATEGORIES.index(name) for name in parts]),
        counts=np.array(counts),
        base=np.array([[bytes_.get(name, 0) for name in CATEGORIES] for bytes_ in kept]),
        phases=np.array([2, 3][: len(kept)]),
        shortfall=0.0,
    )


def made_map(model: str = "made-by-hand", max_length: int = 4096) -> ModelMap:
    """Two methods in two precisions; the second precision of the adapter was left out."""
    request = Request(
        model=model,
        methods=(parse_method("full"), parse_method("lora:r=8,targets=q_proj+v_proj")),
        precisions=("amp-bf16", "bf16"),
        optimizers=("adamw_torch",),
        checkpointing=(False,),
        ranks=RANKS,
        max_batch=32,
        max_length=max_length,
    )
    settings = request.settings()
    reserved = ((512, 1.0, 1.1), (8192, 1.02, 1.2))
    check = Check((2, 256, 4), 1_000_000, 1_000_001)
    entries = {}
    for method, setting in [(0, settings[0]), (1, settings[0]), (0, settings[1])]:
        pieces = tuple(made_piece(b, method == 0, max_length) for b in ((2, 32), (1, 1)))
        entries[method, setting] = Entry(method, setting, pieces, reserved, (check,))
    left = LeftOut(1, settings[1], Statement("the step <b>cannot</b> be traced", "追跡できません"))
    trainable = ((6_000_000, 0), (0, 10_000))
    return ModelMap(request, trainable, 6_000_000, entries, (left,))


FIRST = Setting("amp-bf16", "adamw_torch", False)
