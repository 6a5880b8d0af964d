"""Generated Japanese: unique, varied, reproducible, and two sides with nothing in common."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

from lora_efficiency_benchmark.dataset import (
    EVALUATION_CAPACITY,
    TRAINING_CAPACITY,
    Document,
    JapaneseDatasetGenerator,
    audit_overlap,
)
from lora_efficiency_benchmark.dataset.blocks import (
    evaluation_topics,
    parse_blocks,
    training_topics,
)
from lora_efficiency_benchmark.dataset.leakage import sentences
from lora_efficiency_benchmark.dataset.patterns import EVALUATION, REGISTERS, TRAINING
from lora_efficiency_benchmark.errors import DataError


@cache
def training(size: int) -> list[Document]:
    return JapaneseDatasetGenerator().training_documents(size)


@cache
def evaluation(size: int) -> list[Document]:
    return JapaneseDatasetGenerator().evaluation_documents(size)


def texts(documents: list[Document]) -> list[str]:
    return [document.text for document in documents]


# ---- the texts ------------------------------------------------------------------------------


def test_ten_thousand_texts_are_unique() -> None:
    assert len(set(texts(training(10_000)))) >= 9_990


def test_the_body_is_new_each_time_not_only_its_prefix() -> None:
    bodies = ["".join(sentences(text)[:2]) for text in texts(training(10_000))]
    assert len(set(bodies)) == len(bodies)


def test_the_four_registers_of_the_specification() -> None:
    assert REGISTERS == ("技術解説", "研究背景", "概要", "詳細分析")
    for documents in (training(10_000), evaluation(200)):
        counts = Counter(document.text.split(": ")[0] for document in documents)
        assert set(counts) == set(REGISTERS)
        assert max(counts.values()) - min(counts.values()) <= 1, "no register falls behind"


def test_the_specifications_closings_are_there() -> None:
    all_texts = "".join(texts(training(10_000)))
    assert "これらの技術は今後も発展が予想されます。" in all_texts
    assert "実用化に向けた課題も存在します。" in all_texts


def test_every_topic_has_its_share() -> None:
    counts = Counter(document.groups[0] for document in training(10_000))
    assert len(counts) == len(training_topics())
    assert max(counts.values()) <= 2 * min(counts.values())


def test_texts_are_whole_sentences_of_fitting_length() -> None:
    for text in texts(training(10_000)) + texts(evaluation(2_000)):
        assert 30 <= len(text) <= 100
        assert text.endswith("。")
        assert "{" not in text
        assert "}" not in text
        assert "。。" not in text


def test_no_text_says_one_thing_twice() -> None:
    """The method, the problem and the gain come once in opening and claim."""
    methods = {m.name for t in (*training_topics(), *evaluation_topics()) for m in t.methods}
    for text in texts(training(2_000)) + texts(evaluation(2_000)):
        body = "".join(sentences(text)[:2])
        repeated = [m for m in methods if len(m) > 3 and body.count(m) > 1]
        assert not repeated, text


def test_a_longer_request_continues_a_shorter_one() -> None:
    assert training(10_000)[:500] == training(500)
    assert evaluation(2_000)[:200] == evaluation(200)


def test_another_seed_gives_other_texts() -> None:
    other = JapaneseDatasetGenerator(seed=1).generate_japanese_training_data(500)
    assert len(set(other) & set(texts(training(500)))) < 50


def test_the_public_methods_return_texts() -> None:
    generator = JapaneseDatasetGenerator()
    assert generator.generate_japanese_training_data(20) == texts(training(20))
    assert generator.generate_japanese_evaluation_data(20) == texts(evaluation(20))


def test_the_same_texts_in_every_process() -> None:
    """Python's hash seed must not matter: no set or dict order decides anything."""
    code = (
        "import hashlib; from lora_efficiency_benchmark.dataset import JapaneseDatasetGenerator; "
        "g = JapaneseDatasetGenerator(); "
        "t = g.generate_japanese_training_data(500) + g.generate_japanese_evaluation_data(200); "
        "print(hashlib.sha256('\\n'.join(t).encode()).hexdigest())"
    )
    here = texts(training(500)) + texts(evaluation(200))
    digests = {hashlib.sha256("\n".join(here).encode()).hexdigest()}
    for seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        digests.add(done.stdout.strip())
    assert len(digests) == 1


@pytest.mark.parametrize("size", [0, -1, True, 2.5, "10", None])
def test_sizes_that_are_none(size: int) -> None:
    for make in ("generate_japanese_training_data", "generate_japanese_evaluation_data"):
        with pytest.raises(DataError, match="ask for a whole number above 0"):
            getattr(JapaneseDatasetGenerator(), make)(size)


def test_more_than_can_be_made() -> None:
    with pytest.raises(DataError, match="50001 texts asked for, 50000 can be made"):
        JapaneseDatasetGenerator().generate_japanese_training_data(TRAINING_CAPACITY + 1)
    with pytest.raises(DataError, match="2001 texts asked for"):
        JapaneseDatasetGenerator().generate_japanese_evaluation_data(EVALUATION_CAPACITY + 1)


def test_the_stated_capacity_is_real() -> None:
    made = JapaneseDatasetGenerator().generate_japanese_training_data(TRAINING_CAPACITY)
    assert len(set(made)) == TRAINING_CAPACITY
    assert len(set(texts(evaluation(EVALUATION_CAPACITY)))) == EVALUATION_CAPACITY


# ---- the split ------------------------------------------------------------------------------


def groups(documents: list[Document], kind: str) -> set[str]:
    return {g for d in documents for g in d.groups if g.startswith(f"{kind}:")}


@pytest.mark.parametrize("kind", ["topic", "template"])
def test_the_sides_share_no_group(kind: str) -> None:
    one, other = groups(training(10_000), kind), groups(evaluation(2_000), kind)
    assert one
    assert other
    assert not one & other


def test_the_sides_share_no_pattern_text() -> None:
    """Different names would hide the same sentence."""

    def written(side: object) -> set[str]:
        return {p.text for role in vars(side).values() for p in role}

    assert len(written(TRAINING)) == 52
    assert not written(TRAINING) & written(EVALUATION)


def test_no_held_out_topic_is_named_in_training() -> None:
    names = [topic.name for topic in evaluation_topics()]
    everything = "\n".join(texts(training(10_000)))
    assert [name for name in names if name in everything] == []


def test_the_sides_share_no_method_situation_or_evidence() -> None:
    def words(topics: tuple[object, ...]) -> set[str]:
        found: set[str] = set()
        for topic in topics:
            found |= {m.name for m in topic.methods}  # type: ignore[attr-defined]
            found |= {*topic.field.situations, *topic.field.evidence}  # type: ignore[attr-defined]
        return found

    assert words(training_topics()) & words(evaluation_topics()) == set()


def test_overlap_of_two_thousand_and_two_hundred_is_nothing() -> None:
    overlap = audit_overlap(training(2_000), evaluation(200))
    assert (overlap.train_documents, overlap.evaluation_documents) == (2_000, 200)
    assert overlap.exact == 0
    assert overlap.shared_sentences == 0
    assert overlap.shared_groups == 0
    assert overlap.near_duplicates == 0
    assert overlap.ngram13_share < 0.01


# ---- the blocks -----------------------------------------------------------------------------


@pytest.mark.parametrize("topics", [training_topics, evaluation_topics])
def test_blocks_are_complete_and_clean(topics: object) -> None:
    read = topics()  # type: ignore[operator]
    names = [topic.name for topic in read]
    assert len(set(names)) == len(names)
    for topic in read:
        assert len(topic.methods) >= 3, topic.name
        assert len(topic.uses) >= 3, topic.name
        assert topic.field.situations, topic.field.name
        assert topic.field.evidence, topic.field.name
        values = [m.name for m in topic.methods] + topic.uses + [topic.definition]
        values += [v for m in topic.methods for v in (m.problem, m.gain)]
        for value in values:
            assert value, topic.name
            assert value.strip() == value
            assert not value.endswith(("。", "、", "です", "ます", "する")), value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# topic = x", 1),
        ("[f]\nsituations: a\n> use", 3),
        ("[f]\n# a = b\nmethod | problem", 3),
        ("[f]\n# no definition", 2),
    ],
)
def test_a_line_outside_the_notation_is_named(text: str, line: int) -> None:
    with pytest.raises(DataError, match=f"line {line}: "):
        parse_blocks(text)
