"""Wording of the search for learning rates, merged into ``texts.TEXTS`` (row 6)."""

from __future__ import annotations

RATE_TEXTS: dict[str, dict[str, str]] = {
    "heading.rates": {"ja": "学習率の探索", "en": "Search for learning rates"},
    "rates.note": {
        "ja": "各構成に同じ回数の短い試行({steps}ステップ)を与え、"
        "学習にも評価にも使わない検証データでの損失が最小の学習率を使いました。"
        "試行は学習率ごとに1回なので、0.03 nat未満の差は同等とみなします。"
        "全構成に共通の学習率での試行は比較のためだけに加えたもので、選択には使いません。",
        "en": "Every arm got the same number of short trials ({steps} steps), scored on validation "
        "texts that are in neither training nor evaluation; the rate with the lowest loss was "
        "used. One trial a rate: differences below 0.03 nats are ties. A further trial at the "
        "rate shared by all arms is for comparison only and never chosen.",
    },
    "rates.base": {
        "ja": "学習前の検証損失は{loss}です。",
        "en": " Validation loss before any training: {loss}.",
    },
    "rates.elsewhere": {
        "ja": "試行の一部または全部は別の環境({environments})で行いました。"
        "判定には使わず、学習率を選ぶためだけに使っています。",
        "en": " Trials ran elsewhere too ({environments}); they chose rates, no verdict uses them.",
    },
    "rates.no_loss": {"ja": "損失なし(発散または失敗)", "en": "no loss (diverged or failed)"},
    "rates.edge": {"ja": "試した範囲の端", "en": "edge of what was tried"},
    "rates.shared": {"ja": "学習率{rate}で{kept}", "en": "{kept} at {rate}"},
    "rates.would_be": {"ja": "値だけなら{verdict}", "en": "by value alone {verdict}"},
    "column.trials": {
        "ja": "試行(学習率: 検証損失)",
        "en": "trials (rate: validation loss)",
    },
    "column.own_rate": {
        "ja": "改善幅の維持率(それぞれの学習率、試行)",
        "en": "gain kept, each arm at its own rate (trials)",
    },
    "column.shared_rate": {
        "ja": "フルと同じ学習率だった場合(試行)",
        "en": "if both had shared one rate (trials)",
    },
    "figure.rates": {"ja": "学習率と検証損失", "en": "Validation loss against learning rate"},
    "figure.rates.caption": {
        "ja": "点は試行1回、大きな点は本番で使った学習率です。",
        "en": "Each dot is one trial; the large ones are the rates that were then used.",
    },
    "figure.rates.x": {"ja": "学習率(対数目盛)", "en": "learning rate (log scale)"},
    "figure.rates.y": {
        "ja": "検証損失 (nat/トークン)",
        "en": "validation loss (nats per token)",
    },
    "missing.rates": {
        "ja": "図なし: 損失が得られた試行がありません。",
        "en": "Left out: no trial ended with a loss.",
    },
}
