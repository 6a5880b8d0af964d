"""``lora-bench estimate`` (row 7): predicted memory of a training step; no weights, no GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..config.gpus import Gpu, parse_gpu
from ..errors import ConfigError, ModelError, TargetModulesError
from ..heavy_imports import without_collection
from ..units import to_gib
from .output import Json, Lang, choose_language, print_json, print_table, say
from .sizes import Methods, Model, Trust, chosen_methods, plain_warnings, resolved_text

if TYPE_CHECKING:
    from ..config.methods import Method
    from ..estimate.options import EstimateOptions
    from ..estimate.predict import Estimate, Predictor

_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_PARTS_SHOWN = 2  # of the breakdown, the largest first

Batch = Annotated[int, typer.Option("--batch-size", help="Texts per forward pass")]
Length = Annotated[int, typer.Option("--seq-len", help="Tokens of the longest text")]
Precision = Annotated[
    str | None,
    typer.Option(
        help="fp32, bf16, fp16: weights and compute; amp-bf16, amp-fp16: fp32 weights under "
        "autocast  [default: amp-bf16]"
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, bfloat16 or float16: short for --precision fp32, bf16 or fp16"),
]
Optimizer = Annotated[
    str,
    typer.Option(
        help="adamw_torch, adamw_torch_fused, adamw_8bit, paged_adamw_8bit, adafactor or sgd"
    ),
]
Checkpointing = Annotated[
    bool, typer.Option("--gradient-checkpointing", help="Recompute activations in backward")
]
Attention = Annotated[str, typer.Option(help="sdpa, eager or flash")]
Padded = Annotated[
    bool,
    typer.Option("--padded/--packed", help="Texts of different lengths, or all of full length"),
]
AdapterDtype = Annotated[
    str, typer.Option(help="auto (as PEFT: fp32 on a half-precision base), float32 or bfloat16")
]
Quantization = Annotated[str, typer.Option(help="Of the frozen base: none, nf4 or int8")]
Accumulation = Annotated[int, typer.Option(help="Forward passes per optimizer step")]
GradNorm = Annotated[float, typer.Option("--max-grad-norm", help="Gradient clipping; 0: none")]
Loop = Annotated[
    str, typer.Option(help="trainer: the engine of 'run'; plain: a hand-written PyTorch loop")
]
Device = Annotated[str, typer.Option(help="cuda or cpu: whose kernels and allocator")]
GpuName = Annotated[
    list[str] | None,
    typer.Option(
        "--gpu",
        metavar="<str>",
        help="A name such as RTX-4090, or a size such as 24GiB: does it fit?",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 3 unless every method fits --gpu")]


@dataclass(frozen=True)
class _Row:
    """One method: what it is predicted to need, and whether that fits."""

    label: str
    found: Estimate
    needed: int  # bytes the device must have
    fits: bool | None  # None without a GPU to fit
    largest: dict[str, int | None] | None

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``estimate --json``."""
        values = self.found.to_dict()
        return {
            **values,
            "fits": self.fits,
            "largest": self.largest,
            "seconds": values["seconds"],
            "label": self.label,
            "needed_bytes": self.needed,
        }


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(estimate)


def estimate(
    model: Model,
    methods: Methods = None,
    batch_size: Batch = 4,
    seq_len: Length = 512,
    precision: Precision = None,
    dtype: Dtype = None,
    optimizer: Optimizer = "adamw_torch",
    gradient_checkpointing: Checkpointing = False,
    attention: Attention = "sdpa",
    padded: Padded = True,
    adapter_dtype: AdapterDtype = "auto",
    quantization: Quantization = "none",
    accumulation: Accumulation = 1,
    max_grad_norm: GradNorm = 1.0,
    loop: Loop = "trainer",
    device: Device = "cuda",
    gpu: GpuName = None,
    strict: Strict = False,
    trust_remote_code: Trust = False,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """Peak memory of a training step, predicted: no weights are loaded, no GPU is needed.

    Examples:

    lora-bench estimate llama-2-7b lora:r=32,targets=q_proj+k_proj+v_proj+o_proj

    lora-bench estimate llama-3.1-8b full lora:r=16,targets=all-linear --gpu RTX-4090 --seq-len 2048

    lora-bench estimate ./my-model lora:r=8,targets=all-linear --quantization nf4 --dtype bfloat16
    --gpu 16GiB --strict
    """
    from ..estimate.options import EstimateOptions

    language = choose_language(lang)
    if gpu and len(gpu) > 1:
        raise typer.BadParameter("give it once", param_hint="--gpu")
    if strict and not gpu:
        raise typer.BadParameter("needs --gpu NAME or a size such as 24GiB", param_hint="--strict")
    card = parse_gpu(gpu[0]) if gpu else None
    options = EstimateOptions(
        batch_size=batch_size,
        seq_len=seq_len,
        precision=_precision(precision, dtype),
        optimizer=optimizer,
        gradient_checkpointing=gradient_checkpointing,
        attention=attention,
        padded=padded,
        adapter_dtype=adapter_dtype,
        quantization=quantization,
        accumulation=accumulation,
        max_grad_norm=max_grad_norm,
        loop=loop,
        device=device,
        arch=None if card is None else card.arch,
    )
    with without_collection():
        from ..estimate import predict  # noqa: F401  (torch, transformers and peft)
    asked = chosen_methods(model, methods, trust_remote_code, language)
    with plain_warnings():
        rows = _estimates(model, asked, options, card, trust_remote_code, bool(methods), language)
    every_one = len(rows) == len(asked) and all(row.fits for row in rows)
    if as_json:
        print_json([row.to_dict() for row in rows])
    else:
        _print(rows, options, card, language)
    if strict and not every_one:  # a method that could not be estimated does not fit
        raise typer.Exit(3)


def _precision(precision: str | None, dtype: str | None) -> str:
    if dtype is None:
        return precision or "amp-bf16"
    if dtype not in _DTYPES:
        raise ConfigError(
            f"--dtype {dtype}: must be one of {', '.join(_DTYPES)}",
            f"--dtype {dtype}: {', '.join(_DTYPES)} のいずれかを指定してください",
        )
    if precision not in (None, _DTYPES[dtype]):
        raise ConfigError(
            f"--dtype {dtype} means --precision {_DTYPES[dtype]}, not {precision}; give one of "
            "them",
            f"--dtype {dtype} は --precision {_DTYPES[dtype]} を意味し、{precision} と合いません。"
            "どちらか一方を指定してください",
        )
    return _DTYPES[dtype]


def _estimates(
    model: str,
    methods: Sequence[Method],
    options: EstimateOptions,
    gpu: Gpu | None,
    trust_remote_code: bool,
    typed: bool,
    language: str,
) -> list[_Row]:
    """A row for each method. What was typed must work; of the default list, what can be."""
    from ..estimate.predict import Predictor

    rows: list[_Row] = []
    failure: Exception | None = None
    for method in methods:
        try:
            rows.append(_row(Predictor(model, method, options, trust_remote_code), gpu))
        except (ConfigError, ModelError, TargetModulesError) as error:
            if typed:
                raise
            failure = error
            say(
                language,
                f"{method.label}: 除きました ({error.text('ja')})",
                f"{method.label}: left out ({error.text('en')})",
            )
    if failure is not None and not rows:
        raise failure
    return rows


def _row(predictor: Predictor, gpu: Gpu | None) -> _Row:
    from ..estimate.fitting import largest_that_fits, needed_bytes

    found = predictor.estimate()
    needed, label = needed_bytes(found), predictor.method.label
    if gpu is None:
        return _Row(label, found, needed, None, None)
    largest = largest_that_fits(predictor, gpu.total_bytes)
    plain = None if largest is None else {**largest}
    return _Row(label, found, needed, needed <= gpu.total_bytes, plain)  # type: ignore[arg-type]


# ---- what people read -------------------------------------------------------------------------


def _print(rows: Sequence[_Row], options: EstimateOptions, gpu: Gpu | None, language: str) -> None:
    ja = language == "ja"
    head = ["手法", "ピーク GiB", "内訳"] if ja else ["method", "peak GiB", "at the peak"]
    if options.device == "cuda":
        head.append("予約 GiB" if ja else "reserved GiB")
    if gpu is not None:
        head[1:1] = [gpu.name]
        head.append("収まる最大" if ja else "largest that fits, one varied")
    table = [head, *(_cells(row, language) for row in rows)]
    print_table(table, right=(1,) if gpu is None else (2,))
    typer.echo()
    for row in rows:
        method = row.found.options["method"]
        if method["kind"] != "full":
            typer.echo(f"{row.label}: {resolved_text(method)}")
    _print_notes(rows, options, gpu, language)


def _cells(row: _Row, language: str) -> list[str]:
    cells = [row.label]
    if row.fits is not None:
        ja, en = ("収まる", "fits") if row.fits else ("収まらない", "does not fit")
        cells.append(ja if language == "ja" else en)
    cells += [_gib(row.found.peak_allocated_bytes), _parts(row.found, language)]
    if row.found.peak_reserved_range_bytes is not None:
        low, high = map(_gib, row.found.peak_reserved_range_bytes)
        cells.append(low if low == high else f"{low}–{high}")
    if row.fits is not None:
        cells.append(_largest(row.largest, language))
    return cells


def _parts(found: Estimate, language: str) -> str:
    """Phase of the peak and what most of it consists of."""
    from ..report.texts import wording

    words = wording(language)
    by_size = sorted(found.breakdown.items(), key=lambda item: -item[1])[:_PARTS_SHOWN]
    parts = ", ".join(f"{_gib(size)} {words.known('part', name)}" for name, size in by_size)
    return f"{words.known('phase', found.peak_phase)}; {parts}"


def _largest(largest: dict[str, int | None] | None, language: str) -> str:
    if largest is None:
        return "なし" if language == "ja" else "none"
    names = {"batch_size": ("バッチ", "batch"), "seq_len": ("長さ", "length")}
    if largest["rank"] is not None:
        names["rank"] = ("ランク", "rank")
    parts = []
    for key, (ja, en) in names.items():
        value = largest[key]
        shown = f"{value:,}" if value is not None else ("なし" if language == "ja" else "none")
        parts.append(f"{ja if language == 'ja' else en} {shown}")
    return " · ".join(parts)


def _print_notes(
    rows: Sequence[_Row], options: EstimateOptions, gpu: Gpu | None, language: str
) -> None:
    typer.echo(_step(options, language))
    context = rows[0].found.context_bytes
    if context:
        say(
            language,
            f"予約 (PyTorch が確保する量) の外に、ドライバーとカーネルが約 {_gib(context)} GiB "
            "使います (定数)。" + ("判定ではこれを足しています。" if gpu else ""),
            f"Outside of what PyTorch reserves, the driver and kernels take about {_gib(context)} "
            "GiB (a constant)." + (" It is added to decide what fits." if gpu else ""),
            err=False,
        )
    if gpu is not None:
        size = f"{gpu.name}: {to_gib(gpu.total_bytes):.2f} GiB"
        kind = {"nominal": ("公称値", "nominal"), "given": ("", "")}.get(
            gpu.memory, ("デバイスの報告値", "as the device reports it")
        )
        say(
            language,
            size + (f" ({kind[0]})" if kind[0] else ""),
            size + (f" ({kind[1]})" if kind[1] else ""),
            err=False,
        )
    say(
        language,
        "すべて推定値 (ESTIMATED) です。学習は実行していません。",
        "All of this is ESTIMATED: nothing was run.",
        err=False,
    )


def _step(options: EstimateOptions, language: str) -> str:
    """The options of the step on one line."""
    plain = replace(options, arch=None).to_dict()
    shown = {key: value for key, value in plain.items() if value is not None}
    parts = ", ".join(f"{key}={str(v).lower()}" for key, v in shown.items())
    return f"{'学習ステップ' if language == 'ja' else 'step'}: {parts}"


def _gib(nbytes: int) -> str:
    """One decimal, three below 1 GiB."""
    value = to_gib(nbytes)
    return f"{value:.1f}" if value >= 1 else f"{value:.3f}"
