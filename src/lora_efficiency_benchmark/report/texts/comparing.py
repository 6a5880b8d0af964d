"""Wording of runs side by side, Japanese and English (row 6)."""

from __future__ import annotations

from .both import both as _t

COMPARING_TEXTS = {
    "compare.joint": _t("全主張を同時に: {verdict}", "all claims at once: {verdict}"),
    "compare.unfinished": _t("未測定のセル{n}個", "{n} cells not run yet"),
    "compare.differs": _t("違い", "what differs"),
    "compare.same": _t(
        "記録にある限り、違いはありません。", "The records name nothing that differs."
    ),
    "compare.not_stated": _t(
        "どの記録にも書かれていないもの: {names}", "stated by no record: {names}"
    ),
    "compare.may": _t("比較してよいもの", "What may be compared"),
    "compare.none": _t(
        "両方にある構成がないため、値は比べていません。",
        "No configuration is in the first run and another one: no values are compared.",
    ),
    "compare.only": _t("{runs} だけにある構成: {name}", "only in {runs}: {name}"),
    "compare.reference": _t(
        "差はすべて A に対する値です。* は、上に挙げた留保が付くことを示します。",
        "Every difference is to A. * : with the reservations named above.",
    ),
    "compare.levels": _t(
        "[ ] は各実行の95%区間です。差の区間は、比べる構成と実行の数だけ厳しくしてあります。",
        "[ ] is a run's own 95% interval; intervals of differences are corrected for the number "
        "of configurations and of runs compared.",
    ),
}
