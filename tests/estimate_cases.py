"""Small configurations of every architecture that estimates are tested on."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig

COMMON: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 7, "num_attention_heads": 4, "vocab_size": 1000,
    "max_position_embeddings": 512,
}  # fmt: skip
GQA = {"num_key_value_heads": 2, "intermediate_size": 128}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": GQA,
    "mistral": GQA,
    "qwen2": GQA,
    "qwen3": {**GQA, "head_dim": 16},
    "gemma2": {**GQA, "head_dim": 16, "num_hidden_layers": 12},
    "gemma3_text": {**GQA, "head_dim": 16},
    "gpt_neox": {"intermediate_size": 128},
    "gpt2": {},
    "gptj": {"rotary_dim": 8},
    "opt": {"ffn_dim": 128, "word_embed_proj_dim": 64},
    "phi3": {**GQA, "pad_token_id": 0},
    "falcon": {},
    "stablelm": GQA,
}


def small_config(kind: str, **changes: Any) -> Any:
    """A configuration of ``kind`` with sizes that trace in well under a second."""
    return AutoConfig.for_model(kind, **{**COMMON, **ARCHITECTURES.get(kind, GQA), **changes})
