"""``lora-bench map`` (row 7): where in batch, length and rank a claim holds, page and CSV."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config.gpus import Gpu, load_gpus, parse_gpu
from ..errors import ConfigError
from ..heavy_imports import without_collection
from ..language import Statement
from .output import Lang, check_writable, choose_language, say
from .sizes import Model, Trust, plain_warnings

if TYPE_CHECKING:
    from ..config.methods import Method
    from ..estimate.map.values import ModelMap

_PRECISIONS = ("amp-bf16", "bf16")
_OPTIMIZERS = ("adamw_torch", "adamw_8bit")
_CHECKPOINTING = {"off": (False,), "on": (True,), "both": (False, True)}
_RANKS = (4, 8, 16, 32, 64, 128, 256)
_MAX_BATCH, _MAX_LENGTH = 64, 8192
_MOST_JOBS = 8

Methods = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="METHOD",
        help="Adapters to choose from: lora:r=16,targets=q_proj+v_proj[,dora=true]..., or "
        "peft:FOLDER. The rank is where its slider starts. Default: LoRA on the specification's "
        "target modules, in the model's own names, and on all linear layers",
    ),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="The page, one HTML file")]
Csv = Annotated[Path | None, typer.Option("--csv", help="The same as a table, both arms a row")]
Precisions = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        help="fp32, bf16, fp16, amp-bf16, amp-fp16, or for adapters nf4 and int8 (frozen base "
        "quantised, bf16 compute); may be repeated  [default: amp-bf16 and bf16]",
    ),
]
Optimizers = Annotated[
    list[str] | None,
    typer.Option(
        "--optimizer", help="May be repeated  [default: adamw_torch and adamw_8bit]; see estimate"
    ),
]
Checkpointing = Annotated[str, typer.Option(help="Gradient checkpointing: off, on or both")]
Ranks = Annotated[
    list[int] | None,
    typer.Option("--rank", help="A rank of the slider; may be repeated  [default: 4 to 256]"),
]
MaxBatch = Annotated[int, typer.Option(help="The largest batch of the map")]
MaxLength = Annotated[
    int | None,
    typer.Option(help="The longest length; default: the model's own, 8192 at most"),
]
Attention = Annotated[str, typer.Option(help="sdpa, eager or flash")]
Padded = Annotated[
    bool,
    typer.Option("--padded/--packed", help="Texts of different lengths, or all of full length"),
]
GpuName = Annotated[
    str | None,
    typer.Option("--gpu", help="A name such as RTX-4090, or a size such as 24GiB, to begin with"),
]
Claims = Annotated[str, typer.Option(help="Claims preset or YAML file")]
Jobs = Annotated[
    int | None, typer.Option(help="Processes that trace; default: one a core, 8 at most")
]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(name="map")(map_command)


def map_command(
    model: Model,
    output: Output,
    methods: Methods = None,
    csv_path: Csv = None,
    precisions: Precisions = None,
    optimizers: Optimizers = None,
    checkpointing: Checkpointing = "both",
    ranks: Ranks = None,
    max_batch: MaxBatch = _MAX_BATCH,
    max_length: MaxLength = None,
    attention: Attention = "sdpa",
    padded: Padded = True,
    gpu: GpuName = None,
    claims: Claims = "paper-r5",
    jobs: Jobs = None,
    trust_remote_code: Trust = False,
    lang: Lang = None,
) -> None:
    """Where a memory claim holds: a page with sliders for batch, length and rank, and a table.

    Every combination of methods, precisions, optimizers and checkpointing is traced without
    weights and without a GPU: a few seconds each. Narrow the options to be done sooner.

    Example: lora-bench map llama-2-7b -o explorer.html --csv map.csv --gpu RTX-4090
    """
    language = choose_language(lang)
    claimed, card = _claimed(claims), parse_gpu(gpu) if gpu else None
    if checkpointing not in _CHECKPOINTING:
        known = ", ".join(_CHECKPOINTING)
        raise ConfigError(
            f"--checkpointing {checkpointing}: must be one of {known}",
            f"--checkpointing {checkpointing}: {known} のいずれかを指定してください",
        )
    if jobs is not None and jobs < 1:
        raise ConfigError(
            f"--jobs {jobs}: must be at least 1; leave it out for one a core",
            f"--jobs {jobs}: 1以上を指定してください。省くとコアごとに1プロセスです",
        )
    for path in filter(None, (output, csv_path)):  # before minutes of tracing, not after them
        check_writable(path)
    with without_collection():
        from ..estimate.map.flow import longest_length, map_model
        from ..estimate.map.values import Request
    with plain_warnings():
        adapters, start = _methods(model, methods, trust_remote_code, language)
        wished = _MAX_LENGTH if max_length is None else max_length
        longest = longest_length(model, trust_remote_code, wished)
        if max_length is not None and longest != max_length:
            _say_length(max_length, longest, language)
        request = Request(
            model=model,
            methods=adapters,
            precisions=_once(precisions, _PRECISIONS),
            optimizers=_once(optimizers, _OPTIMIZERS),
            checkpointing=_CHECKPOINTING[checkpointing],
            ranks=_ranks(ranks, start),
            max_batch=max_batch,
            max_length=longest,
            attention=attention,
            padded=padded,
            trust_remote_code=trust_remote_code,
        )
        found = map_model(request, _cores() if jobs is None else jobs, partial(_progress, language))
    _say_left_out(found, language)
    _say_error(found, language)
    _write(output, _page(found, language, claimed, card, start), language)
    if csv_path is not None:
        _write(csv_path, table_text(found, card), language)


def table_text(found: ModelMap, gpu: Gpu | None) -> str:
    """The map as CSV (RFC 4180), texts made harmless for a spreadsheet."""
    from ..estimate.map.grid import COLUMNS, rows
    from ..report.paper.csv_table import cell

    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for row in rows(found, gpu):
        writer.writerow({name: cell(value) for name, value in row.items()})
    return out.getvalue()


def _page(
    found: ModelMap,
    language: str,
    claimed: dict[str, float],
    gpu: Gpu | None,
    start: int | None,
) -> str:
    from ..report.page.explorer import render_explorer

    gpus = list(load_gpus().values())
    if gpu is not None and gpu.name not in load_gpus():
        gpus.insert(0, gpu)
    name = None if gpu is None else gpu.name
    return render_explorer(found.to_dict(gpus), language, claimed, name, start)


def _claimed(source: str) -> dict[str, float]:
    """The ratios that the claims name for parameters and for memory. Raises ConfigError."""
    from ..config.claims import load_claims

    names = {"parameter_reduction_ratio": "parameters", "memory_reduction_ratio": "memory"}
    found: dict[str, float] = {}
    for claim in load_claims(source):
        if claim.metric in names and claim.comparison == "same-model":
            found.setdefault(names[claim.metric], claim.claimed)
    missing = [metric for metric, name in names.items() if name not in found]
    if missing:
        raise ConfigError(
            f"--claims {source}: has no claim about {missing[0]}",
            f"--claims {source}: {missing[0]} についての主張がありません",
        )
    return found


def _methods(
    model: str, texts: list[str] | None, trust_remote_code: bool, language: str
) -> tuple[tuple[Method, ...], int | None]:
    """Full fine-tuning and the adapters to choose from; the rank that was typed first, if any."""
    from ..config.methods import full, parse_method
    from ..estimate.map.values import method_label

    typed = [parse_method(text) for text in texts or []]
    adapters = [method for method in typed if method.kind != "full"]
    if typed and not adapters:
        raise ConfigError(
            "METHOD full: a map compares it with an adapter; name one, or none",
            "METHOD full: 地図はフルファインチューニングをアダプターと比べます。"
            "アダプターを指定するか、何も指定しないでください",
        )
    start = next((m.adapter.r for m in adapters if m.adapter is not None), None)
    if not adapters:
        adapters = _usual_adapters(model, trust_remote_code, language)
    by_label = {method_label(method): method for method in reversed(adapters)}
    return (full(), *reversed(by_label.values())), start


def _usual_adapters(model: str, trust_remote_code: bool, language: str) -> list[Method]:
    """LoRA on the specification's targets, where the model has such layers, and on all."""
    from ..config.adapters import ALL_LINEAR, parse_adapter
    from ..config.methods import lora
    from ..models.counting import specification_methods

    found, skipped = specification_methods(model, trust_remote_code)
    for entry in {e.reason: e for e in skipped}.values():
        say(
            language,
            f"{entry.label}: 除きました ({entry.reason.ja})",
            f"{entry.label}: left out ({entry.reason.en})",
        )
    targets = [m.adapter.target_modules for m in found if m.adapter is not None]
    return [
        lora(parse_adapter({"r": 16, "target_modules": list(names)}))
        for names in dict.fromkeys([*targets, (ALL_LINEAR,)])
    ]


def _ranks(asked: list[int] | None, start: int | None) -> tuple[int, ...]:
    ranks = {*(asked or _RANKS), *([start] if start is not None else [])}
    if min(ranks) < 1:
        raise ConfigError(
            f"--rank {min(ranks)}: must be at least 1",
            f"--rank {min(ranks)}: 1以上を指定してください",
        )
    return tuple(sorted(ranks))


def _once(asked: list[str] | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(asked or usual))


def _cores() -> int:
    """Cores that this process may use; ``_MOST_JOBS`` at most, as each holds half a GiB."""
    from ..measure.environment import usable_cores

    return min(_MOST_JOBS, usable_cores())


def _progress(language: str, done: int, total: int, what: Statement) -> None:
    typer.echo(f"{done}/{total} {what.text(language)}", err=True)


def _say_length(wished: int, longest: int, language: str) -> None:
    from ..estimate.map.pieces import STEP

    say(
        language,
        f"--max-length {wished}: 地図の長さはモデルの最大長までの {STEP} 刻みなので、{longest} まで"
        "にします",
        f"--max-length {wished}: lengths go in steps of {STEP}, within the model's positions; the "
        f"map ends at {longest}",
    )


def _say_left_out(found: ModelMap, language: str) -> None:
    for entry in found.left_out:
        method, setting = found.request.methods[entry.method].label, entry.setting.name
        say(
            language,
            f"{method}, {setting.ja}: 地図にありません ({entry.reason.ja})",
            f"{method}, {setting.en}: not in the map ({entry.reason.en})",
        )


def _say_error(found: ModelMap, language: str) -> None:
    error, checks = found.largest_error()
    share = f"{100 * error:.2g} %" if error else "0"
    say(
        language,
        f"{checks} 点の正確な追跡との最大の誤差: {share}",
        f"largest error against exact traces at {checks} points: {share}",
    )


def _write(path: Path, text: str, language: str) -> None:
    data = text.encode("utf-8", errors="backslashreplace")
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror})",
            f"{path}: 書き込めません ({error.strerror})",
        ) from None
    kib = f"{len(data) / 1024:,.0f} KiB"
    say(language, f"{path} ({kib}、推定値)", f"{path} ({kib}, ESTIMATED)", err=False)
