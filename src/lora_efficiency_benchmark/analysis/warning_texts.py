"""The closed list of warnings (row 5): what each code means, and what to do about it.

``{detail}`` is filled in by the check of the same name in ``warnings.py``.
"""

from __future__ import annotations

from typing import NamedTuple

from ..language import Statement
from .values import AnalysisWarning


class WarningText(NamedTuple):
    """Cause and next step, each in English and Japanese."""

    cause: Statement
    next_step: Statement


WARNING_TEXTS: dict[str, WarningText] = {
    "run_not_finished": WarningText(
        Statement(
            "This run is not finished: no result yet for {detail}. Verdicts may still change.",
            "この実行はまだ終わっていません。結果のない予定セルが{detail}個あり、判定は変わる可能性があります。",
        ),
        Statement(
            "Open the report again later; if the run was stopped, the same command goes on from "
            "there.",
            "あとでレポートを開き直してください。実行を止めた場合は、同じコマンドで続きから再開します。",
        ),
    ),
    "environments_differ": WarningText(
        Statement(
            "Records come from more than one environment; left out: {detail}.",
            "複数の環境の記録が混在しているため、次の環境の記録は判定から除きました: {detail}",
        ),
        Statement(
            "Run all cells on one machine with one set of package versions, or analyze the "
            "folders one by one.",
            "同じマシン・同じパッケージ版ですべて測り直すか、環境ごとに分けて分析してください。",
        ),
    ),
    "settings_mixed": WarningText(
        Statement(
            "The folder holds results of more than one setting; left out: {detail}.",
            "設定の異なる結果が同じフォルダーに混在しているため、次を判定から除きました: {detail}",
        ),
        Statement(
            "Use one output folder per configuration, or start over with --fresh.",
            "設定ごとに出力フォルダーを分けるか、--fresh で測り直してください。",
        ),
    ),
    "arms_differ": WarningText(
        Statement(
            "LoRA and full fine-tuning ran under different conditions and were not compared: "
            "{detail}.",
            "LoRAとフルファインチューニングの条件が異なるため、次は比較していません: {detail}",
        ),
        Statement(
            "Run both with the same data order, steps, batch, length and trainer_args.",
            "データ順、ステップ数、バッチ、系列長、trainer_args をそろえて測り直してください。",
        ),
    ),
    "cells_failed": WarningText(
        Statement(
            "{detail} ended without a result.", "結果を残さずに終わったセルがあります: {detail}"
        ),
        Statement(
            "See the reasons under failures; run again to retry the failed cells only.",
            "failures の理由を確認し、もう一度実行してください。失敗したセルだけがやり直されます。",
        ),
    ),
    "mean_hides_failures": WarningText(
        Statement(
            "A mean over configurations looks better than its parts: {detail}.",
            "設定の平均が、個々の設定よりも良い判定になっています: {detail}",
        ),
        Statement(
            "Read the verdict of each configuration, and the joint verdict.",
            "設定ごとの判定と総合判定を見てください。",
        ),
    ),
    "too_few_seeds": WarningText(
        Statement(
            "Quality or time is undecided: {detail}.",
            "品質または学習時間が判定保留です: {detail}",
        ),
        Statement(
            "Raise seeds in the configuration and run again; finished cells are kept. Where texts "
            "are named, raise evaluation_size; then all cells are measured again.",
            "設定の seeds を増やして再実行してください。済んだセルはそのまま使われます。"
            "評価テキストの件数が示されている場合は evaluation_size を増やします"
            "(全セルが測り直しになります)。",
        ),
    ),
    "shared_learning_rate": WarningText(
        Statement(
            "LoRA and full fine-tuning share one learning rate ({detail}); LoRA's best rate is "
            "usually ten to twenty times higher.",
            "LoRAとフルファインチューニングが同じ学習率({detail})を使っています。"
            "LoRAに適した学習率は通常その10~20倍です。",
        ),
        Statement(
            "Give each its own: learning_rates: {{full: ..., lora: ...}}.",
            "learning_rates: {{full: ..., lora: ...}} で別々に指定してください。",
        ),
    ),
    "best_rate_at_edge": WarningText(
        Statement(
            "The best learning rate found lies at the edge of what was tried: {detail}.",
            "見つかった最良の学習率が、試した範囲の端にあります: {detail}",
        ),
        Statement(
            "Raise search.trials, or move search.centres towards it; a better rate may lie beyond.",
            "search.trials を増やすか search.centres をそちらへ動かしてください。"
            "さらに良い学習率が外側にある可能性があります。",
        ),
    ),
    "arm_did_not_learn": WarningText(
        Statement(
            "Training barely lowered the held-out loss (by less than 0.03 nats): {detail}.",
            "学習しても評価損失がほとんど下がっていません(0.03 nats未満): {detail}",
        ),
        Statement(
            "Raise its learning rate or training_steps; a ratio of gains means little here.",
            "学習率か training_steps を上げてください。このままでは改善幅の比に意味がありません。",
        ),
    ),
    "weights_do_not_move": WarningText(
        Statement(
            "Most updates were lost to rounding; share of weights that changed: {detail}.",
            "更新の多くが丸めで失われています。値が変わった重みの割合: {detail}",
        ),
        Statement(
            "Train with fp32 weights (amp-bf16 or fp32), or raise the learning rate.",
            "重みをfp32で持つ精度(amp-bf16、fp32)にするか、学習率を上げてください。",
        ),
    ),
    "loss_still_falling": WarningText(
        Statement(
            "Held-out loss was still falling at the end (more than 0.03 nats in the last "
            "interval): {detail}.",
            "評価損失が学習の終わりでもまだ下がっています(最後の評価区間で0.03 nats超): {detail}",
        ),
        Statement(
            "Raise training_steps; the order of the arms may still change.",
            "training_steps を増やしてください。優劣が入れ替わる可能性があります。",
        ),
    ),
    "evaluation_set_small": WarningText(
        Statement(
            "The held-out set is too small to tell the arms apart: {detail}.",
            "評価データが少なく、差を見分けられません: {detail}",
        ),
        Statement("Raise evaluation_size.", "evaluation_size を増やしてください。"),
    ),
    "overlap_between_sides": WarningText(
        Statement(
            "Held-out texts overlap with the training texts: {detail}.",
            "評価データと学習データが重なっています: {detail}",
        ),
        Statement(
            "Remove repeated texts or split by document; quality on seen text proves nothing.",
            "重複を除くか、文書単位で分割してください。学習済みの文章での品質は根拠になりません。",
        ),
    ),
    "data_size_not_tested": WarningText(
        Statement(
            "The effect of the data size is not tested: {detail}.",
            "データ量の影響は検証できていません: {detail}",
        ),
        Statement(
            "Give at least two dataset_sizes and enough training_steps for one pass over the "
            "largest.",
            "dataset_sizes を2つ以上にし、最大のデータを1周できる training_steps にしてください。",
        ),
    ),
    "lora_needs_more_memory": WarningText(
        Statement(
            "LoRA needed more memory than full fine-tuning: {detail}.",
            "LoRAのほうがメモリを多く使いました: {detail}",
        ),
        Statement(
            "Look at the memory breakdown: activations usually outweigh the saving here.",
            "メモリの内訳を確認してください。多くの場合、活性値が削減分を上回っています。",
        ),
    ),
    "lora_slower": WarningText(
        Statement(
            "LoRA trained more slowly than full fine-tuning: {detail}.",
            "LoRAのほうが学習に時間がかかりました: {detail}",
        ),
        Statement(
            "Compare at a larger batch: small batches are dominated by the adapters' overhead.",
            "バッチを大きくして比べてください。小さなバッチではアダプターの余分な処理が支配的です。",
        ),
    ),
    "precision_differs": WarningText(
        Statement(
            "The arms trained under different precisions ({detail}): as practised, not a "
            "controlled comparison.",
            "精度の設定が異なります({detail})。慣用の設定での比較で、同一条件の比較ではありません。",
        ),
        Statement(
            "Set one precision for both to compare quality and time under equal conditions.",
            "品質と時間を同じ条件で比べるには、precision を1つにそろえてください。",
        ),
    ),
    "time_not_measured": WarningText(
        Statement(
            "Other work ran while these were timed, so their time is not used: {detail}.",
            "測定中に他の処理が動いていたため、次の時間は使いません: {detail}",
        ),
        Statement(
            "Run again on an idle machine.",
            "他の処理を止めて測り直してください。",
        ),
    ),
    "emulated_bf16": WarningText(
        Statement(
            "This processor has no bf16 instructions; times are those of an emulation ({detail}).",
            "このCPUにはbf16命令がないため、時間はエミュレーションでの値です({detail})。",
        ),
        Statement(
            "Do not carry the times over to other hardware; memory and quality are unaffected.",
            "時間を他のハードウェアに当てはめないでください。メモリと品質には影響しません。",
        ),
    ),
    "not_isolated": WarningText(
        Statement(
            "Not measured in a process of their own: {detail}; memory and time may include "
            "what ran before.",
            "独立したプロセスで測っていません: {detail}。"
            "メモリと時間に直前の処理が含まれる可能性があります。",
        ),
        Statement(
            "Use lora-bench run, which starts a fresh process per cell.",
            "セルごとに新しいプロセスを使う lora-bench run で測ってください。",
        ),
    ),
}


def make_warning(code: str, detail: Statement) -> AnalysisWarning:
    """The warning of a code with its detail filled in. Raises KeyError for a code not listed."""
    text = WARNING_TEXTS[code]
    return AnalysisWarning(
        code=code,
        cause=text.cause.en.format(detail=detail.en),
        next_step=text.next_step.en.format(),
        cause_ja=text.cause.ja.format(detail=detail.ja),
        next_step_ja=text.next_step.ja.format(),
    )
