"""Writes docs/cli.md and docs/ja/cli.md from what ``lora-bench COMMAND --help`` says.

python docs/make_cli_help.py            write both pages
python docs/make_cli_help.py --check    write nothing; exit 1 where a page is stale
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from lora_efficiency_benchmark.cli import app

DOCS = Path(__file__).parent
WIDTH = 96
ENGLISH, JAPANESE = DOCS / "cli.md", DOCS / "ja" / "cli.md"
GROUPS = {  # in the order of a first day; commands that are listed nowhere come last
    ("Begin", "はじめに"): ["init", "doctor", "presets"],
    ("Measure", "測る"): ["plan", "run"],
    ("Judge and show", "判定と表示"): ["analyze", "recommend", "report", "compare", "import"],
    ("Sizes without a GPU", "GPU なしでわかること"): ["models", "count", "estimate", "map"],
}
OTHERS = ("Other commands", "その他")
SUMMARIES = {  # each command for Japanese readers; the help below it is the program's own
    "init": "モデルと GPU に合わせた設定ファイルを書きます。バッチサイズや長さは、"
    "推定で収まるものを選び、どの値にも理由を添えます。",
    "doctor": "この環境で測定できるか、何が足りないか、どのコマンドで直るかを示します。",
    "presets": "用意されている測定の設定と、検証する主張の一覧です。",
    "plan": "測定するセルの一覧に、予測時間と推定メモリを添えて示します。何も実行しません。",
    "run": "まだ測っていないものだけを測り、判定し、レポートを書きます。"
    "途中で止めても続きから再開します。実行中も report.html を開けます "
    "(約1分ごとに、セルが動いていないときに更新)。",
    "analyze": "記録から判定をやり直します。torch も GPU も要りません。",
    "recommend": "メモリや時間の制限の中で、どの設定を使うべきかを答えます。",
    "report": "レポート、論文用の表、図などを記録から書き出します。",
    "compare": "複数の測定結果を並べ、何が違い、どこまで比べられるかを示します。",
    "import": "ほかのプログラムの測定結果を記録に取り込みます。",
    "models": "名前だけで扱えるモデル構造の一覧です。ネットワークも重みも要りません。",
    "count": "各手法で学習するパラメータの正確な数です。重みは読み込みません。",
    "estimate": "学習1ステップのピークメモリを、重みも GPU も使わずに推定します。",
    "map": "どの条件なら主張が成り立つかを、バッチサイズと長さの平面で調べるページを作ります。",
}
HEADS = {
    ENGLISH: """# Commands

[日本語](ja/cli.md)

Made from `lora-bench COMMAND --help` by `python docs/make_cli_help.py`. Every command that
prints a table also takes `--json`; `--lang ja` or `en` sets the language of what people read,
the one line of an error included. Without it the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that
is set decides. Wrong usage (exit code 2) and what a library says in parentheses stay English.

Exit codes: 0 done, whatever the verdict; 1 something you can mend, told in one line; 2 usage;
3 `--strict` was given and the answer is not a plain yes; 130 interrupted, everything finished
is kept.
""",
    JAPANESE: """# コマンド一覧

[English](../cli.md)

`lora-bench コマンド --help` の出力から `python docs/make_cli_help.py` で作成しています。
表を表示するコマンドには `--json` もあり、`--lang ja` か `en` で、エラーの1行も含めて表示の言語を
選べます。指定がなければ `LC_ALL`、`LC_MESSAGES`、`LANG` の順で、最初に見つかったものに従います。
オプションの説明、使い方の誤り (終了コード2)、かっこの中のライブラリーの言葉は英語です。

終了コード: 0 完了 (判定の内容によらない)、1 直せる問題 (理由を1行で表示)、
2 使い方の誤り、3 `--strict` を付けて条件を満たさなかった、130 中断 (測定済みの分は残る)。
""",
}


def commands() -> dict[str, Any]:
    """Every command by name, as registered."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def help_of(name: str) -> str:
    """What ``lora-bench NAME --help`` prints, at a fixed width."""
    done = CliRunner().invoke(
        app, [name, "--help"], prog_name="lora-bench", terminal_width=WIDTH, color=False
    )
    lines = (line.rstrip() for line in done.output.strip().splitlines())
    return "\n".join(lines)


def examples_of(command: Any) -> list[str]:
    """Its examples, each on one line: ``Example: lora-bench ...`` in the help."""
    text = inspect.cleandoc(command.callback.__doc__ or "")
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    found = (re.search(r"(?:^|Example: )(lora-bench .*)$", part) for part in paragraphs)
    return [match[1] for match in found if match]


def pages() -> dict[Path, str]:
    """Both pages as they should be."""
    known = commands()
    listed = [name for names in GROUPS.values() for name in names]
    groups = {**GROUPS, OTHERS: [name for name in known if name not in listed]}
    texts = dict(HEADS)
    for titles, names in groups.items():
        here = [name for name in names if name in known]
        if not here:
            continue
        for page, title in zip((ENGLISH, JAPANESE), titles, strict=True):
            texts[page] += f"\n## {title}\n"
            texts[page] += "".join(_entry(name, known[name], page) for name in here)
    return texts


def _entry(name: str, command: Any, page: Path) -> str:
    summary = f"{SUMMARIES.get(name, '')}\n\n" if page == JAPANESE else ""
    tried = "\n".join(examples_of(command))
    return f"\n### {name}\n\n{summary}```sh\n{tried}\n```\n\n```text\n{help_of(name)}\n```\n"


def main() -> int:
    """Write the pages, or tell which are stale."""
    stale = [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} is stale; run: python docs/make_cli_help.py")
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
