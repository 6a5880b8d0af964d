"""Why a metric has no value although its records hold something like it (row 5).

Records from other programs (``importing/``) hold reserved memory, accuracy and run times. They are
other quantities: named, with what they would show, and never judged in the metric's place.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..language import Statement
from ..records.results import OK, CellRecord
from .pairing import Pair, eval_loss, number
from .wording import quantity


def instead_of_peak(full: CellRecord, lora: CellRecord) -> Statement:
    """Two memory records without a peak of allocated memory."""
    a, b = (
        number(r.memory, "peak_reserved_bytes") if r.status == OK else None for r in (full, lora)
    )
    if a and b:
        ratio = quantity(a / b, "memory_reduction_ratio")
        return Statement(
            f"the source gives peak reserved ({ratio.en}), not peak allocated",
            f"元の結果にあるのはピーク予約量 ({ratio.ja}) のみ(ピーク割り当て量は記載なし)",
        )
    return Statement("a memory cell ended without a figure", "メモリ測定の値なし")


def instead_of_gain(pairs: Sequence[Pair]) -> Statement:
    """Pairs of runs without a loss before training."""
    for pair in pairs:
        lora, full = (number(r.evaluation, "accuracy") for r in (pair.lora, pair.full))
        if lora is not None and full is not None:
            both = f"{lora:.3g}", f"{full:.3g}"
            return Statement(
                f"the source gives test accuracy ({both[0]} against {both[1]} of full), not a loss",
                f"元の結果にあるのは正答率 ({both[0]}、フルは{both[1]}) のみ(損失は記載なし)",
            )
        lora, full = eval_loss(pair.lora), eval_loss(pair.full)
        if lora is not None and full is not None:
            both = f"{lora:.3f}", f"{full:.3f}"
            return Statement(
                f"no base loss, only those after training ({both[0]} against {both[1]} of full)",
                f"学習前の損失なし (学習後は{both[0]}、フルは{both[1]})",
            )
    return Statement("no base loss", "学習前の損失なし")


def instead_of_time(pairs: Sequence[Pair]) -> Statement:
    """Pairs of runs that are not known to have had the machine to themselves."""
    if any((r.training or {}).get("exclusive") is False for p in pairs for r in (p.full, p.lora)):
        return Statement("other work ran on the machine", "測定中に他の処理が動作")
    named = {
        "train_seconds": Statement("the steps", "ステップ"),
        "runtime_seconds": Statement("the runs with evaluation and saving", "評価と保存を含む実行"),
    }
    for key, what in named.items():
        for pair in pairs:
            full, lora = (number(r.training, key) for r in (pair.full, pair.lora))
            if full and lora:
                ratio = quantity(full / lora, "time_ratio")
                return Statement(
                    f"not known whether the machine was free of other work (time of {what.en}, "
                    f"full / LoRA: {ratio.en})",
                    f"他の処理の有無が不明 ({what.ja}の時間の比は{ratio.ja})",
                )
    return Statement("no training time", "学習時間なし")
