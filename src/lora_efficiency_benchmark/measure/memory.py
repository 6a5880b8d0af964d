"""Peak memory of a training phase, and what it consists of (row 4).

On CUDA and ROCm the figures are torch's accelerator statistics (allocated, reserved) and what the
device shows; the breakdown comes from the caching allocator's history. On a CPU the same number
comes from the CPU allocator's own events, as torch's profiler reports them, with the resident
high-water mark of the process beside it. Both feed ``allocations.find_peak``.

The tracker is a context manager around the training phase of a memory pass. It slows the steps
down, which is why timing and quality are measured elsewhere.
"""

from __future__ import annotations

import gc
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from .. import ranks
from ..models.loading import is_adapter
from .allocations import (
    BACKWARD,
    BETWEEN,
    EXCHANGE,
    FORWARD,
    OPTIMIZER,
    Event,
    Mark,
    Peak,
    find_peak,
    logits_sizes,
)
from .rank_memory import without_moves

_MARK = "lora_bench.mark."
_HISTORY_ENTRIES = 2_000_000


class MemoryTracker:
    """``with MemoryTracker(model) as tracker: train(...)``, then ``tracker.result()``."""

    def __init__(self, model: Any, attributed: bool = True, placed: bool = True) -> None:
        """``attributed``: take the breakdown too.

        ``placed``: the model is where it trains. Otherwise it is divided and moved before the first
        step; what that takes for a moment belongs to loading, and the peak counts from that step.
        """
        self._model, self._attributed, self._placed = model, attributed, placed
        self._device = next(model.parameters()).device if placed else ranks.accelerator()
        self._moved: tuple[set[int], int] | None = None  # addresses of weights, at which mark
        self._marks: list[Mark] = []
        self._logits_sizes: set[int] = set()
        self._stack = ExitStack()
        self._profiler: Any = None
        self._result: dict[str, Any] | None = None

    def __enter__(self) -> MemoryTracker:
        gc.collect()
        self._weights, self._adapter = _parameter_bytes(self._model)
        reset_process_peak()
        hooks = [
            self._model.register_forward_pre_hook(self._before_forward),
            self._model.register_forward_hook(self._after_forward),
            register_optimizer_step_pre_hook(lambda *_: self._mark(OPTIMIZER, self._gradients())),
            register_optimizer_step_post_hook(self._after_optimizer),
        ]
        for hook in hooks:
            self._stack.callback(hook.remove)
        if ranks.count() > 1:
            self._mark_broadcasts()
        if self._device.type == "cpu":
            self._profiler = torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
            )
            self._profiler.__enter__()
        else:
            torch.accelerator.synchronize()
            torch.accelerator.empty_cache()
            torch.accelerator.reset_peak_memory_stats()
            self._baseline = torch.accelerator.memory_allocated()
            if self._device.type == "cuda" and self._attributed:
                torch.cuda.memory._record_memory_history(max_entries=_HISTORY_ENTRIES)
        self._mark(BETWEEN)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        try:
            if self._device.type == "cpu":
                self._profiler.__exit__(kind, error, trace)
                self._result = None if error else self._cpu_result()
            elif error is None:
                self._result = self._accelerator_result()
        finally:
            if self._device.type == "cuda":
                torch.cuda.memory._record_memory_history(enabled=None)

    def result(self) -> dict[str, Any]:
        """The record's ``memory`` block, batch facts excepted."""
        if self._result is None:
            raise RuntimeError("the tracked block has not ended")
        return self._result

    # ---- marks ----------------------------------------------------------------------------------

    def _mark(self, phase: str, tags: dict[int, str] | None = None, step_end: bool = False) -> None:
        from time import time_ns

        if self._profiler is not None:  # a marker in the profiler's own clock
            with torch.profiler.record_function(f"{_MARK}{len(self._marks)}"):
                pass
        self._marks.append(Mark(time_ns(), phase, tags or {}, step_end))

    def _before_forward(self, *_: Any) -> None:
        if not self._placed:
            self._placed = True
            torch.accelerator.reset_peak_memory_stats()
        if ranks.count() > 1 and not self._moved:
            tensors = [*self._model.parameters(), *self._model.buffers()]
            self._moved = {t.untyped_storage().data_ptr() for t in tensors}, len(self._marks)
        self._mark(FORWARD)

    def _mark_broadcasts(self) -> None:
        """Tell the copies apart by which DDP makes the weights of all ranks equal.

        A thread of the communication library frees them, which the profiler does not see.
        """
        library: Any = torch.distributed  # DDP looks the function up there, whenever it is needed
        original = library._broadcast_coalesced

        def marked(*arguments: Any, **named: Any) -> Any:
            before = self._marks[-1].phase if self._marks else BETWEEN
            self._mark(EXCHANGE)
            try:
                return original(*arguments, **named)
            finally:
                self._mark(before)

        library._broadcast_coalesced = marked
        self._stack.callback(setattr, library, "_broadcast_coalesced", original)

    def _after_forward(self, _module: Any, _inputs: Any, outputs: Any) -> None:
        logits = getattr(outputs, "logits", None)
        if logits is not None:
            self._logits_sizes |= logits_sizes(logits.shape)
        self._mark(BACKWARD)

    def _gradients(self) -> dict[int, str]:
        grads = (p.grad for p in self._model.parameters() if p.grad is not None)
        return {g.untyped_storage().data_ptr(): "gradients" for g in grads}

    def _after_optimizer(self, optimizer: Any, *_: Any) -> None:
        tensors = (
            value
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor)
        )
        tags = {t.untyped_storage().data_ptr(): "optimizer" for t in tensors}
        self._mark(BETWEEN, {**self._gradients(), **tags}, step_end=True)

    # ---- results --------------------------------------------------------------------------------

    def _cpu_result(self) -> dict[str, Any]:
        events, times = _profiler_events(self._profiler)
        marks = [
            Mark(times.get(i, m.time_ns), m.phase, m.tags, m.step_end)
            for i, m in enumerate(self._marks)
        ]
        if self._moved:
            weights, first = self._moved
            events = without_moves(events, weights, marks[first].time_ns)
        peak = find_peak(events, marks, self._weights, self._adapter, self._logits_sizes)
        values = _peak_dict(peak)
        if not self._attributed:
            values["breakdown"] = None
        return {**values, "source": "cpu-allocator", **_no_device()}

    def _accelerator_result(self) -> dict[str, Any]:
        torch.accelerator.synchronize()
        allocated = torch.accelerator.max_memory_allocated()
        free, total = torch.accelerator.get_memory_info()
        values: dict[str, Any] = {
            "peak_allocated_bytes": allocated,
            "peak_phase": None,
            "breakdown": None,
            "end_of_step_allocated_bytes": None,
        }
        if self._device.type == "cuda" and self._attributed:
            other = self._baseline - self._weights - self._adapter  # alive before the phase
            peak = find_peak(
                _history_events(), self._marks, self._weights, self._adapter, self._logits_sizes
            )
            values = _peak_dict(peak)
            rest = allocated - peak.allocated_bytes  # rounding to 512 bytes, and `other`
            values["breakdown"]["temporaries"] += rest
            values["peak_allocated_bytes"] = allocated
            values["unattributed_bytes"] = rest
            values["allocated_before_bytes"] = other
        return {
            **values,
            "source": "accelerator",
            "peak_reserved_bytes": torch.accelerator.max_memory_reserved(),
            "device_used_bytes": total - free,
            "process_peak_bytes": process_peak_bytes(),
        }


def _peak_dict(peak: Peak) -> dict[str, Any]:
    return {
        "peak_allocated_bytes": peak.allocated_bytes,
        "peak_phase": peak.phase,
        "breakdown": dict(peak.breakdown),
        "end_of_step_allocated_bytes": peak.end_of_step_bytes,
    }


def _no_device() -> dict[str, Any]:
    return {
        "peak_reserved_bytes": None,
        "device_used_bytes": None,
        "process_peak_bytes": process_peak_bytes(),
    }


def _parameter_bytes(model: Any) -> tuple[int, int]:
    """Bytes of (weights and buffers, adapter) on the model's device, shared storage once."""
    device = next(model.parameters()).device
    sums, seen = {False: 0, True: 0}, set()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.device == device and tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            sums[is_adapter(name)] += tensor.numel() * tensor.element_size()
    return sums[False], sums[True]


def _profiler_events(profiler: Any) -> tuple[list[Event], dict[int, int]]:
    """Allocator events on the CPU, and the profiler's time of each mark by its number."""
    events: list[Event] = []
    times: dict[int, int] = {}
    pending = list(profiler.profiler.kineto_results.experimental_event_tree())
    while pending:
        node = pending.pop()
        pending.extend(node.children)
        fields = node.extra_fields
        size = getattr(fields, "alloc_size", None)
        if size is not None:
            if fields.device.type == "cpu" and size:
                events.append(Event(node.start_time_ns, int(fields.ptr), int(size)))
        elif node.name.startswith(_MARK):
            times[int(node.name.removeprefix(_MARK))] = node.start_time_ns
    return events, times


def _history_events() -> list[Event]:
    """Allocator events of the first CUDA or ROCm device, from the caching allocator's history."""
    traces = torch.cuda.memory._snapshot()["device_traces"]
    signs = {"alloc": 1, "free_completed": -1}
    return [
        Event(entry["time_us"] * 1000, entry["addr"], signs[entry["action"]] * entry["size"])
        for entry in (traces[0] if traces else [])
        if entry["action"] in signs
    ]


def reset_process_peak() -> None:
    """Start the resident high-water mark of this process anew (Linux; elsewhere nothing)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        pass


def process_peak_bytes() -> int | None:
    """Resident high-water mark (VmHWM) since the last reset, in bytes."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
