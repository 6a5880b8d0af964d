"""A model's map: every method under every setting, recorded and reduced (row 4).

Each combination is a task of its own, so that they can be traced in several processes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

from ...config.methods import Method, full
from ...errors import ConfigError, LoraBenchError, both_lines
from ...language import Statement
from ...models.loading import Counts, count
from ...models.structure import apply_method, build_structure
from ..predict import Predictor
from ..recording import Point, Recording
from .pieces import STEP, Piece, pieces, rank_groups
from .reduction import Reduced, reduce_recording
from .values import QUANTIZED, Check, Entry, LeftOut, ModelMap, Request, Setting

_REFERENCES = ((4, 128), (4, 512), (4, 2048), (16, 2048), (64, 2048))  # (batch, length)
_REFERENCE_RANK = 16
_CHECK_LENGTH = 2 * STEP  # between the lengths that a recording is made at
_TASKS_A_PROCESS = 4  # fewer are not worth the seconds that a process takes to start

Progress = Callable[[int, int, Statement], None]  # done, all, what was just done
Task = tuple[Request, int, int, Setting]  # request, its number, method, setting


def map_model(
    request: Request, jobs: int = 1, on_progress: Progress = lambda done, total, what: None
) -> ModelMap:
    """Record every combination, in ``jobs`` processes at most.

    Raises ModelError, TargetModulesError or ConfigError for a model or method that cannot be; a
    combination that cannot be traced is left out, with the reason.
    """
    trainable, total = _counts(request)
    tasks = _tasks(request)
    entries: dict[tuple[int, Setting], Entry] = {}
    left_out: list[LeftOut] = []
    for number, found in enumerate(_results(tasks, jobs)):
        _, _, method, setting = tasks[number]
        if isinstance(found, Entry):
            entries[method, setting] = found
        else:
            left_out.append(LeftOut(method, setting, found))
        label, name = request.methods[method].label, setting.name
        done = Statement(f"{label}, {name.en}", f"{label}、{name.ja}")
        on_progress(number + 1, len(tasks), done)
    if not any(method == 0 for method, _ in entries) or all(method == 0 for method, _ in entries):
        nothing = Statement("nothing to record", "記録するものがありません")
        reason = left_out[0].reason if left_out else nothing
        raise ConfigError(
            f"{request.model}: no map of two arms can be made ({reason.en})",
            f"{request.model}: 2つの条件の地図を作れません ({reason.ja})",
        )
    return ModelMap(request, trainable, total, entries, tuple(left_out))


def longest_length(model: str, trust_remote_code: bool, most: int) -> int:
    """The longest length of the map: a multiple of ``STEP`` within the model's positions.

    Raises ModelError, and ConfigError where the model knows fewer positions than one step.
    """
    if most < STEP:
        raise ConfigError(
            f"--max-length {most}: the map begins at {STEP} tokens; give more",
            f"--max-length {most}: 地図は {STEP} トークンから始まります。もっと大きくしてください",
        )
    config = build_structure(model, trust_remote_code).config
    positions = getattr(config, "max_position_embeddings", None)
    highest = min(most, positions) if isinstance(positions, int) else most
    if highest < STEP:
        raise ConfigError(
            f"{model}: has {positions} positions; the map begins at {STEP} tokens, "
            "use 'lora-bench estimate' instead",
            f"{model}: 最大長が {positions} トークンです。地図は {STEP} トークンから始まるので、"
            "代わりに 'lora-bench estimate' を使ってください",
        )
    return highest // STEP * STEP


def _tasks(request: Request) -> list[Task]:
    """Full fine-tuning and adapters under each setting; quantised weights cannot be trained."""
    pairs = [
        (method, setting)
        for setting in request.settings()
        for method in range(len(request.methods))
        if request.methods[method].kind != "full" or setting.precision not in QUANTIZED
    ]
    return [(request, number, *pair) for number, pair in enumerate(pairs)]


def _results(tasks: Sequence[Task], jobs: int) -> Iterator[Entry | Statement]:
    """One for each task, in order, as they come."""
    jobs = min(jobs, len(tasks) // _TASKS_A_PROCESS)
    if jobs < 2:
        yield from map(record_task, tasks)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads of torch
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            yield from pool.map(record_task, tasks)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def record_task(task: Task) -> Entry | Statement:
    """One combination, or in one line why it cannot be recorded."""
    request, number, method, setting = task
    try:
        return _record(request, number, method, setting)
    except LoraBenchError as error:
        return both_lines(error)


def _record(request: Request, number: int, method: int, setting: Setting) -> Entry:
    asked, options = request.methods[method], request.options(setting)
    predictor = Predictor(request.model, asked, options, request.trust_remote_code)
    ranks = request.ranks if asked.adapter is not None else (1,)
    groups = rank_groups(setting.optimizer, _unit_sizes(request, asked), ranks)
    cut = pieces(request.max_batch, request.max_length, predictor.window(), groups)
    recorded = [predictor.recording(p.seq_len, p.batches, p.ranks) for p in cut]
    reduced = [reduce_recording(r, p.domain) for r, p in zip(recorded, cut, strict=True)]
    checked = number % len(cut)  # over all combinations, every kind of piece has its turn
    return Entry(
        method,
        setting,
        tuple(reduced),
        tuple(_reserved(predictor, list(zip(cut, recorded, strict=True)))),
        (_check(predictor, reduced[checked], lowest=number % 2 == 0),),
    )


def _check(predictor: Predictor, reduced: Reduced, lowest: bool) -> Check:
    """An exact trace at the smallest batch, an early length, and the rank at one end."""
    domain = reduced.domain
    length = min(max(_CHECK_LENGTH, domain.lengths[0]), domain.lengths[1])
    point = (domain.batches[0], length, domain.ranks[0 if lowest else -1])
    traced = predictor.peak_of(predictor.stream(*point)).allocated_bytes
    workspaces = sum(predictor.workspaces())
    return Check(point, traced, int(reduced.peaks([point])[0]) + workspaces)


def _reserved(
    predictor: Predictor, recorded: Sequence[tuple[Piece, Recording]]
) -> list[tuple[int, float, float]]:
    """(tokens, least, most) of reserved per allocated byte, at reference points in the map."""
    found: dict[int, tuple[int, float, float]] = {}
    longest = recorded[0][0].domain.lengths[1]
    for piece, _ in recorded:
        longest = max(longest, piece.domain.lengths[1])
    most_texts = max(piece.domain.batches[1] for piece, _ in recorded)
    ranks = sorted(rank for piece, _ in recorded for rank in piece.domain.ranks)
    rank = min(ranks, key=lambda value: abs(value - _REFERENCE_RANK))
    for batch, length in _REFERENCES:
        point = (min(batch, most_texts), min(length, longest), rank)
        if point[0] * point[1] not in found:
            found[point[0] * point[1]] = (point[0] * point[1], *_ratios(predictor, recorded, point))
    return [found[tokens] for tokens in sorted(found)]


def _ratios(
    predictor: Predictor, recorded: Sequence[tuple[Piece, Recording]], point: Point
) -> tuple[float, float]:
    stream = next(r.at(*point) for piece, r in recorded if point in piece.domain)
    half = (point[0], point[1] // 2 // STEP * STEP, point[2])
    shorter = next((r.at(*half) for piece, r in recorded if half in piece.domain), None)
    allocated = predictor.peak_of(stream).allocated_bytes
    low, high = predictor.reserved_range(stream, shorter)
    return round(low / allocated, 4), round(high / allocated, 4)


# ---- parameters -------------------------------------------------------------------------------


def _counts(request: Request) -> tuple[tuple[tuple[int, int], ...], int]:
    """Trainable parameters of every method as (fixed, more a rank), and those of the model."""
    counted = partial(_counted, request)
    everything = counted(full())
    found = []
    for method in request.methods:
        if method.adapter is None:
            found.append((counted(method).trainable, 0))
            continue
        one, two = (counted(_at_rank(method, rank)).trainable for rank in (1, 2))
        found.append((one - (two - one), two - one))
    return tuple(found), everything.total


def _counted(request: Request, method: Method) -> Counts:
    structure = build_structure(request.model, request.trust_remote_code)
    return count(apply_method(structure, method))


def _unit_sizes(request: Request, method: Method) -> set[int]:
    """Elements of the tensors of an adapter at rank 1; none for a method without a rank."""
    if method.adapter is None:
        return set()
    structure = build_structure(request.model, request.trust_remote_code)
    adapted = apply_method(structure, _at_rank(method, 1))
    return {p.numel() for p in adapted.parameters() if p.requires_grad}


def _at_rank(method: Method, rank: int) -> Method:
    assert method.adapter is not None
    return replace(method, adapter=replace(method.adapter, r=rank))
