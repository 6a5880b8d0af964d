"""The values an analysis consists of (row 5). Numbers in, values out; no files, no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..records.results import LoRAEfficiencyResult, encode_non_finite

SCHEMA = "lora-bench/analysis/1"
VERIFIED, PARTIAL, FAILED = "VERIFIED", "PARTIAL", "FAILED"
UNDECIDED, NOT_MEASURED = "UNDECIDED", "NOT_MEASURED"


@dataclass(frozen=True)
class ConfigurationVerdict:
    """One claim, judged on one LoRA configuration at one data size."""

    configuration: str  # the adapter's label
    value: float | None  # the metric (a ratio); None where not measured
    ci95: tuple[float, float] | None  # None for deterministic metrics and single seeds
    num_seeds: int
    verification: str
    seeds_needed: int | None = None  # for UNDECIDED: how many seeds would decide, if known
    texts_needed: int | None = None  # held-out texts, where their error is the obstacle
    dataset_size: int | None = None  # None where the metric does not depend on it
    cells: tuple[str, ...] = ()  # ids of the records behind the value
    reason: str = ""
    reason_ja: str = ""
    bound: str | None = None  # "lower" | "upper": an arm ran out of memory, value is a bound


@dataclass(frozen=True)
class ClaimVerdict:
    """One claim over all configurations."""

    id: str
    metric: str
    comparison: str  # same-model | cross-model
    basis: str  # MEASURED | ESTIMATED
    precision: str  # controlled | as-practised
    claimed: float
    text: dict[str, str]  # {"ja", "en"}
    mean: float | None  # the specification's mean over configurations
    verification: str  # of the mean (the specification's rule)
    per_configuration: tuple[ConfigurationVerdict, ...]
    reason: str  # what the mean hides, or why it is undecided
    source: str
    joint: bool  # counts towards the joint verdict
    reason_ja: str = ""
    verified_at: float | None = None  # thresholds, in the metric's unit
    partial_at: float | None = None
    model: str = ""  # LoRA's; "" where one model was compared with itself
    base_model: str = ""  # full fine-tuning's


@dataclass(frozen=True)
class EstimatedClaim(ClaimVerdict):
    """A claim judged on estimates (basis ESTIMATED) of models nobody ran here."""

    batch_size: int | None = None  # None where the metric does not depend on it
    seq_len: int | None = None
    arithmetic: str = ""  # where the frozen weights alone rule a threshold out
    arithmetic_ja: str = ""


@dataclass(frozen=True)
class EstimatorCell:
    """One memory cell of this run beside its estimate."""

    cell_id: str
    label: str
    reading: str
    estimated: float  # bytes, peak allocated
    measured: float | None  # None where the cell ran out of memory
    error: float | None  # estimated / measured - 1
    model: str = ""  # the cell's model, where two are compared


@dataclass(frozen=True)
class EstimatorError:
    """How far the estimator was off on the cells of this very run."""

    cells: tuple[EstimatorCell, ...]  # with a measurement to compare with
    mean_absolute: float | None  # of the relative errors; None without such a cell
    max_absolute: float | None
    under_share: float | None  # share of the cells whose estimate lies below the measurement
    out_of_memory: tuple[EstimatorCell, ...] = ()
    untraceable: tuple[dict[str, str], ...] = ()
    """Cells without an estimate: ``cell_id``, ``label``, ``reading``, ``reason``, ``model``."""


@dataclass(frozen=True)
class JointVerdict:
    """Does any single configuration meet all claims at once?"""

    verification: str
    configurations: tuple[dict[str, Any], ...]
    """One entry a configuration and data size: ``configuration``, ``dataset_size``,
    ``verification``, ``claims`` {claim id: verification} and ``seeds_needed``."""
    sentence: dict[str, str]  # {"ja", "en"}: the one line that leads everywhere
    reason: str = ""  # what decided it, or what is missing
    reason_ja: str = ""


@dataclass(frozen=True)
class AnalysisWarning:
    """One entry of the closed list in ``warning_texts.py``, filled in."""

    code: str
    cause: str
    next_step: str
    cause_ja: str = ""
    next_step_ja: str = ""


@dataclass(frozen=True)
class ArmSummary:
    """One arm at one data size, over its seeds; what tables and figures show."""

    label: str  # full, or the adapter's label
    training_method: str
    dataset_size: int
    adapter: dict[str, Any] | None
    trainable_parameters: int
    total_parameters: int
    parameter_reduction_ratio: float | None
    eval_losses: tuple[float, ...]  # one a seed, nats per token
    bits_per_byte: float | None  # mean over seeds
    gain_retention: float | None  # ratio of the mean gains
    performance_retention: float | None
    train_seconds: tuple[float, ...]
    tokens_per_second: float | None
    time_ratio: float | None  # train seconds of full / of this arm, paired by seed
    learning_rate: float | None
    memory: dict[str, dict[str, Any]]  # reading -> the record's memory block
    memory_ratio: dict[str, float]  # reading -> peak allocated of full / of this arm
    saved_bytes: int | None
    curves: tuple[dict[str, Any], ...]  # a seed: {"seed", "loss": [...], "evaluation": [...]}
    cells: tuple[str, ...]
    failures: tuple[str, ...] = ()  # one line each
    failures_ja: tuple[str, ...] = ()  # the same lines; what the cell itself said is English
    memory_ratio_bound: dict[str, str] = field(default_factory=dict)
    """reading -> "lower" | "upper" where an arm ran out of memory and the ratio is a bound."""
    model: str = ""  # the arm's model, where two are compared; "" otherwise


@dataclass(frozen=True)
class AcrossModels:
    """Full fine-tuning of another model against LoRA of the run's own."""

    model: str  # LoRA's; both names are short and differ
    base_model: str  # full fine-tuning's
    arms: tuple[ArmSummary, ...]
    """Full fine-tuning of ``base_model``, then LoRA of ``model``, sizes ascending. Every ratio is
    to that full fine-tuning; gains count in bits per byte from the untrained ``base_model``."""
    base: dict[str, Any] | None  # evaluation block of the untrained ``base_model``
    sentence: dict[str, str]  # {"ja", "en"}: both models and the figures of one configuration


@dataclass(frozen=True)
class MatchedArm:
    """Share of the gain that a LoRA arm keeps, at equal steps and at equal training time."""

    label: str
    dataset_size: int
    equal_steps: float | None
    equal_steps_ci95: tuple[float, float] | None
    equal_time: float | None  # both arms read at the faster one's total time
    equal_time_ci95: tuple[float, float] | None
    seconds: float | None  # that time, mean over seeds
    num_seeds: int  # of the equal-time figure
    cells: tuple[str, ...]
    reason: str = ""  # why there is no figure at equal time
    reason_ja: str = ""


@dataclass(frozen=True)
class RateTrial:
    """One short run of the search for learning rates."""

    learning_rate: float
    loss: float | None  # nats per token on validation texts; None where it ended without one
    cell_id: str


@dataclass(frozen=True)
class SharedRate:
    """What one learning rate for both arms would have shown, by the trials' losses."""

    learning_rate: float
    gain_retention: float
    verification: str | None  # by value alone: one trial an arm


@dataclass(frozen=True)
class RateCurve:
    """Validation loss against learning rate of one arm."""

    label: str
    training_method: str
    trials: tuple[RateTrial, ...]  # by rate, ascending
    chosen: float | None  # the rate it trained with, or the best so far
    at_edge: bool  # no rate was tried on one side of the best one
    base_loss: float | None  # of the untrained model, on the same texts
    steps: int  # optimizer steps of a trial
    gain_retention: float | None = None  # both arms at their own rate; None for full fine-tuning
    shared: tuple[SharedRate, ...] = ()  # rates that full fine-tuning tried too
    elsewhere: tuple[str, ...] = ()  # other environments that trials of the search ran in
    elsewhere_ja: tuple[str, ...] = ()  # the same lines in Japanese

    def loss_at(self, rate: float | None) -> float | None:
        """Loss of the trial at a rate, where there is one."""
        return next((t.loss for t in self.trials if t.learning_rate == rate), None)


@dataclass(frozen=True)
class Forgetting:
    """What one arm's training changed on one probe set: after - before, above 0 is worse."""

    label: str
    training_method: str
    dataset_size: int
    language: str  # of the texts: english | japanese
    base_loss: float  # of the untouched model, nats per token
    base_bits_per_byte: float
    base_cell: str
    loss_change: float  # nats per token, mean over seeds
    bits_per_byte_change: float  # mean over seeds
    per_seed: tuple[dict[str, Any], ...]
    """``seed``, ``cell_id``, ``loss_change`` and ``bits_per_byte_change`` of each seed."""


@dataclass(frozen=True)
class SampleText:
    """How one model continued a prompt. Untrusted: a model wrote it."""

    label: str  # base, full, or the adapter's label
    training_method: str | None  # None for base
    dataset_size: int | None  # None for base
    text: str
    cell_id: str


@dataclass(frozen=True)
class Sample:
    """One prompt, and its continuations: the untouched model first, then every arm."""

    prompt: str
    texts: tuple[SampleText, ...]


@dataclass(frozen=True)
class Analysis:
    """Everything the report shows."""

    claims: tuple[ClaimVerdict, ...]  # MEASURED
    joint: JointVerdict
    warnings: tuple[AnalysisWarning, ...]
    arms: tuple[ArmSummary, ...]
    rows: tuple[LoRAEfficiencyResult, ...]
    base: dict[str, Any] | None  # evaluation block of the base record
    data: dict[str, Any] | None  # data block of the base record
    environment: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)  # shared by all arms
    failures: tuple[dict[str, str], ...] = ()  # {"cell_id", "status", "kind", "message"}
    estimated_claims: tuple[EstimatedClaim, ...] = ()  # never part of claims, joint or rows
    estimator: EstimatorError | None = None  # None where no record holds an estimate
    learning_rates: tuple[RateCurve, ...] = ()  # of the search, full fine-tuning first
    matched: tuple[MatchedArm, ...] = ()  # LoRA arms at equal steps and at equal time
    forgetting: tuple[Forgetting, ...] = ()  # every arm, data size and probe set
    samples: tuple[Sample, ...] = ()  # one a prompt
    unfinished: int | None = None  # planned cells without a record; None where no plan is known
    across: AcrossModels | None = None  # None where one model was compared with itself

    @property
    def reference_arms(self) -> tuple[ArmSummary, ...]:
        """Full fine-tuning of the other model, one arm a data size; empty without one."""
        arms = self.across.arms if self.across is not None else ()
        return tuple(arm for arm in arms if arm.adapter is None)

    def to_dict(self) -> dict[str, Any]:
        """The document of ``analyze --json``: schema first, then these fields.

        ``claims`` holds the measured ones, then the estimated ones. Valid JSON: non-finite numbers
        take the form they have in the records. The rows are left out, they are results.csv.
        """
        body: dict[str, Any] = dataclasses.asdict(self)
        body.pop("rows")
        body["claims"] += body.pop("estimated_claims")
        encoded: dict[str, Any] = encode_non_finite(body)
        return {"schema": SCHEMA, **encoded}
