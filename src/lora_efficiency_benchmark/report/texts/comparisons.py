"""Wording of the further comparisons, merged into ``texts.TEXTS`` (row 6)."""

from __future__ import annotations

COMPARISON_TEXTS: dict[str, dict[str, str]] = {
    "heading.matched": {
        "ja": "同じステップ数での比較と、同じ学習時間での比較",
        "en": "At equal steps, and at equal training time",
    },
    "matched.note": {
        "ja": "同じ学習時間では、速いほうの構成が終わった時点で両者を読む(評価の間は補間)。"
        "遅いほうは学習率が下がりきる前の値なので、その時間に合わせて計画すればもっと良くなりうる。"
        "同じ学習時間の区間はシードのばらつきだけを表す(評価文ごとの損失は途中では残らない)。",
        "en": "At equal time both arms are read when the faster one has ended (interpolated "
        "between evaluations). The slower one is caught before its learning rate has come down; "
        "a run planned for that time might do better. Intervals at equal time cover seeds only: "
        "losses of single texts are not kept in between.",
    },
    "condition.bits": {
        "ja": "ビット/バイト、小さいほうの学習前から数える",
        "en": "bits per byte, counted from the smaller model before training",
    },
    "matched.after": {"ja": "{time}の時点", "en": "after {time}"},
    "column.equal_steps": {
        "ja": "改善幅の維持率(同じステップ数)",
        "en": "gain kept, equal steps",
    },
    "column.equal_time": {
        "ja": "改善幅の維持率(同じ学習時間)",
        "en": "gain kept, equal time",
    },
}
