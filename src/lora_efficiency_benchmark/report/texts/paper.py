"""Wording of what goes into papers and model cards, Japanese and English (row 6)."""

from __future__ import annotations

from .both import both as _t

PAPER_TEXTS = {
    "paper.model": _t("モデル", "model"),
    "paper.other_model": _t("比較相手のモデル(フル)", "other model (full fine-tuning)"),
    "paper.device": _t("デバイス", "device"),
    "paper.data": _t("データ", "data"),
    "paper.training": _t("学習", "training"),
    "paper.memory": _t("ピークメモリ", "peak memory"),
    "paper.precision": _t("精度", "precision"),
    "paper.seeds": _t("シード", "seeds"),
    "paper.versions": _t("バージョン", "versions"),
    "paper.hash": _t("設定のハッシュ", "configuration hash"),
    "paper.date": _t("測定日", "measured"),
    "paper.origin": _t("出所", "origin"),
    "paper.not_stated": _t("記載なし", "not stated"),
    "paper.device.value": _t(
        "{name} ({type}、{threads}スレッド)", "{name} ({type}, {threads} threads)"
    ),
    "paper.data.value": _t(
        "{name}、学習 {train}件、評価 {held_out}件",
        "{name}, {train} training and {held_out} held-out texts"
    ),
    "paper.training.value": _t(
        "{steps}ステップ、バッチ {batch}、最大 {length} トークン",
        "{steps} steps, batch size {batch}, at most {length} tokens",
    ),
    "paper.precision.value": _t("フル {full}、LoRA {lora}", "full {full}, LoRA {lora}"),
    "paper.origin.imported": _t(
        "他のプログラムの結果の取り込み ({format})。このプログラムでは未測定",
        "imported results of another program ({format}); not measured by this one",
    ),
    "paper.claims.caption": _t(
        "主張と測定値。{sentence}。条件: {conditions}。",
        "What was claimed and what was measured. {sentence}. Conditions: {conditions}.",
    ),
    "paper.claims.rules": _t(
        "パラメータ数とメモリは値で判定します。品質と時間は95%区間で判定し、1シードでは判定保留とします。"
        "推定値は含みません。",
        "Parameters and memory are judged by value, quality and time by their 95% interval over "
        "seeds; one seed decides nothing. No estimate is among the values.",
    ),
    "paper.quality.caption": _t(
        "評価テキストでの品質。損失は nat/トークン、複数シードのときは平均 ± 標準偏差。"
        "条件: {conditions}。",
        "Quality on held-out texts. Losses in nats per token; with several seeds mean ± standard "
        "deviation. Conditions: {conditions}.",
    ),
    "paper.cost.caption": _t(
        "学習可能パラメータ数、ピークメモリ(学習中の確保量)、学習時間(最適化ステップのみ)。"
        "条件: {conditions}。",
        "Trainable parameters, peak memory allocated while training, and training time (optimizer "
        "steps only). Conditions: {conditions}.",
    ),
    "paper.across.caption": _t(
        "{sentence}。比はすべて {base} のフルに対する値です。条件: {conditions}。",
        "{sentence}. Every ratio is to full fine-tuning of {base}. Conditions: {conditions}.",
    ),
    "paper.losses": _t(
        "損失は各モデルのトークンで数えるため、異なるモデルの損失は比べられません。",
        "Losses count the tokens of each model; those of different models do not compare.",
    ),
    "paper.column.configuration": _t("構成", "Configuration"),
    "paper.column.claim": _t("主張", "Claim"),
    "paper.column.claimed": _t("主張値", "Claimed"),
    "paper.column.texts": _t("学習テキスト", "Texts"),
    "paper.column.value": _t("測定値", "Value"),
    "paper.column.interval": _t("95%区間", "95% interval"),
    "paper.column.seeds": _t("シード数", "Seeds"),
    "paper.column.verdict": _t("判定", "Verdict"),
    "paper.column.loss": _t("損失", "Loss"),
    "paper.column.bits": _t("ビット/バイト", "Bits/byte"),
    "paper.column.gain": _t("改善幅の維持率", "Gain kept"),
    "paper.column.rate": _t("学習率", "Rate"),
    "paper.column.trainable": _t("学習可能", "Trainable"),
    "paper.column.reduction": _t("削減", "Fewer"),
    "paper.column.controlled": _t("同一精度 (GiB)", "Controlled (GiB)"),
    "paper.column.as-practised": _t("慣用の設定 (GiB)", "As practised (GiB)"),
    "paper.column.memory_ratio": _t("メモリ削減", "Memory"),
    "paper.column.time_ratio": _t("時間比", "Time ratio"),
    "paper.column.time": _t("時間 (秒)", "Time (s)"),
    "paper.exact": _t("値で判定", "by value"),
    "paper.no_interval": _t("なし", "none"),
    "paper.mean": _t("平均(仕様の規則)", "mean (the specification's rule)"),
    "paper.claimed": _t("主張値 {value}", "claimed {value}"),
    "paper.joint": _t("すべての主張を同時に", "All claims at once"),
    "paper.latex.head": _t(
        "lora-bench report --format latex が作成。プリアンブルに必要: {packages}",
        "Made by lora-bench report --format latex. Needed in the preamble: {packages}",
    ),
    "paper.latex.japanese": _t(
        "日本語などの文字を含むため、pdflatexでは組版できません。LuaLaTeX (lualatex と luatexja) で"
        "組版してください。",
        "Holds characters that pdflatex has no font for: typeset with lualatex and luatexja.",
    ),
    "paper.none": _t("判定できる主張がありません。", "There is no claim to judge."),
    "card.heading": _t("LoRAの効率(測定結果)", "LoRA efficiency, measured"),
    "card.intro": _t(
        "LoRAとフルファインチューニングを、下の条件で学習して比べた結果です。",
        "LoRA and full fine-tuning, trained and compared under the conditions below.",
    ),
    "card.reference": _t(
        "比較相手 {name}({texts}): 学習可能パラメータ数 {trainable}、ピークメモリ {memory}、"
        "学習時間 {time}、{bits} ビット/バイト",
        "compared with {name} ({texts}): {trainable} trainable parameters, peak memory {memory}, "
        "training time {time}, {bits} bits per byte",
    ),
    "card.conditions": _t("条件", "Conditions"),
    "card.not_measured": _t("測定していないもの", "What was not measured"),
    "card.estimated": _t(
        "推定(ESTIMATED、測定値ではない): {claim}、{configuration}: {value}",
        "ESTIMATED, not measured: {claim}, {configuration}: {value}",
    ),
    "card.missing": _t("{claim}、{configuration}: {reason}", "{claim}, {configuration}: {reason}"),
    "card.complete": _t(
        "上の表の値はすべて測定値です。", "Every value in the table above was measured."
    ),
    "card.limits": _t("この測定からは言えないこと", "What this run cannot show"),
    "card.loss": _t("評価損失 (nat/トークン)、{label}", "held-out loss (nats per token), {label}"),
    "card.perplexity": _t("パープレキシティ、{label}", "perplexity, {label}"),
    "card.bits": _t("ビット/バイト、{label}", "bits per byte, {label}"),
    "card.gain": _t("改善幅の維持率、{label}", "share of full fine-tuning's gain kept, {label}"),
    "card.trainable": _t("学習可能パラメータ数、{label}", "trainable parameters, {label}"),
    "card.memory": _t(
        "ピークメモリ(確保量、バイト、同一精度)、{label}",
        "peak memory allocated (bytes, controlled), {label}",
    ),
    "card.time": _t(
        "学習時間(秒、最適化ステップのみ)、{label}", "training seconds (optimizer steps), {label}"
    ),
}  # fmt: skip
