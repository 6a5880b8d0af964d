"""Every error raised on purpose says the same in English and Japanese, each in its own words."""

from __future__ import annotations

import ast
import builtins
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lora_efficiency_benchmark
from command_line import call
from factories import make_config, make_records
from lora_efficiency_benchmark import errors
from lora_efficiency_benchmark.errors import (
    CellError,
    ConfigError,
    LoraBenchError,
    StoreError,
    UserError,
)
from lora_efficiency_benchmark.execution import on_node, worker
from lora_efficiency_benchmark.execution.endings import death, out_of_time, statement_of
from lora_efficiency_benchmark.execution.launcher import LocalLauncher
from lora_efficiency_benchmark.execution.node_check import choose_nodes
from lora_efficiency_benchmark.execution.nodes import Node
from lora_efficiency_benchmark.importing import NotImportable
from lora_efficiency_benchmark.language import Statement
from lora_efficiency_benchmark.records.store import Store

SOURCE = Path(lora_efficiency_benchmark.__file__).parent
JAPANESE = re.compile("[ぁ-んァ-ヶ一-龠]")
IN_ENGLISH_ONLY = {cls.__name__ for cls in vars(errors).values() if isinstance(cls, type)
                   and issubclass(cls, CellError)}  # fmt: skip
"""The end of one cell is told in its record, which is English."""
IN_BOTH = {
    cls.__name__
    for cls in (*vars(errors).values(), NotImportable, Statement)
    if isinstance(cls, type) and issubclass(cls, LoraBenchError | Statement)
} - IN_ENGLISH_ONLY


def raise_sites() -> Iterator[tuple[str, ast.Call]]:
    """``(file:line, call)`` wherever an error, or words for one, are put together."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and (
                node.func.id in IN_BOTH
            ):  # fmt: skip
                yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.func.id}", node


SITES = dict(raise_sites())


def test_the_sites_are_found() -> None:
    assert len(SITES) > 250
    assert {name.rpartition(" ")[2] for name in SITES} >= {"ConfigError", "DataError", "StoreError"}


def test_every_site_has_its_japanese() -> None:
    lacking = [name for name, site in SITES.items() if _problem(site)]
    assert not lacking, [f"{name}: {_problem(SITES[name])}" for name in lacking]


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("ConfigError(f'{path}: wrong')", "has no Japanese"),
        ("ConfigError('wrong', 'wrong')", "is no Japanese"),
        ("ConfigError(text, text)", "is the English again"),
        ("ConfigError(f'{path}: wrong', '誤りです')", "lacks {'path'}"),
        ("ConfigError(f'{path}: wrong', f'{path}: 誤りです')", ""),
        ("ConfigError(f'{path}: {rule.en}', f'{path}: {rule.ja}です')", ""),
        ("ConfigError(*texts)", ""),
        ("ConfigError(en, ja)", ""),
    ],
)
def test_what_counts_as_lacking(code: str, problem: str) -> None:
    site = ast.parse(code, mode="eval").body
    assert isinstance(site, ast.Call)
    assert _problem(site) == problem


def _problem(site: ast.Call) -> str:
    """What the Japanese of a site lacks; empty where it has all that the English has."""
    if any(isinstance(one, ast.Starred) for one in site.args):
        return ""
    if len(site.args) != 2:
        return "has no Japanese"
    en, ja = site.args
    if ast.dump(en) == ast.dump(ja) and ast.unparse(en) != "''":
        return "is no Japanese" if isinstance(ja, ast.Constant) else "is the English again"
    if isinstance(ja, ast.Constant | ast.JoinedStr) and not _says(ja, en):
        return "is no Japanese"
    missing = _names(en) - _names(ja) if isinstance(en, ast.JoinedStr) else set()
    return f"lacks {missing}" if missing else ""


def _says(ja: ast.expr, en: ast.expr) -> bool:
    """False for words without a Japanese letter; a place before what differs needs none."""
    own = re.search("[A-Za-z]{2}", _literal(en)) and _literal(ja) != _literal(en)
    return bool(JAPANESE.search(_literal(ja))) or not own


def _literal(text: ast.expr) -> str:
    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
    return "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))


def _names(text: ast.expr) -> set[str]:
    """Variables in a text; ``rule_ja`` is the Japanese of ``rule``."""
    names = {node.id for node in ast.walk(text) if isinstance(node, ast.Name)}
    return {name.removesuffix("_ja") for name in names} - set(vars(builtins))


# ---- the error itself ----------------------------------------------------------------------------


def test_an_error_is_english_to_programs_and_either_to_people() -> None:
    error = ConfigError("a: wrong\x1b[31m", "a: 誤り\u202eです")
    assert str(error) == error.text("en") == "a: wrong?[31m"
    assert error.text("ja") == "a: 誤り?です"


def test_an_error_without_japanese_is_told_in_english() -> None:
    assert errors.DivergedCell("loss is nan").text("ja") == "loss is nan"


@pytest.mark.parametrize("error", [StoreError("en", "日"), NotImportable("en", "日")])
def test_both_texts_survive_a_process_boundary(error: LoraBenchError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.text("ja")) == (type(error), "en", "日")


def test_within_names_the_place_in_both() -> None:
    error = NotImportable("en", "日").within("a.json")
    assert type(error) is NotImportable
    assert str(error) == "a.json: en"
    assert error.text("ja") == error.reason.ja == "a.json: 日"


# ---- the command line ---------------------------------------------------------------------------

ENGLISH_LINE = "lora-bench: compare: takes 2 to 9 folders, got 1\n"
JAPANESE_LINE = "lora-bench: compare: フォルダーは2個から9個まで指定できます (現在: 1個)\n"


@pytest.mark.parametrize(
    ("options", "locale", "line"),
    [
        ((), {"LANG": "ja_JP.UTF-8"}, JAPANESE_LINE),
        ((), {"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, ENGLISH_LINE),
        ((), {}, ENGLISH_LINE),
        (("--lang", "ja"), {}, JAPANESE_LINE),
        (("--lang=ja",), {"LC_ALL": "C"}, JAPANESE_LINE),
        (("--lang", "en"), {"LC_ALL": "ja_JP.UTF-8"}, ENGLISH_LINE),
        (("--lang", "en", "--lang", "ja"), {}, JAPANESE_LINE),
    ],
)
def test_the_line_is_in_the_language_asked(
    options: tuple[str, ...],
    locale: dict[str, str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _locale(monkeypatch, locale)
    assert call(monkeypatch, "compare", "one", *options) == 1
    assert capsys.readouterr() == ("", line)


def test_a_language_that_there_is_not_is_told_in_that_of_the_locale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _locale(monkeypatch, {"LC_ALL": "ja_JP.UTF-8"})
    assert call(monkeypatch, "compare", "one", "two", "--lang", "fr") == 1
    assert capsys.readouterr().err == "lora-bench: --lang fr: ja か en を指定してください\n"


CONFIGURATIONS = {
    "colour: red\n": "不明なキー 'colour' があります",
    "training_step: 3\n": "'training_steps' のことですか",
    "seeds: 0\n": "seeds: 1以上2,147,483,647以下の整数を指定してください (現在の値: 0)",
    "a: 1\na: 2\n": "2行目が通常の YAML ではありません: キー 'a' が2回あります",
    "a: !!bool maybe\n": "通常の YAML ではありません: 値がタグと合いません",
    "lora_configurations: [{r: 0}]\n": "lora_configurations[0].r: ランクには1以上の整数",
    "lora_configurations: [{r: 4, target_modules: q, dropout: 1}]\n": "0.0以上の、1.0未満の数を",
    "learning_rate: 1.0e-4\nlauncher: {processes: 99}\n": "launcher.processes: 1以上64以下の整数",
    "search: {trials: 1}\nlearning_rates: search\n": "search.trials: 3以上2,147,483,647以下",
}


@pytest.mark.parametrize(("content", "words"), CONFIGURATIONS.items())
def test_a_wrong_configuration_is_told_in_japanese_with_its_place(
    content: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content, encoding="utf-8")
    assert call(monkeypatch, "plan", path, "--lang", "ja") == 1
    line = capsys.readouterr().err
    assert line.startswith(f"lora-bench: {path}: ")
    assert words in line


def test_set_is_blamed_in_both_languages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for language in ("ja", "en"):
        assert call(monkeypatch, "plan", "--set", "seeds=0", "--lang", language) == 1
        assert capsys.readouterr().err.startswith("lora-bench: --set: seeds: ")


def test_a_bad_record_is_told_in_japanese_with_its_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (record, *_) = make_records(make_config())
    store = Store(tmp_path)
    store.create()
    written = store.write_record(record)
    values = json.loads(written.read_text(encoding="utf-8"))
    values["seconds"] = {"train": "long"}
    written.write_text(json.dumps(values), encoding="utf-8")
    assert call(monkeypatch, "analyze", tmp_path, "--lang", "ja") == 1
    line = capsys.readouterr().err
    assert "(seconds.train は数でなければなりません (現在の値: 'long'))。別の場所へ移すか" in line
    assert call(monkeypatch, "analyze", tmp_path, "--lang", "en") == 1
    line = capsys.readouterr().err
    assert "not a cell record (seconds.train must be a number, got 'long'); move it away" in line


def _locale(monkeypatch: pytest.MonkeyPatch, locale: dict[str, str]) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)


# ---- between processes --------------------------------------------------------------------------


def refuse(*_: Any) -> Any:
    raise ConfigError("en", "日")


def test_the_worker_tells_both() -> None:
    events: list[dict[str, Any]] = []
    worker.answer(refuse, events.append)
    assert statement_of(events[-1]) == ("en", "日")
    worker.answer(lambda: {}["x"], events.append)  # a library's own words
    assert statement_of(events[-1]) == ("KeyError: 'x'", "KeyError: 'x'")


@pytest.mark.parametrize("event", [out_of_time(90), death(-9, None), death(-11, None), death(3, 0)])
def test_the_end_of_a_process_is_told_in_both(event: dict[str, Any]) -> None:
    en, ja = statement_of(event)
    assert JAPANESE.search(ja)
    assert not JAPANESE.search(en)


@pytest.mark.parametrize(("kind", "prefix"), [("user_error", ""), ("error", "実行前の確認に失敗")])
def test_the_launcher_raises_what_the_worker_told(
    kind: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = {"event": kind, "message": "en", "message_ja": "日"}
    launcher = LocalLauncher()
    monkeypatch.setattr(launcher, "_ask", lambda *_: event)
    with pytest.raises(LoraBenchError, match=r"en$") as caught:
        launcher.preflight(make_config())
    assert caught.value.text("ja").startswith(prefix)
    assert caught.value.text("ja").endswith("日")


def test_a_node_of_a_cluster_tells_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(on_node._ANSWERS, "check", refuse)
    told = on_node.answer({"do": "check", "folder": "absent", "variables": {}, "threads": 1})
    assert on_node.refusal_of(told) == ("en", "日")
    node = Node("1", "one", 1, 1, 0)
    with pytest.raises(UserError, match=r"^en$") as caught:
        choose_nodes({"1": node}, {"1": told}, None)
    assert caught.value.text("ja") == "日"
