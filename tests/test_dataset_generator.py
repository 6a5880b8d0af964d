"""Generated Japanese: unique, varied, reproducible, and three sides with nothing in common."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import combinations

import pytest

from lora_efficiency_benchmark.dataset import (
    EVALUATION_CAPACITY,
    GENERATED_EDITION,
    TRAINING_CAPACITY,
    VALIDATION_CAPACITY,
    Document,
    JapaneseDatasetGenerator,
    audit_overlap,
)
from lora_efficiency_benchmark.dataset.blocks import (
    Topic,
    evaluation_topics,
    parse_blocks,
    training_topics,
    validation_topics,
)
from lora_efficiency_benchmark.dataset.leakage import sentences
from lora_efficiency_benchmark.dataset.patterns import (
    EVALUATION,
    REGISTERS,
    TRAINING,
    VALIDATION,
    PatternSet,
)
from lora_efficiency_benchmark.errors import DataError


@cache
def training(size: int) -> list[Document]:
    return JapaneseDatasetGenerator().training_documents(size)


@cache
def evaluation(size: int) -> list[Document]:
    return JapaneseDatasetGenerator().evaluation_documents(size)


@cache
def validation(size: int) -> list[Document]:
    return JapaneseDatasetGenerator().validation_documents(size)


SIDES = {"training": training, "validation": validation, "evaluation": evaluation}
TOPICS = {
    "training": training_topics,
    "validation": validation_topics,
    "evaluation": evaluation_topics,
}
PAIRS = list(combinations(SIDES, 2))


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
    for documents in (training(10_000), validation(200), evaluation(200)):
        counts = Counter(document.text.split(": ")[0] for document in documents)
        assert set(counts) == set(REGISTERS)
        assert max(counts.values()) - min(counts.values()) <= 1, "no register falls behind"


def test_the_specifications_closings_are_there() -> None:
    all_texts = "".join(texts(training(10_000)))
    assert "これらの技術は今後も発展が予想されます。" in all_texts
    assert "実用化に向けた課題も存在します。" in all_texts


def test_every_topic_has_its_share() -> None:
    for side, size in (("training", 10_000), ("validation", 2_000), ("evaluation", 2_000)):
        counts = Counter(document.groups[0] for document in SIDES[side](size))
        assert len(counts) == len(TOPICS[side]())
        assert max(counts.values()) <= 2 * min(counts.values())


def test_texts_are_whole_sentences_of_fitting_length() -> None:
    for text in texts(training(10_000)) + texts(validation(2_000)) + texts(evaluation(2_000)):
        assert 30 <= len(text) <= 100
        assert text.endswith("。")
        assert "{" not in text
        assert "}" not in text
        assert "。。" not in text


def test_no_text_says_one_thing_twice() -> None:
    """The method, the problem and the gain come once in opening and claim."""
    methods = {m.name for read in TOPICS.values() for t in read() for m in t.methods}
    for text in texts(training(2_000)) + texts(validation(2_000)) + texts(evaluation(2_000)):
        body = "".join(sentences(text)[:2])
        repeated = [m for m in methods if len(m) > 3 and body.count(m) > 1]
        assert not repeated, text


def test_a_longer_request_continues_a_shorter_one() -> None:
    assert training(10_000)[:500] == training(500)
    assert evaluation(2_000)[:200] == evaluation(200)
    assert validation(2_000)[:200] == validation(200)


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
        "t += [d.text for d in g.validation_documents(200)]; "
        "print(hashlib.sha256('\\n'.join(t).encode()).hexdigest())"
    )
    here = texts(training(500)) + texts(evaluation(200)) + texts(validation(200))
    digests = {hashlib.sha256("\n".join(here).encode()).hexdigest()}
    for seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        digests.add(done.stdout.strip())
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("side", "digest"),
    [
        ("training", "78b76b9cb637c6dd6a1c19bf41a611fb7601675e3407bce1401e5d39a9125ab1"),
        ("evaluation", "57db5b7ec06da999559368fe59d103f17236e6687f29e08b21cd9284b7d8e555"),
        ("validation", "003ae5ddba234f0b67fb8459cf2476540576926f81c5162d0d7a878d1986f12a"),
    ],
)
def test_the_texts_of_the_edition_have_not_changed(side: str, digest: str) -> None:
    """Digests of the first 200 texts. Other texts are another edition: move both together."""
    assert GENERATED_EDITION == 2
    first = "\n".join(texts(SIDES[side](200)))
    assert hashlib.sha256(first.encode()).hexdigest() == digest


@pytest.mark.parametrize("size", [0, -1, True, 2.5, "10", None])
def test_sizes_that_are_none(size: int) -> None:
    for make in ("generate_japanese_training_data", "generate_japanese_evaluation_data"):
        with pytest.raises(DataError, match="ask for a whole number above 0"):
            getattr(JapaneseDatasetGenerator(), make)(size)
    with pytest.raises(DataError, match="generated validation data: size is"):
        JapaneseDatasetGenerator().validation_documents(size)


def test_more_than_can_be_made() -> None:
    with pytest.raises(DataError, match="50001 texts asked for, 50000 can be made"):
        JapaneseDatasetGenerator().generate_japanese_training_data(TRAINING_CAPACITY + 1)
    with pytest.raises(DataError, match="2001 texts asked for"):
        JapaneseDatasetGenerator().generate_japanese_evaluation_data(EVALUATION_CAPACITY + 1)
    with pytest.raises(DataError, match="validation data: 2001 texts asked for, 2000 can be made"):
        JapaneseDatasetGenerator().searched_documents(10, VALIDATION_CAPACITY + 1)


def test_the_stated_capacity_is_real() -> None:
    made = JapaneseDatasetGenerator().generate_japanese_training_data(TRAINING_CAPACITY)
    assert len(set(made)) == TRAINING_CAPACITY
    assert len(set(texts(evaluation(EVALUATION_CAPACITY)))) == EVALUATION_CAPACITY
    assert len(set(texts(validation(VALIDATION_CAPACITY)))) == VALIDATION_CAPACITY


# ---- the split ------------------------------------------------------------------------------


def groups(documents: list[Document], kind: str) -> set[str]:
    return {g for d in documents for g in d.groups if g.startswith(f"{kind}:")}


def test_a_search_trains_on_the_same_texts() -> None:
    """The trials of a search and the runs that follow learn from one set of texts."""
    train, chosen_on = JapaneseDatasetGenerator().searched_documents(300, 48)
    assert train == training(300)
    assert chosen_on == validation(48)


@pytest.mark.parametrize("kind", ["topic", "template"])
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_the_sides_share_no_group(one: str, other: str, kind: str) -> None:
    first, second = groups(SIDES[one](2_000), kind), groups(SIDES[other](2_000), kind)
    assert first
    assert second
    assert not first & second


def test_the_sides_share_no_pattern_text() -> None:
    """Different names would hide the same sentence."""

    def written(side: PatternSet) -> set[str]:
        return {p.text for role in (side.openings, side.claims, side.closings) for p in role}

    train, held_out, searched = written(TRAINING), written(EVALUATION), written(VALIDATION)
    assert (len(train), len(held_out), len(searched)) == (52, 31, 31)
    assert not train & held_out
    assert not train & searched
    assert not held_out & searched


def blocks(topic: Topic) -> set[str]:
    """Every string of a topic that can stand in a text."""
    found = {topic.name, topic.definition, *topic.uses}
    found |= {text for m in topic.methods for text in (m.name, m.problem, m.gain)}
    return found | {*topic.field.situations, *topic.field.evidence}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_the_sides_share_no_block(one: str, other: str) -> None:
    first = {text for topic in TOPICS[one]() for text in blocks(topic)}
    second = {text for topic in TOPICS[other]() for text in blocks(topic)}
    assert len(first) > 200
    assert len(second) > 200
    assert first & second == set()


@pytest.mark.parametrize(("named", "silent"), [*PAIRS, *(pair[::-1] for pair in PAIRS)])
def test_no_topic_is_named_on_another_side(named: str, silent: str) -> None:
    size = 10_000 if silent == "training" else 2_000
    everything = "\n".join(texts(SIDES[silent](size)))
    assert [topic.name for topic in TOPICS[named]() if topic.name in everything] == []


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_overlap_of_two_thousand_and_two_hundred_is_nothing(one: str, other: str) -> None:
    overlap = audit_overlap(SIDES[one](2_000), SIDES[other](200))
    assert (overlap.train_documents, overlap.evaluation_documents) == (2_000, 200)
    assert overlap.exact == 0
    assert overlap.shared_sentences == 0
    assert overlap.shared_groups == 0
    assert overlap.near_duplicates == 0
    assert overlap.ngram13_share < 0.01


# ---- the blocks -----------------------------------------------------------------------------


@pytest.mark.parametrize("side", TOPICS)
def test_blocks_are_complete_and_clean(side: str) -> None:
    read = TOPICS[side]()
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
