"""What a map is asked for and what it consists of (row 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...config.adapters import DEFAULT_DROPOUT
from ...config.checks import PRECISIONS
from ...config.gpus import Gpu
from ...config.methods import Method
from ...errors import ConfigError
from ...language import Statement
from ...measure.allocations import CATEGORIES
from ..options import EstimateOptions
from ..predict import CONTEXT_BYTES
from ..recording import EXPONENTS, Point
from ..stream import PHASES, Ints
from ..workspaces import HANDLES, default_workspace_bytes
from .pieces import STEP
from .reduction import ALIGNMENT, Reduced

QUANTIZED = ("nf4", "int8")  # a frozen base, computing in bf16; for adapters only
MAP_PRECISIONS = (*PRECISIONS, *QUANTIZED)
FITS, CLOSE, EXCEEDS = "yes", "close", "no"


@dataclass(frozen=True)
class Setting:
    """What both arms have in common, and what is traced apart."""

    precision: str  # one of MAP_PRECISIONS
    optimizer: str
    checkpointing: bool

    @property
    def name(self) -> Statement:
        """For messages, such as ``bf16, adamw_8bit, gradient checkpointing``."""
        both = f"{self.precision}, {self.optimizer}"
        if not self.checkpointing:
            return Statement.unchanged(both)
        return Statement(f"{both}, gradient checkpointing", f"{both}, 勾配チェックポイント")

    @property
    def key(self) -> str:
        """Part of the page's keys."""
        return f"{self.precision}|{self.optimizer}|{int(self.checkpointing)}"


@dataclass(frozen=True)
class Request:
    """A map, as asked for. Raises ConfigError."""

    model: str
    methods: tuple[Method, ...]  # full fine-tuning first, then adapters
    precisions: tuple[str, ...]
    optimizers: tuple[str, ...]
    checkpointing: tuple[bool, ...]
    ranks: tuple[int, ...]  # ascending
    max_batch: int
    max_length: int  # a multiple of STEP
    attention: str = "sdpa"
    padded: bool = True
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        """Check what is not checked elsewhere."""
        for setting in self.settings():
            self.options(setting)
        if not 1 <= self.max_batch <= 1024:
            raise ConfigError(
                f"--max-batch {self.max_batch}: must be from 1 to 1024",
                f"--max-batch {self.max_batch}: 1以上1024以下にしてください",
            )
        if self.max_length < STEP or self.max_length % STEP:
            raise ConfigError(
                f"--max-length {self.max_length}: must be a multiple of {STEP}, the "
                "step of the map",
                f"--max-length {self.max_length}: 地図の刻みである {STEP} の倍数にしてください",
            )

    def settings(self) -> list[Setting]:
        """Every combination."""
        return [
            Setting(precision, optimizer, checkpointing)
            for precision in self.precisions
            for optimizer in self.optimizers
            for checkpointing in self.checkpointing
        ]

    def options(self, setting: Setting) -> EstimateOptions:
        """The options of ``estimate`` that a setting stands for. Raises ConfigError."""
        if setting.precision not in MAP_PRECISIONS:
            raise ConfigError(
                f"--precision {setting.precision}: must be one of {', '.join(MAP_PRECISIONS)}",
                f"--precision {setting.precision}: {', '.join(MAP_PRECISIONS)} のいずれかを"
                "指定してください",
            )
        quantized = setting.precision in QUANTIZED
        return EstimateOptions(
            seq_len=STEP,
            precision="bf16" if quantized else setting.precision,
            quantization=setting.precision if quantized else "none",
            optimizer=setting.optimizer,
            gradient_checkpointing=setting.checkpointing,
            attention=self.attention,
            padded=self.padded,
        )


@dataclass(frozen=True)
class Check:
    """An exact trace at one point, which had no part in the recording."""

    point: Point
    traced_bytes: int
    reduced_bytes: int

    @property
    def error(self) -> float:
        """Share of the traced peak."""
        return abs(self.reduced_bytes - self.traced_bytes) / self.traced_bytes


@dataclass(frozen=True)
class Entry:
    """One method under one setting, on all batches, lengths and ranks."""

    method: int  # index into Request.methods
    setting: Setting
    pieces: tuple[Reduced, ...]
    reserved: tuple[tuple[int, float, float], ...]  # (tokens, least, most) reserved / allocated
    checks: tuple[Check, ...]

    def peaks(self, points: Sequence[Point]) -> Ints:
        """Peak allocated bytes at each point of the map, without library workspaces."""
        found = np.zeros(len(points), dtype=np.int64)
        for piece in self.pieces:
            inside = [i for i, point in enumerate(points) if point in piece.domain]
            if inside:
                found[inside] = piece.peaks([points[i] for i in inside])
        assert found.all(), "a point outside of the map"
        return found

    def breakdown(self, point: Point) -> dict[str, int]:
        """Bytes by category at the peak, without library workspaces."""
        return next(p for p in self.pieces if point in p.domain).breakdown(point)

    def reserved_ratio(self, tokens: int) -> tuple[float, float]:
        """Least and most reserved per allocated byte, between the reference points by log."""
        at = [math.log(count) for count, _, _ in self.reserved]
        least, most = zip(*((low, high) for _, low, high in self.reserved), strict=True)
        place = math.log(tokens)
        return float(np.interp(place, at, least)), float(np.interp(place, at, most))

    def fit(self, allocated: int, tokens: int, limit: int) -> str:
        """Whether a step fits a device of ``limit`` bytes: yes, no, or too close to say."""
        least, most = self.reserved_ratio(tokens)
        if allocated * most + CONTEXT_BYTES <= limit:
            return FITS
        return CLOSE if allocated * least + CONTEXT_BYTES <= limit else EXCEEDS

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the page."""
        return {
            "pieces": [piece.to_dict() for piece in self.pieces],
            "reserved": [list(row) for row in self.reserved],
        }


@dataclass(frozen=True)
class LeftOut:
    """A combination that is not in the map, and why."""

    method: int
    setting: Setting
    reason: Statement


@dataclass(frozen=True)
class ModelMap:
    """Everything that was traced of one model."""

    request: Request
    trainable: tuple[tuple[int, int], ...]  # of each method: (at rank 0, more a rank)
    total: int  # parameters of the model itself
    entries: dict[tuple[int, Setting], Entry]
    left_out: tuple[LeftOut, ...]

    def trainable_at(self, method: int, rank: int) -> int:
        """Trainable parameters of a method at a rank."""
        fixed, each = self.trainable[method]
        return fixed + each * rank

    def largest_error(self) -> tuple[float, int]:
        """Largest share by which a peak of the map was found wrong, and how many were traced."""
        checks = [check for entry in self.entries.values() for check in entry.checks]
        missing = [piece.shortfall for entry in self.entries.values() for piece in entry.pieces]
        return max([0.0, *missing, *(check.error for check in checks)]), len(checks)

    def to_dict(self, gpus: Sequence[Gpu]) -> dict[str, Any]:
        """Plain data for the page; ``gpus`` are those to choose from."""
        error, checks = self.largest_error()
        request = self.request
        return {
            "model": request.model,
            "basis": "ESTIMATED",
            "total_parameters": self.total,
            "methods": [
                {
                    "label": method_label(method),
                    "kind": method.kind,
                    "ranked": method.adapter is not None,
                    "trainable": list(self.trainable[i]),
                }
                for i, method in enumerate(request.methods)
            ],
            "precisions": list(request.precisions),
            "quantized": list(QUANTIZED),
            "optimizers": list(request.optimizers),
            "checkpointing": list(request.checkpointing),
            "ranks": list(request.ranks),
            "max_batch": request.max_batch,
            "max_length": request.max_length,
            "step": STEP,
            "attention": request.attention,
            "padded": request.padded,
            "categories": list(CATEGORIES),
            "phases": list(PHASES),
            "exponents": [list(term) for term in EXPONENTS],
            "alignment": ALIGNMENT,
            "context_bytes": CONTEXT_BYTES,
            "workspace_bytes": workspace_bytes(None),
            "gpus": [
                {
                    "name": gpu.name,
                    "bytes": gpu.total_bytes,
                    "memory": gpu.memory,
                    "workspace_bytes": workspace_bytes(gpu),
                }
                for gpu in gpus
            ],
            "entries": {f"{i}|{s.key}": entry.to_dict() for (i, s), entry in self.entries.items()},
            "left_out": [
                {
                    "method": entry.method,
                    "setting": entry.setting.name.en,
                    "setting_ja": entry.setting.name.ja,
                    "reason": entry.reason.en,
                    "reason_ja": entry.reason.ja,
                }
                for entry in self.left_out
            ],
            "largest_error": error,
            "checks": checks,
        }


def workspace_bytes(gpu: Gpu | None) -> int:
    """What matrix libraries keep on a device; without one, as on most CUDA devices."""
    return HANDLES * default_workspace_bytes(None if gpu is None else gpu.arch)


def method_label(method: Method) -> str:
    """A method without its rank, in the model's own module names: ``LoRA q_proj, v_proj``.

    What changes memory is in it; alpha does not.
    """
    if method.adapter is None:
        return method.label
    adapter = method.adapter
    kind = ("DoRA" if adapter.use_dora else "LoRA") + (" rsLoRA" if adapter.use_rslora else "")
    saved = f" + {', '.join(adapter.modules_to_save)}" if adapter.modules_to_save else ""
    dropout = "" if adapter.dropout == DEFAULT_DROPOUT else f" dropout={adapter.dropout:g}"
    return f"{kind} {', '.join(adapter.target_modules)}{saved}{dropout}"
