"""What one cell leaves behind (row 3): the contract between measuring and judging.

``CellRecord`` is stored, one JSON file a cell; ``LoRAEfficiencyResult`` is the public row of the
specification, joined from the records of an arm. Nothing here needs torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..errors import ConfigError, StoreError
from ..plain_text import one_line, shown
from ..plan import Cell
from .shape import shape_problem

FORMAT_VERSION = 1
OK, FAILED, SKIPPED = "ok", "failed", "skipped"
EnvironmentKey = tuple[Any, ...]


@dataclass
class LoRAEfficiencyResult:
    """One row of results.csv; the first thirteen fields are the specification's."""

    model_name: str
    training_method: str  # "full_finetuning" or "lora"
    dataset_size: int  # training texts
    lora_config: dict[str, Any] | None
    trainable_parameters: int
    total_parameters: int
    parameter_reduction_ratio: float  # trainable(full) / trainable(this arm)
    peak_memory_mb: float  # MiB, peak allocated of the training phase, controlled precision
    training_time_minutes: float  # optimizer steps only
    eval_loss: float  # nats per token
    eval_perplexity: float  # exp(eval_loss)
    model_size_mb: float  # MiB, parameters and buffers
    measurement_timestamp: str  # ISO 8601, UTC
    # ---- beyond the specification -------------------------------------------------------------
    seed: int = 0
    precision: str = ""
    learning_rate: float | None = None
    peak_memory_as_practised_mb: float | None = None  # MiB, LoRA on a frozen bf16 base
    peak_reserved_mb: float | None = None  # MiB, caching allocator (CUDA and ROCm only)
    tokens_per_second: float | None = None
    bits_per_byte: float | None = None
    performance_retention: float | None = None  # perplexity(full) / perplexity(this arm)
    gain_retention: float | None = None  # (base - this) / (base - full), never clipped
    saved_size_mb: float | None = None  # MiB on disk: adapter, or whole model
    isolated: bool = True  # measured alone in its own process
    cell_id: str = ""


@dataclass
class CellRecord:
    """Everything measured in one cell; docs/result-format.md explains every field."""

    cell: Cell
    status: str  # ok | failed | skipped
    started_at: str  # ISO 8601, UTC
    ended_at: str
    isolated: bool = True
    error: dict[str, Any] | None = None  # {"kind", "message"} unless ok
    environment: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] | None = None  # {"display_name"}; of a base cell {"weights"} too
    parameters: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    memory: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    evaluation: dict[str, Any] | None = None
    validation: dict[str, Any] | None = None  # as ``evaluation``, on the texts of the search
    saved: dict[str, Any] | None = None
    probes: dict[str, Any] | None = None  # as ``evaluation``, a block a language
    samples: list[dict[str, str]] | None = None  # {"prompt", "text"}
    seconds: dict[str, float] = field(default_factory=dict)
    estimate: dict[str, Any] | None = None

    @classmethod
    def failed(
        cls, cell: Cell, kind: str, message: str, started_at: str | None = None
    ) -> CellRecord:
        """The record of a cell that ended now, without a result; see ``CellError`` for kinds."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        error = {"kind": kind, "message": one_line(message)}
        return cls(cell, FAILED, started_at or now, now, error=error)

    @property
    def cell_id(self) -> str:
        """Id of the cell, which is also the file name."""
        return self.cell.id

    @property
    def environment_key(self) -> EnvironmentKey | None:
        """See the function of that name."""
        return environment_key(self.environment)

    def outline(self) -> CellRecord:
        """What planning reads of a record: settings, end, environment, texts, loss on validation.

        About a thousand bytes where a whole record holds every held-out text, so that a run can
        keep those of all its cells in memory. Of the environment, what ``environment_key`` reads.
        """
        score = self.validation
        keyed = ("device", "packages", "threads", "allocator")
        edition = (self.data or {}).get("edition")
        return CellRecord(
            self.cell,
            self.status,
            self.started_at,
            self.ended_at,
            error=self.error,
            environment={k: self.environment[k] for k in keyed if k in self.environment},
            data=None if edition is None else {"edition": edition},
            validation=None if score is None else {"loss": score.get("loss")},
        )

    def add_wall_seconds(self, wall: float) -> None:
        """Note the seconds the caller waited, and what of them was not the cell's own work.

        ``fixed`` is everything but training, evaluation, saving, probes, samples and the data
        audit: starting the process, imports, loading, tokenising, bookkeeping.
        """
        work = ("train", "evaluate", "save", "audit", "probes", "samples")
        self.seconds["wall"] = wall
        self.seconds["fixed"] = wall - sum(self.seconds.get(name, 0.0) for name in work)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; non-finite numbers become {"non_finite": "nan" | "inf" | "-inf"}."""
        names = [f.name for f in dataclasses.fields(self) if f.name != "cell"]
        body = {name: getattr(self, name) for name in names}
        head = {"format_version": FORMAT_VERSION, "cell_id": self.cell_id}
        values = encode_non_finite({"cell": self.cell.to_dict(), **body})
        return {**head, **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "record") -> CellRecord:
        """Inverse of ``to_dict``. Raises StoreError as ``from_decoded``."""
        try:
            return cls.from_decoded(decode_non_finite(values), where)
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"{where}: not a cell record ({error})",
                f"{where}: セルの記録ではありません ({error})",
            ) from None

    @classmethod
    def from_decoded(cls, values: dict[str, Any], where: str = "record") -> CellRecord:
        """As ``from_dict``, of values in which ``decode_object`` has been applied already.

        Raises StoreError on a version this code cannot read, on a field of the wrong type, and
        where the settings are not those that ``cell_id`` was made from.
        """
        version = values.get("format_version")
        if isinstance(version, bool) or version != FORMAT_VERSION:
            raise StoreError(
                f"{where}: format version {shown(version)}, this program reads {FORMAT_VERSION}; "
                "use the program version that wrote it",
                f"{where}: 形式のバージョンが {shown(version)} で、"
                f"このプログラムが読むのは {FORMAT_VERSION} です。"
                "書いたときのバージョンのプログラムを使ってください",
            )
        known = {f.name for f in dataclasses.fields(cls)}
        try:
            fields = {k: v for k, v in values.items() if k in known}
            problem = shape_problem(fields)
            record = cls(**{**fields, "cell": Cell.from_dict(fields["cell"])})
            found = record.cell_id
        except (KeyError, TypeError, AttributeError, ValueError, ConfigError) as error:
            error_ja = error.text("ja") if isinstance(error, ConfigError) else error
            raise StoreError(
                f"{where}: not a cell record ({error})",
                f"{where}: セルの記録ではありません ({error_ja})",
            ) from None
        if record.status not in (OK, FAILED, SKIPPED):
            raise StoreError(
                f"{where}: unknown status {shown(record.status)}; not a cell record",
                f"{where}: 不明な状態 {shown(record.status)} です。セルの記録ではありません",
            )
        if problem:
            raise StoreError(
                f"{where}: not a cell record ({problem.en})",
                f"{where}: セルの記録ではありません ({problem.ja})",
            )
        if values.get("cell_id", found) != found:
            raise StoreError(
                f"{where}: says it is {shown(values['cell_id'])}, its settings are those "
                f"of {found}",
                f"{where}: cell_id は {shown(values['cell_id'])} ですが、設定は {found} のものです",
            )
        return record


_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def environment_key(environment: Mapping[str, Any]) -> EnvironmentKey | None:
    """Device, package versions, threads and allocator of an ``environment`` block.

    Records are judged together only where all of it is the same; None where nothing is said.
    """
    if not environment:
        return None
    device = environment.get("device") or {}
    packages = environment.get("packages") or {}
    return (
        str(device.get("name")),
        tuple(sorted((str(k), str(v)) for k, v in packages.items())),
        str(environment.get("threads")),
        tuple(sorted((environment.get("allocator") or {}).items())),
    )


def encode_non_finite(value: Any) -> Any:
    """NaN and infinities inside plain data as ``{"non_finite": "nan" | "inf" | "-inf"}``."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"non_finite": str(value)}
    if isinstance(value, dict):
        return {key: encode_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode_non_finite(item) for item in value]
    return value


def decode_non_finite(value: Any) -> Any:
    """Inverse of ``encode_non_finite``. Raises ValueError or TypeError on another word."""
    if isinstance(value, dict):
        return decode_object({key: decode_non_finite(item) for key, item in value.items()})
    return [decode_non_finite(item) for item in value] if isinstance(value, list) else value


def decode_object(values: dict[str, Any]) -> Any:
    """One object of ``decode_non_finite``; the ``object_hook`` of a JSON reader."""
    if len(values) != 1 or "non_finite" not in values:
        return values
    word = values["non_finite"]
    if word not in _NON_FINITE:
        raise ValueError(f"non_finite: {shown(word)}")
    return _NON_FINITE[word]
