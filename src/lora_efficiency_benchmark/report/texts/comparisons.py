"""Wording of the further comparisons, merged into ``texts.TEXTS`` (row 6)."""

from __future__ import annotations

COMPARISON_TEXTS: dict[str, dict[str, str]] = {
    "heading.matched": {
        "ja": "同じステップ数での比較と、同じ学習時間での比較",
        "en": "At equal steps, and at equal training time",
    },
    "matched.note": {
        "ja": "同じ学習時間では、速いほうの構成が終わった時点で両者を読みます(評価の間は補間)。"
        "遅いほうは学習率が下がりきる前の値なので、その時間に合わせて計画すればさらに良くなる可能性があります。"
        "同じ学習時間の区間はシードのばらつきだけを表します(評価文ごとの損失は途中では残りません)。",
        "en": "At equal time both arms are read when the faster one has ended (interpolated "
        "between evaluations). The slower one is caught before its learning rate has come down; "
        "a run planned for that time might do better. Intervals at equal time cover seeds only: "
        "losses of single texts are not kept in between.",
    },
    "condition.bits": {
        "ja": "ビット/バイト、フルにしたモデルの学習前が起点",
        "en": "bits per byte, counted from the fully fine-tuned model before training",
    },
    "topic.across": {"ja": "異なるモデルの比較", "en": "Across models"},
    "heading.across": {
        "ja": "異なるモデルの比較: {base} のフルと {model} のLoRA",
        "en": "Across models: full {base}, LoRA {model}",
    },
    "across.note": {
        "ja": "比はすべて、{base} のフルに対する {model} のLoRAの値です。"
        "トークンの数え方はモデルごとに違うため、品質はビット/バイトで比べ、"
        "改善幅はどちらも {base} の学習前から数えます。総合判定には含めません。",
        "en": "Every ratio is of full fine-tuning of {base} to LoRA of {model}. Each model counts "
        "tokens in its own way, so quality is compared in bits per byte, and both gains count "
        "from {base} before training. None of this enters the joint verdict.",
    },
    "across.before": {
        "ja": "学習前: {base} は {base_bits}、{model} は {bits} ビット/バイト。",
        "en": "Before training: {base} {base_bits}, {model} {bits} bits per byte.",
    },
    "across.caption": {
        "ja": "LoRAはすべて {model} のものです。{base} のフルは、異なるモデルの比較の基準です。"
        "ほかの倍率は {model} のフルに対するものです。",
        "en": "All LoRA is of {model}. Full fine-tuning of {base} is what LoRA is compared with "
        "across models; all other ratios are to full fine-tuning of {model}.",
    },
    "across.panel": {"ja": "{model} どうしの比較", "en": "{model} with itself"},
    "across.y": {
        "ja": "改善幅の維持率(ビット/バイト)",
        "en": "gain kept (in bits per byte)",
    },
    "across.other": {"ja": "比較相手 {base}(フル)", "en": "compared with {base} (full)"},
    "across.reference": {
        "ja": "異なるモデルの比較の基準",
        "en": "reference across models",
    },
    "across.not_comparable": {"ja": "比較不可", "en": "not comparable"},
    "column.across_gain": {
        "ja": "改善幅の維持率(ビット/バイト)",
        "en": "gain kept (in bits per byte)",
    },
    "figure.across": {
        "ja": "評価テキストでの品質の推移(異なるモデルの比較)",
        "en": "Held-out quality during training, across models",
    },
    "figure.across.caption": {
        "ja": "縦軸は評価テキストでのビット/バイト(小さいほど良い)。"
        "点はシードの平均、ステップ0は学習前のモデルの値です。"
        "学習損失はトークンあたりの値なので、異なるモデルを同じ軸には描きません。",
        "en": "Bits per byte on held-out texts, lower is better. Each mark is the mean over seeds; "
        "step 0 is the untrained model. Training losses count tokens: those of two models are "
        "never drawn on one axis.",
    },
    "missing.across": {
        "ja": "図なし: ビット/バイトの記録がある構成がありません。",
        "en": "Left out: no arm has held-out quality in bits per byte.",
    },
    "curves.at": {"ja": "ステップ{step}: {loss}", "en": "step {step}: {loss}"},
    "sizes.kept": {"ja": "改善幅の維持率 {kept}", "en": "gain kept {kept}"},
    "column.train_first": {
        "ja": "最初の学習損失 (nat/トークン)",
        "en": "first training loss (nats per token)",
    },
    "column.train_last": {
        "ja": "最後の学習損失 (nat/トークン)",
        "en": "last training loss (nats per token)",
    },
    "column.held_out": {
        "ja": "評価損失の推移 (nat/トークン)",
        "en": "held-out loss by step (nats per token)",
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
