"""How numbers and short reasons are worded, in English and Japanese (row 5)."""

from __future__ import annotations

import math
from typing import NamedTuple


class Text(NamedTuple):
    """The same statement for English and for Japanese readers."""

    en: str
    ja: str


NOTHING = Text("", "")

_PHRASES = {
    "parameter_reduction_ratio": Text("{} fewer parameters", "パラメータ削減{}"),
    "memory_reduction_ratio": Text("memory down {}", "メモリ削減{}"),
    "gain_retention": Text("gain kept {}", "改善幅の維持率{}"),
    "time_ratio": Text("speed {}", "学習速度{}"),
}
_GROWN = {
    "parameter_reduction_ratio": Text("{} more parameters", "パラメータ増加{}"),
    "memory_reduction_ratio": Text("memory up {}", "メモリ増加{}"),
}
"""How a reduction below 1 is worded: by its inverse, so that nothing grown is called reduced."""
_NOUNS = {
    "parameter_reduction_ratio": Text("parameters", "パラメータ数"),
    "memory_reduction_ratio": Text("memory", "メモリ"),
    "gain_retention": Text("quality", "品質"),
    "time_ratio": Text("time", "学習時間"),
}
_ARMS = {"full": Text("full", "フル"), "base": Text("base", "学習前のモデル")}
_CELLS = {"base": "評価", "memory": "メモリ測定", "trial": "学習率探索", "train": "学習"}
_READINGS = {"controlled": "同一精度", "as-practised": "慣用の設定"}
_ENDINGS = {
    "out_of_memory": Text("ran out of memory", "メモリ不足"),
    "diverged": Text("diverged", "発散"),
    "time_limit": Text("passed its time limit", "制限時間超過"),
    "worker_died": Text("its process died", "プロセスの異常終了"),
}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def quantity(value: float, metric: str) -> Text:
    """A metric's value with its sign: ``584x`` / ``584倍``, or ``69%``."""
    if metric == "gain_retention":
        number = f"{100 * value:.3g}" if abs(value) < 9.995 else f"{100 * value:.0f}"
        return Text(f"{number}%", f"{number}%")
    if metric == "parameter_reduction_ratio":
        number = f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"
    else:
        number = f"{value:.2f}"
    return Text(f"{number}x", f"{number}倍")


def stated(value: float, metric: str) -> Text:
    """A claimed value or threshold, without decimals nobody stated: ``200x``, ``95%``."""
    if metric == "gain_retention":
        return quantity(value, metric)
    return Text(f"{value:g}x", f"{value:g}倍")


def phrase(value: float | None, metric: str, bound: str | None = None) -> Text:
    """A metric and its value as part of a sentence, such as ``memory down 1.65x``."""
    name = noun(metric)
    if value is None or not math.isfinite(value):
        return Text(f"{name.en} not measured", f"{name.ja}は未測定")
    grown = metric in _GROWN and bound is None and 0 < value < 1
    pattern = (_GROWN if grown else _PHRASES)[metric]
    shown = quantity(1 / value if grown else value, metric)
    if bound is not None:
        en, ja = {"lower": ("over ", "超"), "upper": ("under ", "未満")}[bound]
        shown = Text(en + shown.en, shown.ja + ja)
    return Text(pattern.en.format(shown.en), pattern.ja.format(shown.ja))


def noun(metric: str) -> Text:
    """What a metric is about, in one word."""
    return _NOUNS[metric]


def arm_name(label: str) -> Text:
    """An arm by its label; that of an adapter is a name."""
    return _ARMS.get(label, Text(label, label))


def cell_name(kind: str, label: str) -> Text:
    """A cell by its kind and arm: ``train full`` / ``フルの学習``."""
    return Text(f"{kind} {label}", f"{arm_name(label).ja}の{_CELLS[kind]}")


def run_name(kind: str, seed: int) -> Text:
    """A cell by its kind and seed: ``train seed 0`` / ``シード0の学習``."""
    return Text(f"{kind} seed {seed}", f"シード{seed}の{_CELLS[kind]}")


def reading_name(reading: str) -> Text:
    """A reading of the memory claim."""
    return Text(reading, _READINGS.get(reading, reading))


def ending(kind: str) -> Text:
    """How a cell ended, in a few words."""
    return _ENDINGS.get(kind, Text("failed", "失敗"))


def listing(names: list[str], limit: int = 4) -> Text:
    """Names joined for a sentence; more than ``limit`` are counted."""
    shown, more = names[:limit], len(names) - limit
    en, ja = "; ".join(shown), "、".join(shown)
    return Text(f"{en} and {more} more", f"{ja} ほか{more}件") if more > 0 else Text(en, ja)


def number_word(count: int) -> str:
    """``3`` -> ``three``."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def plural(count: int, noun_en: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{count} {noun_en}" + ("" if count == 1 else "s")
