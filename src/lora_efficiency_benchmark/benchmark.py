"""The whole flow on one page (row 7): configuration, cells, records, verdicts, report.

    config -> plan -> each cell alone in a process -> records on disk -> analysis -> report

torch is imported inside the methods that need a model; ``run`` itself needs none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .analysis import Analysis, analyze, specification_dictionary
from .config.adapters import parse_adapter
from .config.benchmark_config import LoRABenchmarkConfig, load_config
from .config.claims import Claim, load_claims
from .config.stored import as_written
from .config.tracking import parse_tracking
from .config.yaml_io import preset_path
from .errors import ConfigError
from .execution.choice import check_executor, make_launcher
from .execution.executors import LOCAL, Launcher
from .folder import read_estimates
from .language import Language, resolve_language
from .measuring import Measurement, Unwatched, Watch, set_aside_other_texts
from .plan import FULL, LORA, Cell, expand
from .records.results import FAILED, OK, CellRecord, LoRAEfficiencyResult
from .records.store import ESTIMATES, Store
from .report.files import write_report
from .report.live import LiveReport
from .report.terminal.progress import warn
from .search import (
    planned_records,
    remaining_cells,
    unfinished_cells,
)

if TYPE_CHECKING:
    import datasets


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
        check_executor(executor, self.config.processes)
        tracking = parse_tracking(report_to, self.config.output_dir)
        claims = load_claims(self.config.claims)  # a wrong file should not wait for the last cell
        if fresh:
            self.store.move_aside()
        self.store.create()
        with self.store.lock():
            launcher = partial(make_launcher, self.config, executor, address, tracking)
            return self._run(claims, launcher, watch, resolve_language(language))

    def _run(
        self,
        claims: Sequence[Claim],
        launcher: Callable[[Sequence[CellRecord]], Launcher],
        watch: Watch | None,
        chosen: Language,
    ) -> Analysis:
        """The same, with the folder to itself."""
        self.logger = self._setup_logger()
        self._quiet_console(watch is not None)
        for line in [*self.store.tidy(), *set_aside_other_texts(self.config, self.store)]:
            self.logger.warning("%s", line.en)
            if watch is not None:  # else the console handler says it
                warn(line.text(chosen))
        self.config = as_written(self.config, self.store.path / "config.yaml")
        self._note_configuration()
        records = self.store.outlines()
        missing = remaining_cells(self.config, records)
        sized = self.config.estimate_scale and any(not claim.noisy for claim in claims)
        live = LiveReport(lambda: self._write_report(chosen))
        measurement = Measurement(self.config, self.store, watch or Unwatched(), live, self.logger)
        with launcher(records) as launch:
            if missing:
                kept = [r for r in planned_records(self.config, records) if r.status != FAILED]
                measurement.run(launch, missing, len(kept))
            if sized and (missing or not (self.store.path / ESTIMATES).exists()):
                measurement.estimate_scale(launch)
        return self.finish(chosen)

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
        estimates = read_estimates(self.store, lambda line: self.logger.warning("%s", line))
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
        from .models.loading import create_lora_model

        return create_lora_model(model, parse_adapter(lora_config_dict, "lora_config_dict"))

    def count_parameters(self, model: Any) -> tuple[int, int]:
        """``(trainable, total)`` elements, tied tensors once."""
        from .models.loading import count_parameters

        return count_parameters(model)

    def measure_model_size(self, model: Any) -> float:
        """MiB of parameters and buffers."""
        from .models.loading import measure_model_size

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
                f"training_method: must be {FULL!r} or {LORA!r}, got {training_method!r}",
                f"training_method: {FULL!r} か {LORA!r} を指定してください (現在の値: "
                f"{training_method!r})",
            )
        if (training_method == LORA) != (lora_config is not None):
            raise ConfigError(
                f"lora_config: {training_method} takes {lora_config!r}; see the docs",
                f"lora_config: {training_method} に {lora_config!r} は使えません。"
                "ドキュメントを見てください",
            )
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


class _LogFile(logging.FileHandler):
    """A full disk costs lines of the log, not a traceback on the console for each."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        pass
