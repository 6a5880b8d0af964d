"""Wording of forgetting and of samples, merged into ``texts.TEXTS`` (row 6)."""

from __future__ import annotations

PROBE_TEXTS: dict[str, dict[str, str]] = {
    "heading.forgetting": {"ja": "忘却", "en": "Forgetting"},
    "forgetting.note": {
        "ja": "学習データと関係のない日常的な文章(英語と日本語、各24編)での損失が、"
        "学習の前後でどう変わったかを示します。正の値は悪化を表します。平均はシード間の平均です。"
        "少ない学習量では何も主張せず、判定にも使いません。",
        "en": "Change of the loss on everyday texts that have nothing to do with the training data "
        "(24 in English, 24 in Japanese); above 0 the model got worse. Means are over seeds. "
        "At small budgets nothing is claimed from it, and no verdict uses it.",
    },
    "forgetting.base": {"ja": "学習前(値そのもの)", "en": "before training (the value itself)"},
    "forgetting.seed": {"ja": "シード{seed}: {change}", "en": "seed {seed}: {change}"},
    "column.english.loss": {
        "ja": "英語、変化 (nat/トークン)",
        "en": "English, change (nats per token)",
    },
    "column.english.bits": {
        "ja": "英語、変化 (ビット/バイト)",
        "en": "English, change (bits per byte)",
    },
    "column.japanese.loss": {
        "ja": "日本語、変化 (nat/トークン)",
        "en": "Japanese, change (nats per token)",
    },
    "column.japanese.bits": {
        "ja": "日本語、変化 (ビット/バイト)",
        "en": "Japanese, change (bits per byte)",
    },
    "heading.samples": {"ja": "生成例", "en": "Samples"},
    "samples.note": {
        "ja": "見出しの書き出しに続けて各モデルが書いた文です"
        "(貪欲法、最大48トークン、シード0、最大の学習テキスト数)。モデルの出力そのもので、内容の正しさは保証しません。判定にも使いません。",
        "en": "How each model went on from the words in the heading (greedy, at most 48 tokens, "
        "seed 0, the largest data size). This is what the model wrote: nothing in it is checked, "
        "and no verdict uses it.",
    },
    "samples.base": {"ja": "学習前", "en": "before training"},
    "samples.nothing": {"ja": "(出力なし)", "en": "(it wrote nothing)"},
    "column.continuation": {"ja": "続きの文", "en": "continuation"},
}
