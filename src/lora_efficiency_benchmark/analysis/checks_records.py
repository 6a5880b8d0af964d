"""Warnings about the records, and about how far the verdicts carry (row 5).

A check returns the detail to fill in, or None where there is nothing to warn about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..config.claims import NOISY_METRICS
from ..language import Statement
from ..records.results import OK
from .contrasts import Document, text_moments
from .findings import TIE, Findings, join_texts
from .pairing import Pair, number, text_numbers
from .values import FAILED, PARTIAL, UNDECIDED, VERIFIED, ConfigurationVerdict
from .wording import cell_name, ending, plural, quantity, seed_count

FEW_DOCUMENTS = 50
"""Below this one unusual document carries more than 2 % of the score."""

NGRAM_SHARE = 0.1
"""Different documents of one field share a few percent of their character 13-grams (set phrases);
a tenth means copied passages."""


def run_not_finished(f: Findings) -> Statement | None:
    """Planned cells have no record yet: the run goes on, or was interrupted."""
    if not f.unfinished:
        return None
    return Statement(plural(f.unfinished, "planned cell"), f"{f.unfinished}")


def environments_differ(f: Findings) -> Statement | None:
    """Records of other hardware or versions were left out."""
    others = join_texts(f.selection.other_environments)
    if others is None:
        return None
    count = f.selection.environment_left_out
    records = Statement(plural(count, "record"), f"記録{count}件")
    return Statement(f"{others.en}, {records.en}", f"{others.ja}、{records.ja}")


def settings_mixed(f: Findings) -> Statement | None:
    """Results of other settings or learning rates were left out."""
    count = f.selection.settings_left_out
    lines = list(f.comparison.variants_left_out)
    if count:
        lines.append(
            Statement(plural(count, "record") + " with other settings", f"設定違いの記録{count}件")
        )
    return join_texts(lines)


def arms_differ(f: Findings) -> Statement | None:
    """Runs that should have been paired could not be."""
    return join_texts((*f.selection.differences, *f.comparison.differences))


def cells_failed(f: Findings) -> Statement | None:
    """Cells without a result."""
    lines = []
    for record in f.selection.records:
        if record.status != OK:
            cell = cell_name(record.cell.kind, record.cell.label)
            how = str((record.error or {}).get("kind", record.status))
            lines.append(Statement(f"{cell.en} ({how})", f"{cell.ja}({ending(how).ja})"))
    return join_texts(lines)


# ---- how far the verdicts carry -----------------------------------------------------------------


def mean_hides_failures(f: Findings) -> Statement | None:
    """A claim whose mean is judged better than some configuration."""
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
                Statement(
                    f"{claim.text['en']}: mean {mean.en} {claim.verification}, "
                    f"{worse} of {len(entries)} fall short of that",
                    f"{claim.text['ja']}: 平均{mean.ja}で{claim.verification}、"
                    f"{len(entries)}件中{worse}件はそれ未満",
                )
            )
    return join_texts(lines)


def too_few_seeds(f: Findings) -> Statement | None:
    """Noisy metrics whose interval does not decide."""
    lines = []
    for claim in f.claims:
        entries = [e for e in claim.per_configuration if e.verification == UNDECIDED]
        if not entries or claim.metric not in NOISY_METRICS:
            continue
        have = seed_count(min(e.num_seeds for e in entries))
        want = _what_would_decide(entries)
        lines.append(
            Statement(
                f"{claim.text['en']} has {have.en}, needs {want.en}",
                f"{claim.text['ja']}は{have.ja}({want.ja}必要)",
            )
        )
    return join_texts(lines)


def _what_would_decide(entries: Sequence[ConfigurationVerdict]) -> Statement:
    """What settles all of some undecided entries: seeds, or texts where these are the obstacle."""
    texts = [e.texts_needed for e in entries if e.texts_needed is not None]
    seeds = [e.seeds_needed for e in entries if e.seeds_needed is not None]
    if texts:
        return Statement(f"about {max(texts)} held-out texts", f"評価テキストが約{max(texts)}件")
    if len(seeds) < len(entries):
        return Statement(
            "more seeds or texts than are practical for some",
            "一部は非現実的な数のシードか評価テキストが",
        )
    return Statement(f"about {max(seeds)}", f"約{max(seeds)}シード")


def evaluation_set_small(f: Findings) -> Statement | None:
    """Fewer than 50 texts, or a loss difference less certain than a tie."""
    counts = [len((r.evaluation or {}).get("documents") or []) for r in f.trained]
    smallest = min((n for n in counts if n), default=None)
    if smallest is not None and smallest < FEW_DOCUMENTS:
        texts = Statement(plural(smallest, "text"), f"{smallest}件")
        return Statement(f"{texts.en}, fewer than 50", f"{texts.ja}(50件未満)")
    widths = [w for _, pair in f.pairs if (w := difference_half_width(pair)) is not None]
    if not widths or max(widths) <= TIE:
        return None
    return Statement(
        f"the loss difference between two arms is known to +-{max(widths):.3f} nats only",
        f"損失の差の誤差が±{max(widths):.3f} nats",
    )


def difference_half_width(pair: Pair) -> float | None:
    """95 % half width of the loss difference of a pair over documents, nats per token.

    Both arms are scored on the same documents.
    """
    full, lora = text_numbers(pair.full, "nats"), text_numbers(pair.lora, "nats")
    tokens = text_numbers(pair.full, "tokens")
    if not full or not lora or not tokens or len(full) != len(lora) or len(full) < 2:
        return None
    if not math.fsum(tokens):
        return None
    known = [Document(b - a, 0.0, n) for a, b, n in zip(full, lora, tokens, strict=True)]
    return 1.96 * math.sqrt(text_moments(known).xx)


def overlap_between_sides(f: Findings) -> Statement | None:
    """Texts on both sides, near copies, shared groups, or copied passages."""
    base = f.comparison.base
    overlap = ((base.data if base else None) or {}).get("overlap") or {}
    names = {
        "exact": Statement("identical texts", "同一の文章"),
        "near_duplicates": Statement("near copies", "ほぼ同一の文章"),
        "shared_groups": Statement("shared topics or documents", "共通の話題・文書"),
    }
    lines = [
        Statement(f"{value:.0f} {text.en}", f"{text.ja}{value:.0f}件")
        for name, text in names.items()
        if (value := number(overlap, name))
    ]
    share = number(overlap, "ngram13_share")
    if share is not None and share > NGRAM_SHARE:
        lines.append(
            Statement(
                f"{share:.0%} of the 13-grams seen in training", f"13文字連鎖の{share:.0%}が既出"
            )
        )
    return join_texts(lines)


def data_size_not_tested(f: Findings) -> Statement | None:
    """One data size only, or less than one pass over the largest."""
    sizes = sorted({r.cell.dataset_size for r in f.trained} - {0})  # 0: not stated (imported)
    if not sizes:
        return None
    lines = []
    if len(sizes) == 1:
        lines.append(Statement(f"only {sizes[0]} texts", f"{sizes[0]}件の1通りのみ"))
    largest = [r.training for r in f.trained if r.cell.dataset_size == sizes[-1]]
    epochs = [e for block in largest if (e := number(block, "epochs")) is not None]
    if epochs and min(epochs) < 1:
        share = f"{min(epochs):.2g}"
        lines.append(
            Statement(
                f"a run saw only {share} epochs of the largest set",
                f"最大のデータでの学習は{share}エポックのみ",
            )
        )
    return join_texts(lines)
