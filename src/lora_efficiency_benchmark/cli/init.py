"""``lora-bench init`` (row 7): a first configuration for your model and device, with reasons."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config.benchmark_config import DEFAULT_MODEL
from ..errors import ConfigError
from .output import Lang, check_writable, choose_language, say
from .sizes import Trust, plain_warnings

if TYPE_CHECKING:
    from ..starting import Start

Model = Annotated[
    str,
    typer.Argument(help="A name from 'lora-bench models', Hub id, local folder or .gguf file"),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="The file to write")]
GpuName = Annotated[
    str | None,
    typer.Option(
        "--gpu", help="A name such as RTX-4090, a size such as 24GiB, or cpu; default: this machine"
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(help="Your texts: a file, a folder or a Hub id; default: generated Japanese"),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there")]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(init)


def init(
    model: Model = DEFAULT_MODEL,
    output: Output = Path("config.yaml"),
    gpu: GpuName = None,
    dataset: Dataset = None,
    force: Force = False,
    trust_remote_code: Trust = False,
    lang: Lang = None,
) -> None:
    """Write a first configuration for your model and GPU, the reason beside every value.

    Batch, length and what else decides memory are chosen by the estimator so that full fine-tuning
    fits, or LoRA alone where it cannot; the file says what was estimated. Nothing is trained.

    Example: lora-bench init qwen2.5-1.5b --gpu RTX-4090 -o config.yaml
    """
    language = choose_language(lang)
    _check_names({"MODEL": model, "--dataset": dataset, "--output": str(output)})
    _check_free(output, force)
    say(language, "必要なメモリを推定しています", "estimating what steps need")
    from ..starting import find_start
    from ..starting.text import start_text

    with plain_warnings():
        start = find_start(model, gpu, dataset, trust_remote_code)
    text = start_text(start, language, str(output))
    _check_loads(text)
    _write(output, text)
    _print(start, output, language)


def _check_names(names: dict[str, str | None]) -> None:
    """A file name may hold any bytes; the configuration that shall name it is UTF-8."""
    for option, name in names.items():
        try:
            (name or "").encode()
        except UnicodeEncodeError:
            raise ConfigError(
                f"{option} {name}: the name is not UTF-8, so no configuration file can hold it; "
                "rename it",
                f"{option} {name}: 名前が UTF-8 ではないため、設定ファイルに書けません。"
                "名前を変えてください",
            ) from None


def _check_free(output: Path, force: bool) -> None:
    if output.is_dir():
        raise ConfigError(
            f"{output}: is a folder; name a file with -o",
            f"{output}: フォルダーです。-o でファイル名を指定してください",
        )
    if output.exists() and not force:
        raise ConfigError(
            f"{output}: is there already; --force replaces it, -o names another file",
            f"{output}: すでにあります。--force で置き換えるか、"
            "-o で別のファイル名を指定してください",
        )
    check_writable(output)


def _check_loads(text: str) -> None:
    """What is written can be read: a model or a path may have any name."""
    from ..config.benchmark_config import load_config
    from ..config.yaml_io import parse_yaml

    load_config(parse_yaml(text))


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{output}: cannot be written ({error.strerror or error})",
            f"{output}: 書き込めません ({error.strerror or error})",
        ) from None


def _print(start: Start, output: Path, language: str) -> None:
    from ..units import to_gib

    full, lora = to_gib(start.fit.full_bytes), to_gib(start.fit.lora_bytes)
    limit, name = to_gib(start.target.limit_bytes), start.target.name
    label = start.adapters[-1].label
    if start.fit.full_fits:
        ja, en = "どちらも収まります", "both fit"
    else:
        ja, en = "収まるのは LoRA だけです", "only LoRA fits"
    say(
        language,
        f"推定: フル {full:.1f} GiB、{label} {lora:.1f} GiB、上限 {limit:.1f} GiB ({name})。{ja}。",
        f"ESTIMATED: full {full:.1f} GiB, {label} {lora:.1f} GiB, limit {limit:.1f} GiB "
        f"({name}): {en}.",
        err=False,
    )
    wished, length = start.fit.wished_length, start.fit.step.max_length
    if wished is not None:
        say(
            language,
            f"収めるため、テキストの長さを {wished} から {length} トークンに縮めました。",
            f"To make it fit, texts are cut at {length} tokens instead of {wished}.",
            err=False,
        )
    command = f"lora-bench plan {shlex.quote(str(output))}"
    say(
        language,
        f"{output} に書きました。次: {command}",
        f"Written to {output}. Next: {command}",
        err=False,
    )
