"""What a comparison of runs says in words, English and Japanese (row 5)."""

from __future__ import annotations

from collections.abc import Sequence

from ...language import Statement
from ...units import GIB, MIB
from ..wording import NOTHING, listing, quantity
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
    "device.name": Statement("device", "デバイス"),
    "device.type": Statement("kind of device", "デバイスの種類"),
    "device.total_memory_bytes": Statement("memory of the device", "デバイスのメモリ容量"),
    "cpu_model": Statement.unchanged("CPU"),
    "cores": Statement("cores", "コア数"),
    "threads": Statement("threads", "スレッド数"),
    "bf16_matmul": Statement("bf16 products", "bf16の行列積"),
    "allocator": Statement("allocator settings", "アロケーターの設定"),
    "git.commit": Statement("commit of the program", "プログラムのコミット"),
    "git.dirty": Statement("uncommitted changes", "未コミットの変更"),
    "platform": Statement("platform", "プラットフォーム"),
    "python": Statement.unchanged("Python"),
    "imported": Statement("imported from", "取り込み元の形式"),
    "model": Statement("model", "モデル"),
    "weights": Statement("weights of the model", "モデルの重み"),
    "model_parameters": Statement("parameters of the model", "モデルのパラメータ数"),
    "dataset": Statement("data set", "データセット"),
    "evaluation_size": Statement("number of held-out texts", "評価テキスト数"),
    "training_steps": Statement("steps", "ステップ数"),
    "batch_size": Statement("batch size", "バッチサイズ"),
    "max_length": Statement("maximum length", "最大の系列長"),
    "sequence_length": Statement("length of the longest batch", "最長バッチの系列長"),
    "trainer_args": Statement.unchanged("trainer_args"),
    "processes": Statement("processes of a cell", "セルのプロセス数"),
    "accelerate": Statement("accelerate settings", "accelerate の設定"),
    "precision": Statement("precision", "精度"),
    "precision.full": Statement("precision of full", "フルの精度"),
    "precision.lora": Statement("precision of LoRA", "LoRAの精度"),
    "seeds": Statement("seeds", "シード"),
    "training_texts": Statement("training texts", "学習テキスト"),
    "held_out_texts": Statement("held-out texts", "評価テキスト"),
    "tokenizer": Statement("tokenizer", "トークナイザー"),
    "tokens": Statement("tokens trained on", "学習したトークン数"),
    "learning_rate": Statement("learning rate", "学習率"),
    "full_learning_rate": Statement("learning rate of full", "フルの学習率"),
    "data_order": Statement("order of the texts", "テキストの順序"),
    "source": Statement("way of measuring memory", "メモリの測り方"),
    "exclusive": Statement("not known to be free of other work", "他の処理がなかったか不明"),
}
_RULES = {
    "parameters": Statement("parameters", "パラメータ数"),
    "memory": Statement("memory", "メモリ"),
    "quality": Statement("loss and gain", "損失と改善幅"),
    "bits_per_byte": Statement("bits per byte", "ビット/バイト"),
    "time": Statement("time", "学習時間"),
}
_STATES = {
    YES: Statement("comparable", "比較可"),
    STATED: Statement("comparable, with reservations", "留保つきで比較可"),
    NO: Statement("not comparable", "比較不可"),
}

_TOLD = {
    YES: Statement("comparable: {}", "{}は比較できます"),
    STATED: Statement("comparable, with reservations: {}", "{}は留保つきで比較できます"),
    NO: Statement("not comparable: {}", "{}は比較できません"),
}
"""The same states, of named quantities."""


def fact_name(name: str) -> Statement:
    """A differing fact in words; names of packages as they are."""
    plain = name.removeprefix("packages.")
    return _FACTS.get(name, Statement.unchanged(plain))


def rule_name(name: str) -> Statement:
    """A quantity of the table of permissions in words."""
    return _RULES[name]


def state_name(comparable: str) -> Statement:
    """yes, stated and no in words."""
    return _STATES[comparable]


def run_letter(place: int) -> str:
    """``0 -> A``."""
    return chr(ord("A") + place)


def reasons(names: Sequence[str], unknown: Sequence[str] = ()) -> Statement:
    """Names of what differs, for a sentence; those of ``unknown`` are not stated by a run."""
    plain = {name: fact_name(name) for name in names}
    open_ = {n: Statement(f"{t.en}: not stated", f"{t.ja}は記録なし") for n, t in plain.items()}
    found = [(open_ if name in unknown else plain)[name] for name in names]
    return Statement(", ".join(t.en for t in found), "、".join(t.ja for t in found))


def value_text(metric: str, value: float) -> Statement:
    """A value of a metric with its unit."""
    if metric == "count":
        return Statement.unchanged(f"{value:,.0f}")
    if metric == "bytes":
        size = abs(value)
        return Statement.unchanged(
            f"{value / GIB:.2f} GiB" if size >= GIB else f"{value / MIB:,.1f} MiB"
        )
    if metric == "seconds":
        return Statement(f"{value:,.1f} s", f"{value:,.1f} 秒")
    if metric in ("nats", "bits"):
        return Statement.unchanged(f"{value:.3f}")
    return quantity(value, metric)


def difference_text(metric: str, value: float) -> Statement:
    """A difference, always with its sign; of shares in percentage points."""
    sign = "+" if value > 0 else ("-" if value < 0 else "")
    size = abs(value)
    if metric == "gain_retention":
        number = f"{sign}{100 * size:.1f}"
        return Statement(f"{number} points", f"{number}ポイント")
    if metric in ("nats", "bits"):
        return Statement.unchanged(f"{sign}{size:.4f}")
    shown = value_text(metric, size)
    return Statement(sign + shown.en, sign + shown.ja)


def interval_text(metric: str, found: RunDifference) -> Statement:
    """``99% interval -0.02 to +0.01``; nothing where there is none."""
    if found.interval is None or found.level is None:
        return NOTHING
    low, high = (difference_text(metric, end) for end in found.interval)
    level = f"{100 * found.level:.3g}"
    return Statement(f"{level}% interval {low.en} to {high.en}", f"{level}%区間 {low.ja}~{high.ja}")


def outcome(compared: ComparedQuantity, found: RunDifference) -> Statement:
    """What a difference shows, in a few words: the last column of the table."""
    if found.comparable == NO:
        return _STATES[NO]
    if found.difference is None:
        why = Statement(f": {found.reason}", f"({found.reason_ja})") if found.reason else NOTHING
        return Statement(f"no difference can be given{why.en}", f"差は計算不可{why.ja}")
    if found.difference == 0 and (compared.exact or found.interval in (None, (0.0, 0.0))):
        return Statement("the same", "同じ")
    shown = difference_text(compared.metric, found.difference)
    if compared.exact:
        return shown
    if found.interval is None:
        seeds = (f"{found.num_seeds} seed", f"{found.num_seeds}シード")
        return Statement(
            f"{shown.en}; {seeds[0]} shows no difference", f"{shown.ja}({seeds[1]}では差は未確認)"
        )
    interval = interval_text(compared.metric, found)
    if found.shown:
        return Statement(f"{shown.en} ({interval.en})", f"{shown.ja}({interval.ja})")
    return Statement(
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


def _against(run: int, compared: Sequence[ComparedQuantity]) -> Statement:
    """One run against the first: same, different, not shown, not comparable; changed verdicts."""
    rows = [(q, d) for q in compared for d in q.differences if d.run == run]
    same = [q for q, d in rows if outcome(q, d).en == "the same"]
    differ = [(q, d) for q, d in rows if d.shown]
    open_ = [q for q, d in rows if d.difference is not None and not d.shown and q not in same]
    parts = [_listed(same, "the same: {}", "{}は同じです")]
    for q, d in differ:
        found = outcome(q, d)
        parts.append(Statement(f"{q.text['en']} {found.en}", f"{q.text['ja']}の差は{found.ja}です"))
    parts.append(_listed(open_, "not shown to differ: {}", "{}の差は示されていません"))
    parts.append(_included([d for _, d in rows]))
    parts.append(_barred([(q, d) for q, d in rows if d.comparable == NO and _both_known(q, run)]))
    parts += [_verdicts(q, d) for q, d in rows]
    kept = [part for part in parts if part.en]
    if not kept:
        return NOTHING
    pair = f"{run_letter(run)} against {run_letter(0)}"
    return Statement(
        f"{pair}: " + "; ".join(p.en for p in kept),
        f"{run_letter(0)}に対する{run_letter(run)}: " + "。".join(p.ja for p in kept),
    )


def _included(rows: Sequence[RunDifference]) -> Statement:
    """What the differences that are given rest on beside the run: another device, say."""
    given = [d for d in rows if d.comparable == STATED and d.difference]
    names = list(dict.fromkeys(name for d in given for name in d.because))
    if not names:
        return NOTHING
    why = reasons(names)
    return Statement(f"differences with reservations: {why.en}", f"差には留保があります({why.ja})")


def _barred(rows: Sequence[tuple[ComparedQuantity, RunDifference]]) -> Statement:
    """What is not comparable, by kind, each with its reasons."""
    why = {q.rule: reasons(d.because) for q, d in rows}
    groups: dict[Statement, list[Statement]] = {}
    for rule, names in why.items():
        groups.setdefault(names, []).append(_RULES[rule])
    if not groups:
        return NOTHING
    listed = ", ".join(f"{', '.join(t.en for t in g)} ({w.en})" for w, g in groups.items())
    listed_ja = "。".join(
        f"{'、'.join(t.ja for t in g)}は比較できません(理由: {w.ja})" for w, g in groups.items()
    )
    return Statement(f"not comparable: {listed}", listed_ja)


def _verdicts(compared: ComparedQuantity, found: RunDifference) -> Statement:
    """A claim that the two runs judge differently; that they differ says nothing by itself."""
    first, other = (compared.values[place].verification for place in (0, found.run))
    if not first or not other or first == other:
        return NOTHING
    a, b = run_letter(0), run_letter(found.run)
    apart = found.comparable == NO
    return Statement(
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
    listed, listed_ja = listing([t.en for t in names], 8).en, listing([t.ja for t in names], 8).ja
    head = Statement(f"The runs differ in {listed}", f"実行の間で異なるのは{listed_ja}です")
    if not names:
        head = Statement(
            "The records name nothing that differs", "記録にある限り、違いはありません"
        )
    shown = NOTHING
    worst = {q: _worst([p for p in allowed if p.quantity == q]) for q in QUANTITIES}
    for state in (YES, STATED, NO):
        group = [_RULES[q] for q in QUANTITIES if worst[q] == state]
        if group:
            told = Statement(
                _TOLD[state].en.format(", ".join(t.en for t in group)),
                _TOLD[state].ja.format("、".join(t.ja for t in group)),
            )
            shown = Statement(f"{shown.en}; {told.en}", f"{shown.ja}。{told.ja}")
    count, rest = len(configurations), len(unshared)
    en = f"{head.en}{shown.en}; {count} configurations shared, {rest} not. Nothing is pooled."
    ja = f"{head.ja}{shown.ja}。共通の構成は{count}件、片方だけの構成は{rest}件です。"
    ja += "値は混ぜていません。"
    return {"en": en, "ja": ja}


def _worst(found: Sequence[Permission]) -> str:
    """Of several runs, the strictest."""
    order = (YES, STATED, NO)
    return max((p.comparable for p in found), key=order.index)


def _listed(compared: Sequence[ComparedQuantity], en: str, ja: str) -> Statement:
    if not compared:
        return NOTHING
    names = [q.text for q in compared]
    return Statement(
        en.format(", ".join(t["en"] for t in names)), ja.format("、".join(t["ja"] for t in names))
    )
