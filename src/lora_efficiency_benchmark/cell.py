"""Run one cell (row 4): join data, model, adapter, training and measurement into one record."""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from . import ranks
from .config.launching import DEEPSPEED
from .config.tracking import NONE, TENSORBOARD, Tracking
from .dataset import (
    Document,
    Split,
    audit_overlap,
    edition_of,
    load_split,
    token_statistics,
    tokenize,
)
from .errors import (
    CellError,
    DataError,
    DivergedCell,
    OutOfMemoryCell,
    UserError,
    first_line,
)
from .measure.environment import accelerator_in_use, describe_environment
from .measure.memory import MemoryTracker
from .measure.rank_memory import of_all_ranks
from .models import bf16_matmul, loading
from .plan import Cell
from .records.results import FAILED, OK, CellRecord
from .training.evaluation import evaluate
from .training.probes import evaluate_probes
from .training.samples import generate_samples
from .training.trainer import BEFORE_TRAINING, TrainSettings, settings_of, train

EventHook = Callable[[dict[str, Any]], None]  # {"event": "phase" | "step", ...}
_SAMPLE = 1_000_000  # weights compared before and after, at most


def run_cell(
    cell: Cell,
    on_event: EventHook = lambda event: None,
    tracking: Tracking | None = None,
) -> CellRecord:
    """Run one cell in this process. What goes wrong inside becomes a failed record.

    ``tracking`` follows cells that train for their result; a memory pass is told to nobody. Raises
    UserError for what the user can fix.
    """
    run = CellRun(cell, on_event, tracking=tracking)
    with run.guard():
        _RUNS[cell.kind](run)
    return run.finish()


class CellRun:
    """What the three kinds of cell share: model, clock, record, and the two training passes."""

    def __init__(
        self,
        cell: Cell,
        on_event: EventHook = lambda event: None,
        device: str | None = None,
        tracking: Tracking | None = None,
    ) -> None:
        self.cell, self.on_event, self.tracking = cell, on_event, tracking
        self.began = time.perf_counter()
        self.device = device or ("cuda" if accelerator_in_use() else "cpu")
        self.matmul = bf16_matmul.prepare(self.device)
        self.record = CellRecord(cell, OK, _now(), "")
        torch.manual_seed(cell.seed)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn what can go wrong in a measurement into a failed record."""
        try:
            yield
        except CellError as error:
            self._fail(error.kind, error)
        except (torch.OutOfMemoryError, MemoryError) as error:
            self._fail(OutOfMemoryCell.kind, error)
        except UserError:
            raise
        except Exception as error:  # what was measured before it stays in the record
            out = "can't allocate memory" in str(error) or "out of memory" in str(error)
            if not out:
                traceback.print_exc()
            self._fail(OutOfMemoryCell.kind if out else "error", error)

    @contextmanager
    def phase(self, name: str, shown: str = "") -> Iterator[None]:
        """Time one phase into ``record.seconds``, added to what it took before.

        ``shown`` is the name that a watcher hears, where it is another.
        """
        self.on_event({"event": "phase", "name": shown or name})
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.record.seconds[name] = self.record.seconds.get(name, 0.0) + spent

    def load(self) -> Any:
        """The model of this cell, on its device, adapter added, sizes counted."""
        cell = self.cell
        with self.phase("load"):
            model, tokenizer = loading.load_base_model(
                cell.model_name, cell.precision, cell.trust_remote_code, cell.allow_pickle
            )
            if cell.adapter is not None:
                model = loading.create_lora_model(model, cell.adapter)
            if not cell.sharded:  # accelerate divides a model before it moves the parts
                model.to(self.device)
        self.adopt(model, tokenizer)
        self.record.model = {"display_name": loading.display_name(cell.model_name)}
        return model

    def note_weights(self, model: Any) -> None:
        """What tells the untrained weights from others, for runs that are compared."""
        found = loading.weights_fingerprint(model)
        if found is not None and self.record.model is not None:
            self.record.model["weights"] = found

    def adopt(self, model: Any, tokenizer: Any) -> None:
        """Take a model that is already there; note its sizes."""
        self.tokenizer = tokenizer
        self.pad = pad_token_id(tokenizer)
        self.record.parameters = dataclasses.asdict(loading.count(model))

    def split(self) -> Split:
        """Documents of both sides; of generated ones the record states the edition."""
        found = load_cell_split(self.cell, self.tokenizer)
        edition = edition_of(self.cell)
        if edition is not None:
            self.record.data = {"edition": edition}
        return found

    def examples(self, documents: list[Document]) -> list[dict[str, Any]]:
        """Tokenised documents, cut at the cell's length."""
        examples = tokenize(documents, self.tokenizer, self.cell.max_length)
        if not any(example["raw_bytes"] for example in examples):
            raise DataError(
                f"dataset {self.cell.dataset!r}: no text has a token to train on",
                f"データ {self.cell.dataset!r}: 学習するトークンのあるテキストがありません",
            )
        return examples

    def memory_pass(self, model: Any, examples: list[dict[str, Any]]) -> None:
        """A few steps on the longest batch; only the memory figures are kept."""
        cell = self.cell
        longest = sorted(examples, key=lambda e: len(e["input_ids"]))[-cell.batch_size :]
        trackers: list[MemoryTracker] = []

        def around(prepared: Any) -> MemoryTracker:
            alone = cell.processes == 1  # what several processes exchange fits no category
            trackers.append(MemoryTracker(prepared, attributed=alone, placed=not cell.sharded))
            return trackers[-1]

        with self.phase("train"):
            train(model, longest, self._settings(), self.pad, on_step=self._step, around=around)
        length = max(len(e["input_ids"]) for e in longest)
        self.record.memory = {
            **of_all_ranks(ranks.gather(trackers[0].result())),
            "batch_size": cell.batch_size,  # of one forward pass, all ranks together
            "sequence_length": length,
            "tokens_per_step": cell.batch_size * length,
            "steps": cell.training_steps,
        }

    def trial_pass(
        self, model: Any, examples: list[dict[str, Any]], validation: list[dict[str, Any]]
    ) -> None:
        """A short run at one learning rate; only its loss on the validation texts counts."""
        with self.phase("train"):
            self.record.training = train(
                model, examples, self._settings(), self.pad, on_step=self._step
            )
        with self.phase("evaluate"):
            self.record.validation = evaluate(model, validation, self.cell.precision, self.pad)
        loss = self.record.validation["loss"]
        if not math.isfinite(loss):
            raise DivergedCell(f"validation loss is {loss}; the rate is too high")

    def training_pass(
        self, model: Any, examples: list[dict[str, Any]], held_out: list[dict[str, Any]]
    ) -> None:
        """The timed run: fine-tune, evaluate, save. Evaluation inside it is timed apart."""
        before = _sample(model)
        curve_seconds = 0.0

        def evaluate_now() -> float:
            nonlocal curve_seconds
            start = time.perf_counter()
            loss = evaluate(model, held_out, self.cell.precision, self.pad)["loss"]
            curve_seconds += time.perf_counter() - start
            return float(loss)

        with self.phase("train"):
            training = train(
                model,
                examples,
                self._settings(),
                self.pad,
                on_step=self._step,
                evaluate=evaluate_now,
            )
        if self.cell.strategy != DEEPSPEED:  # which keeps the weights in a form of its own
            training["weights_moved"] = _share_moved(before, _sample(model))
        with self.phase("evaluate"):
            evaluation = evaluate(model, held_out, self.cell.precision, self.pad)
        self.record.evaluation = evaluation
        self.record.seconds["evaluate"] += curve_seconds
        self.record.seconds["train"] -= curve_seconds
        final = {"step": self.cell.training_steps, "loss": evaluation["loss"]}
        training["evaluation_curve"].append(final)
        self.record.training = training
        if not math.isfinite(evaluation["loss"]):
            raise DivergedCell(f"held-out loss is {evaluation['loss']}; lower the learning rate")
        if ranks.rank() == 0 and not self.cell.sharded:  # no rank holds all of a divided model
            self._save(model)
        self.probe_and_sample(model)

    def probe_and_sample(self, model: Any) -> None:
        """Loss on the probe texts, and continuations of the prompts, where the cell asks for them.

        Neither counts as training or evaluation time.
        """
        cell = self.cell
        if cell.probes:
            with self.phase("probes", shown="evaluate"):
                try:
                    self.record.probes = evaluate_probes(
                        model, self.tokenizer, cell.max_length, cell.precision, self.pad
                    )
                except Exception:  # the finished training is worth more
                    traceback.print_exc()
        if cell.samples and ranks.rank() == 0 and not cell.sharded:
            with self.phase("samples", shown="evaluate"):
                try:
                    self.record.samples = generate_samples(
                        model, self.tokenizer, cell.samples, self.pad
                    )
                except Exception:  # a model that cannot write costs its samples, not its figures
                    traceback.print_exc()

    def finish(self) -> CellRecord:
        """Close the record."""
        self.record.environment = describe_environment(self.matmul)
        self.record.add_wall_seconds(time.perf_counter() - self.began)
        self.record.ended_at = _now()
        return self.record

    def _save(self, model: Any) -> None:
        with self.phase("save"):
            try:
                self.record.saved = _saved_size(model)
            except (OSError, SafetensorError):  # a full disk costs the size on disk, no more
                traceback.print_exc()

    def _settings(self) -> TrainSettings:
        plain = settings_of(self.cell, on_accelerator=self.device != "cpu")
        if self.cell.kind == "memory":
            return dataclasses.replace(plain, report_to=NONE)
        if self.tracking is None:
            return plain
        id_, service = self.cell.id, self.tracking.service
        folder = self.tracking.folder_of(id_) if service == TENSORBOARD else None
        return dataclasses.replace(plain, report_to=service, report_folder=folder, run_name=id_)

    def _step(self, step: int, total: int, loss: float) -> None:
        self.on_event({"event": "step", "step": step, "total": total, "loss": loss})

    def _fail(self, kind: str, error: BaseException) -> None:
        self.record.status = FAILED
        self.record.error = {"kind": kind, "message": first_line(error)[:300]}


def _run_base(run: CellRun) -> None:
    """The model before any training, and the facts about the data."""
    model = run.load()
    run.note_weights(model)
    with run.phase("data"):
        split = run.split()
        train_examples, held_out = run.examples(split.train), run.examples(split.evaluation)
    with run.phase("audit"):
        overlap = audit_overlap(split.train, split.evaluation)
    run.record.data = {
        **(run.record.data or {}),
        "name": run.cell.dataset,
        "train_documents": len(split.train),
        "evaluation_documents": len(split.evaluation),
        "overlap": overlap.to_dict(),
        "train_statistics": dataclasses.asdict(token_statistics(split.train, train_examples)),
        "evaluation_statistics": dataclasses.asdict(token_statistics(split.evaluation, held_out)),
    }
    with run.phase("evaluate"):
        run.record.evaluation = evaluate(model, held_out, run.cell.precision, run.pad)
    loss = run.record.evaluation["loss"]
    if not math.isfinite(loss):
        raise DivergedCell(f"held-out loss is {loss} {BEFORE_TRAINING}")
    if split.validation:
        _validate_base(run, model, split)
    run.probe_and_sample(model)


def _validate_base(run: CellRun, model: Any, split: Split) -> None:
    """The untrained model on the texts of the search, and what those share with the others."""
    assert run.record.data is not None
    with run.phase("audit"):
        run.record.data["validation"] = {
            "documents": len(split.validation),
            "overlap_with_evaluation": audit_overlap(split.validation, split.evaluation).to_dict(),
            "overlap_with_training": audit_overlap(split.train, split.validation).to_dict(),
        }
    with run.phase("evaluate"):
        examples = run.examples(split.validation)
        run.record.validation = evaluate(model, examples, run.cell.precision, run.pad)


def _run_trial(run: CellRun) -> None:
    model = run.load()
    with run.phase("data"):
        split = run.split()
        examples, validation = run.examples(split.train), run.examples(split.validation)
    run.trial_pass(model, examples, validation)


def _run_memory(run: CellRun) -> None:
    model = run.load()
    with run.phase("data"):
        examples = run.examples(run.split().train)
    run.memory_pass(model, examples)


def _run_train(run: CellRun) -> None:
    model = run.load()
    with run.phase("data"):
        split = run.split()
        examples, held_out = run.examples(split.train), run.examples(split.evaluation)
    run.training_pass(model, examples, held_out)


_RUNS = {"base": _run_base, "memory": _run_memory, "trial": _run_trial, "train": _run_train}


def load_cell_split(cell: Cell, tokenizer: Any) -> Split:
    """Training and held-out documents of a cell."""
    return load_split(
        cell.dataset,
        train_size=cell.dataset_size,
        evaluation_size=cell.evaluation_size,
        seed=0,
        tokenizer=tokenizer,
        validation_size=cell.validation_size,
    )


def pad_token_id(tokenizer: Any) -> int:
    """The padding token; where there is none, end of text (padding takes no part in the loss)."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    return 0


def _saved_size(model: Any) -> dict[str, Any]:
    """Save as a user would (safetensors), measure, throw away. Adapter, or the whole model."""
    peft = hasattr(model, "peft_config")
    options = {"save_embedding_layers": False} if peft else {}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, **options)
        size = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    kept = next(p for p in model.parameters() if p.requires_grad)
    return {
        "bytes": size,
        "kind": "adapter" if peft else "model",
        "dtype": str(kept.dtype).removeprefix("torch."),
    }


def _sample(model: Any) -> list[torch.Tensor]:
    """An evenly spaced sample of the trainable weights, copied."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    stride = max(1, sum(p.numel() for p in trainable) // _SAMPLE)
    return [ranks.whole(p.detach()).flatten()[::stride].clone() for p in trainable]


def _share_moved(before: list[torch.Tensor], after: list[torch.Tensor]) -> float:
    """Share of sampled weights whose stored value changed (low precision can lose every update)."""
    pairs = zip(before, after, strict=True)
    moved = sum(int((a != b.to(a.device)).sum()) for a, b in pairs)
    return moved / sum(a.numel() for a in before)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
