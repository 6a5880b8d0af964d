"""Held-out loss (row 4): nats per token, bits per byte, and the loss of every document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from .. import ranks
from ..dataset.tokens import IGNORED
from ..models.precision import autocast
from ..units import bits_per_byte
from .collate import pad_batch


def evaluate(
    model: Any,
    examples: Sequence[dict[str, Any]],
    precision: str,
    pad_token_id: int,
    batch_size: int = 8,
) -> dict[str, Any]:
    """Cross-entropy on tokenised examples, each document on its own.

    ``loss`` is total nats over all trained tokens, ``perplexity`` its exponential; ``documents``
    keeps the order of ``examples``. Batches are made of documents of similar length. Several ranks
    share the batches, which are the same as for one; each gets the whole result.
    """
    order = sorted(range(len(examples)), key=lambda i: len(examples[i]["input_ids"]))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    scored: dict[int, dict[str, Any]] = {}  # by document: what is done twice counts once
    was_training = model.training
    model.eval()
    device, sharded = ranks.device_of(model), ranks.is_sharded(model)
    # FSDP2 keeps what it gathers, and training must not meet an inference tensor
    without_gradients = torch.no_grad() if sharded else torch.inference_mode()
    with without_gradients, autocast(precision, device.type):
        for indices in ranks.share(batches, in_step=sharded):
            batch = pad_batch([examples[i] for i in indices], pad_token_id)
            for i, nats, tokens in zip(indices, *_losses(model, batch, device), strict=True):
                raw_bytes = examples[i]["raw_bytes"]
                scored[i] = {"nats": nats, "tokens": tokens, "raw_bytes": raw_bytes}
    model.train(was_training)
    everything = {i: row for part in ranks.gather(scored) for i, row in part.items()}
    return summarise([everything[i] for i in range(len(examples))])


def summarise(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The record's ``evaluation`` block from per-document sums."""
    nats = math.fsum(d["nats"] for d in documents)
    tokens = sum(d["tokens"] for d in documents)
    raw_bytes = sum(d["raw_bytes"] for d in documents)
    loss = nats / tokens
    return {
        "loss": loss,
        "perplexity": math.inf if loss > 700 else math.exp(loss),
        "bits_per_byte": bits_per_byte(nats, raw_bytes),
        "total_nats": nats,
        "tokens": tokens,
        "raw_bytes": raw_bytes,
        "documents": list(documents),
    }


def _losses(
    model: Any, batch: dict[str, torch.Tensor], device: torch.device
) -> tuple[list[float], list[int]]:
    """Per-row sums of nats and numbers of predicted tokens."""
    logits = model(
        input_ids=batch["input_ids"].to(device), attention_mask=batch["attention_mask"].to(device)
    ).logits
    targets = batch["labels"].to(device)[:, 1:]
    nats, tokens = [], []
    for row, target in zip(logits, targets, strict=True):  # row by row: no second copy of logits
        kept = target != IGNORED
        losses = torch.nn.functional.cross_entropy(
            row[:-1][kept].float(), target[kept], reduction="none"
        )
        nats.append(float(losses.double().sum()))
        tokens.append(int(kept.sum()))
    return nats, tokens
