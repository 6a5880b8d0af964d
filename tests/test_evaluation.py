"""Held-out loss against a direct computation, and what must not change it."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_efficiency_benchmark.dataset import JapaneseDatasetGenerator, tokenize
from lora_efficiency_benchmark.dataset.tokens import IGNORED
from lora_efficiency_benchmark.models.loading import load_base_model
from lora_efficiency_benchmark.models.precision import autocast, trainer_flags
from lora_efficiency_benchmark.training.collate import pad_batch
from lora_efficiency_benchmark.training.evaluation import evaluate, summarise


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> Any:
    loaded, _ = load_base_model(str(tiny_model_dir))
    with torch.no_grad():  # an untrained model is nearly uniform: make its guesses differ
        for parameter in loaded.parameters():
            parameter.mul_(8)
    return loaded


@pytest.fixture(scope="module")
def examples(tiny_tokenizer: Any) -> list[dict[str, Any]]:
    documents = JapaneseDatasetGenerator().evaluation_documents(13)
    made = tokenize(documents, tiny_tokenizer, 90)
    for number, example in enumerate(made):  # of different lengths
        keep = 20 + 5 * number
        example["input_ids"], example["labels"] = (
            example["input_ids"][:keep],
            example["labels"][:keep],
        )
    made[3]["labels"][:10] = [IGNORED] * 10
    return made


def direct(model: Any, example: dict[str, Any]) -> tuple[float, int]:
    """Nats and tokens of one document, alone and unpadded, from log probabilities in fp64."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([example["input_ids"]])).logits[0].double()
    steps = torch.log_softmax(logits, dim=-1)
    pairs = [(i, t) for i, t in enumerate(example["labels"][1:]) if t != IGNORED]
    return -sum(float(steps[i, t]) for i, t in pairs), len(pairs)


def test_loss_is_the_direct_computation(model: Any, examples: list[dict[str, Any]]) -> None:
    result = evaluate(model, examples, "fp32", 0, batch_size=4)
    expected = [direct(model.eval(), example) for example in examples]
    for found, (nats, tokens) in zip(result["documents"], expected, strict=True):
        assert found["nats"] == pytest.approx(nats, rel=1e-5)
        assert found["tokens"] == tokens
    nats, tokens = (sum(column) for column in zip(*expected, strict=True))
    assert result["loss"] == pytest.approx(nats / tokens, rel=1e-6)
    assert result["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    raw_bytes = sum(example["raw_bytes"] for example in examples)
    assert result["bits_per_byte"] == pytest.approx(nats / math.log(2) / raw_bytes, rel=1e-6)


def test_the_models_own_loss_agrees(model: Any, examples: list[dict[str, Any]]) -> None:
    """transformers shifts the labels itself: the two must mean the same pairs."""
    batch = pad_batch(examples[:4], 0)
    with torch.no_grad():
        loss = float(model.eval()(**batch).loss)
    assert evaluate(model, examples[:4], "fp32", 0)["loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 13, 100])
@pytest.mark.parametrize("pad", [0, 7])
def test_neither_padding_nor_batches_change_a_document(
    model: Any, examples: list[dict[str, Any]], batch_size: int, pad: int
) -> None:
    alone = evaluate(model, examples, "fp32", 0, batch_size=1)
    other = evaluate(model, examples, "fp32", pad, batch_size=batch_size)
    for one, two in zip(alone["documents"], other["documents"], strict=True):
        assert two["nats"] == pytest.approx(one["nats"], rel=1e-5)
        assert two["tokens"] == one["tokens"]


def test_documents_keep_their_order(model: Any, examples: list[dict[str, Any]]) -> None:
    order = list(range(len(examples)))
    random.Random(0).shuffle(order)
    plain = evaluate(model, examples, "fp32", 0)["documents"]
    mixed = evaluate(model, [examples[i] for i in order], "fp32", 0)["documents"]
    for place, i in enumerate(order):
        assert mixed[place]["nats"] == pytest.approx(plain[i]["nats"], rel=1e-5)
        assert mixed[place]["raw_bytes"] == plain[i]["raw_bytes"]


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_put_back_and_nothing_is_learnt(
    model: Any, examples: list[dict[str, Any]], training: bool
) -> None:
    model.train(training)
    before = [p.clone() for p in model.parameters()]
    evaluate(model, examples[:3], "fp32", 0)
    assert model.training is training
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_autocast_computes_lower_and_stays_close(
    model: Any, examples: list[dict[str, Any]]
) -> None:
    exact = evaluate(model, examples, "fp32", 0)["loss"]
    low = evaluate(model, examples, "amp-bf16", 0)["loss"]
    assert low != exact
    assert low == pytest.approx(exact, rel=0.02)
    with autocast("amp-bf16", "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with autocast("bf16", "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_trainer_flags_say_the_same() -> None:
    assert trainer_flags("amp-bf16") == {"bf16": True, "fp16": False}
    assert trainer_flags("amp-fp16") == {"bf16": False, "fp16": True}
    for pure in ("fp32", "bf16", "fp16"):
        assert trainer_flags(pure) == {"bf16": False, "fp16": False}


@pytest.mark.parametrize(
    ("nats", "perplexity"), [(1.0, math.e), (1e4, math.inf), (math.inf, math.inf)]
)
def test_perplexity_of_large_losses(nats: float, perplexity: float) -> None:
    result = summarise([{"nats": nats, "tokens": 1, "raw_bytes": 1}])
    assert result["perplexity"] == perplexity


def test_a_loss_that_is_no_number_stays_none() -> None:
    result = summarise([{"nats": math.nan, "tokens": 1, "raw_bytes": 1}])
    assert math.isnan(result["loss"])
    assert math.isnan(result["perplexity"])


def test_a_batch_is_padded_to_its_longest() -> None:
    assert IGNORED == IGNORED, "both sides name the same label"
    rows = [{"input_ids": [1, 2, 3], "labels": [IGNORED, 2, 3]}, {"input_ids": [4], "labels": [4]}]
    batch = pad_batch(rows, 9)
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 2, 3], [4, IGNORED, IGNORED]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
