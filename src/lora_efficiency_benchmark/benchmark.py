"""The whole flow on one page (row 7): configuration, cells, records, verdicts, report.

    config -> plan -> each cell alone in a process -> records on disk -> analysis -> report

torch is imported inside the methods that need a model; ``run`` itself needs none.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .adapters import parse_adapter
from .analysis import Analysis, analyze, specification_dictionary
from .claims import Claim, load_claims
from .config import LoRABenchmarkConfig, load_config
from .errors import ConfigError, LoraBenchError, StoreError
from .execution.executors import EXECUTORS, LOCAL, RAY, Launcher
from .execution.launcher import LocalLauncher
from .execution.ray_engine import require_ray
from .execution.ray_launcher import RayLauncher
from .language import Language, resolve_language
from .plan import FULL, LORA, Cell, expand
from .report.files import write_report
from .report.live import LiveReport
from .report.terminal.progress import warn
from .results import FAILED, OK, CellRecord, LoRAEfficiencyResult
from .search import (
    folder_records,
    is_conclusive,
    next_trials,
    planned_records,
    remaining_cells,
    unfinished_cells,
)
from .store import ESTIMATES, ESTIMATES_SCHEMA, Store
from .tracking import Tracking, parse_tracking
from .units import to_gib
from .yaml_io import preset_path

if TYPE_CHECKING:
    import datasets


OTHER_TEXTS = "other-texts"  # ends the name of a record that was set aside
NAMED = 3  # files that one line names, at most


class Watch(Protocol):
    """Whoever wants to follow a run."""

    def run_started(self, facts: dict[str, Any], cells: Sequence[Cell], kept: int) -> None:
        """The check before the run has passed; ``cells`` are about to run."""

    def cell_started(self, cell: Cell) -> None:
        """A cell begins, or is handed to a cluster: several may have begun before one ends."""

    def event(self, event: dict[str, Any]) -> None:
        """A phase or a step of the running cell; ``too_large``: it is not expected to fit.

        ``scale``: after the cells, estimates at the claim's own scale are being made.
        """

    def cell_ended(self, record: CellRecord) -> None:
        """A cell has its record, stored already."""


class LoRAEfficiencyBenchmark:
    """Full fine-tuning against LoRA on one model and one data set.

    ``config`` is a ``LoRABenchmarkConfig``, a mapping, a YAML file or a preset name.
    """

    def __init__(self, config: LoRABenchmarkConfig | Mapping[str, Any] | str | Path) -> None:
        self.config = load_config(config)
        self.store = Store(self.config.output_dir)
        self._in_process: list[CellRecord] = []

    def run(
        self,
        watch: Watch | None = None,
        fresh: bool = False,
        language: Language | None = None,
        report_to: str | None = None,
        executor: str = LOCAL,
        address: str | None = None,
    ) -> Analysis:
        """Measure what is missing, judge, report.

        Each record is stored the moment it exists; calling again goes on from there. ``fresh``
        moves an older folder aside first. ``report_to`` names a service that follows the training,
        such as ``"tensorboard"``. ``executor`` is ``"local"`` or ``"ray"``, and ``address`` that of
        the Ray cluster (default: ``launcher: {address: ...}``). Raises UserError for what the user
        can fix.
        """
        _check_executor(executor, self.config.processes)
        tracking = parse_tracking(report_to, self.config.output_dir)
        claims = load_claims(self.config.claims)  # a wrong file should not wait for the last cell
        if fresh:
            self.store.move_aside()
        self.store.create()
        with self.store.lock():
            make = partial(self._launcher, tracking, executor, address)
            return self._run(claims, make, watch, resolve_language(language))

    def _run(
        self,
        claims: Sequence[Claim],
        make_launcher: Callable[[Sequence[CellRecord]], Launcher],
        watch: Watch | None,
        chosen: Language,
    ) -> Analysis:
        """The same, with the folder to itself."""
        self.logger = self._setup_logger()
        self._quiet_console(watch is not None)
        for line in [*self.store.tidy(), *self._set_aside_other_texts()]:
            self.logger.warning("%s", line)
            if watch is not None:  # else the console handler says it
                warn(line)
        self._note_configuration()
        records = self.store.load_records()
        missing = remaining_cells(self.config, records)
        sized = self.config.estimate_scale and any(not claim.noisy for claim in claims)
        watch = watch or _LogOnly()
        live = LiveReport(lambda: self._write_report(chosen))
        with make_launcher(records) as launch:
            if missing:
                kept = [r for r in planned_records(self.config, records) if r.status != FAILED]
                self._measure(launch, missing, len(kept), watch, live)
            if sized and (missing or not (self.store.path / ESTIMATES).exists()):
                self._estimate_scale(launch, watch)
        return self.finish(chosen)

    def _set_aside_other_texts(self) -> list[str]:
        """Planned records on another edition of the generated texts: kept, and measured again.

        Returns one line where there are any.
        """
        from .dataset import GENERATED_EDITION, on_other_texts

        stored = self.store.load_records()
        planned = {record.cell_id for record in planned_records(self.config, stored)}
        others = [r.cell_id for r in on_other_texts(stored) if r.cell_id in planned]
        kept = self.store.set_aside(others, OTHER_TEXTS)
        if not kept:
            return []
        more = [f"{len(kept) - NAMED} more"] if len(kept) > NAMED else []
        named = ", ".join([*kept[:NAMED], *more])
        return [
            f"{self.store.records_path}: {len(kept)} records were measured on another edition of "
            f"the generated texts (now edition {GENERATED_EDITION}); they are kept as {named}, and "
            "their cells run again"
        ]

    def _launcher(
        self,
        tracking: Tracking | None,
        executor: str,
        address: str | None,
        records: Sequence[CellRecord],
    ) -> Launcher:
        limit = self.config.time_limit_minutes
        seconds = limit * 60 if limit else None
        if executor == RAY:
            address = address or self.config.launcher.get("address")
            before = _most_used_device(planned_records(self.config, records))
            return RayLauncher(address, seconds, tracking, before)
        isolation = self.config.launcher.get("isolation", "auto")
        return LocalLauncher(isolation, seconds, tracking, self.config.processes)

    def _measure(
        self,
        launch: Launcher,
        cells: Sequence[Cell],
        kept: int,
        watch: Watch,
        live: LiveReport,
    ) -> None:
        """Check what can be checked, estimate what cells need, then run them, one record each.

        ``cells`` are those expected: a search decides on the way which learning rates they have.
        """
        facts = {"notes": [], **launch.preflight(self.config)}
        estimates = self._estimate_cells(launch, cells, facts["notes"])
        self._note_start(facts)
        watch.run_started(facts, cells, kept)

        def estimate_of(cell: Cell) -> dict[str, Any] | None:
            return estimates.get(_without_rate(cell))

        def begin(cell: Cell) -> None:
            watch.cell_started(cell)
            estimate = estimate_of(cell)
            if estimate and estimate.get("fits") is False:
                self._warn_too_large(cell, estimate, watch)

        for independent in self._rounds():
            for record in launch.run_each(independent, estimate_of, begin, watch.event):
                record.estimate = estimate_of(record.cell)
                self.store.write_record(record)
                self._log_record(record)
                watch.cell_ended(record)
                live.cell_ended(record)  # on one machine between cells: nothing is being timed

    def _rounds(self) -> Iterator[list[Cell]]:
        """What is missing, in order, as lists of cells that do not depend on each other.

        Each round of a search follows from the records of the one before.
        """
        stored = self.store.load_records()
        doubtful = {r.cell_id for r in stored if not is_conclusive(r)}  # tried again, once
        untrained = ("base", "memory")
        ready = [c for c in remaining_cells(self.config, stored) if c.kind in untrained]
        while trials := next_trials(self.config, self._records_but(doubtful)):
            yield [*ready, *trials]
            doubtful -= {cell.id for cell in trials}
            ready = []
        left = remaining_cells(self.config, self._records_but(doubtful))
        yield [*ready, *(c for c in left if c.kind == "train")]

    def _records_but(self, left_out: set[str]) -> list[CellRecord]:
        return [r for r in self.store.load_records() if r.cell_id not in left_out]

    def _estimate_cells(
        self, launch: Launcher, cells: Sequence[Cell], notes: list[str]
    ) -> dict[str, dict[str, Any]]:
        """Predicted memory by cell, rate apart; a prediction that fails is only a note."""
        try:
            found = launch.estimate(cells)
            return {_without_rate(cell): found[cell.id] for cell in cells if cell.id in found}
        except LoraBenchError as error:
            notes.append(str(error))
            return {}

    def _estimate_scale(self, launch: Launcher, watch: Watch) -> None:
        """estimates.json, after the cells, so that no timing is disturbed; never the end."""
        try:
            entries = launch.estimate_scale(watch.event)
            made_at = datetime.now(UTC).isoformat(timespec="seconds")
            values = {"schema": ESTIMATES_SCHEMA, "made_at": made_at, "entries": entries}
            self.store.write_json(ESTIMATES, values)
        except LoraBenchError as error:
            self.logger.warning("the claim's own scale: %s", error)

    def _warn_too_large(self, cell: Cell, estimate: dict[str, Any], watch: Watch) -> None:
        sizes = {name: estimate[name] for name in ("least_needed_bytes", "limit_bytes")}
        self.logger.warning(
            "%s: needs an estimated %.2f GiB, the limit is %.2f GiB; it will be tried anyway",
            cell.id,
            *map(to_gib, sizes.values()),
        )
        watch.event({"event": "too_large", "cell_id": cell.id, **sizes})

    def finish(self, language: Language = "en") -> Analysis:
        """Analysis, results.csv and report from the records that exist."""
        analysis = self._write_report(language)
        self.logger.info("%s", analysis.joint.sentence[language])
        return analysis

    def _write_report(self, language: Language) -> Analysis:
        analysis = self.analyze()
        self.store.write_json("analysis.json", analysis.to_dict())
        self.store.write_results(analysis.rows)
        write_report(self.store, analysis, language)
        return analysis

    def analyze(self) -> Analysis:
        """Verdicts from the stored records of this configuration, and from in-process runs."""
        stored = self.store.load_records() if self.store.path.is_dir() else []
        records = planned_records(self.config, stored) + self._in_process
        estimates = _estimates(self.store, lambda line: self.logger.warning("%s", line))
        claims = load_claims(self.config.claims)
        left = unfinished_cells(self.config, stored) if stored else None
        return analyze(records, claims, estimates, self.config.base_model_name, left)

    # ---- the specification's methods ------------------------------------------------------------

    @property
    def results(self) -> list[LoRAEfficiencyResult]:
        """One row per arm, data size and seed measured so far."""
        return list(self.analyze().rows)

    def analyze_efficiency_claims(self) -> dict[str, Any]:
        """The specification's dictionary; ``"unknown"`` before there is data."""
        return specification_dictionary(self.analyze())

    @cached_property
    def device(self) -> str:
        """``"cuda"`` (CUDA and ROCm) or ``"cpu"``."""
        from .measure.environment import accelerator_in_use

        return "cuda" if accelerator_in_use() else "cpu"

    @cached_property
    def logger(self) -> logging.Logger:
        """Logs to ``lora_benchmark.log`` in the output folder, and INFO to the console."""
        return self._setup_logger()

    def create_lora_model(self, model: Any, lora_config_dict: Mapping[str, Any]) -> Any:
        """``model`` with a LoRA adapter. Raises ConfigError or TargetModulesError."""
        from .models import create_lora_model

        return create_lora_model(model, parse_adapter(lora_config_dict, "lora_config_dict"))

    def count_parameters(self, model: Any) -> tuple[int, int]:
        """``(trainable, total)`` elements, tied tensors once."""
        from .models import count_parameters

        return count_parameters(model)

    def measure_model_size(self, model: Any) -> float:
        """MiB of parameters and buffers."""
        from .models import measure_model_size

        return measure_model_size(model)

    def run_training_benchmark(
        self,
        model: Any,
        tokenizer: Any,
        dataset: datasets.Dataset | Sequence[str],
        training_method: str,
        lora_config: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Fine-tune ``model`` in this process and measure it; not isolated, and marked so.

        ``training_method`` is ``"full_finetuning"`` or ``"lora"``; a LoRA adapter is added where
        ``model`` has none yet. Returns the fields of ``LoRAEfficiencyResult``; a run that fails
        returns ``{"status": "failed", "error": {...}}``.
        """
        from .inprocess import train_in_process

        cells = self._in_process_cells(training_method, lora_config)
        if training_method == LORA and not hasattr(model, "peft_config"):
            model = self.create_lora_model(model, cells["train"].adapter)  # type: ignore[arg-type]
        records = []
        for record in train_in_process(model, tokenizer, dataset, cells, self.device):
            records.append(record)
            self._in_process.append(record)
        failed = next((record for record in records if record.status != OK), None)
        if failed is not None:
            return {"status": failed.status, "error": failed.error, "isolated": False}
        claims, train_id = load_claims(self.config.claims), records[-1].cell_id
        # An earlier run on other data is not compared with; then this one is a row by itself.
        both = [*analyze(self._in_process, claims).rows, *analyze(records, claims).rows]
        row = next(row for row in both if row.cell_id == train_id)
        return {"status": OK, **vars(row)}

    def _in_process_cells(
        self, training_method: str, lora_config: Mapping[str, Any] | None
    ) -> dict[str, Cell]:
        """Settings of the three passes of one arm, as the plan would make them."""
        if training_method not in (FULL, LORA):
            raise ConfigError(
                f"training_method: must be {FULL!r} or {LORA!r}, got {training_method!r}"
            )
        if (training_method == LORA) != (lora_config is not None):
            raise ConfigError(f"lora_config: {training_method} takes {lora_config!r}; see the docs")
        one = {**self.config.to_dict(), "launcher": {}}  # this process alone
        if lora_config is not None:
            one["lora_configurations"] = [dict(lora_config)]
        cells = expand(load_config(one))
        wanted = {"base": None, "memory": training_method, "train": training_method}
        return {
            kind: next(c for c in cells if c.kind == kind and c.training_method == method)
            for kind, method in wanted.items()
        }

    # ---- log ------------------------------------------------------------------------------------

    def _setup_logger(self) -> logging.Logger:
        """The specification's logger: everything to the file, with time stamps."""
        logger = logging.getLogger("LoRA_Benchmark")
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
        self.store.create()
        to_file = _LogFile(self.store.path / "lora_benchmark.log", encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        to_console = logging.StreamHandler()
        to_console.setLevel(logging.INFO)
        logger.addHandler(to_file)
        logger.addHandler(to_console)
        return logger

    def _quiet_console(self, watched: bool) -> None:
        """Where somebody watches, the console handler would say everything twice."""
        for handler in self.logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.CRITICAL if watched else logging.INFO)

    def _note_configuration(self) -> None:
        """config.yaml, and the claims as they are now: the folder explains itself elsewhere."""
        self.store.write_text("config.yaml", self.config.to_yaml())
        claims = preset_path("claims", self.config.claims).read_text(encoding="utf-8")
        self.store.write_text("claims.yaml", claims)

    def _note_start(self, facts: dict[str, Any]) -> None:
        """environment.json, and the head of the log."""
        environment = {**facts["environment"], "seeds": list(range(self.config.seeds))}
        self.store.write_json("environment.json", environment)
        device = environment["device"]
        for note in facts["notes"]:
            self.logger.warning("%s", note)
        self.logger.info("model: %s, %s parameters", facts["model"], f"{facts['parameters']:,}")
        self.logger.info("device: %s (%s)", device["name"], device["type"])
        if device.get("total_memory_bytes"):
            self.logger.info("memory: %.1f GB", device["total_memory_bytes"] / 1e9)

    def _log_record(self, record: CellRecord) -> None:
        if record.status == OK:
            self.logger.info("%s: ok, %.1f s", record.cell_id, record.seconds.get("wall", 0.0))
        else:
            error = record.error or {}
            self.logger.error(
                "%s: %s, %s: %s",
                record.cell_id,
                record.status,
                error.get("kind"),
                error.get("message"),
            )


def analyze_folder(path: str | Path, claims: str | None = None) -> Analysis:
    """Verdicts from the records of an output folder, without torch.

    Where the folder holds a config.yaml, records of other settings are left out. A broken
    estimates.json is told on standard error and left out. Raises StoreError.
    """
    found = read_folder(path, claims)
    estimates = _estimates(Store(path), warn)
    return analyze(found.records, found.claims, estimates, found.base_model, found.unfinished)


class FolderContents(NamedTuple):
    """What an output folder holds to be judged."""

    records: list[CellRecord]
    claims: list[Claim]
    base_model: str | None  # the other model of a cross-model comparison
    unfinished: int | None = None  # planned cells without a record, where the plan is known


def read_folder(path: str | Path, claims: str | None = None) -> FolderContents:
    """Records and claims of a folder: the claims given, else those noted there, else paper-r5.

    Raises StoreError where there are no records, ConfigError on a file of claims that is none.
    """
    records, config = folder_records(path)
    if config is not None:
        noted = Store(path).path / "claims.yaml"
        claims = claims or (str(noted) if noted.is_file() else config.claims)
    base_model = None if config is None else config.base_model_name
    left = None if config is None else unfinished_cells(config, records)
    return FolderContents(records, load_claims(claims or "paper-r5"), base_model, left)


def _estimates(store: Store, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Entries of estimates.json; a file that cannot be used is said, and is as good as none."""
    try:
        return store.read_estimates()
    except StoreError as error:
        tell(f"estimates left out: {error}")
        return []


def _check_executor(executor: str, processes: int) -> None:
    """Raises ConfigError where it is unknown, needs what is not installed, or cannot do it."""
    if executor not in EXECUTORS:
        raise ConfigError(f"--executor {executor}: must be {' or '.join(EXECUTORS)}")
    if executor == RAY and processes > 1:
        raise ConfigError(
            f"launcher.processes: {processes} processes a cell run on this machine only; "
            "leave --executor ray out"
        )
    if executor == RAY:
        require_ray()


def _most_used_device(records: Sequence[CellRecord]) -> str | None:
    """The device that most results come from: new ones are judged with them only if theirs is."""
    devices = [r.environment.get("device") or {} for r in records if r.status == OK]
    names = Counter(str(device["name"]) for device in devices if device.get("name"))
    return names.most_common(1)[0][0] if names else None


def _without_rate(cell: Cell) -> str:
    """Id of a cell whatever its learning rate, which costs no memory."""
    return replace(cell, learning_rate=None).id


class _LogFile(logging.FileHandler):
    """A full disk costs lines of the log, not a traceback on the console for each."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        pass


class _LogOnly:
    """Nobody watches; the log tells."""

    def run_started(self, facts: dict[str, Any], cells: Sequence[Cell], kept: int) -> None:
        pass

    def cell_started(self, cell: Cell) -> None:
        pass

    def event(self, event: dict[str, Any]) -> None:
        pass

    def cell_ended(self, record: CellRecord) -> None:
        pass
