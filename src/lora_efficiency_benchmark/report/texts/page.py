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
        "ja": "図には先頭の{n}構成だけを描いています。残りは表にあります。",
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
        "ja": "構成ごとの判定です。最も厳しい結果がその構成の判定になります。",
        "en": "Per configuration: it is as good as its worst claim.",
    },
    "overview.legend": {
        "ja": "点は構成ごとの測定値、横線は95%区間、塗った範囲は「支持」、破線は主張値です。",
        "en": "Marks: one configuration each; bars: 95% intervals; shaded: where the claim is "
        "VERIFIED; dashed: the claimed value.",
    },
    "overview.sizes": {
        "ja": "1行に複数の点があるときは、学習テキスト数ごとの値です。",
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
    "figure.quality.alt": {
        "ja": "図: {title}。維持率は図の下の表に、パラメータ数は「メモリ」の表に、"
        "区間はページ冒頭の主張の表にあります。",
        "en": "Figure: {title}. The shares are in the table below it, the parameters in the table "
        "under Memory, the intervals in the table of claims at the top.",
    },
    "figure.memory.alt": {
        "ja": "図: {title}。各部分の大きさと合計は、図の下の内訳の表にあります。",
        "en": "Figure: {title}. The size of every part and the sums are in the tables below it.",
    },
    "figure.time.alt": {
        "ja": "図: {title}。シードごとの時間と比は、図の下の表にあります。",
        "en": "Figure: {title}. The times of every seed and the ratios are in the table below it.",
    },
    "figure.curves.alt": {
        "ja": "図: {title}。最初と最後の学習損失と、評価損失の推移は、図の下の表にあります。",
        "en": "Figure: {title}. The table below it holds the first and the last training loss, and "
        "the held-out losses.",
    },
    "figure.rates.alt": {
        "ja": "図: {title}。各試行の学習率と損失は、図の下の表にあります。",
        "en": "Figure: {title}. The rate and the loss of every trial are in the table below it.",
    },
    "figure.sizes.alt": {
        "ja": "図: {title}。構成とデータ数ごとの損失と維持率は、図の下の表にあります。",
        "en": "Figure: {title}. Loss and gain kept of every arm and size are in the table below "
        "it.",
    },
    "figure.across.alt": {
        "ja": "図: {title}。学習前の値は図の上の文に、学習後の値は図の上の表にあります。",
        "en": "Figure: {title}. The values before training are in the text above it, those after "
        "training in the table above it.",
    },
    "figure.estimator.alt": {
        "ja": "図: {title}。推定、測定、誤差は、図の下の表にあります。",
        "en": "Figure: {title}. Estimates, measurements and errors are in the table below it.",
    },
    "figure.scale.alt": {
        "ja": "図: {title}。構成と条件ごとの推定値は、図の下の表にあります。",
        "en": "Figure: {title}. The estimate of every configuration and setting is in the table "
        "below it.",
    },
    "figure.open": {"ja": "クリックで記録を開く", "en": "Click: open the record"},
    "figure.sizes": {"ja": "データ数と品質", "en": "Quality against the number of texts"},
    "figure.sizes.caption": {
        "ja": "点は構成とデータ数ごとの平均です。学習ステップ数はどのデータ数でも同じなので、"
        "データを増やすと同じ文章を見る回数が減ります。",
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
        "ja": "0より左は、推定(ESTIMATED)が測定より小さいことを表します。"
        "目盛の幅は最低でも±0.1%です。",
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
        "ja": "白抜きの点はすべて推定(ESTIMATED)で、ここでは測定していません。破線は主張値です。"
        "1ステップのトークン数が増えるほど、両者に共通の活性値が増えて倍率は下がります。",
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
}
