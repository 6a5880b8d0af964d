"""A first configuration as a YAML file with the reason beside every value (row 4). No torch."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..config.adapters import ALL_LINEAR, AdapterSettings
from ..config.yaml_io import dump_yaml
from ..plain_text import one_line
from ..units import to_gib

if TYPE_CHECKING:
    from . import Start

_WIDTH = 98
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NOT_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}  # to some YAML readers


class _File:
    """Lines of the file, comments in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.lines: list[str] = []

    def say(self, en: str, ja: str) -> None:
        """A comment; a long one goes on below."""
        text = one_line(ja if self.language == "ja" else en)
        wrapped = _sentences(text) if self.language == "ja" else textwrap.wrap(text, _WIDTH)
        self.lines += [f"# {line}" for line in wrapped]

    def blank(self) -> None:
        self.lines.append("")

    def value(self, name: str, value: Any, en: str, ja: str) -> None:
        """A field, its reason above it."""
        self.say(en, ja)
        self.lines.append(f"{name}: {_flow(value)}")


def start_text(start: Start, language: str, path: str) -> str:
    """The configuration as YAML text that ``load_config`` reads; ``path`` is where it will lie."""
    file = _File(language)
    _head(file, start, path)
    _model_and_data(file, start)
    _arms(file, start)
    _step(file, start)
    _training(file, start)
    return "\n".join(file.lines) + "\n"


def _head(file: _File, s: Start, path: str) -> None:
    target, fit = s.target, s.fit
    size = f"{to_gib(target.total_bytes):.1f} GiB"
    limit, full, lora = (
        f"{to_gib(n):.1f} GiB" for n in (target.limit_bytes, fit.full_bytes, fit.lora_bytes)
    )
    here = shlex.quote(path)
    file.say(
        f"Made by lora-bench init. Next: lora-bench plan {here}",
        f"lora-bench init で作成。次は lora-bench plan {here}",
    )
    file.say(f"Then: lora-bench run {here}", f"続けて lora-bench run {here}")
    file.say(
        f"Device: {target.name}, {size}{' free now' if target.device == 'cpu' else ''}. "
        f"A step may need {limit} of it; the rest is a margin for what a prediction cannot know.",
        f"デバイス: {target.name}、{'空き ' if target.device == 'cpu' else ''}{size}。"
        f"1ステップに使うのは {limit} まで。残りは推定できない分の余裕です。",
    )
    file.say(
        f"ESTIMATED, nothing was run: full fine-tuning needs {full}, {_label(s)} {lora}.",
        f"推定値 (実行はしていません): フルファインチューニングは {full}、{_label(s)} は {lora}。",
    )
    for en, ja in (*_consequences(s), *_shortened(s)):
        file.say(en, ja)
    file.blank()


def _consequences(s: Start) -> Iterator[tuple[str, str]]:
    """What follows from what fits, one pair of sentences a line."""
    changed = [
        text
        for key, text in (
            ("gradient_checkpointing", ("recomputed activations", "活性値の再計算")),
            ("optim", ("Adafactor's small state", "状態の小さい Adafactor")),
        )
        if key in s.fit.step.trainer_args
    ]
    with_en, with_ja = (" and ".join(t[0] for t in changed), "と".join(t[1] for t in changed))
    if s.fit.full_fits and changed:
        yield (
            f"Both fit with {with_en}, which all arms share; without, they do not.",
            f"どちらも{with_ja}を使えば収まります (全構成に共通)。使わなければ収まりません。",
        )
    elif s.fit.full_fits:
        yield ("Both fit.", "どちらも収まります。")
    else:
        yield (
            "Full fine-tuning does NOT fit, not with one text, recomputed activations and a small "
            "optimizer either. It is tried, and recorded as out of memory;",
            "フルファインチューニングは、1件ずつ、活性値の再計算、小さいオプティマイザでも"
            "収まりません。試みたうえでメモリ不足と記録します。",
        )
        yield (
            "this benchmark then measures LoRA alone" + (f", with {with_en}" if changed else "")
            + ". To compare with full fine-tuning of a smaller model: base_model_name: NAME",
            "その場合、測れるのは LoRA だけです" + (f" ({with_ja}を使用)" if changed else "")
            + "。小さいモデルのフルファインチューニングと比べるには base_model_name: NAME",
        )  # fmt: skip


def _shortened(s: Start) -> Iterator[tuple[str, str]]:
    """That the length had to be cut, where it had to."""
    wished, length = s.fit.wished_length, s.fit.step.max_length
    if wished is not None:
        yield (
            f"Texts are CUT at {length} tokens to make it fit; it did not with {wished}.",
            f"収めるため、テキストの長さを {wished} から {length} トークンに縮めました。",
        )


def _model_and_data(file: _File, s: Start) -> None:
    data = s.data
    file.value(
        "model_name", s.model_name,
        "What is trained: a name, a local folder, a .gguf file or a Hub id",
        "学習するモデル。名前、ローカルのフォルダー、.gguf ファイル、Hub の id のどれか",
    )  # fmt: skip
    if s.trust_remote_code:
        file.value(
            "trust_remote_code", True,
            "The model's folder holds Python code, which is run: you asked for it",
            "モデルのフォルダーにある Python コードを実行します (指定による)",
        )  # fmt: skip
    if data.documents is None:
        file.value(
            "dataset", data.source,
            "Japanese texts made by the program; your own: a path (.txt, .jsonl, folder) or Hub id",
            "プログラムが作る日本語。手持ちのデータはパス (.txt、.jsonl、フォルダー) か "
            "Hub の id",
        )  # fmt: skip
    else:
        file.value(
            "dataset", data.source,
            f"Your texts: {data.documents} were found",
            f"指定のデータ。{data.documents} 件ありました",
        )  # fmt: skip
    file.value(
        "dataset_sizes", [data.train],
        "Training texts; a list of sizes shows what more data changes",
        "学習テキストの数。複数並べると、データ量による違いも測ります",
    )  # fmt: skip
    file.value(
        "evaluation_size", data.evaluation,
        "Held-out texts; the more, the smaller the difference that can be told from chance",
        "評価テキストの数。多いほど小さな差まで見分けられます",
    )  # fmt: skip
    file.blank()


def _arms(file: _File, s: Start) -> None:
    file.say(
        "LoRA arms, beside full fine-tuning; modules by the names that this model uses",
        "比べる LoRA の構成 (フルは常に含まれます)。モジュール名はこのモデルのもの",
    )
    file.lines.append("lora_configurations:")
    for place, adapter in enumerate(s.adapters):
        en, ja = _reason(adapter, place)
        values = {"r": adapter.r, "alpha": adapter.alpha, "target_modules": adapter.target_modules}
        comment = ja if file.language == "ja" else en
        file.lines.append(f"  - {_flow(values)}  # {comment}")
    file.blank()


def _reason(adapter: AdapterSettings, place: int) -> tuple[str, str]:
    if adapter.target_modules == (ALL_LINEAR,):
        return "every linear layer: closest to full fine-tuning", "全線形層。フルに最も近い"
    if place == 0:
        return "fewest parameters", "学習パラメータが最少"
    return "all of attention, a common choice", "アテンション全体。よく使われる構成"


def _step(file: _File, s: Start) -> None:
    step, target = s.fit.step, s.target
    if step.lora_precision == step.precision:
        why = ("", "")
        if step.precision == "amp-fp16":
            why = (" (this GPU has no bf16)", " (この GPU は bf16 非対応)")
        file.value(
            "precision", step.precision,
            f"Mixed precision, the same for all arms{why[0]}", f"混合精度。全構成に共通{why[1]}",
        )  # fmt: skip
    else:
        file.value(
            "precision", {"full": step.precision, "lora": step.lora_precision},
            "LoRA fits on a frozen bf16 base only; comparisons are then labelled 'as practised'",
            "LoRA は bf16 の凍結モデルでだけ収まります。比較には「慣用」の表示が付きます",
        )  # fmt: skip
    cut = s.data.max_length is not None and s.data.max_length <= step.max_length
    file.value(
        "max_length", step.max_length,
        "Tokens a text, longer ones are cut; "
        + ("about nine texts in ten fit" if cut else "memory grows with it"),
        "1件のトークン数。長いテキストは切ります。"
        + ("およそ9割のテキストが収まる長さです" if cut else "メモリはこれに応じて増えます"),
    )  # fmt: skip
    file.value(
        "batch_size", step.batch_size,
        f"Texts a step; the largest of 4, 2 and 1 that fits {target.name}",
        f"1ステップのテキスト数。4、2、1 のうち {target.name} に収まる最大",
    )  # fmt: skip
    if step.trainer_args:
        file.value(
            "trainer_args", dict(step.trainer_args),
            "Needed to fit; for transformers.TrainingArguments, the same for all arms",
            "収めるために必要。transformers.TrainingArguments に渡す値で、全構成に共通",
        )  # fmt: skip
    file.blank()


def _training(file: _File, s: Start) -> None:
    texts = s.training_steps * s.fit.step.batch_size
    file.value(
        "training_steps", s.training_steps,
        f"Optimizer steps of every arm: {texts} texts seen; a first look, raise it for a real use",
        f"全構成に共通のステップ数。のべ {texts} 件を学習。最初の目安なので、本番では増やします",
    )  # fmt: skip
    file.value(
        "eval_steps", s.eval_steps,
        "Evaluate every so many steps: curves, and a comparison at equal time",
        "この間隔で評価。学習曲線と、同じ時間での比較に使います",
    )  # fmt: skip
    file.value(
        "learning_rates", "search",
        "Each arm gets its own rate, by the same number of trials: one shared rate is unfair",
        "構成ごとに同じ回数の試行で学習率を探索。共通の学習率では公平になりません",
    )  # fmt: skip
    file.value(
        "search", {"trials": 5, "validation_size": s.data.validation},
        "Trials an arm, and the texts that score them, which are in neither other side",
        "構成ごとの試行回数と、採点用のテキスト数 (学習にも評価にも使いません)",
    )  # fmt: skip
    file.value(
        "seeds", 3,
        "Repeats: one seed decides nothing about quality or time",
        "繰り返し数。シード1つでは品質も時間も判定できません",
    )  # fmt: skip
    file.value(
        "output_dir", _folder(s.model_name),
        "Records and report; the same command goes on where it was stopped",
        "記録とレポートの置き場所。止めても同じコマンドで続きから再開します",
    )  # fmt: skip


def _sentences(text: str) -> list[str]:
    """Japanese broken between sentences, where one line would be too long."""
    lines = [""]
    for sentence in re.findall(r"[^。]*。|[^。]+$", text):
        if lines[-1] and len(lines[-1]) + len(sentence) > _WIDTH // 2:  # a letter takes two columns
            lines.append("")
        lines[-1] += sentence
    return lines


def _label(s: Start) -> str:
    return s.adapters[-1].label


def _folder(model_name: str) -> str:
    last = re.split(r"[/\\]", model_name.rstrip("/\\"))[-1].removesuffix(".gguf")
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.").lower()[:60]
    return f"lora_benchmark_{slug or 'model'}"


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(v)}" for name, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return dump_yaml(value).removesuffix("...\n").strip()
    plain = _WORD.fullmatch(value) and value.lower() not in _NOT_WORDS
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
