"""What a recommendation is made of (row 5): the user's limits, and the candidates as measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...config.adapters import AdapterSettings
from ...errors import ConfigError
from ...language import Statement
from ..metrics import Measurement
from ..wording import NOTHING

FULL_NAME = "full"
MEMORY, TIME, PARAMETERS = "memory", "time", "parameters"
ORDERS: dict[str, tuple[str, ...]] = {
    MEMORY: (MEMORY, TIME, PARAMETERS),
    TIME: (TIME, MEMORY, PARAMETERS),
    PARAMETERS: (PARAMETERS, MEMORY, TIME),
}
"""What "cheapest" means: the first decides, the next break ties."""

MAX_RETENTION = 2.0  # beyond it somebody typed a percentage


@dataclass(frozen=True)
class Limits:
    """What the user can accept. Raises ConfigError on a value that cannot be meant."""

    retention: float = 0.95  # least share of full fine-tuning's gain
    max_memory_bytes: float | None = None  # most peak memory of the training phase
    max_seconds: float | None = None  # most training time, optimizer steps only
    cheapest: str = MEMORY  # a key of ORDERS

    def __post_init__(self) -> None:
        if not 0 <= self.retention <= MAX_RETENTION:
            raise ConfigError(
                f"retention: a share of full fine-tuning's gain, such as 0.95; "
                f"got {self.retention}",
                "retention: フルファインチューニングの改善のうち保つ割合を 0.95 のように"
                f"指定してください (現在の値: {self.retention})",
            )
        for name in ("max_memory_bytes", "max_seconds"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ConfigError(
                    f"{name}: must be a number above zero; got {value}",
                    f"{name}: 0より大きい数を指定してください (現在の値: {value})",
                )
        if self.cheapest not in ORDERS:
            raise ConfigError(
                f"cheapest: must be one of {', '.join(ORDERS)}; got {self.cheapest}",
                f"cheapest: {', '.join(ORDERS)} のいずれかを指定してください (現在の値: "
                f"{self.cheapest})",
            )


@dataclass(frozen=True)
class Candidate:
    """One configuration at one data size. Only ``name`` and ``retention`` are needed to judge."""

    name: str  # ``full``, or the adapter's label
    retention: Measurement  # of gain_retention; of full fine-tuning only whether it has a value
    is_full: bool = False  # its retention is 1 by definition
    memory_bytes: float | None = None  # peak allocated, or more than that where out_of_memory
    needed_bytes: float | None = None  # what a limit is held against; None: memory_bytes
    out_of_memory: bool = False
    seconds: Mapping[int, float] = field(default_factory=dict)  # seed -> training time
    parameters: int | None = None  # trainable
    losses: Mapping[int, float] = field(default_factory=dict)  # seed -> held-out loss, in nats
    diverged: tuple[int, ...] = ()  # seeds
    # ---- shown, not judged ----------------------------------------------------------------------
    adapter: AdapterSettings | None = None
    text_nats: Mapping[int, tuple[float, ...]] = field(default_factory=dict)  # seed -> per text
    text_tokens: tuple[float, ...] = ()  # of the same held-out texts
    memory_by_reading: Mapping[str, float] = field(default_factory=dict)
    memory_reading: str = ""  # whose peak memory_bytes is
    memory_kind: str = "allocated"  # or reserved, where no record has the allocated peak
    whole_process: bool = False  # that peak covers more than the training phase (imported)
    cells: tuple[str, ...] = ()  # ids of the records behind all this
    no_result: Statement = NOTHING  # why training left nothing

    @property
    def mean_seconds(self) -> float | None:
        """Mean training time over seeds."""
        return mean(self.seconds)

    @property
    def mean_loss(self) -> float | None:
        """Mean held-out loss over seeds."""
        return mean(self.losses)

    def cost(self, by: str) -> float | None:
        """One of memory, time and parameters; None where it was not measured."""
        if by == MEMORY:
            return self.memory_bytes
        return self.mean_seconds if by == TIME else self.parameters


def mean(values: Mapping[int, float]) -> float | None:
    """Mean over seeds; None without any."""
    return math.fsum(values.values()) / len(values) if values else None


def whole(value: float | None) -> int | None:
    """Bytes or a count without a fraction."""
    return None if value is None else int(value)
