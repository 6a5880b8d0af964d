"""What a reader must know before believing the verdicts (row 5): one check a warning code.

The codes, causes and next steps are the closed list in ``warning_texts.py``. A check returns the
detail to fill in, or None where there is nothing to warn about.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..claims import NOISY_METRICS
from ..results import OK, CellRecord
from .pairing import Arm, Comparison, Pair, eval_loss, number
from .selection import Selection
from .values import (
    FAILED,
    PARTIAL,
    UNDECIDED,
    VERIFIED,
    AnalysisWarning,
    ArmSummary,
    ClaimVerdict,
)
from .warning_texts import make_warning
from .wording import Text, listing, phrase, plural, quantity

TIE = 0.03
"""Nats per token. Repeated runs scatter by up to 0.013, so two of them differ by chance by up to
about 0.013 * sqrt(2) * 1.64: smaller differences are ties."""

MOVED_SHARE = 0.5
"""With fp32 weights Adam changes nearly every weight, except embedding rows of tokens that never
occur (up to a third of a small model). Below half, rounding is losing updates."""

FEW_DOCUMENTS = 50
"""Below this one unusual document carries more than 2 % of the score."""

NGRAM_SHARE = 0.1
"""Different documents of one field share a few percent of their character 13-grams (set phrases);
a tenth means copied passages."""


@dataclass(frozen=True)
class Findings:
    """What the checks look at."""

    selection: Selection
    comparison: Comparison
    claims: tuple[ClaimVerdict, ...]
    arms: tuple[ArmSummary, ...]

    @property
    def trained(self) -> list[CellRecord]:
        """Results of training cells, full fine-tuning first."""
        arms = (*self.comparison.full, *self.comparison.lora)
        return [record for arm in arms for record in arm.train.values()]

    @property
    def pairs(self) -> list[tuple[Arm, Pair]]:
        """Every pair with its LoRA arm."""
        return [(arm, p) for arm in self.comparison.lora for p in self.comparison.pairs(arm)]


Check = Callable[[Findings], Text | None]


def find_warnings(findings: Findings) -> tuple[AnalysisWarning, ...]:
    """All warnings that apply, in the order of the list."""
    details = ((code, check(findings)) for code, check in CHECKS.items())
    return tuple(make_warning(code, detail) for code, detail in details if detail is not None)


def _same(lines: Iterable[str]) -> Text | None:
    """Distinct lines that read the same in both languages; None where there are none."""
    distinct = list(dict.fromkeys(lines))
    return listing(distinct) if distinct else None


def _texts(lines: Iterable[Text]) -> Text | None:
    distinct = list(dict.fromkeys(lines))
    if not distinct:
        return None
    return Text(listing([t.en for t in distinct]).en, listing([t.ja for t in distinct]).ja)


# ---- which records were judged ------------------------------------------------------------------


def _environments_differ(f: Findings) -> Text | None:
    others = _same(f.selection.other_environments)
    if others is None:
        return None
    count = f.selection.environment_left_out
    return Text(f"{others.en}, {plural(count, 'record')}", f"{others.ja}、記録{count}件")


def _settings_mixed(f: Findings) -> Text | None:
    count = f.selection.settings_left_out
    lines = [Text(name, name) for name in f.comparison.variants_left_out]
    if count:
        lines.append(
            Text(plural(count, "record") + " with other settings", f"設定違いの記録{count}件")
        )
    return _texts(lines)


def _arms_differ(f: Findings) -> Text | None:
    return _same((*f.selection.differences, *f.comparison.differences))


def _cells_failed(f: Findings) -> Text | None:
    return _same(
        f"{r.cell.kind} {r.cell.label} ({(r.error or {}).get('kind', r.status)})"
        for r in f.selection.records
        if r.status != OK
    )


# ---- how far the verdicts carry -----------------------------------------------------------------


def _mean_hides_failures(f: Findings) -> Text | None:
    order = (FAILED, PARTIAL, VERIFIED)
    lines = []
    for claim in f.claims:
        if claim.verification not in order or claim.mean is None:
            continue
        own = order.index(claim.verification)
        entries = [e for e in claim.per_configuration if e.verification in order]
        worse = sum(order.index(e.verification) < own for e in entries)
        if worse:
            mean = quantity(claim.mean, claim.metric)
            lines.append(
                Text(
                    f"{claim.text['en']}: mean {mean.en} {claim.verification}, "
                    f"{worse} of {len(entries)} fall short of that",
                    f"{claim.text['ja']}: 平均{mean.ja}で{claim.verification}だが"
                    f"{len(entries)}件中{worse}件はそれに届かない",
                )
            )
    return _texts(lines)


def _too_few_seeds(f: Findings) -> Text | None:
    lines = []
    for claim in f.claims:
        entries = [e for e in claim.per_configuration if e.verification == UNDECIDED]
        if not entries or claim.metric not in NOISY_METRICS:
            continue
        have = min(e.num_seeds for e in entries)
        needed = [e.seeds_needed for e in entries]
        known = [n for n in needed if n is not None]
        want = Text(f"about {max(known)}", f"約{max(known)}") if known else None
        if len(known) < len(needed):
            want = Text("more than 100 for some", "一部は100超")
        assert want is not None
        lines.append(
            Text(
                f"{claim.text['en']} has {plural(have, 'seed')}, needs {want.en}",
                f"{claim.text['ja']}は{have}シード({want.ja}シード必要)",
            )
        )
    return _texts(lines)


def _evaluation_set_small(f: Findings) -> Text | None:
    counts = [len((r.evaluation or {}).get("documents") or []) for r in f.trained]
    smallest = min((n for n in counts if n), default=None)
    if smallest is not None and smallest < FEW_DOCUMENTS:
        return Text(f"{plural(smallest, 'text')}, fewer than 50", f"{smallest}件(50件未満)")
    widths = [w for _, pair in f.pairs if (w := difference_half_width(pair)) is not None]
    if not widths or max(widths) <= TIE:
        return None
    return Text(
        f"the loss difference between two arms is known to +-{max(widths):.3f} nats only",
        f"損失の差の誤差が±{max(widths):.3f} natsある",
    )


def difference_half_width(pair: Pair) -> float | None:
    """95 % half width of the loss difference of a pair over documents, nats per token.

    Linearised variance of a ratio of sums (Cochran, Sampling Techniques, section 2.11): documents
    differ in length, and both arms are scored on the same ones.
    """
    full = (pair.full.evaluation or {}).get("documents") or []
    lora = (pair.lora.evaluation or {}).get("documents") or []
    count = len(full)
    if count < 2 or count != len(lora):
        return None
    differences = [a["nats"] - b["nats"] for a, b in zip(lora, full, strict=True)]
    tokens = [d["tokens"] for d in full]
    total = sum(tokens)
    if not total or not all(map(math.isfinite, differences)):
        return None
    ratio = math.fsum(differences) / total
    squares = math.fsum((d - ratio * t) ** 2 for d, t in zip(differences, tokens, strict=True))
    return 1.96 * math.sqrt(count / (count - 1) * squares) / total


def _overlap_between_sides(f: Findings) -> Text | None:
    base = f.comparison.base
    overlap = ((base.data if base else None) or {}).get("overlap") or {}
    names = {
        "exact": Text("identical texts", "同一の文章"),
        "near_duplicates": Text("near copies", "ほぼ同一の文章"),
        "shared_groups": Text("shared topics or documents", "共通の話題・文書"),
    }
    lines = [
        Text(f"{value:.0f} {text.en}", f"{text.ja}{value:.0f}件")
        for name, text in names.items()
        if (value := number(overlap, name))
    ]
    share = number(overlap, "ngram13_share")
    if share is not None and share > NGRAM_SHARE:
        lines.append(
            Text(f"{share:.0%} of the 13-grams seen in training", f"13文字連鎖の{share:.0%}が既出")
        )
    return _texts(lines)


def _data_size_not_tested(f: Findings) -> Text | None:
    sizes = sorted({r.cell.dataset_size for r in f.trained})
    if not sizes:
        return None
    lines = []
    if len(sizes) == 1:
        lines.append(Text(f"only {sizes[0]} texts", f"{sizes[0]}件の1通りのみ"))
    largest = [r.training for r in f.trained if r.cell.dataset_size == sizes[-1]]
    epochs = [e for block in largest if (e := number(block, "epochs")) is not None]
    if epochs and min(epochs) < 1:
        share = f"{min(epochs):.2g}"
        lines.append(
            Text(
                f"training saw the largest set {share} times",
                f"最大のデータを{share}周しか学習していない",
            )
        )
    return _texts(lines)


# ---- how the arms trained -----------------------------------------------------------------------


def _shared_learning_rate(f: Findings) -> Text | None:
    return _same(
        f"{pair.full.cell.learning_rate:g}"
        for _, pair in f.pairs
        if pair.full.cell.learning_rate is not None
        and pair.full.cell.learning_rate == pair.lora.cell.learning_rate
    )


def _arm_did_not_learn(f: Findings) -> Text | None:
    base = eval_loss(f.comparison.base) if f.comparison.base else None
    if base is None:
        return None
    learned = (
        (a, base - math.fsum(a.eval_losses) / len(a.eval_losses)) for a in f.arms if a.eval_losses
    )
    return _same(f"{a.label} ({gain:+.3f})" for a, gain in learned if gain < TIE)


def _weights_do_not_move(f: Findings) -> Text | None:
    shares = ((r, number(r.training, "weights_moved")) for r in f.trained)
    return _same(
        f"{r.cell.label} {share:.1%}"
        for r, share in shares
        if share is not None and share < MOVED_SHARE
    )


def _loss_still_falling(f: Findings) -> Text | None:
    labels = []
    for record in f.trained:
        curve = (record.training or {}).get("evaluation_curve") or []
        losses = [loss for point in curve if (loss := number(point, "loss")) is not None]
        if len(losses) >= 2 and losses[-2] - losses[-1] > TIE:
            labels.append(record.cell.label)
    return _same(labels)


def _precision_differs(f: Findings) -> Text | None:
    return _same(
        f"full {pair.full.cell.precision}, LoRA {pair.lora.cell.precision}"
        for _, pair in f.pairs
        if pair.full.cell.precision != pair.lora.cell.precision
    )


# ---- memory and time ----------------------------------------------------------------------------


def _lora_needs_more_memory(f: Findings) -> Text | None:
    return _same(
        f"{arm.label} {value:.2f}x ({reading})"
        for arm in f.arms
        for reading, value in arm.memory_ratio.items()
        if value < 1 and arm.adapter is not None
    )


def _lora_slower(f: Findings) -> Text | None:
    slow = [a for a in f.arms if a.time_ratio is not None and a.time_ratio < 1]
    shown = ((a.label, phrase(a.time_ratio, "time_ratio")) for a in slow)
    return _texts(Text(f"{label} {t.en}", f"{label} {t.ja}") for label, t in shown)


def _time_not_measured(f: Findings) -> Text | None:
    return _same(
        f"{r.cell.label} seed {r.cell.seed}"
        for r in f.trained
        if (r.training or {}).get("exclusive") is not True
    )


def _emulated_bf16(f: Findings) -> Text | None:
    return _same(
        f"{r.environment.get('cpu_model', 'CPU')}"
        for r in f.trained
        if r.environment.get("bf16_matmul") == "emulated" and "bf16" in r.cell.precision
    )


def _not_isolated(f: Findings) -> Text | None:
    # The base cell has neither memory nor time to protect.
    return _same(
        f"{r.cell.kind} {r.cell.label}"
        for r in f.selection.records
        if r.status == OK and not r.isolated and r.cell.kind != "base"
    )


CHECKS: dict[str, Check] = {
    "environments_differ": _environments_differ,
    "settings_mixed": _settings_mixed,
    "arms_differ": _arms_differ,
    "cells_failed": _cells_failed,
    "mean_hides_failures": _mean_hides_failures,
    "too_few_seeds": _too_few_seeds,
    "shared_learning_rate": _shared_learning_rate,
    "arm_did_not_learn": _arm_did_not_learn,
    "weights_do_not_move": _weights_do_not_move,
    "loss_still_falling": _loss_still_falling,
    "evaluation_set_small": _evaluation_set_small,
    "overlap_between_sides": _overlap_between_sides,
    "data_size_not_tested": _data_size_not_tested,
    "lora_needs_more_memory": _lora_needs_more_memory,
    "lora_slower": _lora_slower,
    "precision_differs": _precision_differs,
    "time_not_measured": _time_not_measured,
    "emulated_bf16": _emulated_bf16,
    "not_isolated": _not_isolated,
}
