"""What a comparison of runs says in words, English and Japanese (row 5)."""

from __future__ import annotations

from collections.abc import Sequence

from ...units import GIB, MIB
from ..wording import NOTHING, Text, listing, quantity
from .permissions import QUANTITIES
from .values import (
    NO,
    STATED,
    YES,
    ComparedConfiguration,
    ComparedQuantity,
    DifferingFact,
    Permission,
    RunDifference,
    UnsharedConfiguration,
)

_FACTS = {
    "device.name": Text("device", "デバイス"),
    "device.type": Text("kind of device", "デバイスの種類"),
    "device.total_memory_bytes": Text("memory of the device", "デバイスのメモリ容量"),
    "cpu_model": Text("CPU", "CPU"),
    "cores": Text("cores", "コア数"),
    "threads": Text("threads", "スレッド数"),
    "bf16_matmul": Text("bf16 products", "bf16の行列積"),
    "allocator": Text("allocator settings", "アロケーターの設定"),
    "git.commit": Text("commit of the program", "プログラムのコミット"),
    "git.dirty": Text("uncommitted changes", "未コミットの変更"),
    "platform": Text("platform", "プラットフォーム"),
    "python": Text("Python", "Python"),
    "imported": Text("imported from", "取り込み元の形式"),
    "model": Text("model", "モデル"),
    "weights": Text("weights of the model", "モデルの重み"),
    "model_parameters": Text("parameters of the model", "モデルのパラメータ数"),
    "dataset": Text("data set", "データセット"),
    "evaluation_size": Text("number of held-out texts", "評価テキスト数"),
    "training_steps": Text("steps", "ステップ数"),
    "batch_size": Text("batch size", "バッチサイズ"),
    "max_length": Text("maximum length", "最大の系列長"),
    "sequence_length": Text("length of the longest batch", "最長バッチの系列長"),
    "trainer_args": Text("trainer_args", "trainer_args"),
    "processes": Text("processes of a cell", "セルのプロセス数"),
    "accelerate": Text("accelerate settings", "accelerate の設定"),
    "precision": Text("precision", "精度"),
    "precision.full": Text("precision of full", "フルの精度"),
    "precision.lora": Text("precision of LoRA", "LoRAの精度"),
    "seeds": Text("seeds", "シード"),
    "training_texts": Text("training texts", "学習テキスト"),
    "held_out_texts": Text("held-out texts", "評価テキスト"),
    "tokenizer": Text("tokenizer", "トークナイザー"),
    "tokens": Text("tokens trained on", "学習したトークン数"),
    "learning_rate": Text("learning rate", "学習率"),
    "full_learning_rate": Text("learning rate of full", "フルの学習率"),
    "data_order": Text("order of the texts", "テキストの順序"),
    "source": Text("way of measuring memory", "メモリの測り方"),
    "exclusive": Text("not known to be free of other work", "他の処理がなかったか不明"),
}
_RULES = {
    "parameters": Text("parameters", "パラメータ数"),
    "memory": Text("memory", "メモリ"),
    "quality": Text("loss and gain", "損失と改善幅"),
    "bits_per_byte": Text("bits per byte", "ビット/バイト"),
    "time": Text("time", "学習時間"),
}
_STATES = {
    YES: Text("comparable", "比較可"),
    STATED: Text("comparable, with reservations", "留保つきで比較可"),
    NO: Text("not comparable", "比較不可"),
}

_TOLD = {
    YES: "{}は比較できます",
    STATED: "{}は留保つきで比較できます",
    NO: "{}は比較できません",
}
"""The same states as Japanese sentences."""


def fact_name(name: str) -> Text:
    """A differing fact in words; names of packages as they are."""
    plain = name.removeprefix("packages.")
    return _FACTS.get(name, Text(plain, plain))


def rule_name(name: str) -> Text:
    """A quantity of the table of permissions in words."""
    return _RULES[name]


def state_name(comparable: str) -> Text:
    """yes, stated and no in words."""
    return _STATES[comparable]


def run_letter(place: int) -> str:
    """``0 -> A``."""
    return chr(ord("A") + place)


def reasons(names: Sequence[str], unknown: Sequence[str] = ()) -> Text:
    """Names of what differs, for a sentence; those of ``unknown`` are not stated by a run."""
    plain = {name: fact_name(name) for name in names}
    open_ = {n: Text(f"{t.en}: not stated", f"{t.ja}は記録なし") for n, t in plain.items()}
    found = [(open_ if name in unknown else plain)[name] for name in names]
    return Text(", ".join(t.en for t in found), "、".join(t.ja for t in found))


def value_text(metric: str, value: float) -> Text:
    """A value of a metric with its unit."""
    if metric == "count":
        return _both(f"{value:,.0f}")
    if metric == "bytes":
        size = abs(value)
        return _both(f"{value / GIB:.2f} GiB" if size >= GIB else f"{value / MIB:,.1f} MiB")
    if metric == "seconds":
        return Text(f"{value:,.1f} s", f"{value:,.1f} 秒")
    if metric in ("nats", "bits"):
        return _both(f"{value:.3f}")
    return quantity(value, metric)


def difference_text(metric: str, value: float) -> Text:
    """A difference, always with its sign; of shares in percentage points."""
    sign = "+" if value > 0 else ("-" if value < 0 else "")
    size = abs(value)
    if metric == "gain_retention":
        number = f"{sign}{100 * size:.1f}"
        return Text(f"{number} points", f"{number}ポイント")
    if metric in ("nats", "bits"):
        return _both(f"{sign}{size:.4f}")
    shown = value_text(metric, size)
    return Text(sign + shown.en, sign + shown.ja)


def interval_text(metric: str, found: RunDifference) -> Text:
    """``99% interval -0.02 to +0.01``; nothing where there is none."""
    if found.interval is None or found.level is None:
        return Text("", "")
    low, high = (difference_text(metric, end) for end in found.interval)
    level = f"{100 * found.level:.3g}"
    return Text(f"{level}% interval {low.en} to {high.en}", f"{level}%区間 {low.ja}~{high.ja}")


def outcome(compared: ComparedQuantity, found: RunDifference) -> Text:
    """What a difference shows, in a few words: the last column of the table."""
    if found.comparable == NO:
        return _STATES[NO]
    if found.difference is None:
        why = Text(f": {found.reason}", f"({found.reason_ja})") if found.reason else NOTHING
        return Text(f"no difference can be given{why.en}", f"差は計算不可{why.ja}")
    if found.difference == 0 and (compared.exact or found.interval in (None, (0.0, 0.0))):
        return Text("the same", "同じ")
    shown = difference_text(compared.metric, found.difference)
    if compared.exact:
        return shown
    if found.interval is None:
        seeds = (f"{found.num_seeds} seed", f"{found.num_seeds}シード")
        return Text(
            f"{shown.en}; {seeds[0]} shows no difference", f"{shown.ja}({seeds[1]}では差は未確認)"
        )
    interval = interval_text(compared.metric, found)
    if found.shown:
        return Text(f"{shown.en} ({interval.en})", f"{shown.ja}({interval.ja})")
    return Text(
        f"not shown to differ ({shown.en}, {interval.en})",
        f"差は未確認({shown.ja}、{interval.ja})",
    )


def configuration_sentence(label: str, compared: Sequence[ComparedQuantity]) -> dict[str, str]:
    """What differs for one configuration between the first run and each other one."""
    count = max((len(q.differences) for q in compared), default=0)
    name = "full fine-tuning" if label == "full" else label
    parts = [_against(place, compared) for place in range(1, count + 1)]
    en = " ".join(f"{name}, {p.en}." for p in parts if p.en)
    name_ja = "フルファインチューニング" if label == "full" else label
    ja = "".join(f"{name_ja}、{p.ja}。" for p in parts if p.ja)
    return {"en": en, "ja": ja}


def _against(run: int, compared: Sequence[ComparedQuantity]) -> Text:
    """One run against the first: same, different, not shown, not comparable; changed verdicts."""
    rows = [(q, d) for q in compared for d in q.differences if d.run == run]
    same = [q for q, d in rows if outcome(q, d).en == "the same"]
    differ = [(q, d) for q, d in rows if d.shown]
    open_ = [q for q, d in rows if d.difference is not None and not d.shown and q not in same]
    parts = [_listed(same, "the same: {}", "{}は同じです")]
    for q, d in differ:
        found = outcome(q, d)
        parts.append(Text(f"{q.text['en']} {found.en}", f"{q.text['ja']}の差は{found.ja}です"))
    parts.append(_listed(open_, "not shown to differ: {}", "{}の差は示されていません"))
    parts.append(_included([d for _, d in rows]))
    parts.append(_barred([(q, d) for q, d in rows if d.comparable == NO and _both_known(q, run)]))
    parts += [_verdicts(q, d) for q, d in rows]
    kept = [part for part in parts if part.en]
    if not kept:
        return Text("", "")
    pair = f"{run_letter(run)} against {run_letter(0)}"
    return Text(
        f"{pair}: " + "; ".join(p.en for p in kept),
        f"{run_letter(0)}に対する{run_letter(run)}: " + "。".join(p.ja for p in kept),
    )


def _included(rows: Sequence[RunDifference]) -> Text:
    """What the differences that are given rest on beside the run: another device, say."""
    given = [d for d in rows if d.comparable == STATED and d.difference]
    names = list(dict.fromkeys(name for d in given for name in d.because))
    if not names:
        return Text("", "")
    why = reasons(names)
    return Text(f"differences with reservations: {why.en}", f"差には留保があります({why.ja})")


def _barred(rows: Sequence[tuple[ComparedQuantity, RunDifference]]) -> Text:
    """What is not comparable, by kind, each with its reasons."""
    why = {q.rule: reasons(d.because) for q, d in rows}
    groups: dict[Text, list[Text]] = {}
    for rule, names in why.items():
        groups.setdefault(names, []).append(_RULES[rule])
    if not groups:
        return Text("", "")
    en = ", ".join(f"{', '.join(t.en for t in g)} ({w.en})" for w, g in groups.items())
    ja = "。".join(
        f"{'、'.join(t.ja for t in g)}は比較できません(理由: {w.ja})" for w, g in groups.items()
    )
    return Text(f"not comparable: {en}", ja)


def _verdicts(compared: ComparedQuantity, found: RunDifference) -> Text:
    """A claim that the two runs judge differently; that they differ says nothing by itself."""
    first, other = (compared.values[place].verification for place in (0, found.run))
    if not first or not other or first == other:
        return Text("", "")
    a, b = run_letter(0), run_letter(found.run)
    apart = found.comparable == NO
    return Text(
        f"{compared.text['en']} {first} in {a}, {other} in {b}"
        + (", under different conditions" if apart else ""),
        f"{compared.text['ja']}の判定は{a}で{first}、{b}で{other}です"
        + ("(条件が異なります)" if apart else ""),
    )


def _both_known(compared: ComparedQuantity, run: int) -> bool:
    return compared.values[0].value is not None and compared.values[run].value is not None


def whole_sentence(
    differing: Sequence[DifferingFact],
    allowed: Sequence[Permission],
    configurations: Sequence[ComparedConfiguration],
    unshared: Sequence[UnsharedConfiguration],
) -> dict[str, str]:
    """The one line: what differs, what may be compared, how many configurations are shared."""
    names = [fact_name(fact.name) for fact in differing]
    en_names, ja_names = listing([t.en for t in names], 8).en, listing([t.ja for t in names], 8).ja
    head = Text(f"The runs differ in {en_names}", f"実行の間で異なるのは{ja_names}です")
    if not names:
        head = Text("The records name nothing that differs", "記録にある限り、違いはありません")
    shown = Text("", "")
    worst = {q: _worst([p for p in allowed if p.quantity == q]) for q in QUANTITIES}
    for state in (YES, STATED, NO):
        group = [_RULES[q] for q in QUANTITIES if worst[q] == state]
        if group:
            en, ja = ", ".join(t.en for t in group), "、".join(t.ja for t in group)
            told = _TOLD[state].format(ja)
            shown = Text(f"{shown.en}; {_STATES[state].en}: {en}", f"{shown.ja}。{told}")
    count, rest = len(configurations), len(unshared)
    en = f"{head.en}{shown.en}; {count} configurations shared, {rest} not. Nothing is pooled."
    ja = f"{head.ja}{shown.ja}。共通の構成は{count}件、片方だけの構成は{rest}件です。"
    ja += "値は混ぜていません。"
    return {"en": en, "ja": ja}


def _worst(found: Sequence[Permission]) -> str:
    """Of several runs, the strictest."""
    order = (YES, STATED, NO)
    return max((p.comparable for p in found), key=order.index)


def _listed(compared: Sequence[ComparedQuantity], en: str, ja: str) -> Text:
    if not compared:
        return Text("", "")
    names = [q.text for q in compared]
    return Text(
        en.format(", ".join(t["en"] for t in names)), ja.format("、".join(t["ja"] for t in names))
    )


def _both(text: str) -> Text:
    return Text(text, text)
