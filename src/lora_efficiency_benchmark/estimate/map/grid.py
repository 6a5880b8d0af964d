"""A map as rows of a table (row 4): both arms at every point of a grid, their ratios, what fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...config.gpus import Gpu
from ...plan import AS_PRACTISED, CONTROLLED
from ..recording import Point
from ..stream import Ints
from .pieces import STEP
from .values import QUANTIZED, Entry, ModelMap, Request, Setting, method_label, workspace_bytes

COLUMNS = (
    "model", "basis", "reading", "method", "targets", "rank", "batch_size", "seq_len",
    "tokens_per_step", "full_precision", "lora_precision", "optimizer", "gradient_checkpointing",
    "full_peak_allocated_bytes", "lora_peak_allocated_bytes", "memory_reduction_ratio",
    "full_trainable_parameters", "lora_trainable_parameters", "parameter_reduction_ratio", "gpu",
    "full_fits", "lora_fits",
)  # fmt: skip
_FULL_PRECISION = "amp-bf16"  # of full fine-tuning, where the adapter's base is only frozen
_FROZEN = ("bf16", "fp16", *QUANTIZED)


def grid(request: Request) -> tuple[list[int], list[int]]:
    """Batches and lengths that double, each with the largest of the map."""
    return _doubling(1, request.max_batch), _doubling(STEP, request.max_length)


def rows(
    found: ModelMap,
    gpu: Gpu | None = None,
    batches: Sequence[int] | None = None,
    lengths: Sequence[int] | None = None,
) -> Iterator[dict[str, Any]]:
    """A row for every adapter, setting and point; both arms in bytes and in parameters.

    ``reading`` is controlled where both arms have one precision, and as-practised where full
    fine-tuning is in amp-bf16 and the adapter's frozen base in half precision or less. ``*_fits``
    is yes, no, or close (between the least and the most that may be reserved); None without a GPU.
    """
    usual = grid(found.request)
    points = [(b, s) for b in batches or usual[0] for s in lengths or usual[1]]
    for (method, setting), entry in found.entries.items():
        if method == 0:
            continue
        for reading, other in _readings(setting):
            against = found.entries.get((0, other))
            if against is not None:
                yield from _pair(found, gpu, reading, against, entry, points)


def _readings(setting: Setting) -> Iterator[tuple[str, Setting]]:
    """The settings of full fine-tuning that an adapter's setting is compared with."""
    if setting.precision not in QUANTIZED:
        yield CONTROLLED, setting
    if setting.precision in _FROZEN:
        yield (
            AS_PRACTISED,
            Setting(_FULL_PRECISION, setting.optimizer, setting.checkpointing),
        )


def _pair(
    found: ModelMap,
    gpu: Gpu | None,
    reading: str,
    full: Entry,
    adapted: Entry,
    pairs: Sequence[tuple[int, int]],
) -> Iterator[dict[str, Any]]:
    request, method = found.request, found.request.methods[adapted.method]
    ranks = request.ranks if method.adapter is not None else (1,)
    points = [(b, s, r) for r in ranks for b, s in pairs]
    extra, everything = workspace_bytes(gpu), found.trainable_at(0, 1)
    all_bytes: Ints = full.peaks([(b, s, 1) for b, s, _ in points]) + extra
    few_bytes: Ints = adapted.peaks(points) + extra
    shared = {
        "model": request.model,
        "basis": "ESTIMATED",
        "reading": reading,
        "method": method_label(method),
        "targets": "" if method.adapter is None else "+".join(method.adapter.target_modules),
        "full_precision": full.setting.precision,
        "lora_precision": adapted.setting.precision,
        "optimizer": adapted.setting.optimizer,
        "gradient_checkpointing": adapted.setting.checkpointing,
        "full_trainable_parameters": everything,
        "gpu": None if gpu is None else gpu.name,
    }
    for point, most, few in zip(points, all_bytes.tolist(), few_bytes.tolist(), strict=True):
        trained = found.trainable_at(adapted.method, point[2])
        yield {
            **shared,
            **_place(point, ranked=method.adapter is not None),
            "full_peak_allocated_bytes": most,
            "lora_peak_allocated_bytes": few,
            "memory_reduction_ratio": most / few,
            "lora_trainable_parameters": trained,
            "parameter_reduction_ratio": everything / trained if trained else None,
            "full_fits": _fits(full, most, point, gpu),
            "lora_fits": _fits(adapted, few, point, gpu),
        }


def _place(point: Point, ranked: bool) -> dict[str, Any]:
    batch, length, rank = point
    return {
        "rank": rank if ranked else None,
        "batch_size": batch,
        "seq_len": length,
        "tokens_per_step": batch * length,
    }


def _fits(entry: Entry, allocated: int, point: Point, gpu: Gpu | None) -> str | None:
    if gpu is None:
        return None
    return entry.fit(allocated, point[0] * point[1], gpu.total_bytes)


def _doubling(low: int, high: int) -> list[int]:
    values = [low]
    while values[-1] < high:
        values.append(min(2 * values[-1], high))
    return values
