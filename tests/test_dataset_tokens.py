"""Token ids, and the bytes behind the loss: bits per byte is only as right as these."""

from __future__ import annotations

from typing import Any

import pytest

from lora_efficiency_benchmark.dataset import Document, Segment, token_statistics, tokenize
from lora_efficiency_benchmark.dataset.tokens import IGNORED

TEXT = "深層学習は革命的な技術です。"


def document(*segments: tuple[str, bool], append_eos: bool = True) -> Document:
    return Document(tuple(Segment(t, u) for t, u in segments), ("g",), "test", append_eos)


def one(doc: Document, tokenizer: Any, max_length: int = 1000) -> dict[str, Any]:
    (example,) = tokenize([doc], tokenizer, max_length)
    assert len(example["input_ids"]) == len(example["labels"]) <= max_length
    for token, label in zip(example["input_ids"], example["labels"], strict=True):
        assert label in (token, IGNORED)
    return example


def trained_bytes(example: dict[str, Any], tokenizer: Any) -> bytes:
    """What the tokens in the loss spell, end of text left out: independent of the offsets."""
    ids = [i for i in example["labels"] if i not in (IGNORED, tokenizer.eos_token_id)]
    return byte_form(ids, tokenizer)


def byte_form(ids: list[int], tokenizer: Any) -> bytes:
    """Bytes of byte-level tokens (the table of Radford et al. 2019, as the tokenizer holds it)."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    back = {char: byte for byte, char in bytes_to_unicode().items()}
    return bytes(back[c] for token in tokenizer.convert_ids_to_tokens(ids) for c in token)


def test_a_text_and_its_end(tiny_tokenizer: Any) -> None:
    example = one(document((TEXT, True)), tiny_tokenizer)
    assert tiny_tokenizer.decode(example["input_ids"][:-1]) == TEXT
    assert example["input_ids"][-1] == example["labels"][-1] == tiny_tokenizer.eos_token_id
    assert example["text_tokens"] == len(example["input_ids"]) - 1
    assert example["truncated"] is False


def test_the_first_character_is_not_predicted_so_its_bytes_do_not_count(
    tiny_tokenizer: Any,
) -> None:
    """Nothing comes before the first token. A character of several tokens goes with it whole."""
    text = "鬱は画数が多い。"  # the first character is not in the tokenizer's merges: 3 tokens
    example = one(document((text, True)), tiny_tokenizer)
    assert example["labels"][:3] == [IGNORED] * 3
    assert example["raw_bytes"] == len(text[1:].encode())
    assert trained_bytes(example, tiny_tokenizer) == text[1:].encode()


@pytest.mark.parametrize("length", range(2, 30))
def test_raw_bytes_are_what_the_labels_spell_at_every_cut(tiny_tokenizer: Any, length: int) -> None:
    """A character whose tokens are cut apart stays out of both the loss and the bytes."""
    example = one(document(("A鬱憂、龍の絵é🙂と" + TEXT, True)), tiny_tokenizer, length)
    spelled = trained_bytes(example, tiny_tokenizer)
    assert example["raw_bytes"] == len(spelled)
    spelled.decode()  # whole characters only: this would raise
    assert example["truncated"] is True


def test_only_the_completion_is_trained(tiny_tokenizer: Any) -> None:
    example = one(document(("問い: ", False), ("答えです", True)), tiny_tokenizer)
    assert trained_bytes(example, tiny_tokenizer).decode() == "答えです"
    assert example["raw_bytes"] == len("答えです".encode())
    assert example["labels"][-1] == tiny_tokenizer.eos_token_id


def test_a_token_across_the_border_is_not_trained(tiny_tokenizer: Any) -> None:
    """The merged token belongs to the prompt as well; it leaves the loss with its bytes."""
    joined = tiny_tokenizer("学習")["input_ids"]
    separate = tiny_tokenizer("学")["input_ids"] + tiny_tokenizer("習")["input_ids"]
    example = one(document(("x学", False), ("習です", True)), tiny_tokenizer)
    kept = trained_bytes(example, tiny_tokenizer).decode()
    assert kept == ("です" if len(joined) < len(separate) else "習です")
    assert example["raw_bytes"] == len(kept.encode())


def test_an_untrained_ending_has_an_untrained_end_of_text(tiny_tokenizer: Any) -> None:
    example = one(document(("答え", True), ("後書き", False)), tiny_tokenizer)
    assert example["labels"][-1] == IGNORED


def test_a_chat_text_gets_no_second_end(tiny_tokenizer: Any) -> None:
    text = "<|im_start|>user\n問い<|im_end|>\n<|im_start|>assistant\n"
    answer = "答え<|im_end|>\n"
    example = one(document((text, False), (answer, True), append_eos=False), tiny_tokenizer)
    assert tiny_tokenizer.eos_token_id not in example["input_ids"]
    assert tiny_tokenizer.convert_tokens_to_ids("<|im_end|>") in example["labels"]
    assert example["raw_bytes"] == len(answer.encode())


def test_nothing_to_tokenise(tiny_tokenizer: Any) -> None:
    assert tokenize([], tiny_tokenizer, 10) == []
    example = one(document(), tiny_tokenizer)
    assert example["raw_bytes"] == 0
    assert set(example["labels"]) <= {IGNORED}


class CharacterTokenizer:
    """A tokenizer without offsets: one token a character, spaces vanish, as slow ones may do."""

    eos_token_id = 0
    bos_token_id = 1
    add_bos_token = True

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(c) for c in text if c != " "]}


def test_a_tokenizer_without_offsets() -> None:
    example = one(document(("問い", False), ("答え", True), (" ", True)), CharacterTokenizer())
    assert example["input_ids"] == [1, ord("問"), ord("い"), ord("答"), ord("え"), 0]
    assert example["labels"] == [IGNORED] * 3 + [ord("答"), ord("え"), 0]
    assert example["raw_bytes"] == len("答え".encode())


def test_a_vanished_space_belongs_to_the_token_after_it() -> None:
    """As with offsets: the token then reaches into untrained text and leaves the loss."""
    example = one(document(("問い", False), (" ", False), ("答え", True)), CharacterTokenizer())
    assert example["labels"] == [IGNORED] * 4 + [ord("え"), 0]
    assert example["raw_bytes"] == len("え".encode())


def test_statistics(tiny_tokenizer: Any) -> None:
    documents = [document((TEXT, True)), document(("短い文。", True))]
    examples = tokenize(documents, tiny_tokenizer, 6)
    statistics = token_statistics(documents, examples)
    both = TEXT + "短い文。"
    assert statistics.documents == 2
    assert statistics.characters == len(both)
    assert statistics.utf8_bytes == len(both.encode())
    assert statistics.tokens == sum(len(tiny_tokenizer(d.text)["input_ids"]) for d in documents)
    assert statistics.kept_tokens == 12
    assert statistics.truncated_documents == 2
    assert statistics.bytes_per_token == statistics.utf8_bytes / statistics.tokens
    assert statistics.tokens_per_character == statistics.tokens / statistics.characters


def test_statistics_of_nothing() -> None:
    assert token_statistics([], []).bytes_per_token == 0.0
