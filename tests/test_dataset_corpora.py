"""Real data: every kind of file, what is wrong with it by file and line, and the split by group."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from lora_efficiency_benchmark.dataset import (
    Document,
    Segment,
    audit_overlap,
    load_corpus,
    load_split,
    split_documents,
)
from lora_efficiency_benchmark.dataset.corpora import SECTION_PARAGRAPHS
from lora_efficiency_benchmark.errors import DataError

LONG = "これは十文字を超える段落です。"


def paragraphs(count: int, mark: str = "") -> str:
    return "\n\n".join(f"{LONG}番号は{mark}{n}です。" for n in range(count))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def lines(path: Path, *records: Any) -> Path:
    return write(path, "\n".join(json.dumps(r, ensure_ascii=False) for r in records) + "\n")


def texts(documents: list[Document]) -> list[str]:
    return [document.text for document in documents]


def refusal(dataset: Any, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        load_corpus(dataset, **options)
    message = str(error.value)
    assert "\n" not in message
    return message


# ---- text -----------------------------------------------------------------------------------


def test_paragraphs_of_a_text_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", f"\ufeff見出し\r\n\r\n{LONG}\r\n二行目。\r\n \r\n{LONG}二\r\n")
    documents = load_corpus(str(path))
    assert texts(documents) == [f"{LONG}\n二行目。", f"{LONG}二"]
    assert {d.source for d in documents} == {"a.txt"}
    assert all(d.segments == (Segment(d.text, True),) for d in documents)


def test_neighbouring_paragraphs_stay_together(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md", paragraphs(SECTION_PARAGRAPHS + 5))
    groups = [document.groups for document in load_corpus(str(path))]
    assert groups == [("section:a.md:0",)] * SECTION_PARAGRAPHS + [("section:a.md:1",)] * 5


def test_html_is_its_visible_text(tmp_path: Path) -> None:
    page = f"""<!doctype html><html><head><title>この題名は本文ではありません</title>
<style>p {{ color: red; /* 見えない長い文章です */ }}</style></head><body>
<nav><p>この案内も本文には入りません。</p></nav>
<h1>短い題</h1><p>行の途中で
折り返した{LONG}</p><div>二つ目の<b>強調した</b>段落です。&amp;も読む。</div>
<pre>  字下げを保つ行です
    二行目も保ちます</pre><script>var a = "この文字列は見えません";</script></body></html>"""
    documents = load_corpus(str(write(tmp_path / "a.html", page)))
    assert texts(documents) == [
        f"行の途中で折り返した{LONG}",
        "二つ目の強調した段落です。&も読む。",
        "字下げを保つ行です\n    二行目も保ちます",
    ]


def test_html_whose_head_is_never_closed(tmp_path: Path) -> None:
    """HTML lets </head> and <body> be left out."""
    page = f"<title>長い題名ですが本文ではありません</title><p>{LONG}<p>{LONG}二"
    for start in ("<html><head>", ""):
        assert texts(load_corpus(str(write(tmp_path / "a.htm", start + page)))) == [
            LONG, f"{LONG}二",
        ]  # fmt: skip


@pytest.mark.parametrize("name", ["a.txt.gz", "a.md.gz", "a.html.gz", "A.TXT.GZ"])
def test_gzipped_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(LONG.encode()))
    assert texts(load_corpus(str(tmp_path / name))) == [LONG]


@pytest.mark.parametrize("damage", ["cut", "not gzip", "flipped"])
def test_damaged_gzip(tmp_path: Path, damage: str) -> None:
    raw = bytearray(gzip.compress(paragraphs(50).encode()))
    if damage == "flipped":
        raw[20:40] = bytes(20)
    path = tmp_path / "a.txt.gz"
    path.write_bytes({"cut": raw[:-20], "not gzip": LONG.encode(), "flipped": raw}[damage])
    assert f"{path}: cannot be read" in refusal(str(path))


def test_text_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(LONG.encode("shift_jis"))
    assert f"{path}: is not UTF-8 text (byte 0)" in refusal(str(path))


# ---- JSON lines -----------------------------------------------------------------------------


def test_text_records(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "一つ目"}, {"text": "  "}, {"text": "二つ目"})
    documents = load_corpus(str(path))
    assert texts(documents) == ["一つ目", "二つ目"], "records without text are left out"
    assert len({d.groups for d in documents}) == 2


def test_a_named_text_field(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "違う", "本文": "これ"})
    assert texts(load_corpus({"path": str(path), "text_field": "本文"})) == ["これ"]


def test_only_the_completion_is_trained_and_answers_to_one_prompt_stay_together(
    tmp_path: Path,
) -> None:
    rows = [{"prompt": "問い", "completion": a} for a in ("答え一", "答え二")]
    one, two = load_corpus(str(lines(tmp_path / "a.jsonl", *rows)))
    assert one.segments == (Segment("問い", False), Segment("答え一", True))
    assert one.groups == two.groups


def test_only_the_assistants_turns_are_trained(tmp_path: Path, tiny_tokenizer: Any) -> None:
    chat = [
        {"role": "system", "content": "丁寧に。"},
        {"role": "user", "content": "一は"},
        {"role": "assistant", "content": "はい一です"},
        {"role": "user", "content": "二は"},
        {"role": "assistant", "content": "はい二です"},
    ]
    (document,) = load_corpus(
        str(lines(tmp_path / "a.jsonl", {"messages": chat})), tokenizer=tiny_tokenizer
    )
    assert document.text == tiny_tokenizer.apply_chat_template(chat, tokenize=False)
    assert [s.text for s in document.segments if s.trained] == [
        "はい一です<|im_end|>\n", "はい二です<|im_end|>\n",
    ]  # fmt: skip
    assert document.append_eos is False


def test_conversational_prompt_and_completion(tmp_path: Path, tiny_tokenizer: Any) -> None:
    row = {
        "prompt": [{"role": "user", "content": "問い"}],
        "completion": [{"role": "assistant", "content": "答え"}],
    }
    (document,) = load_corpus(str(lines(tmp_path / "a.jsonl", row)), tokenizer=tiny_tokenizer)
    assert [s.text for s in document.segments if s.trained] == ["答え<|im_end|>\n"]


def test_messages_without_a_chat_template(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path = lines(tmp_path / "a.jsonl", {"messages": chat})
    assert f"{path}:1: messages need a tokenizer with a chat template" in refusal(str(path))


class Refusing:
    """A tokenizer whose template refuses a system turn, as some models' do."""

    chat_template = "x"

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        if messages[0]["role"] == "system":
            raise ValueError("System role not supported")
        return "".join(m["content"] for m in messages[-2:])  # forgets earlier turns


def test_a_template_that_refuses_is_named_with_the_line(tmp_path: Path) -> None:
    turns = [{"role": r, "content": r} for r in ("system", "user", "assistant")]
    path = lines(tmp_path / "a.jsonl", {"messages": turns})
    expected = f"{path}:1: the chat template refuses these messages (System role not supported)"
    assert expected in refusal(str(path), tokenizer=Refusing())


def test_a_template_that_rewrites_earlier_turns(tmp_path: Path) -> None:
    turns = [{"role": r, "content": f"{r}{n}"} for n in (1, 2) for r in ("user", "assistant")]
    path = lines(tmp_path / "a.jsonl", {"messages": turns})
    assert "rewrites earlier turns" in refusal(str(path), tokenizer=Refusing())


GOOD_LINE = '{"text": "よい行です"}'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{broken", "not valid JSON"),
        ("[1]", "a JSON object is needed, got list"),
        ('{"text": 5}', "field 'text' must be a text, got int"),
        ('{"text": null}', "field 'text' must be a text, got NoneType"),
        ('{"body": "x"}', "no text, prompt with completion, or messages among fields ['body']"),
        ('{"prompt": "x", "completion": 3}', "field 'completion' must be a text"),
        ('{"messages": "x"}', "messages must be a list of objects with role and content"),
        ('{"messages": [{"role": "user"}]}', "messages must be a list of objects"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "messages have no assistant turn"),
        (r'{"text": "\ud800"}', "half a character"),
        (r'{"prompt": "\udc00", "completion": "x"}', "half a character"),
        (r'{"messages": [{"role": "assistant", "content": "\udc00"}]}', "half a character"),
    ],
)
def test_a_broken_line_is_named(
    tmp_path: Path, tiny_tokenizer: Any, line: str, expected: str
) -> None:
    path = write(tmp_path / "a.jsonl", f"{GOOD_LINE}\n\n{line}\n{GOOD_LINE}\n")
    message = refusal(str(path), tokenizer=tiny_tokenizer)
    assert f"{path}:3: " in message
    assert expected in message


def test_a_field_asked_for_and_absent(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "x"})
    assert f"{path}:1: no text" in refusal({"path": str(path), "text_field": "body"})


@pytest.mark.parametrize(
    "options",
    [{"text_field": 5}, {"column": "x"}, {"text_field": "a", "messages": "b"}, {"completion": "a"}],
)
def test_field_options_that_do_not_go_together(tmp_path: Path, options: dict[str, Any]) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "x"})
    assert "text_field, prompt with completion, or messages" in refusal(
        {"path": str(path), **options}
    )


# ---- folders and data sets ------------------------------------------------------------------


def test_a_folder_is_grouped_by_document(tmp_path: Path) -> None:
    for name in ("b.txt", "sub/a.md", "c.md"):
        write(tmp_path / name, paragraphs(3, name))
    write(tmp_path / ".hidden/d.txt", paragraphs(3))
    write(tmp_path / "picture.png", "x")
    documents = load_corpus(str(tmp_path))
    groups = [document.groups for document in documents]
    assert groups == [(f"document:{n}",) for n in ("b.txt", "c.md", "sub/a.md") for _ in range(3)]
    assert {d.source for d in documents} == {"b.txt", "c.md", "sub/a.md"}


def test_records_of_a_folder_keep_their_own_group_too(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", {"text": "一"})
    lines(tmp_path / "b.jsonl", {"text": "一"}, {"text": "二"})
    groups = [document.groups for document in load_corpus(str(tmp_path))]
    assert [g[0] for g in groups] == ["document:a.jsonl", "document:b.jsonl", "document:b.jsonl"]
    assert groups[0][1] == groups[1][1]


@pytest.fixture
def parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of parquet files, as a Hub data set is downloaded."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    folder = tmp_path / "dataset"
    rows = {"text": [f"{LONG}{n}" for n in range(5)], "id": list(range(5))}
    (folder / "data").mkdir(parents=True)
    datasets.Dataset.from_dict(rows).to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    write(folder / "README.md", "# この説明は学習データではありません")
    return folder


def test_a_parquet_folder(parquet: Path) -> None:
    documents = load_corpus(str(parquet))
    assert texts(documents) == [f"{LONG}{n}" for n in range(5)]


def test_tables_and_records_in_hidden_folders_are_no_data(parquet: Path) -> None:
    table = next(parquet.rglob("*.parquet"))
    for hidden in (".git/train.parquet", ".cache/data/train-0.parquet", "data/.old.parquet"):
        (parquet / hidden).parent.mkdir(parents=True, exist_ok=True)
        (parquet / hidden).write_bytes(table.read_bytes())
    lines(parquet / ".cache/train.jsonl", {"text": "隠しフォルダーの記録"})
    assert texts(load_corpus(str(parquet))) == [f"{LONG}{n}" for n in range(5)]
    table.unlink()
    (parquet / "README.md").unlink()
    assert "has no file that can be read" in refusal(str(parquet))


def test_a_parquet_file_with_a_wrong_field(parquet: Path) -> None:
    file = next(parquet.rglob("*.parquet"))
    assert f"{file}, row 0: no text" in refusal({"path": str(file), "text_field": "body"})


def test_a_damaged_parquet_file(parquet: Path) -> None:
    file = next(parquet.rglob("*.parquet"))
    file.write_bytes(b"PAR1 and nothing else")
    assert str(file) in refusal(str(file))


@pytest.mark.parametrize(
    "name", ["/absent/a.txt", "./absent", "~/absent", "absent.jsonl", "a.txt.gz"]
)
def test_a_path_that_is_not_there(name: str) -> None:
    assert f"dataset {name}: no such file or folder" in refusal(name)


def test_a_file_of_unknown_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "a.docx", "x")
    assert ".txt, .md, .html, .htm, .jsonl, .parquet" in refusal(str(path))


@pytest.mark.parametrize("content", ["", "短い", "\n\n\n"])
def test_nothing_to_learn_from(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "a.txt", content)
    assert "holds no text to learn from" in refusal(str(path))


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "has no file that can be read" in refusal(str(tmp_path))


@pytest.mark.parametrize("dataset", ["", {}, {"path": ""}, {"path": 5}])
def test_no_path(dataset: Any) -> None:
    assert "a path or a Hub id is needed" in refusal(dataset)


def test_the_first_documents_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", paragraphs(9))
    assert len(load_corpus(str(path), limit=4)) == 4


# ---- the split ------------------------------------------------------------------------------


def document(text: str, *groups: str) -> Document:
    return Document((Segment(text, True),), groups, "test")


def corpus(groups: int, size: int) -> list[Document]:
    return [
        document(f"文書{g}の段落{n}", f"document:{g}") for g in range(groups) for n in range(size)
    ]


def split(documents: list[Document], train: int, held_out: int, seed: int = 0) -> Any:
    return split_documents(documents, "x", train_size=train, evaluation_size=held_out, seed=seed)


def test_no_group_is_on_both_sides(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / f"{number}.txt", paragraphs(10, f"{number}-"))
    result = load_split(str(tmp_path), train_size=60, evaluation_size=20, seed=0)
    assert (len(result.train), len(result.evaluation)) == (60, 20)
    assert audit_overlap(result.train, result.evaluation).shared_groups == 0


def test_groups_that_are_linked_move_together() -> None:
    documents = corpus(12, 10)
    documents.append(document("橋", "document:0", "document:1", "document:2"))
    for seed in range(5):
        result = split(documents, 60, 20, seed)
        sides = ({d.groups[0] for d in s} for s in (result.train, result.evaluation))
        linked = {"document:0", "document:1", "document:2"}
        assert sum(bool(linked & side) for side in sides) <= 1


def test_a_repeated_text_is_on_one_side_only() -> None:
    documents = corpus(12, 10) + [document("文書0の段落0", f"document:{g}") for g in range(12)]
    result = split(documents, 60, 20)
    assert not set(texts(result.train)) & set(texts(result.evaluation))


def test_the_held_out_side_does_not_depend_on_the_training_size_or_the_order() -> None:
    documents = corpus(12, 10)
    small, large = split(documents, 20, 20), split(documents[::-1], 60, 20)
    assert small.evaluation == large.evaluation
    assert large.train[:20] == small.train


def test_the_seed_decides_what_is_held_out() -> None:
    held_out = {
        frozenset(texts(split(corpus(12, 10), 60, 20, seed).evaluation)) for seed in range(4)
    }
    assert len(held_out) == 4


def test_several_groups_are_held_out_where_there_are_many() -> None:
    result = split(corpus(100, 10), 500, 10)
    assert len(result.evaluation) == 10
    assert len({d.groups for d in result.evaluation}) >= 4, "not one document alone"


def test_a_dominating_document_is_trained_on() -> None:
    documents = corpus(8, 10) + [document(f"長い文書{n}", "document:long") for n in range(200)]
    for seed in range(4):
        result = split(documents, 100, 10, seed)
        assert "document:long" not in {g for d in result.evaluation for g in d.groups}


def test_too_few_documents_say_what_there_is() -> None:
    with pytest.raises(DataError, match="20 different documents in 2 groups; 10 can be held out"):
        split(corpus(2, 10), 15, 5)
    with pytest.raises(DataError, match="both be above 0"):
        split(corpus(2, 10), 0, 5)


# ---- the overlap audit ----------------------------------------------------------------------

BASE = [
    f"第{n}の装置は温度と圧力を{n}秒ごとに記録し、異常があれば担当者に知らせる。" for n in range(40)
]
OTHER = [f"山の上の小屋{n}では朝早くから湯を沸かして客を迎える支度をする。" for n in range(10)]


def audit(train: list[str], evaluation: list[str]) -> Any:
    return audit_overlap([document(t) for t in train], [document(t) for t in evaluation])


def test_clean_sides_read_clean() -> None:
    overlap = audit(BASE, OTHER)
    assert (overlap.exact, overlap.near_duplicates, overlap.shared_sentences) == (0, 0, 0)
    assert overlap.ngram13_share == 0.0
    assert overlap.max_jaccard is None


def test_a_planted_exact_copy_is_found_through_width_and_spaces() -> None:
    train = [*BASE, f"  {OTHER[3]}  ", OTHER[4].replace("4", "\uff14")]
    overlap = audit(train, OTHER)
    assert overlap.exact == 2
    assert overlap.near_duplicates == 2
    assert overlap.max_jaccard == 1.0


def test_a_planted_near_copy_is_found() -> None:
    long = "".join(OTHER[:4])
    near = long.replace("湯を沸かして", "お湯を沸かして", 1)
    overlap = audit([*BASE, near], [long, OTHER[9]])
    assert overlap.exact == 0
    assert overlap.near_duplicates == 1
    assert overlap.max_jaccard is not None
    assert 0.8 <= overlap.max_jaccard < 1.0


def test_a_planted_sentence_is_found_behind_another_register() -> None:
    sentence = "この文だけが両側に現れます。"
    overlap = audit([f"概要: {sentence}別の文です。"], [f"技術解説: {sentence}違う続きです。"])
    assert overlap.shared_sentences == 1
    assert overlap.exact == 0


def test_a_planted_13_gram_is_counted_exactly() -> None:
    """Twenty characters shared give 8 of the evaluation text's 13-grams."""
    shared = "いろはにほへとちりぬるをわかよたれそつね"
    evaluation = "春夏秋冬" * 3 + shared
    overlap = audit([f"東西南北{shared}上下左右"], [evaluation])
    grams = {evaluation[i : i + 13] for i in range(len(evaluation) - 12)}
    assert overlap.ngram13_share == pytest.approx(8 / len(grams))


def test_shared_groups_are_counted() -> None:
    train, evaluation = [document("a", "topic:x")], [document("b", "topic:x", "topic:y")]
    assert audit_overlap(train, evaluation).shared_groups == 1


def test_the_specifications_own_data_would_be_caught() -> None:
    """Four registers around one base text, split at random: what this split is there to avoid."""
    base = "深層学習は人工知能の分野において革命的な技術です。"
    train = [f"技術解説: {base}", f"研究背景: {base}", f"概要: {base} 今後も発展が予想されます。"]
    overlap = audit(train, [f"詳細分析: {base} 課題も存在します。"])
    assert overlap.shared_sentences == 1
    assert overlap.ngram13_share > 0.4
