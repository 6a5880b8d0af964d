"""What a model writes (row 4): the same prompts, continued greedily before and after training.

Plain continuation: no chat template, no sampling, no penalties, whatever the model's own generation
settings say. The same weights on the same machine give the same text. Passes compute in what the
weights are stored in: under autocast every single token would cast all weights again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

MAX_NEW_TOKENS = 48


def generate_samples(
    model: Any, tokenizer: Any, prompts: Sequence[str], pad_token_id: int
) -> list[dict[str, str]]:
    """The record's ``samples`` block: ``{"prompt", "text"}`` a prompt, in order."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), _greedy(model, tokenizer) as greedy:
            greedy.pad_token_id = pad_token_id
            return [
                {"prompt": prompt, "text": _continued(model, tokenizer, prompt, greedy)}
                for prompt in prompts
            ]
    finally:
        model.train(was_training)


def _continued(model: Any, tokenizer: Any, prompt: str, greedy: Any) -> str:
    ids = torch.tensor([_prompt_ids(tokenizer, prompt)], device=next(model.parameters()).device)
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=greedy
    )
    text = tokenizer.decode(out[0, ids.shape[1] :].tolist(), skip_special_tokens=True)
    return str(text).rstrip("\ufffd")  # the limit may cut a character in the middle


def _prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """Tokens as training texts have them, without an end of text that would end it here."""
    ids = [int(i) for i in tokenizer(prompt)["input_ids"]]
    while len(ids) > 1 and ids[-1] == tokenizer.eos_token_id:
        ids.pop()
    return ids


@contextmanager
def _greedy(model: Any, tokenizer: Any) -> Iterator[Any]:
    """Greedy settings with a key-value cache; the model gets its own back afterwards.

    ``generate`` fills what is not given from the model's settings, so those are put aside.
    """
    from transformers import GenerationConfig

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    kept = inner.generation_config
    greedy = GenerationConfig(
        max_new_tokens=MAX_NEW_TOKENS,
        do_sample=False,
        use_cache=True,
        eos_token_id=_ends(kept, tokenizer),
    )
    inner.generation_config = greedy
    try:
        yield greedy
    finally:
        inner.generation_config = kept


def _ends(own: Any, tokenizer: Any) -> list[int] | None:
    """Every token that ends a text: the model may name more than the tokenizer."""
    named = getattr(own, "eos_token_id", None)
    ends = list(named) if isinstance(named, list | tuple) else [named]
    return sorted({int(i) for i in (*ends, tokenizer.eos_token_id) if i is not None}) or None
