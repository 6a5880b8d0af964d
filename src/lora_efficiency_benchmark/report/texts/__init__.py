"""All wording of the report, Japanese and English, in one place (row 6).

``TEXTS`` maps a key to both languages; ``wording(language)`` gives a callable from key to text.
Keys of one group share a prefix, and the ending is the value that is shown (``verdict.FAILED``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError
from .both import both as _t
from .comparing import COMPARING_TEXTS
from .comparisons import COMPARISON_TEXTS
from .memory import MEMORY_TEXTS
from .page import PAGE_TEXTS
from .paper import PAPER_TEXTS
from .probes import PROBE_TEXTS
from .rates import RATE_TEXTS

LANGUAGES = ("ja", "en")


@dataclass(frozen=True)
class Wording:
    """Words of one language: ``say(key, **values)``."""

    language: str

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a key, its placeholders filled."""
        text = TEXTS[key][self.language]
        return text.format(**values) if values else text

    def known(self, group: str, value: str) -> str:
        """The text of ``group.value``; a value outside the group is shown as it is."""
        key = f"{group}.{value}"
        return self(key) if key in TEXTS else value

    def either(self, english: str, japanese: str) -> str:
        """Wording that comes with both languages; English where the Japanese is missing."""
        return japanese if self.language == "ja" and japanese else english


def wording(language: str) -> Wording:
    """Words of ``ja`` or ``en``. Raises ConfigError on any other language."""
    if language not in LANGUAGES:
        raise ConfigError(
            f"language: must be one of {', '.join(LANGUAGES)}; got {language!r}",
            f"language: {', '.join(LANGUAGES)} のいずれかを指定してください (現在の値: "
            f"{language!r})",
        )
    return Wording(language)


_HEADINGS = {
    "title": _t("LoRA効率ベンチマーク", "LoRA efficiency benchmark"),
    "heading.claims": _t("主張と測定値", "What was claimed, what was found"),
    "heading.estimates": _t("主張の規模での推定(ESTIMATED)", "At the claim's own scale, ESTIMATED"),
    "heading.estimator": _t(
        "この実行での推定値(ESTIMATED)と測定値",
        "Estimates (ESTIMATED) and measurements of this run",
    ),
    "heading.figures": _t("図", "Figures"),
    "heading.arms": _t("構成ごとの結果", "Results per arm"),
    "heading.breakdown": _t("ピーク時のメモリ内訳", "What the memory peak consists of"),
    "heading.data": _t("データ", "Data"),
    "heading.limits": _t("この測定からは言えないこと", "What this run cannot show"),
    "heading.failures": _t("結果が得られなかった測定", "Cells without a result"),
    "heading.environment": _t("実行環境", "Environment"),
    "heading.settings": _t("共通の設定", "Settings shared by all arms"),
    "heading.method": _t("測定方法", "Method"),
    "table.quality": _t("品質", "Quality"),
    "table.memory": _t("パラメータ数とメモリ", "Parameters and memory"),
    "table.time": _t("時間と保存サイズ", "Time and saved size"),
    "base": _t(
        "学習前のモデル: 評価損失 {loss}、パープレキシティ {perplexity}、{bits} ビット/バイト",
        "Before any training: held-out loss {loss}, perplexity {perplexity}, {bits} bits per byte",
    ),
    "records": _t(
        "数値のリンク先は、その数値の元になった記録(JSON)です。",
        "Every number links to the record (JSON) it comes from.",
    ),
    "source": _t("出典: {source}", "source: {source}"),
    "thresholds": _t(
        "支持は{verified}以上、一部支持は{partial}以上",
        "VERIFIED from {verified}, PARTIAL from {partial}",
    ),
    "record.link": _t("この数値の記録 {cell}", "record of this number: {cell}"),
    "mean": _t("平均", "mean"),
    "joint.row": _t("すべての主張を同時に", "all claims at once"),
    "none.claims": _t("判定できる主張がありません。", "There is no claim to judge."),
    "none.arms": _t(
        "結果のある構成がありません。下の「結果が得られなかった測定」を見てください。",
        "No arm has a result; see the cells without a result below.",
    ),
    "none.breakdown": _t("メモリの内訳は測定されていません。", "No breakdown was taken."),
    "none.data": _t(
        "データの記録がありません(未測定)。", "There is no record of the data (not measured)."
    ),
    "none.limits": _t("警告はありません。", "There are no warnings."),
    "none.failures": _t("なし。すべての測定が終わっています。", "None; every cell has a result."),
    "none.environment": _t(
        "実行環境の記録がありません。", "There is no record of the environment."
    ),
}

_COLUMNS = {
    "column.claim": _t("主張", "claim"),
    "column.claimed": _t("主張値", "claimed"),
    "column.compared": _t("比較", "compared"),
    "column.condition": _t("条件", "condition"),
    "column.peak_estimated": _t("ピーク(推定)", "peak, ESTIMATED"),
    "column.estimate_error": _t("推定の誤差", "error of the estimate"),
    "column.found": _t("測定値(構成ごと)", "found, per configuration"),
    "column.overall": _t("判定(構成間の平均)", "verdict on the mean"),
    "column.verdict": _t("判定", "verdict"),
    "column.arm": _t("構成", "arm"),
    "column.texts": _t("学習テキスト数", "training texts"),
    "column.loss": _t("評価損失 (nat/トークン)", "held-out loss (nats per token)"),
    "column.perplexity": _t("パープレキシティ", "perplexity"),
    "column.bits": _t("ビット/バイト", "bits per byte"),
    "column.gain": _t("改善幅の維持率", "gain kept"),
    "column.performance": _t(
        "性能維持率 (パープレキシティ比)", "performance retention (perplexity ratio)"
    ),
    "column.rate": _t("学習率", "learning rate"),
    "memory.per_process": _t(
        "(1プロセスあたり、{n}プロセス中の最大)", " (per rank, the largest of {n} processes)"
    ),
    "column.trainable": _t("学習可能パラメータ数", "trainable parameters"),
    "column.total": _t("総パラメータ数", "total parameters"),
    "column.reduction": _t("削減倍率", "reduction"),
    "column.controlled": _t("ピークメモリ(確保量)、同一精度", "peak allocated, controlled"),
    "column.as-practised": _t("ピークメモリ(確保量)、慣用の設定", "peak allocated, as practised"),
    "column.high_water": _t("プロセスの最大常駐メモリ", "process high-water mark"),
    "column.reserved": _t("ピークメモリ(予約量)", "peak reserved"),
    "column.time": _t("学習時間(最適化ステップのみ)", "training time (optimizer steps)"),
    "column.time_ratio": _t("フルとの時間比", "full's time / this arm's"),
    "column.throughput": _t("トークン/秒", "tokens/s"),
    "column.saved": _t("保存サイズ", "saved size"),
    "column.saved_share": _t("保存サイズの縮小倍率", "whole model / this arm"),
    "column.reading": _t("条件", "reading"),
    "column.peak": _t("ピーク(確保量)", "peak allocated"),
    "column.phase": _t("ピークの時点", "peak reached in"),
    "column.cell": _t("測定", "cell"),
    "column.reason": _t("理由", "reason"),
    "column.item": _t("項目", "item"),
    "column.value": _t("値", "value"),
}

_VALUES = {
    "verdict.VERIFIED": _t("支持 (VERIFIED)", "VERIFIED"),
    "verdict.PARTIAL": _t("一部支持 (PARTIAL)", "PARTIAL"),
    "verdict.FAILED": _t("不支持 (FAILED)", "FAILED"),
    "verdict.UNDECIDED": _t("判定保留 (UNDECIDED)", "UNDECIDED"),
    "verdict.NOT_MEASURED": _t("未測定 (NOT_MEASURED)", "NOT_MEASURED"),
    "not_measured": _t("未測定", "not measured"),
    "not_finite": _t("有限でない値", "not a finite number"),
    "reference": _t("基準", "reference"),
    "estimated": _t("推定", "ESTIMATED"),
    "ratio": _t("{number}倍", "{number}x"),
    "bound.lower": _t("{value}超", "over {value}"),
    "bound.upper": _t("{value}未満", "under {value}"),
    "interval": _t("95%区間 {low}~{high}", "95% interval {low} to {high}"),
    "seeds": _t("シード{n}個", "{n} seeds"),
    "seeds.one": _t("シード1個", "1 seed"),
    "seeds_needed": _t("シード{n}個で判定できる見込み", "{n} seeds would decide"),
    "texts": _t("{n}件", "{n} texts"),
    "per_texts": _t("学習テキスト{n}件", "{n} training texts"),
    "full": _t("フル", "full"),
    "saved.adapter": _t("アダプターのみ", "adapter only"),
    "saved.model": _t("モデル全体", "whole model"),
    "metric.parameter_reduction_ratio": _t(
        "フルの学習可能パラメータ数 ÷ LoRAの学習可能パラメータ数",
        "trainable parameters of full / of LoRA",
    ),
    "metric.memory_reduction_ratio": _t(
        "フルのピークメモリ(確保量、学習中) ÷ LoRAのピークメモリ",
        "peak allocated while training, full / LoRA",
    ),
    "metric.gain_retention": _t(
        "改善幅の維持率 = (学習前の損失 - LoRAの損失) ÷ (学習前の損失 - フルの損失)",
        "gain kept = (base loss - LoRA loss) / (base loss - full loss)",
    ),
    "metric.time_ratio": _t("フルの学習時間 ÷ LoRAの学習時間", "training time of full / of LoRA"),
    "precision.controlled": _t("同一精度", "same precision for both arms"),
    "precision.as-practised": _t(
        "慣用の設定(LoRAの凍結重みはbf16)", "as practised (LoRA on a frozen bf16 base)"
    ),
    "comparison.same-model": _t("同じモデルどうしの比較", "same model"),
    "comparison.cross-model": _t("異なるモデル間の比較", "across models"),
    "condition.tokens": _t(
        "1ステップ {batch} x {length} = {tokens}トークン",
        "{batch} x {length} = {tokens} tokens a step",
    ),
    "condition.steps": _t("{steps}ステップ", "{steps} steps"),
    "reading.controlled": _t("同一精度", "controlled"),
    "reading.as-practised": _t("慣用の設定", "as practised"),
    "part.unknown": _t("内訳なし", "not broken down"),
    "status.failed": _t("失敗", "failed"),
    "status.skipped": _t("スキップ", "skipped"),
    "kind.out_of_memory": _t("メモリ不足", "out of memory"),
    "kind.diverged": _t("発散", "diverged"),
    "kind.time_limit": _t("制限時間超過", "time limit"),
    "kind.worker_died": _t("プロセスの異常終了", "worker died"),
    "kind.error": _t("エラー", "error"),
    "limit.next": _t("次の一手", "Next step"),
}

_DATA = {
    "data.name": _t("データセット", "data set"),
    "data.train": _t("学習テキスト", "training texts"),
    "data.evaluation": _t("評価テキスト(学習に使わない)", "held-out texts"),
    "data.exact": _t("重複: 完全一致の評価テキスト", "overlap: held-out texts also in training"),
    "data.ngram": _t(
        "重複: 学習側にもある13文字連続の割合", "overlap: share of 13-grams also in training"
    ),
    "data.near": _t(
        "重複: ほぼ同じ評価テキスト(Jaccard 0.8以上)",
        "overlap: near duplicates (Jaccard 0.8 or more)",
    ),
    "data.groups": _t("重複: 共通の話題・ひな形", "overlap: topics or templates on both sides"),
    "data.density": _t("1文字あたりのトークン数", "tokens per character"),
    "data.bytes": _t("1トークンあたりのバイト数", "bytes per token"),
    "data.sides": _t("学習 {train}、評価 {evaluation}", "training {train}, held-out {evaluation}"),
    "data.tokens": _t("{n}トークン", "{n} tokens"),
}

_FIGURES = {
    "figure.quality": _t(
        "改善幅の維持率と学習可能パラメータ数", "Gain kept against trainable parameters"
    ),
    "figure.quality.caption": _t(
        "左上ほど有利です。破線は主張値、ひし形は主張の位置、縦線は95%区間(シードが2個以上のとき)です。"
        "階段状の線はパレートフロント(より少ないパラメータで同じだけ維持した構成がない点)で、平均で引いています。区間が重なる点の順位は決まりません。",
        "Up and to the left is better. Dashed lines: the claimed values; diamond: where both meet; "
        "vertical bars: 95% intervals, where there are two seeds or more. The stepped line is the "
        "Pareto front of the means: nothing with fewer parameters kept as much. Where intervals "
        "overlap, the order is not decided.",
    ),
    "figure.quality.claimed": _t("主張の位置", "claimed"),
    "figure.quality.x": _t("学習可能パラメータ数(対数目盛)", "trainable parameters (log scale)"),
    "figure.quality.y": _t("改善幅の維持率", "gain kept"),
    "figure.memory": _t("ピーク時のメモリ内訳", "Memory at the peak"),
    "figure.memory.caption": _t(
        "棒の右の倍率は、フルのピークがその構成の何倍かを表します。棒の各部分は、ピークの瞬間に確保されていた量です。",
        "The ratio on each bar is full's peak over this arm's. The parts are what was allocated at "
        "the moment of the peak.",
    ),
    "figure.memory.x": _t("ピークメモリ(確保量、GiB)", "peak allocated (GiB)"),
    "figure.memory.legend": _t("内訳", "part"),
    "figure.curves": _t("学習曲線", "Training curves"),
    "figure.curves.caption": _t(
        "実線は学習損失(シードごと。4個以上なら平均線と最小から最大までの帯)、四角は評価損失です。"
        "灰色の破線はフルファインチューニングの学習損失(シードの平均)です。1本の線は最大40点に間引き、描くのは最大24枚です。",
        "Solid lines: training loss, one a seed (from four seeds on their mean, within a band from "
        "lowest to highest); squares: held-out loss. Grey, dashed: training loss of full "
        "fine-tuning (mean over seeds). At most 40 points a line and 24 panels are drawn.",
    ),
    "figure.curves.x": _t("ステップ", "step"),
    "figure.curves.y": _t("損失 (nat/トークン)", "loss (nats per token)"),
    "figure.time": _t("構成ごとの学習時間", "Training time per arm"),
    "figure.time.caption": _t(
        "最適化ステップの合計時間です。棒はシードの平均、点は各シードです。倍率は、フルの時間がその構成の何倍かを表します。",
        "Sum of the optimizer steps. Bars: mean over seeds; dots: each seed. The ratio is full's "
        "time over this arm's.",
    ),
    "figure.time.x": _t("学習時間(秒)", "training time (seconds)"),
    "missing.quality": _t(
        "図なし: 改善幅の維持率を測定できた構成がありません。",
        "Left out: no arm has a measured share of the gain kept.",
    ),
    "missing.memory": _t(
        "図なし: ピークメモリを測定できた構成がありません。",
        "Left out: no arm has a measured memory peak.",
    ),
    "missing.curves": _t(
        "図なし: 学習曲線の記録がある構成がありません。", "Left out: no arm has a recorded curve."
    ),
    "missing.time": _t(
        "図なし: 学習時間を測定できた構成がありません。",
        "Left out: no arm has a measured training time.",
    ),
}

_METHOD = {
    "method.memory": _t(
        "ピークメモリは、学習中に確保されたメモリの最大値(確保量)です。最も長いバッチで3ステップだけ動かす専用プロセスで測り、"
        "時間や品質の測定とは分けています。予約量やプロセスの最大常駐メモリとは別の量なので、混ぜて比べません。",
        "Peak memory is the most that was allocated while training. It is taken in a process of "
        "its own, over three steps on the longest batch, apart from time and quality. Reserved "
        "memory and the process high-water mark are other quantities and are never mixed with it.",
    ),
    "method.readings": _t(
        "メモリは2通りに読みます。「同一精度」は両者の精度をそろえた比較で、判定の基準です。"
        "「慣用の設定」は、LoRAの凍結した重みをbf16に置く実際の使い方での比較です。",
        "Memory has two readings. Controlled: one precision for both arms; this one leads. As "
        "practised: LoRA keeps its frozen base in bf16, as people run it.",
    ),
    "method.quality": _t(
        "品質は改善幅の維持率で判定し、1を超えても0を下回っても切り詰めません。"
        "性能維持率(パープレキシティ比)は仕様に沿った参考値で、学習前の性能も「維持」に数えるため高めに出ます。",
        "Quality is judged by the share of the gain kept, never clipped. Performance retention "
        "(the ratio of perplexities) follows the specification; it reads higher because it also "
        "counts what the model could do before training.",
    ),
    "method.verdicts": _t(
        "パラメータ数とメモリは構成ごとに値で判定し、区間は付けません。品質はシード間のばらつきから95%区間を求めて判定し、"
        "シードが1個なら判定保留とします。全体の判定は、1つの構成がすべての主張を同時に満たすかどうかで決めます。"
        "「平均」は仕様どおりの構成間の平均で、構成ごとの差を隠すことがあります。",
        "Parameters and memory are judged by value, per configuration, without an interval. "
        "Quality is judged by a 95% interval over seeds; one seed is undecided. The joint verdict "
        "asks whether one configuration meets all claims at once. The mean over configurations "
        "is the specification's, and can hide what single configurations do.",
    ),
    "method.time": _t(
        "学習時間は最適化ステップのみで、読み込み、評価、保存は含みません。",
        "Training time covers the optimizer steps only, without loading, evaluation and saving.",
    ),
}

METHOD_KEYS = tuple(_METHOD)
_TERMINAL = {
    "terminal.configurations": _t("構成の順: {labels}", "configurations, in this order: {labels}"),
    "terminal.failures": _t(
        "結果が得られなかった測定: {n}件({kinds})", "cells without a result: {n} ({kinds})"
    ),
}

_ESTIMATES = {
    "estimates.note": _t(
        "ここにある値はすべて推定(ESTIMATED)で、測定値ではありません。総合判定にも結果表にも含めません。",
        "Every figure here is ESTIMATED, none was measured; none of them counts towards the joint "
        "verdict or the table of results.",
    ),
    "estimates.claimed": _t("主張値 {value}", "claimed {value}"),
    "estimates.models": _t("{base} のフル / {model} のLoRA", "full {base} / LoRA {model}"),
    "estimates.count": _t(
        "個数の比(精度や長さによらず一定)", "a count; independent of precision and tokens"
    ),
    "estimates.absent": _t("推定なし", "no estimate"),
    "estimates.verdict": _t("推定(ESTIMATED): {verdict}", "ESTIMATED: {verdict}"),
    "estimates.memory": _t("メモリ({reading}) {values}", "memory ({reading}) {values}"),
    "estimates.at": _t("{value}({batch}x{length}トークン)", "{value} at {batch}x{length} tokens"),
    "estimates.terminal": _t(
        "主張の規模での推定(ESTIMATED)、{error}:", "At the claim's own scale, ESTIMATED ({error}):"
    ),
    "estimator.terminal": _t("メモリの推定(ESTIMATED): {error}", "Memory, ESTIMATED: {error}"),
    "estimator.short": _t(
        "この実行での推定誤差は{most}%以内", "this run: estimates within {most}% of measurement"
    ),
    "estimator.short.none": _t(
        "この実行には比べられる測定なし", "this run: no measurement to compare with"
    ),
    "estimator.error": _t(
        "この実行での推定誤差は{n}件で{most}%以内です(平均{mean}%、測定を下回ったのは{under}件)。",
        "This run: estimates within {most}% of measurement over {n} cells (mean {mean}%, "
        "{under} of {n} below the measurement).",
    ),
    "estimator.none": _t(
        "この実行には、推定値と比べられるメモリ測定がありません。",
        "This run: no memory cell to compare the estimates with.",
    ),
    "estimator.untraceable": _t("推定不可: {reason}", "no estimate: {reason}"),
    "estimator.failure": _t("推定ピーク(ESTIMATED): {size}", "estimated peak (ESTIMATED): {size}"),
}

TEXTS: dict[str, dict[str, str]] = {
    **_HEADINGS, **_COLUMNS, **_VALUES, **_DATA, **_FIGURES, **_METHOD, **_TERMINAL,
    **_ESTIMATES, **MEMORY_TEXTS, **RATE_TEXTS, **COMPARISON_TEXTS, **PROBE_TEXTS, **PAGE_TEXTS,
    **PAPER_TEXTS, **COMPARING_TEXTS,
}  # fmt: skip
