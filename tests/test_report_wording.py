"""Texts, number formats and label places of the report."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from lora_efficiency_benchmark import report
from lora_efficiency_benchmark.report import formats
from lora_efficiency_benchmark.report.figures.label_placement import Box, place_labels
from lora_efficiency_benchmark.report.terminal import wrap
from lora_efficiency_benchmark.report.texts import TEXTS, wording

FOLDER = Path(report.__file__).parent
JA, EN = wording("ja"), wording("en")


@pytest.mark.parametrize("key", TEXTS)
def test_a_text_exists_in_both_languages(key: str) -> None:
    text = TEXTS[key]
    assert set(text) == {"ja", "en"}
    assert all(value.strip() for value in text.values())
    placeholders = [
        {name for _, name, _, _ in string.Formatter().parse(value) if name}
        for value in text.values()
    ]
    assert placeholders[0] == placeholders[1]


def test_the_exclamation_mark_is_not_used() -> None:
    assert not [key for key, text in TEXTS.items() if re.search("[!！]", "".join(text.values()))]


def test_every_text_is_used_and_every_used_text_exists() -> None:
    files = [p for p in FOLDER.rglob("*") if p.suffix in (".py", ".j2")]
    own_texts = ("progress.py", "recommendation.py", "explorer.py", "explorer.html.j2")
    users = [p for p in files if p.name not in own_texts and p.parent.name != "texts"]
    code = "\n".join(p.read_text("utf-8") for p in users)
    named = set(re.findall(r"""say\(\s*["']([\w.-]+)["']""", code))
    assert named <= set(TEXTS)
    built = set(re.findall(r"""["'](\w+)\.\{""", code))  # say(f"verdict.{...}")
    built |= set(re.findall(r"""known\(["'](\w+)["']""", code)) | {"method", "column", "figure"}
    unused = [
        key
        for key in set(TEXTS) - named
        if key.split(".")[0] not in built and f'"{key}"' not in code
    ]
    assert not unused


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.size(2.61 * 2**30, EN), "2.61 GiB"),
        (formats.size(900 * 2**10, EN), "900.0 KiB"),
        (formats.size(0, EN), "0"),
        (formats.size(None, EN), "not measured"),
        (formats.size(None, JA), "未測定"),
        (formats.ratio(1.654, EN), "1.65x"),
        (formats.ratio(1.654, JA), "1.65倍"),
        (formats.ratio(None, JA), "未測定"),
        (formats.ratio(float("nan"), EN), "not a finite number"),
        (formats.claimed_value("parameter_reduction_ratio", 200.0, EN), "200x"),
        (formats.claimed_value("gain_retention", 1.0, JA), "100%"),
        (formats.bounded("1.65x", "lower", EN), "over 1.65x"),
        (formats.duration(75.0, EN), "1:15"),
        (formats.duration(0.04, EN), "0.04 s"),
        (formats.count(230400, EN), "230,400"),
        (formats.clean("a\x1b[31m\n\u202eb\ud800"), "a?[31m ?b?"),
        (formats.shorten("x" * 20, 5), "xxxx…"),
    ],
)
def test_numbers_and_names(shown: str, expected: str) -> None:
    assert shown == expected


def test_a_record_link_cannot_leave_its_folder() -> None:
    assert formats.record_href('../x"y') == "records/..%2Fx%22y.json"


def test_labels_do_not_cover_each_other() -> None:
    frame = Box(0, 0, 600, 300)
    points = [(100.0 + 12 * i, 150.0 + 3 * (i % 3)) for i in range(6)]
    texts = [f"r={i} q,k,v,o  90%" for i in range(6)]
    boxes = place_labels(points, texts, frame)
    for i, box in enumerate(boxes):
        assert box.inside(frame)
        assert not any(box.covers(other) for other in boxes[:i])


def test_japanese_wraps_without_a_comma_at_the_start_of_a_line() -> None:
    text = "平均は210倍、4件中3件が主張の200倍に届かない(しきい値150倍は3件が未達)。"
    for width in range(12, 60):
        lines = wrap(text, width)
        assert "".join(lines) == text
        assert all(formats.text_width(line) <= width for line in lines)
        assert not any(line[0] in "、。)ー" for line in lines)


def test_a_word_longer_than_a_line_is_cut() -> None:
    assert wrap("ab " + "x" * 25, 10) == ["ab", "x" * 10, "x" * 10, "x" * 5]
