"""Wording of the explorer page (row 6), in both languages; the page fills ``{names}``."""

from __future__ import annotations

from .both import both as _t
from .memory import MEMORY_TEXTS

EXPLORER_TEXTS = {
    "title": _t("LoRAのメモリ地図", "Memory map of LoRA"),
    "estimated": _t("すべて推定値 (ESTIMATED)", "All ESTIMATED"),
    "lead": _t(
        "1回の学習ステップのピークメモリを、フルファインチューニングとアダプターで比べます。"
        "数値はどれも推定値 (ESTIMATED) で、学習は実行していません。",
        "Peak memory of one training step, full fine-tuning against an adapter. Every figure "
        "is ESTIMATED: nothing was trained.",
    ),
    "no_script": _t(
        "このページはブラウザー内で計算します。JavaScriptを有効にするか、lora-bench map MODEL"
        " --csv FILE で同じ値を表にしてください。",
        "This page computes in the browser. Allow JavaScript, or get the same values as a "
        "table with lora-bench map MODEL --csv FILE.",
    ),
    "controls": _t("条件", "Conditions"),
    "language": _t("言語", "Language"),
    "batch": _t("バッチ(1ステップの文書数)", "Batch (texts a step)"),
    "length": _t("長さ(最も長い文書のトークン数)", "Length (tokens of the longest text)"),
    "rank": _t("LoRAのランク", "Rank of LoRA"),
    "method": _t("手法と対象モジュール", "Method and target modules"),
    "precision_full": _t("精度: フルファインチューニング", "Precision: full fine-tuning"),
    "precision_lora": _t("精度: アダプター", "Precision: adapter"),
    "optimizer": _t("オプティマイザ", "Optimizer"),
    "checkpointing": _t("勾配チェックポイント", "Gradient checkpointing"),
    "off": _t("なし", "off"),
    "on": _t("あり", "on"),
    "gpu": _t("GPU", "GPU"),
    "no_gpu": _t("指定しない", "none"),
    "quantized": _t(
        "{name}(凍結した重み、計算はbf16)",
        "{name} (frozen weights, computing in bf16)",
    ),
    "tokens": _t("{n}トークン", "{n} tokens"),
    "texts": _t("{n}文書", "{n} texts"),
    "no_rank": _t("この手法にランクはありません", "this method has no rank"),
    "step_note": _t("長さは{step}トークン刻みです。", "Lengths go in steps of {step} tokens."),
    "batch_one": _t(
        "バッチ1は詰め物もマスクもないため、別に記録した値を使っています。",
        "A batch of one text has no padding and no mask; it was recorded by itself.",
    ),
    "full": _t("フルファインチューニング", "Full fine-tuning"),
    "adapter": _t("アダプター", "Adapter"),
    "memory_claim": _t("ピークメモリ(割り当て量)", "Peak memory (allocated)"),
    "parameter_claim": _t("学習パラメータ数", "Trainable parameters"),
    "times_less": _t("{n}分の1", "{n}x less"),
    "times_fewer": _t("{n}分の1", "{n}x fewer"),
    "holds": _t("主張の{n}倍に到達", "reaches the claimed {n}x"),
    "misses": _t("主張の{n}倍に未達", "misses the claimed {n}x"),
    "status": _t(
        "バッチ{batch}、長さ{length}: フルファインチューニング {full}、アダプター {lora}、"
        "{ratio}倍。{verdict}。",
        "Batch {batch}, length {length}: full fine-tuning {full}, adapter {lora}, {ratio}x; "
        "{verdict}.",
    ),
    "controlled": _t(
        "両者は同じ精度です(統制)。",
        "Both arms have the same precision (controlled).",
    ),
    "as_practised": _t(
        "両者の精度が違います(慣用の設定)。手法の差だけではありません。",
        "The arms differ in precision (as practised): not the method's effect alone.",
    ),
    "cross_length": _t(
        "バッチ{batch}で{claim}倍が成り立つ長さ: {where}",
        "At batch {batch}, {claim}x holds at lengths: {where}",
    ),
    "cross_batch": _t(
        "長さ{length}で{claim}倍が成り立つバッチ: {where}",
        "At length {length}, {claim}x holds at batches: {where}",
    ),
    "everywhere": _t("地図の全範囲({first}–{last})", "all of the map ({first}–{last})"),
    "nowhere": _t("なし(地図の{first}–{last}の範囲)", "none of the map's {first}–{last}"),
    "up_to_tokens": _t("({n}トークン/ステップまで)", "(to {n} tokens a step)"),
    "fit_line": _t(
        "{gpu}({size})、{arm}: {state}。予約量 {reserved} と実行環境 {context}。",
        "{gpu} ({size}), {arm}: {state}; {reserved} reserved and {context} of context.",
    ),
    "fit_batch": _t(
        "長さ{length}で収まるバッチ: {where}。",
        "Batches that fit at length {length}: {where}.",
    ),
    "none": _t("なし", "none"),
    "state.yes": _t("収まる", "fits"),
    "state.close": _t("際どい(予約量しだい)", "too close to say (depends on what is reserved)"),
    "state.no": _t("収まらない", "does not fit"),
    "bars": _t("ピーク時の内訳", "What the peak consists of"),
    "bars_alt": _t(
        "フルファインチューニング {full}、アダプター {lora}。内訳は下の表にあります。",
        "Full fine-tuning {full}, adapter {lora}. The table below holds the parts.",
    ),
    "parts": _t("数値で見る内訳", "The parts in figures"),
    "part": _t("内訳", "part"),
    "peak_row": _t("ピーク(割り当て量)", "peak, allocated"),
    "phase_row": _t("ピークの時点", "moment of the peak"),
    "reserved_row": _t("予約量(推定の幅)", "reserved, range"),
    "needed_row": _t("GPUに必要な量(上限)", "needed on a GPU, at most"),
    "trainable_row": _t("学習パラメータ数", "trainable parameters"),
    "limit_mark": _t("{gpu} {size}", "{gpu} {size}"),
    **MEMORY_TEXTS,
    "plane": _t("バッチと長さの地図", "Batch against length"),
    "plane_caption": _t(
        "塗った範囲では、フルファインチューニングのピークがアダプターの{claim}倍以上です。破"
        "線はGPUに収まる限界で、その左下が収まる側です(予約量の上限で判定)。地図を押すと、そ"
        "の点に動きます。両軸は対数目盛りです。",
        "In the shaded region the peak of full fine-tuning is at least {claim}x that of the "
        "adapter. Dashed lines are where the GPU is full; what fits lies below and to the "
        "left (by the most that may be reserved). Press in the plane to go there. Both axes "
        "are logarithmic.",
    ),
    "plane_alt": _t(
        "横軸は長さ、縦軸はバッチ。印はバッチ{batch}、長さ{length}。{lines}",
        "Length to the right, batch upwards; the mark is at batch {batch}, length {length}. "
        "{lines}",
    ),
    "axis_length": _t("長さ(トークン)", "length (tokens)"),
    "axis_batch": _t("バッチ", "batch"),
    "line_full": _t("{gpu}: フル", "{gpu}: full"),
    "line_lora": _t("{gpu}: アダプター", "{gpu}: adapter"),
    "times": _t("{n}倍", "{n}x"),
    "plane_small": _t(
        "地図を描くには、バッチと長さがそれぞれ2つ以上必要です。",
        "A plane needs two batches and two lengths at least.",
    ),
    "about": _t("数値の根拠", "Where the figures come from"),
    "about_method": _t(
        "各ブロックの大きさはバッチ、長さ、ランクの多項式として記録されています。ピークになり"
        "うる時点だけを残し、512バイト単位の切り上げまで同じ規則で計算します。",
        "The size of every block is recorded as a polynomial in batch, length and rank. Only "
        "the moments that can be the peak are kept, and sizes are rounded up to 512 bytes by "
        "the allocator's rule.",
    ),
    "about_error": _t(
        "この地図を、記録に使っていない{checks}点の正確な追跡と、間引く前の記録と比べました。"
        "最大の誤差は{error}です。",
        "This map was compared with exact traces at {checks} points that were not used to "
        "record it, and with the recording before it was reduced: the largest error is "
        "{error}.",
    ),
    "about_reserved": _t(
        "PyTorchは割り当て量より多く予約します。その比を最大5つの参照点(512–131,072トークン/"
        "ステップ、または地図の端まで)で計算し、間はトークン数の対数で補間しています。実行環"
        "境(ドライバーとカーネル)は{context}の定数です。",
        "PyTorch reserves more than it allocates. That ratio was computed at up to five "
        "points (512 to 131,072 tokens a step, or to the map's end) and is interpolated by "
        "the logarithm of tokens. Driver and kernels take a constant {context}.",
    ),
    "about_masked": _t(
        "文書の長さは揃っておらず、詰め物とマスクがあるものとしています。注意機構の実装: "
        "{attention}。",
        "Texts differ in length, so there is padding and a mask. Attention: {attention}.",
    ),
    "about_packed": _t(
        "どの文書も同じ長さで、詰め物はないものとしています。注意機構の実装: {attention}。",
        "All texts have the full length, so there is no padding. Attention: {attention}.",
    ),
    "about_domain": _t(
        "範囲: バッチ1–{batch}、長さ{step}–{length}、ランク{ranks}。",
        "Range: batch 1–{batch}, length {step}–{length}, ranks {ranks}.",
    ),
    "left_out": _t("地図に含まれない組み合わせ", "Combinations that are not in the map"),
    "missing": _t(
        "この組み合わせは記録できなかったため、地図にありません。",
        "This combination could not be recorded, so the map does not have it.",
    ),
    "link": _t(
        "この条件へのリンクはアドレス欄にあります。",
        "The address of the page leads back to these conditions.",
    ),
}
