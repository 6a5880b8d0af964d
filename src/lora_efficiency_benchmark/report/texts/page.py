"""Wording that only the HTML page has, merged into ``texts.TEXTS`` (row 6)."""

from __future__ import annotations

PAGE_TEXTS: dict[str, dict[str, str]] = {
    "page.language": {"ja": "表示言語", "en": "Language"},
    "page.skip": {"ja": "本文へ", "en": "Skip to the content"},
    "page.contents": {"ja": "目次", "en": "Contents"},
    "page.runs": {"ja": "学習の記録{n}件", "en": "{n} training runs on record"},
    "page.failures": {
        "ja": "結果が得られなかった測定{n}件",
        "en": "cells without a result: {n}",
    },
    "page.unfinished": {
        "ja": "測定は途中です。残り{n}件。判定は、ここまでの結果によるものです。",
        "en": "The run is not complete: {n} cells to go. Verdicts rest on what there is so far.",
    },
    "page.limits": {
        "ja": "この測定からは言えないこと{n}件",
        "en": "what this run cannot show: {n}",
    },
    "page.nothing": {
        "ja": "まだ結果がありません。測定が終わるたびに、"
        "lora-bench report でこのページを作り直せます。",
        "en": "There is no result yet. As cells end, lora-bench report makes this page again.",
    },
    "page.records": {
        "ja": "… 記録は計{n}件(analysis.jsonに一覧)",
        "en": "… {n} records in all, listed in analysis.json",
    },
    "page.table": {"ja": "数値の表", "en": "The numbers as a table"},
    "page.claims.table": {
        "ja": "全構成の値・区間・判定の表(数値は記録にリンク)",
        "en": "All values, intervals and verdicts as a table, linked to their records",
    },
    "page.more": {"ja": "ほか{n}構成は下の表に", "en": "{n} more in the table below"},
    "page.shown": {
        "ja": "図には先頭の{n}構成だけを描いた。残りは表にある。",
        "en": "The figure shows the first {n} arms; the table has all of them.",
    },
    "overview.also": {
        "ja": "総合判定に含めない比較",
        "en": "Also compared, outside the joint verdict",
    },
    "overview.claimed": {"ja": "主張 {value}", "en": "claimed {value}"},
    "overview.mean": {"ja": "構成間の平均 {value}", "en": "mean of all {value}"},
    "overview.joint": {"ja": "すべてを同時に満たすか", "en": "All claims at once"},
    "overview.joint.note": {
        "ja": "構成ごとの判定。最も厳しい結果がその構成の判定になる。",
        "en": "Per configuration: it is as good as its worst claim.",
    },
    "overview.legend": {
        "ja": "点は構成ごとの測定値、横線は95%区間、塗った範囲は「支持」、破線は主張値。",
        "en": "Marks: one configuration each; bars: 95% intervals; shaded: where the claim is "
        "VERIFIED; dashed: the claimed value.",
    },
    "overview.sizes": {
        "ja": "1行に複数の点があるときは学習テキスト数ごと。",
        "en": "Several marks in a row: one a data size.",
    },
    "overview.range": {"ja": "{low}~{high}", "en": "{low} to {high}"},
    "topic.pictures": {"ja": "図で見る結果", "en": "The results in pictures"},
    "topic.quality": {"ja": "品質と大きさ", "en": "Quality against size"},
    "topic.memory": {"ja": "メモリ", "en": "Memory"},
    "topic.time": {"ja": "時間", "en": "Time"},
    "topic.curves": {"ja": "学習の経過", "en": "How training went"},
    "topic.sizes": {"ja": "データ数の効果", "en": "What more data changes"},
    "topic.method": {"ja": "測定方法と環境", "en": "Method and environment"},
    "filter.title": {"ja": "絞り込み", "en": "Filter"},
    "filter.rank": {"ja": "ランク", "en": "rank"},
    "filter.targets": {"ja": "対象", "en": "targets"},
    "filter.method": {"ja": "手法", "en": "method"},
    "filter.sizes": {"ja": "学習テキスト数", "en": "training texts"},
    "filter.all": {"ja": "すべて表示", "en": "Show all"},
    "filter.state": {
        "ja": "{total}構成中SHOWN構成を表示",
        "en": "SHOWN of {total} configurations shown",
    },
    "figure.alt": {
        "ja": "図: {title}。同じ数値はこの図の下の表にある。",
        "en": "Figure: {title}. The table below it holds the same numbers.",
    },
    "figure.open": {"ja": "クリックで記録を開く", "en": "Click: open the record"},
    "figure.sizes": {"ja": "データ数と品質", "en": "Quality against the number of texts"},
    "figure.sizes.caption": {
        "ja": "点は構成とデータ数ごとの平均。学習ステップ数はどのデータ数でも同じなので、"
        "データを増やすと同じ文章を見る回数が減る。",
        "en": "Each mark: the mean of one arm at one data size. The number of steps is the same at "
        "every size, so more texts means that each is seen less often.",
    },
    "figure.sizes.x": {"ja": "学習テキスト数(対数目盛)", "en": "training texts (log scale)"},
    "figure.sizes.loss": {
        "ja": "評価損失 (nat/トークン)",
        "en": "held-out loss (nats per token)",
    },
    "figure.sizes.gain": {"ja": "改善幅の維持率", "en": "gain kept"},
    "missing.sizes": {
        "ja": "図なし: 複数のデータ数で測定できた構成がありません。",
        "en": "Left out: no arm was measured at more than one data size.",
    },
    "figure.estimator": {
        "ja": "メモリ推定の誤差(推定 ÷ 測定 - 1)",
        "en": "Error of the memory estimates (estimated / measured - 1)",
    },
    "figure.estimator.caption": {
        "ja": "0より左は推定(ESTIMATED)が測定より小さい。目盛の幅は最低でも±0.1%。",
        "en": "Left of 0 the estimate (ESTIMATED) was too small. The axis is never narrower than "
        "0.1% on either side.",
    },
    "figure.estimator.x": {"ja": "推定の誤差", "en": "error of the estimate"},
    "missing.estimator": {
        "ja": "図なし: 推定値と比べられるメモリ測定がありません。",
        "en": "Left out: no memory cell to compare the estimates with.",
    },
    "figure.scale": {
        "ja": "主張の規模でのメモリ削減倍率(推定、ESTIMATED)",
        "en": "Memory ratio at the claim's own scale, ESTIMATED",
    },
    "figure.scale.caption": {
        "ja": "白抜きの点はすべて推定(ESTIMATED)で、誰もここで測定していない。破線は主張値。"
        "1ステップのトークン数が増えるほど、両者に共通の活性値が増えて倍率は下がる。",
        "en": "Every hollow mark is ESTIMATED; nothing here was measured. Dashed: the claimed "
        "value. More tokens a step means more activations that both arms share, and a smaller "
        "ratio.",
    },
    "figure.scale.x": {
        "ja": "フルのピークメモリ ÷ LoRAのピークメモリ(推定)",
        "en": "peak memory of full / of LoRA (ESTIMATED)",
    },
    "missing.scale": {
        "ja": "図なし: 主張の規模でのメモリ推定がありません。",
        "en": "Left out: memory was not estimated at the claim's own scale.",
    },
    "heading.other_model": {
        "ja": "比較相手のモデル(フルファインチューニング)",
        "en": "The other model, fully fine-tuned",
    },
    "other_model.note": {
        "ja": "「異なるモデル間の比較」でLoRAと比べた相手。"
        "トークナイザーが違うので、品質はビット/バイトで比べる。",
        "en": "What LoRA was compared with across models. Tokenizers differ, so quality is "
        "compared in bits per byte.",
    },
    "column.model": {"ja": "モデル", "en": "model"},
    "column.seed": {"ja": "シード", "en": "seed"},
}
