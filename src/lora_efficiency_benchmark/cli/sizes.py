"""Commands about size, on a machine that may have no GPU and no weights (row 7)."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..plain_text import one_line
from .output import Json, Lang, choose_language, print_json, print_table, say

if TYPE_CHECKING:
    from ..config.methods import Method
    from ..models.counting import Skipped

Model = Annotated[
    str,
    typer.Argument(help="A name from 'lora-bench models', Hub id, local folder or .gguf file"),
]
Methods = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="METHOD",
        help="full, lora:r=32,alpha=64,targets=q_proj+v_proj[,dropout=0.1][,dora=true]"
        "[,rslora=true][,save=embed_tokens], or peft:FOLDER with an adapter_config.json. "
        "Left out: alpha = 2r, dropout = 0.1. No METHOD: full and the specification's "
        "configurations",
    ),
]
Trust = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that the model's folder holds")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(count)
    app.command()(models)


def count(
    model: Model,
    methods: Methods = None,
    trust_remote_code: Trust = False,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """Exact parameters of a model under each method; no weights are loaded.

    Example: lora-bench count llama-2-7b full lora:r=32,targets=q_proj+k_proj+v_proj+o_proj
    """
    from ..models.counting import count_methods

    language = choose_language(lang)
    asked = chosen_methods(model, methods, trust_remote_code, language)
    with plain_warnings():
        rows = count_methods(model, asked, trust_remote_code)
    if as_json:
        print_json(rows)
        return
    _print_counts(rows, language)


def models(as_json: Json = False, lang: Lang = None) -> None:
    """Architecture presets: models that can be counted by name, without network or weights.

    Example: lora-bench models --json
    """
    from ..config.architectures import load_architectures

    language = choose_language(lang)
    found = list(load_architectures().values())
    if as_json:
        print_json([architecture.to_dict() for architecture in found])
        return
    head = ("名前", "種類", "パラメータ数", "Hub id")
    rows = [head if language == "ja" else ("name", "type", "parameters", "Hub id")]
    rows += [(a.name, a.model_type, f"{a.parameters:,}", a.hub_id) for a in found]
    print_table(rows, right=(2,))


def chosen_methods(
    model: str, texts: list[str] | None, trust_remote_code: bool, language: str
) -> list[Method]:
    """The methods as typed, else the specification's; what cannot be expressed is said.

    Raises ConfigError, or ModelError when the model cannot be found.
    """
    from ..config.methods import parse_method
    from ..models.counting import specification_methods

    if texts:
        return [parse_method(text) for text in texts]
    found, skipped = specification_methods(model, trust_remote_code)
    for entry in skipped:
        _say_skipped(entry, language)
    return found


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """What libraries warn of, each once as one line, without the path and line of their source."""
    said: set[str] = set()

    def show(message: Warning | str, *_place: object, **_stream: object) -> None:
        text = " ".join(str(message).split())
        if text not in said:
            said.add(text)
            typer.echo(text, err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _say_skipped(entry: Skipped, language: str) -> None:
    say(
        language,
        f"{entry.label}: このモデルの層では表せないため除きました ({entry.reason.ja})。"
        f"代わりの例: {entry.instead}",
        f"{entry.label}: left out, the layers of this model cannot express it ({entry.reason.en}); "
        f"try {entry.instead}",
    )


def _print_counts(rows: list[dict[str, Any]], language: str) -> None:
    ja = ("手法", "学習パラメータ数", "全パラメータ数", "削減比", "学習分 MiB", "モデル MiB")
    en = ("method", "trainable", "total", "reduction", "trainable MiB", "model MiB")
    table = [ja if language == "ja" else en]
    for row in rows:
        ratio = row["parameter_reduction_ratio"]
        table.append((
            row["label"], f"{row['trainable_parameters']:,}", f"{row['total_parameters']:,}",
            "-" if ratio is None else f"{ratio:.1f}x", f"{row['trainable_bytes'] / 2**20:,.1f}",
            f"{row['model_size_mb']:,.1f}",
        ))  # fmt: skip
    print_table(table, right=(1, 2, 3, 4, 5))
    for row in rows:
        if row["resolved"]["kind"] != "full":
            typer.echo(f"{row['label']}: {resolved_text(row['resolved'])}")
    say(
        language,
        "重みは fp32 として数えています。結合された重みは1回だけ数えます。",
        "Bytes are those of fp32 weights; tied weights are counted once.",
        err=False,
    )


def resolved_text(values: dict[str, Any]) -> str:
    """Every value of a method as resolved, as ``key=value`` for a line of text."""
    shown = {
        key: value for key, value in values.items() if key != "kind" and value not in (None, {}, [])
    }
    return one_line(", ".join(f"{key}={_text(value)}" for key, value in shown.items()))


def _text(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
