"""Fixtures that several rooms share: one tiny model with a real tokenizer, made once a session."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may depend on the network
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: threads would only wait

_ALPHABET_TEXTS = [
    "深層学習は人工知能の分野において革命的な技術です。",
    "自然言語処理では、トークナイゼーションが重要な前処理ステップです。",
    "技術解説: 概要: 研究背景: 詳細分析: これらの技術は今後も発展が予想されます。",
    "The quick brown fox jumps over the lazy dog.",
]
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_tokenizer(vocab_size: int = 320) -> Any:
    """A fast byte-level BPE tokenizer of a few hundred tokens, with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(_ALPHABET_TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        bos_token="<|im_start|>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """The tokenizer of the tiny models, in memory."""
    return build_tokenizer()


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Path:
    """A folder with a Llama of 2 layers, hidden size 32, tied embeddings, and its tokenizer."""
    return _saved_llama(tmp_path_factory.mktemp("tiny-llama"), tiny_tokenizer, 32, 2)


@pytest.fixture(scope="session")
def smaller_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer of half the width, and a tokenizer of bytes alone: more tokens."""
    return _saved_llama(tmp_path_factory.mktemp("smaller-llama"), build_tokenizer(259), 16, 1)


def _saved_llama(folder: Path, tokenizer: Any, hidden_size: int, layers: int) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def close_log() -> Iterator[None]:
    """Ends a test without the files that a benchmark's logger holds open."""
    yield
    logger = logging.getLogger("LoRA_Benchmark")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
