"""What training cost elsewhere (row 5): loss on the probe texts, before and after. No claim."""

from __future__ import annotations

import math
from typing import Any

from ..plan import FULL, LORA
from ..records.results import CellRecord
from .pairing import Arm, Comparison, number, scored_texts
from .values import Forgetting

LANGUAGES = ("english", "japanese")


def forgetting(comparison: Comparison) -> tuple[Forgetting, ...]:
    """Every arm at every data size and on both probe sets; empty where none was evaluated.

    Only the same texts are compared, cut at the same length: tokens and bytes must agree.
    """
    if comparison.base is None:
        return ()
    base = comparison.base
    found = [_of_arm(arm, base, language) for arm in comparison.arms for language in LANGUAGES]
    return tuple(entry for entry in found if entry is not None)


def _of_arm(arm: Arm, base: CellRecord, language: str) -> Forgetting | None:
    before = _block(base, language)
    loss, bits = number(before, "loss"), number(before, "bits_per_byte")
    if loss is None or bits is None:
        return None
    seeds: list[dict[str, Any]] = []
    for seed, record in arm.train.items():
        after = _block(record, language)
        new_loss, new_bits = number(after, "loss"), number(after, "bits_per_byte")
        if new_loss is None or new_bits is None or scored_texts(after) != scored_texts(before):
            continue
        change = {"loss_change": new_loss - loss, "bits_per_byte_change": new_bits - bits}
        seeds.append({"seed": seed, "cell_id": record.cell_id, **change})
    if not seeds:
        return None
    return Forgetting(
        label=arm.label,
        training_method=FULL if arm.adapter is None else LORA,
        dataset_size=arm.dataset_size,
        language=language,
        base_loss=loss,
        base_bits_per_byte=bits,
        base_cell=base.cell_id,
        loss_change=math.fsum(s["loss_change"] for s in seeds) / len(seeds),
        bits_per_byte_change=math.fsum(s["bits_per_byte_change"] for s in seeds) / len(seeds),
        per_seed=tuple(seeds),
    )


def _block(record: CellRecord, language: str) -> dict[str, Any]:
    block = (record.probes or {}).get(language)
    return block if isinstance(block, dict) else {}
