"""How numbers and short reasons are worded, in English and Japanese (row 5)."""

from __future__ import annotations

import math

from ..language import Statement

NOTHING = Statement("", "")

_PHRASES = {
    "parameter_reduction_ratio": Statement("{} fewer parameters", "パラメータ削減{}"),
    "memory_reduction_ratio": Statement("memory down {}", "メモリ削減{}"),
    "gain_retention": Statement("gain kept {}", "改善幅の維持率{}"),
    "time_ratio": Statement("speed {}", "学習速度{}"),
}
_GROWN = {
    "parameter_reduction_ratio": Statement("{} more parameters", "パラメータ増加{}"),
    "memory_reduction_ratio": Statement("memory up {}", "メモリ増加{}"),
}
"""How a reduction below 1 is worded: by its inverse, so that nothing grown is called reduced."""
_NOUNS = {
    "parameter_reduction_ratio": Statement("parameters", "パラメータ数"),
    "memory_reduction_ratio": Statement("memory", "メモリ"),
    "gain_retention": Statement("quality", "品質"),
    "time_ratio": Statement("time", "学習時間"),
}
_ARMS = {"full": Statement("full", "フル"), "base": Statement("base", "学習前のモデル")}
_CELLS = {"base": "評価", "memory": "メモリ測定", "trial": "学習率探索", "train": "学習"}
_READINGS = {"controlled": "同一精度", "as-practised": "慣用の設定"}
_ENDINGS = {
    "out_of_memory": Statement("ran out of memory", "メモリ不足"),
    "diverged": Statement("diverged", "発散"),
    "time_limit": Statement("passed its time limit", "制限時間超過"),
    "worker_died": Statement("its process died", "プロセスの異常終了"),
}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def quantity(value: float, metric: str) -> Statement:
    """A metric's value with its sign: ``584x`` / ``584倍``, or ``69%``."""
    if metric == "gain_retention":
        number = f"{100 * value:.3g}" if abs(value) < 9.995 else f"{100 * value:.0f}"
        return Statement.unchanged(f"{number}%")
    if metric == "parameter_reduction_ratio":
        number = f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"
    else:
        number = f"{value:.2f}"
    return Statement(f"{number}x", f"{number}倍")


def stated(value: float, metric: str) -> Statement:
    """A claimed value or threshold, without decimals nobody stated: ``200x``, ``95%``."""
    if metric == "gain_retention":
        return quantity(value, metric)
    return Statement(f"{value:g}x", f"{value:g}倍")


def phrase(value: float | None, metric: str, bound: str | None = None) -> Statement:
    """A metric and its value as part of a sentence, such as ``memory down 1.65x``."""
    name = noun(metric)
    if value is None or not math.isfinite(value):
        return Statement(f"{name.en} not measured", f"{name.ja}は未測定")
    grown = metric in _GROWN and bound is None and 0 < value < 1
    pattern = (_GROWN if grown else _PHRASES)[metric]
    shown = quantity(1 / value if grown else value, metric)
    if bound is not None:
        en, ja = {"lower": ("over ", "超"), "upper": ("under ", "未満")}[bound]
        shown = Statement(en + shown.en, shown.ja + ja)
    return Statement(pattern.en.format(shown.en), pattern.ja.format(shown.ja))


def noun(metric: str) -> Statement:
    """What a metric is about, in one word."""
    return _NOUNS[metric]


def arm_name(label: str) -> Statement:
    """An arm by its label; that of an adapter is a name."""
    return _ARMS.get(label, Statement.unchanged(label))


def cell_name(kind: str, label: str) -> Statement:
    """A cell by its kind and arm: ``train full`` / ``フルの学習``."""
    return Statement(f"{kind} {label}", f"{arm_name(label).ja}の{_CELLS[kind]}")


def run_name(kind: str, seed: int) -> Statement:
    """A cell by its kind and seed: ``train seed 0`` / ``シード0の学習``."""
    return Statement(f"{kind} seed {seed}", f"シード{seed}の{_CELLS[kind]}")


def reading_name(reading: str) -> Statement:
    """A reading of the memory claim."""
    return Statement(reading, _READINGS.get(reading, reading))


def ending(kind: str) -> Statement:
    """How a cell ended, in a few words."""
    return _ENDINGS.get(kind, Statement("failed", "失敗"))


def listing(names: list[str], limit: int = 4) -> Statement:
    """Names joined for a sentence; more than ``limit`` are counted."""
    shown, more = names[:limit], len(names) - limit
    joined = Statement("; ".join(shown), "、".join(shown))
    if more <= 0:
        return joined
    return Statement(f"{joined.en} and {more} more", f"{joined.ja} ほか{more}件")


def seed_count(count: int) -> Statement:
    """``3 seeds`` / ``3シード``."""
    return Statement(plural(count, "seed"), f"{count}シード")


def number_word(count: int) -> str:
    """``3`` -> ``three``."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def plural(count: int, noun_en: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{count} {noun_en}" + ("" if count == 1 else "s")
