"""Model, method and options in; predicted memory out (row 4).

A few decoder layers are traced (``step``), repeated to the model's depth (``layers``), rounded and
replayed as the device's allocator would (``history``, ``allocator``).
"""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from ..config.methods import Method
from ..errors import ConfigError, ModelError
from ..measure.allocations import Peak
from ..models.loading import Counts, count
from ..models.structure import apply_method, build_structure
from ..units import MIB
from .allocator import CachingAllocator, replay
from .history import history
from .layers import NotPeriodic, repeat_layers
from .options import EstimateOptions
from .recording import NotPolynomial, Point, Recording, fit
from .repetition import find_repetition
from .step import record_step
from .stream import Stream
from .workspaces import HANDLES, default_workspace_bytes, with_workspaces

# What the driver and loaded kernels take outside PyTorch's allocator; it varies by driver version.
CONTEXT_BYTES = 512 * MIB
_SEGMENT = 2 * MIB  # what reserved memory is a multiple of


@dataclass(frozen=True)
class Estimate:
    """What a training step is predicted to need, in bytes."""

    model: str
    method: str
    trainable_parameters: int
    total_parameters: int
    peak_allocated_bytes: int
    peak_reserved_range_bytes: list[int] | None  # over allocation histories; None on a CPU
    context_bytes: int  # outside the allocator: driver, kernels
    peak_phase: str
    breakdown: dict[str, int]  # at the moment of the allocated peak; adds up to it
    end_of_step_allocated_bytes: int | None
    options: dict[str, Any]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the keys of ``estimate --json``."""
        return asdict(self)


class Predictor:
    """Traces of one model and method under one set of options; batch, length and rank vary.

    Raises ModelError, TargetModulesError or ConfigError.
    """

    def __init__(
        self, model: str, method: Method, options: EstimateOptions, trust_remote_code: bool = False
    ) -> None:
        if method.kind == "full" and options.quantization != "none":
            raise ConfigError(
                f"--quantization {options.quantization}: quantised weights cannot be trained; "
                "use it with an adapter",
                f"--quantization {options.quantization}: 量子化した重みは学習できません。"
                "アダプターと一緒に使ってください",
            )
        self.model, self.method, self.options = model, method, options
        self.trusted = trust_remote_code
        structure = build_structure(model, trust_remote_code)
        self.config = copy.deepcopy(structure.config)
        adapt = partial(apply_method, method=method)
        whole = adapt(structure)
        self.counts: Counts = count(whole)
        self._repetition = find_repetition(whole, self.config, adapt, trust_remote_code)
        self._streams: dict[tuple[int, int, int], Stream] = {}

    @property
    def rank(self) -> int:
        """LoRA rank; 1 where the method has none."""
        return self.method.adapter.r if self.method.adapter is not None else 1

    def stream(self, batch_size: int, seq_len: int, rank: int | None = None) -> Stream:
        """Events of two optimizer steps, exact bytes, traced at exactly this point."""
        key = (batch_size, seq_len, rank or self.rank)
        if key not in self._streams:
            self._check_length(seq_len)
            self._streams[key] = self._trace(*key)
        return self._streams[key]

    def recording(
        self,
        seq_len: int | None = None,
        batches: tuple[int, int, int] = (3, 5, 4),
        ranks: tuple[int, int, int] = (8, 12, 20),
    ) -> Recording:
        """The step as polynomials in batch (2 and more), length and rank.

        ``batches`` of (1, 1, 1) records a batch of one text, which has no mask and its own path;
        equal ``ranks`` record one rank only: optimizers may treat small adapters differently.

        Exact for lengths with the remainder of ``seq_len`` by 128; a few kernels round lengths up,
        so other lengths are off by some bytes a row. Raises ModelError where the step is not
        polynomial.
        """
        length = seq_len or self.options.seq_len
        ranks = ranks if self._has_rank() else (1, 1, 1)
        points = _points(length, self.window(), batches, ranks)
        try:
            return fit([self._trace(*point) for point in points], points)
        except NotPolynomial as error:
            reason = error.reason
            raise ModelError(
                f"{self.model}, {self.method.label}: cannot be recorded ({reason.en})",
                f"{self.model}、{self.method.label}: 記録できません ({reason.ja})",
            ) from None

    def estimate(self) -> Estimate:
        """The prediction for the options as given."""
        started = time.perf_counter()
        options = self.options
        stream = self.stream(options.batch_size, options.seq_len)
        peak, reserved = self.peak_of(stream), None
        if options.device == "cuda":
            reserved = self.reserved_range(stream, self._shorter(stream))
        return Estimate(
            model=self.model,
            method=self.method.text or self.method.label,
            trainable_parameters=self.counts.trainable,
            total_parameters=self.counts.total,
            peak_allocated_bytes=peak.allocated_bytes,
            peak_reserved_range_bytes=reserved,
            context_bytes=CONTEXT_BYTES if options.device == "cuda" else 0,
            peak_phase=peak.phase,
            breakdown=peak.breakdown,
            end_of_step_allocated_bytes=peak.end_of_step_bytes,
            options={**options.to_dict(), "method": self.method.resolved()},
            seconds=time.perf_counter() - started,
        )

    def peak_of(self, stream: Stream) -> Peak:
        """Peak of a stream as the device's allocator counts it."""
        return self.as_allocated(stream).peak()

    def as_allocated(self, stream: Stream) -> Stream:
        """The stream with sizes as the allocator hands them out, library workspaces included."""
        if self.options.device != "cuda":
            return stream
        sizes = -(-stream.sizes // 512) * 512
        return with_workspaces(replace(stream, sizes=sizes), self.workspaces())

    def workspaces(self) -> list[int]:
        """Bytes that matrix libraries keep from PyTorch's allocator."""
        options = self.options
        return [options.workspace_bytes or default_workspace_bytes(options.arch)] * HANDLES

    def reserved_range(self, stream: Stream, shorter: Stream | None) -> list[int]:
        """Peak reserved over allocation histories that end in the longest batch.

        Only this batch, from a fresh allocator; the same batch again and again; a batch of half the
        length before it, where that takes the same path.
        """
        workspaces, allocator = self.workspaces(), CachingAllocator()
        again = history([stream] * 3, workspaces)
        alone = len(history([stream], workspaces))  # the events that it begins with
        used = [
            replay(events, allocator=allocator).peak_reserved_bytes
            for events in (again[:alone], again[alone:])
        ]
        if shorter is not None and stream.same_structure(shorter):
            mixed = history([shorter, stream, stream], workspaces)
            used.append(replay(mixed).peak_reserved_bytes)
        least = self.peak_of(stream).allocated_bytes  # one step alone has no optimizer state yet
        return [max(min(used), -(-least // _SEGMENT) * _SEGMENT), max(used)]

    def shorter_length(self, seq_len: int) -> int | None:
        """Length of the shorter batch that may come before; None where there is none."""
        length = seq_len // 2 // 16 * 16 + seq_len % 16
        return length if self.options.padded and 16 <= length < seq_len else None

    def window(self) -> int | None:
        """Length from which attention slides, and takes another path."""
        window = getattr(self.config, "sliding_window", None)
        used = getattr(self.config, "use_sliding_window", True)
        return window if isinstance(window, int) and used else None

    # ---- inside ---------------------------------------------------------------------------------

    def _shorter(self, stream: Stream) -> Stream | None:
        length = self.shorter_length(self.options.seq_len)
        return None if length is None else self.stream(self.options.batch_size, length)

    def _trace(self, batch_size: int, seq_len: int, rank: int) -> Stream:
        options = self.options.at(batch_size, seq_len)
        few = self._repetition
        adapt = partial(apply_method, method=self._method_at(rank))
        if few is not None:
            try:
                traced = record_step(few.config, adapt, options, few.period, self.trusted)
                return repeat_layers(traced, few.groups).ordered()
            except NotPeriodic:
                pass
        whole = record_step(self.config, adapt, options, trust_remote_code=self.trusted)
        return whole.ordered()

    def _method_at(self, rank: int) -> Method:
        adapter = self.method.adapter
        if adapter is None or adapter.r == rank:
            return self.method
        return replace(self.method, adapter=replace(adapter, r=rank))

    def _has_rank(self) -> bool:
        return self.method.adapter is not None

    def _check_length(self, seq_len: int) -> None:
        longest = getattr(self.config, "max_position_embeddings", None)
        if isinstance(longest, int) and seq_len > longest:
            raise ConfigError(
                f"--seq-len {seq_len}: beyond the {longest} positions of {self.model}; lower it",
                f"--seq-len {seq_len}: {self.model} の最大長 {longest} を超えています。"
                "減らしてください",
            )


def estimate(
    model: str, method: Method, options: EstimateOptions, trust_remote_code: bool = False
) -> Estimate:
    """Predicted memory of one training step. Raises ModelError, ConfigError."""
    return Predictor(model, method, options, trust_remote_code).estimate()


def _points(
    seq_len: int,
    window: int | None,
    batches: tuple[int, int, int],
    ranks: tuple[int, int, int],
) -> list[Point]:
    """Where to record: three points that no polynomial confuses, on one side of a window."""
    base, steps = seq_len % 128, (1, 3, 5)
    if window is not None and seq_len >= window:
        base += -(-window // 128) * 128
    elif window is not None and base + 128 * steps[-1] >= window:
        steps = (1, 2, 3)
    lengths = [base + 128 * step for step in steps]
    return list(zip(batches, lengths, ranks, strict=True))
