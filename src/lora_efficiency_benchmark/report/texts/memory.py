"""Names of the parts and moments of a memory peak (row 6), for the report and the explorer."""

from __future__ import annotations

from .both import both as _t

MEMORY_TEXTS = {
    "phase.between": _t("ステップの間", "between steps"),
    "phase.forward": _t("順伝播", "forward pass"),
    "phase.backward": _t("逆伝播", "backward pass"),
    "phase.optimizer": _t("最適化ステップ", "optimizer step"),
    "part.weights": _t("重み", "weights"),
    "part.adapter": _t("アダプター", "adapter"),
    "part.gradients": _t("勾配", "gradients"),
    "part.optimizer": _t("オプティマイザ状態", "optimizer state"),
    "part.activations": _t("活性値", "activations"),
    "part.logits_and_loss": _t("ロジットと損失", "logits and loss"),
    "part.temporaries": _t("一時領域", "temporaries"),
}
